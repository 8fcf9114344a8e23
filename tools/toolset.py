"""A `Toolset`: tools that belong together under one name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..core.errors import UsageError
from .tool import Tool


@dataclass(frozen=True)
class Toolset:
    """A named group of tools. Its tools carry its name as their server."""

    name: str
    description: str
    tools: tuple[Tool, ...]

    @classmethod
    def of(cls, name: str, description: str, tools: Iterable[Tool]) -> Toolset:
        """Makes a toolset; every tool gets `name` as its server. `UsageError` where two tools share a name."""
        own = tuple(dataclasses.replace(t, server=name) for t in tools)
        names = [t.name for t in own]
        repeated = next((n for n in names if names.count(n) > 1), None)
        if repeated:
            raise UsageError(
                f"the toolset {name!r} has two tools named {repeated!r}", hint="give one of them another name"
            )
        return cls(name, description, own)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self.tools)

    def __len__(self) -> int:
        return len(self.tools)

    def __getitem__(self, name: str) -> Tool:
        for found in self.tools:
            if found.name == name:
                return found
        raise KeyError(name)
