"""How results, plans and events look: as JSON for programs, as lines for people."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .text import one_line

if TYPE_CHECKING:
    from ..agents.drawing import Row
    from ..agents.plan import Plan

WIDEST = 120
"""Columns that a plan takes at most."""


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_plan(plan: Plan) -> None:
    """A plan on stdout as its graph, as wide as the terminal."""
    from .progress import wants_rich

    rows = plan_rows(plan)
    if not wants_rich(sys.stdout):
        print("\n".join(map(str, rows)))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False, soft_wrap=True)
    for row in rows:
        console.print(Text.assemble((row.rail, "cyan"), (row.text, "dim" if row.detail else "")))


def plan_rows(plan: Plan, indent: int = 0, goals: Mapping[str, Plan] | None = None) -> list[Row]:
    """The rows that show a plan as its graph, where they are to stand `indent` columns from the left of the terminal.

    `goals` are the plans of its goals, by the step's id, where they are known.
    """
    from ..agents.drawing import tree

    return tree(plan, min(shutil.get_terminal_size().columns, WIDEST) - indent, goals)


def plan_lines(plan: Plan, goals: Mapping[str, Plan] | None = None) -> Iterator[str]:
    """`plan_rows` as text, for lines with an indent of two."""
    yield from map(str, plan_rows(plan, 2, goals))


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


def tell(message: str) -> None:
    """One line on stderr, at once: what a person is told beside the output."""
    print(message, file=sys.stderr, flush=True)
