"""A `Toolset`: tools that belong together under one name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .tool import Tool


@dataclass(frozen=True)
class Toolset:
    """A named group of tools. Its tools carry its name as their server."""

    name: str
    description: str
    tools: tuple[Tool, ...]

    @classmethod
    def of(cls, name: str, description: str, tools: Iterable[Tool]) -> Toolset:
        """Makes a toolset; every tool gets `name` as its server."""
        return cls(name, description, tuple(dataclasses.replace(t, server=name) for t in tools))

    def __iter__(self) -> Iterator[Tool]:
        return iter(self.tools)

    def __getitem__(self, name: str) -> Tool:
        for found in self.tools:
            if found.name == name:
                return found
        raise KeyError(name)
