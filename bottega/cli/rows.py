"""Runs as rows of a table for people."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .text import one_line

if TYPE_CHECKING:
    from ..graphs.ledger import RunSummary

UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
"""Seconds of a unit of time."""


def run_row(run: RunSummary) -> tuple[str, str, str, str]:
    """Id, status, age and request."""
    return run.id, status(run), ago(run.updated), one_line(run.request, 200)


def status(run: RunSummary) -> str:
    """Its status; a run that says it is running, and that nobody works on, was broken off."""
    return "broken off" if run.status == "running" and run.owner is None else run.status


def ago(at: float) -> str:
    seconds = max(0.0, time.time() - at)
    for unit, size in reversed(UNITS.items()):
        if seconds >= size or unit == "s":
            return f"{seconds // size:.0f}{unit} ago"
    return ""
