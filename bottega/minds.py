"""Who thinks in a workshop: planner, router, and those who bind and search; made of what its user asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .agents.planning import Binder, Comparer, Finder, Planner, Router

if TYPE_CHECKING:
    from .agents.readable import Nearness
    from .models.chat import ChatClient

PlannerName = Literal["house", "llm", "none"]


@dataclass(frozen=True)
class Minds:
    """What a run thinks with; what there is not is None."""

    planner: Planner | None
    router: Router | None
    binder: Binder | None
    nearness: Nearness | None
    finder: Finder | None
    chat: ChatClient | None


def minds_of(planner: Planner | PlannerName, router: Router | None, model: str | ChatClient | None) -> Minds:
    """The minds of a workshop. Raises `UsageError` for a model that cannot be."""
    chat = _opened(model) if isinstance(model, str) else model
    if not isinstance(planner, str):
        return Minds(
            planner,
            router,
            planner if isinstance(planner, Binder) else None,
            planner.nearness if isinstance(planner, Comparer) else None,
            planner if isinstance(planner, Finder) else None,
            chat,
        )
    from platformdirs import user_cache_path

    from .agents.planners.house import HousePlanner

    house = HousePlanner(user_cache_path("bottega") / "vectors.npz")
    named: dict[str, Planner | None] = {"house": house, "none": None}
    if chat is not None:
        from .agents.planners.escalating import EscalatingPlanner
        from .agents.planners.llm import LLMPlanner

        named |= {"llm": LLMPlanner(house), "house": EscalatingPlanner(house, LLMPlanner(house))}
    if router is None and planner == "house" and chat is None:
        from .agents.router import Router as HouseRouter

        router = HouseRouter.open()
    return Minds(named[planner], router, house, house.nearness, house, chat)


def _opened(model: str) -> ChatClient:
    from .models.chat import open_chat

    # The names under which everybody keeps them.
    return open_chat(model, base_url=os.environ.get("OPENAI_BASE_URL"), api_key=os.environ.get("OPENAI_API_KEY"))
