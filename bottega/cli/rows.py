"""Runs and servers as rows of a table for people."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .text import one_line

if TYPE_CHECKING:
    from ..graphs.ledger import RunSummary
    from ..tools.catalog import CatalogStatus

UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
"""Seconds of a unit of time."""


def run_row(run: RunSummary) -> tuple[str, str, str, str]:
    """Id, status, age and request."""
    return run.id, status(run), ago(run.updated), one_line(run.request, 200)


def server_row(server: CatalogStatus) -> tuple[str, str, str, str]:
    """Name, state, how many tools are known, and where it is, or what is wrong with it."""
    state = "disabled" if not server.enabled else "failed" if server.failed else server.state
    count = f"{server.tools} tools" if server.listed is not None else ""
    held = f", {server.held} held back" if server.held else ""
    return server.name, state, count + held, "; ".join(server.problems) if server.failed else server.address


def status(run: RunSummary) -> str:
    """Its status; a run that says it is running, and that nobody works on, was broken off."""
    return "broken off" if run.status == "running" and run.owner is None else run.status


def ago(at: float) -> str:
    seconds = max(0.0, time.time() - at)
    for unit, size in reversed(UNITS.items()):
        if seconds >= size or unit == "s":
            return f"{seconds // size:.0f}{unit} ago"
    return ""
