"""Who thinks in a workshop: planner, router, and those who bind, search and report; made of what its user asked for."""

from __future__ import annotations

import functools
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .agents.planning import Binder, Comparer, Finder, Planner, Router
from .settings import is_openais

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .agents.plan import Plan, StepResult
    from .agents.planners.house import HousePlanner
    from .agents.readable import Nearness
    from .models.chat import ChatClient, ChatReply, ChatRequest
    from .models.house.retriever import RetrieverModel

PlannerName = Literal["house", "llm", "none"]
Complete = Callable[["ChatRequest"], Awaitable["ChatReply"]]
Tell = Callable[["Plan", Mapping[str, "StepResult"], Complete], Awaitable[str]]


@dataclass(frozen=True)
class Minds:
    """What a run thinks with; what there is not is None."""

    planner: Planner | None
    router: Router | None
    binder: Binder | None
    nearness: Nearness | None
    finder: Finder | None
    chat: ChatClient | None
    tell: Tell | None
    """Composes the answer by a language model; None leaves it to the reporter."""


def minds_of(
    planner: Planner | PlannerName,
    router: Router | None,
    model: str | ChatClient | None,
    workspace: Path,
    retriever: Path | None = None,
) -> Minds:
    """The minds of a workshop in a folder, whose workflows the planner of the house knows.

    `retriever` is the adapter by which it searches tools, where it is not the house's.

    Raises `UsageError` for a model that cannot be, `ConfigError` for a workflow that cannot be read.
    """
    chat = _opened(model) if isinstance(model, str) else model
    if not isinstance(planner, str):
        return Minds(
            planner,
            router,
            planner if isinstance(planner, Binder) else None,
            planner.nearness if isinstance(planner, Comparer) else None,
            planner if isinstance(planner, Finder) else None,
            chat,
            tell=None,
        )
    from platformdirs import user_cache_path

    from .agents.planners.house import HousePlanner

    house = HousePlanner(user_cache_path("bottega") / "vectors.npz", retriever)
    if planner == "none":
        return Minds(None, None, house, house.nearness, house, chat, tell=None)
    who, router = _planning(house, planner, router, chat)
    if (workspace / ".bottega" / "workflows").is_dir():
        from .agents.planners.matching import WorkflowMatcher
        from .agents.planners.workflows import WorkflowPlanner, WorkflowRouter
        from .agents.workflows import read_workflows

        matcher = WorkflowMatcher(read_workflows(workspace), encoder())
        who = WorkflowPlanner(who, matcher)
        router = WorkflowRouter(router, matcher) if router is not None else None
    tell: Tell | None = None
    if planner == "llm":
        from .agents.teller import tell
    return Minds(who, router, house, house.nearness, house, chat, tell)


def _planning(
    house: HousePlanner, planner: PlannerName, router: Router | None, chat: ChatClient | None
) -> tuple[Planner, Router | None]:
    """Who plans, and who routes before."""
    if chat is None:
        from .agents.router import Router as HouseRouter

        return house, router or HouseRouter.open(finder=house)
    from .agents.planners.llm import LLMPlanner

    # Without a router: where there is a language model, what no specialist here is for may be done all the same.
    if planner == "llm":
        return LLMPlanner(house), router
    from .agents.planners.escalating import EscalatingPlanner
    from .agents.planners.recalling import RecallingPlanner

    return EscalatingPlanner(house, RecallingPlanner(LLMPlanner(house))), router


def encoder() -> Callable[[Sequence[str]], NDArray[np.float32]]:
    """Vectors of requests by the house's retriever, which is opened when first needed."""

    @functools.cache
    def opened() -> RetrieverModel:
        from .models.house.retriever import RetrieverModel

        return RetrieverModel.open()

    return lambda texts: opened().encode_requests(list(texts))


def _opened(model: str) -> ChatClient:
    from .models.chat import open_chat

    key = os.environ.get("OPENAI_API_KEY") if is_openais(model, None) else None
    return open_chat(model, api_key=os.environ.get("BOTTEGA_API_KEY") or key)
