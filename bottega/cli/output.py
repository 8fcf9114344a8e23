"""How results, plans and events look: as JSON for programs, as lines for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .text import one_line

if TYPE_CHECKING:
    from ..agents.plan import Plan, Step


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def plan_lines(plan: Plan) -> Iterator[str]:
    """A plan as lines: what each step does, with which tool, and whose results it uses."""
    for step in plan.steps:
        yield f"{step.id:<3} {one_line(step.instruction, 200)}"
        if step.problem:
            yield f"    cannot: {one_line(step.problem, 200)}"
        elif detail := step_detail(step):
            yield f"    {detail}"


def step_detail(step: Step) -> str:
    """Who does a step and with what: `analyst · tables/ask question="..." ← s1`."""
    parts = [step.specialist or ""]
    if step.tool:
        parts.append(" ".join([step.tool, *(f"{name}={argument(value)}" for name, value in step.arguments.items())]))
    if step.needs:
        parts.append(f"← {', '.join(step.needs)}")
    return " · ".join(part for part in parts if part)


def argument(value: Any) -> str:
    """An argument, shortened; the result of another step as `<s1.path>`, several calls as `each of ...`."""
    from ..agents.plan import Each, Reference

    if isinstance(value, Reference):
        return f"<{value.from_}{'.' + value.path if value.path else ''}>"
    if isinstance(value, Each):
        return f"each of {argument(value.each)}"
    return one_line(json.dumps(value, ensure_ascii=False, default=str), 60)


def columns(rows: Sequence[tuple[str, ...]], width: int) -> Iterator[str]:
    """Rows as aligned columns; the last one is cut to what `width` leaves."""
    if not rows:
        return
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    for row in rows:
        left = "  ".join(cell.ljust(w) for cell, w in zip(row[:-1], widths, strict=True))
        yield f"{left}  {one_line(row[-1], max(20, width - len(left) - 2))}".rstrip()
