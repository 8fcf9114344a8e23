"""What a tool is to the index (`ToolSpec`), and what a search gives (`ToolHit`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..core.errors import UsageError


class Described(Protocol):
    """Anything that says what a tool is: a `tools.Tool`, a `ToolSpec`."""

    @property
    def id(self) -> str: ...
    @property
    def server(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def input_schema(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class ToolSpec:
    """What is known of a tool without calling it."""

    id: str
    server: str
    name: str
    description: str
    input_schema: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, tool: Described | Mapping[str, Any]) -> ToolSpec:
        """From an object with the attributes of a tool, or a mapping with `id` and `name` and perhaps the rest.

        Raises `UsageError` for one that has no id or no name.
        """
        if isinstance(tool, ToolSpec):
            return tool
        if not isinstance(tool, Mapping):
            return cls(tool.id, tool.server, tool.name, tool.description, tool.input_schema)
        if not tool.get("id") or not tool.get("name"):
            raise UsageError(f"a tool without id or name: {str(dict(tool))[:200]}", hint="give both as text")
        return cls(
            tool["id"],
            tool.get("server") or "",
            tool["name"],
            tool.get("description") or "",
            tool.get("input_schema") or {},
        )

    def to_json(self) -> str:
        """One line; equal tools have equal lines."""
        return json.dumps([self.id, self.server, self.name, self.description, self.input_schema], default=_as_json)

    @classmethod
    def from_json(cls, line: str | bytes) -> ToolSpec:
        """What `to_json` gave. Raises `ValueError` for anything else."""
        found = json.loads(line)
        if not isinstance(found, list) or len(found) != 5:
            raise ValueError("not a tool")
        return cls(*found)


@dataclass(frozen=True)
class ToolHit:
    """A tool that was found; `score` is between 0 and 1, comparable within one search only.

    `nearness` is the cosine with the query or the nearest part of it, comparable between searches and catalogs: below
    `scoring.FITS` the tool is probably not for what was asked.
    """

    id: str
    score: float
    tool: ToolSpec
    nearness: float = 0.0


def _as_json(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)
