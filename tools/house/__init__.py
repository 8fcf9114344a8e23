"""The house toolsets: what people need every day, safe inside a workspace folder. Each is imported when asked for."""

from __future__ import annotations

from importlib import import_module

from ...core.errors import UsageError
from ..toolset import Toolset

__all__ = ["HOUSE_TOOLSETS", "house_toolset", "house_toolsets"]

HOUSE_TOOLSETS: dict[str, str] = {
    "files": "List, read, write, copy, move and delete files of the workspace folder, and count their lines.",
    "search": "Find a text or a pattern in files: the lines that contain it, how many, and which files mention it.",
    "tables": "Look into CSV, TSV, Parquet and JSON tables and answer questions about their rows.",
    "sqlite": "Look into SQLite databases and query them, read-only.",
    "git": "Look into git repositories: status, history, changes. Nothing is changed.",
    "time": "The time of day in the time zones of the world.",
    "dates": "Calendar dates: days between two, the weekday of one, and counting forward or back.",
    "calc": "Arithmetic: expressions, percentages and shares, exactly.",
    "units": "Convert between units of measure: length, weight, volume, temperature, speed, data and more.",
    "json": "Look up values and keys in JSON files.",
    "text": "Work on prose: summaries, keywords, word counts, and the addresses and dates in a text.",
    "reading": "Answer questions from what documents say.",
    "web": "Fetch pages of the web as text, where that is permitted.",
}
"""Name and description of each house toolset."""


def house_toolset(name: str) -> Toolset:
    """The house toolset of that name; imports no other. `UsageError` for a name that none has."""
    if name not in HOUSE_TOOLSETS:
        raise UsageError(f"there is no toolset {name!r}", hint=f"choose from {', '.join(HOUSE_TOOLSETS)}")
    module = import_module(f".{name}", __name__)
    return Toolset.of(name, HOUSE_TOOLSETS[name], module.TOOLS)


def house_toolsets() -> list[Toolset]:
    """All house toolsets."""
    return [house_toolset(name) for name in HOUSE_TOOLSETS]
