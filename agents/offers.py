"""What a language model is offered in one step, under short names that servers accept, and what became of a call."""

from __future__ import annotations

import difflib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ..models.chat import ToolOffer
from .plan import ToolCall

Json = Any

LONGEST_NAME = 64
LONGEST_DESCRIPTION = 1_000

_ODD = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Outcome:
    """What became of a call that a model wanted. `text` goes back to it: as data, unless the house itself says it."""

    text: str
    own_words: bool = False
    call: ToolCall | None = None
    files: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    refused: str | None = None
    """Why it was not permitted."""
    changes: bool = False
    """Whether the call is of a kind that changes something."""
    again: bool = False
    """Not done, because it gave the same the last times."""


@dataclass(frozen=True)
class Ability:
    """Something that a model can call. While one is done that is `alone`, no other is."""

    offer: ToolOffer
    do: Callable[[dict[str, Json]], Awaitable[Outcome]]
    alone: bool = False
    tool: str | None = None
    """The id of the tool behind it."""


class Offers:
    """The abilities offered so far, by name. The same additions in the same order give the same names."""

    def __init__(self) -> None:
        self._abilities: dict[str, Ability] = {}

    def __len__(self) -> int:
        return len(self._abilities)

    def add(self, ability: Ability) -> None:
        self._abilities[ability.offer.name] = ability

    def get(self, name: str) -> Ability | None:
        """The ability called `name`, or that of the tool with this id."""
        return self._abilities.get(name) or self.of_tool(name)

    def of_tool(self, id: str) -> Ability | None:
        return next((ability for ability in self._abilities.values() if ability.tool == id), None)

    def like(self, name: str) -> list[str]:
        """The offered names that are close to a wrong one, the closest first; where none is, the first twenty."""
        return difflib.get_close_matches(name, self._abilities, n=4, cutoff=0.4) or list(self._abilities)[:20]

    def all(self) -> tuple[ToolOffer, ...]:
        return tuple(ability.offer for ability in self._abilities.values())

    def name_of(self, *wanted: str) -> str:
        """The first of `wanted` that is free, made of letters, digits, `_` and `-`; else the last one with a number."""
        names = [_ODD.sub("_", name).strip("_")[:LONGEST_NAME] or "tool" for name in wanted]
        for name in names:
            if name not in self._abilities:
                return name
        n = 2
        while (name := f"{names[-1][: LONGEST_NAME - 5]}_{n}") in self._abilities:
            n += 1
        return name


def offered(name: str, description: str, schema: dict[str, Json]) -> ToolOffer:
    """An offer as servers of language models take it: parameters of an object, without words of our own."""
    properties = {
        parameter: {k: v for k, v in inner.items() if not k.startswith("x-")} if isinstance(inner, dict) else inner
        for parameter, inner in (schema.get("properties") or {}).items()
    }
    kept = {key: value for key, value in schema.items() if key not in ("$schema", "title")}
    parameters = {**kept, "type": "object", "properties": properties}
    return ToolOffer(name=name, description=description[:LONGEST_DESCRIPTION], parameters=parameters)
