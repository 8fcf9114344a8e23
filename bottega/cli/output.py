"""How results, plans and events look: as JSON for programs, as lines for people."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .text import one_line

if TYPE_CHECKING:
    from ..agents.plan import Plan

WIDEST = 120
"""Columns that a plan takes at most."""


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_plan(plan: Plan) -> None:
    """A plan on stdout as its graph, as wide as the terminal."""
    from ..agents.drawing import tree
    from .progress import wants_rich

    rows = tree(plan, min(shutil.get_terminal_size().columns, WIDEST))
    if not wants_rich(sys.stdout):
        print("\n".join(map(str, rows)))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False, soft_wrap=True)
    for row in rows:
        console.print(Text.assemble((row.rail, "cyan"), (row.text, "dim" if row.detail else "")))


def plan_lines(plan: Plan) -> Iterator[str]:
    """A plan as plain lines: what each step does, with which tool, and whose results it uses."""
    from ..agents.drawing import step_detail

    for step in plan.steps:
        yield f"{step.id:<3} {one_line(step.instruction, 200)}"
        uses = f"← {', '.join(step.needs)}" if step.needs else ""
        told = f"cannot: {one_line(step.problem, 200)}" if step.problem else step_detail(step)
        if detail := " · ".join(part for part in (told, uses) if part):
            yield f"    {detail}"


def argument(value: Any) -> str:
    """An argument, shortened; the result of another step as `<s1.path>`, several calls as `each of ...`."""
    from ..agents.drawing import argument as shown

    return shown(value)


def columns(rows: Sequence[tuple[str, ...]], width: int) -> Iterator[str]:
    """Rows as aligned columns; the last one is cut to what `width` leaves."""
    if not rows:
        return
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    for row in rows:
        left = "  ".join(cell.ljust(w) for cell, w in zip(row[:-1], widths, strict=True))
        yield f"{left}  {one_line(row[-1], max(20, width - len(left) - 2))}".rstrip()
