"""Plans drawn for people: the words for a step, and the graph as lines of a terminal. `mermaid` has the other form."""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from rich.cells import cell_len, chop_cells

from .plan import Each, Json, Plan, Reference, Step
from .readable import clean

NARROWEST = 20
"""Columns that a text has at least."""

MOST_LANES = 10
"""Lines side by side. A plan that takes more is drawn without: each step still says whose results it uses."""

MOST_LINES, MOST_DETAILS = 3, 4
"""Lines that an instruction takes, and what is below it."""

GOAL = "a goal: planned when it is reached"

_HIDDEN = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Marks that turn the direction of a text round: what is shown has to be what is there."""

_SURROGATES = re.compile("[\ud800-\udfff]")

_JOINTS = {
    (True, True, False, False): "│",
    (True, True, False, True): "├",
    (True, True, True, False): "┤",
    (True, True, True, True): "┼",
    (True, False, True, False): "╯",
    (True, False, False, True): "╰",
    (True, False, True, True): "┴",
    (False, True, True, False): "╮",
    (False, True, False, True): "╭",
    (False, True, True, True): "┬",
}
"""(up, down, left, right) -> the character in which these lines meet."""


class Row(NamedTuple):
    """A line of a drawing: the part with the graph's lines, and the text. `detail`: it says more about a step."""

    rail: str
    text: str
    detail: bool

    def __str__(self) -> str:
        return f"{self.rail}{self.text}".rstrip()


def tree(plan: Plan, width: int = 80, goals: Mapping[str, Plan] | None = None) -> list[Row]:
    """The rows that show `plan`, none of them wider than `width` columns (from 20).

    A step stands below those whose results it uses, with lines from them. `goals` are the plans of steps that are
    goals, where they are known, by the step's id; each is drawn below its goal. Any plan can be drawn, also one that
    `Plan.check` refuses.
    """
    width = max(width, NARROWEST)
    steps, needs = _ordered(plan)
    names = [one_line(step.id, 16) for step in steps]
    column = max(map(cell_len, names), default=0) + 2
    room = width - column - NARROWEST  # for the graph
    graph = _graph(needs, min(MOST_LANES, room // 2)) or [_Lines((), 0, ()) for _ in steps]
    lanes = max((len(line) // 2 + 1 for lines in graph for line in (lines.link, lines.below)), default=1)
    rail = 2 * max([lanes, *(lines.place + 1 for lines in graph)])
    inner = width - rail - column
    beside = inner >= NARROWEST  # else the names stand in the text
    if not beside:
        column, inner = 0, width - rail
    rows: list[Row] = []
    for step, name, lines in zip(steps, names, graph, strict=True):
        below = "".join(lines.below).ljust(rail)
        if lines.link:
            rows.append(Row("".join(lines.link).ljust(rail), "", True))
        words = one_line(step.instruction) if beside else f"{name} {one_line(step.instruction)}"
        for n, text in enumerate(_wrapped(words, inner, MOST_LINES) or [""]):
            head = _pad(name, column) if n == 0 and beside else " " * column
            rows.append(Row(lines.at(_mark(step)).ljust(rail) if n == 0 else below, head + text, n > 0))
        nested = (goals or {}).get(step.id) if step.goal else None
        details = _details(step, inner, planned=nested is not None)
        rows += [Row(below, " " * column + text, True) for text in details]
        if nested is not None:
            others = {id: plan for id, plan in (goals or {}).items() if id != step.id}
            rows += _nested(nested, below, column, inner, others)
    return rows


def plan_text(plan: Plan, width: int = 80, goals: Mapping[str, Plan] | None = None) -> str:
    """`tree` as one text."""
    return "\n".join(map(str, tree(plan, width, goals)))


def step_detail(step: Step) -> str:
    """Who does a step and with what: `analyst · tables/ask_table path="orders.csv"`."""
    parts = [one_line(step.specialist or "")]
    if step.tool:
        parts.append(" ".join([step.tool, *(f"{name}={argument(value)}" for name, value in step.arguments.items())]))
    return one_line(" · ".join(part for part in parts if part))


def argument(value: Json) -> str:
    """An argument, shortened; the result of another step as `<s1.path>`, several calls as `each of ...`."""
    if isinstance(value, Reference):
        return one_line(f"<{value.from_}{'.' + value.path if value.path else ''}>", 60)
    if isinstance(value, Each):
        return f"each of {argument(value.each)}"
    return one_line(json.dumps(value, ensure_ascii=False, default=_shown), 60)


def one_line(text: str, limit: int = 1000) -> str:
    """`text` on one line, without anything that a terminal would obey, cut after `limit` characters."""
    line = " ".join(_SURROGATES.sub("�", _HIDDEN.sub("", clean(text))).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _shown(value: Json) -> Json:
    """What is no JSON inside an argument: references in lists and objects."""
    return argument(value) if isinstance(value, Reference | Each) else str(value)


def _mark(step: Step) -> str:
    return "✗" if step.problem else "◆" if step.goal else "●" if step.tool else "○"


def _details(step: Step, width: int, planned: bool) -> list[str]:
    """What stands below an instruction: why it cannot be done or with what it is, and whose results it uses."""
    if step.problem:
        told = f"cannot: {one_line(step.problem)}"
    elif step.goal:
        told = " · ".join(part for part in (one_line(step.specialist or ""), "" if planned else GOAL) if part)
    else:
        told = step_detail(step)
    lines = _wrapped(told, width, MOST_DETAILS)
    uses = f"← {', '.join(one_line(need, 16) for need in step.needs)}" if step.needs else ""
    if lines and uses and cell_len(lines[-1]) + 3 + cell_len(uses) <= width:
        return [*lines[:-1], f"{lines[-1]} · {uses}"]
    return lines + _wrapped(uses, width, MOST_DETAILS)


def _nested(plan: Plan, below: str, column: int, inner: int, goals: Mapping[str, Plan]) -> Iterator[Row]:
    """The rows of a goal's plan inside those of the plan it belongs to."""
    if inner < NARROWEST + 8:
        yield Row(below, " " * column + f"… {len(plan.steps)} steps", True)
        return
    for row in tree(plan, inner, goals):
        yield Row(below + " " * column + row.rail, row.text, row.detail)


def _ordered(plan: Plan) -> tuple[list[Step], list[list[int]]]:
    """The steps, each after those it needs, and for each the rows of these. What cannot be ordered comes last."""
    first = {step.id: n for n, step in reversed(list(enumerate(plan.steps)))}
    sources = [sorted({first[need] for need in step.needs if need in first}) for step in plan.steps]
    waits = [len(some) for some in sources]
    users: list[list[int]] = [[] for _ in sources]
    for n, some in enumerate(sources):
        for source in some:
            users[source].append(n)
    ready = [n for n, count in enumerate(waits) if not count]
    order: list[int] = []
    while ready:
        order.append(heapq.heappop(ready))
        for user in users[order[-1]]:
            waits[user] -= 1
            if not waits[user]:
                heapq.heappush(ready, user)
    order += sorted(set(range(len(sources))).difference(order))
    rows = {n: row for row, n in enumerate(order)}
    needs = [[rows[n] for n in sources[old] if rows[n] < row] for row, old in enumerate(order)]
    return [plan.steps[n] for n in order], needs


class _Lines(NamedTuple):
    """The graph's part of a step's rows: `link` leads to it from those it needs, `below` goes on beside its text."""

    link: Sequence[str]
    place: int
    below: Sequence[str]
    beside: Sequence[str] = ()

    def at(self, mark: str) -> str:
        """The row of the step itself."""
        row = [*self.beside, *" " * (2 * self.place + 1 - len(self.beside))]
        row[2 * self.place] = mark
        return "".join(row)


def _graph(needs: Sequence[Sequence[int]], most: int) -> list[_Lines] | None:
    """The lines for steps that need the results of those rows; None where they take more than `most` lanes.

    A lane carries the result of one step down to the last step that uses it.
    """
    last = {source: row for row, sources in enumerate(needs) for source in sources}
    lanes: list[int | None] = []
    found = []
    for row, sources in enumerate(needs):
        used = {lane: source for lane, source in enumerate(lanes) if source is not None and source in sources}
        ending = [lane for lane, source in used.items() if last[source] == row]
        free = next((lane for lane, source in enumerate(lanes) if source is None), len(lanes))
        place = ending[0] if ending else free
        if place == len(lanes):
            lanes.append(None)
        if len(lanes) > most:
            return None
        link = _link(lanes, used, ending, place) if any(lane != place for lane in used) else ()
        for lane in ending:
            lanes[lane] = None
        beside = _running(lanes)
        lanes[place] = row if row in last else None
        while lanes and lanes[-1] is None:
            lanes.pop()
        found.append(_Lines(link, place, _running(lanes), beside))
    return found


def _running(lanes: Sequence[int | None]) -> list[str]:
    return [sign for source in lanes for sign in (" " if source is None else "│", " ")][: max(0, 2 * len(lanes) - 1)]


def _link(lanes: Sequence[int | None], used: Collection[int], ending: Collection[int], place: int) -> list[str]:
    """The row in which the lanes that are used turn to the place of the step."""
    row = _running(lanes)
    left, right = min(*used, place), max(*used, place)
    for column in range(2 * left, 2 * right + 1):
        lane, between = divmod(column, 2)
        if not between and (lane in used or lane == place):
            down = lane == place or lane not in ending
            row[column] = _JOINTS[lanes[lane] is not None, down, lane > left, lane < right]
        elif between or lanes[lane] is None:
            row[column] = "─"
    return row


def _wrapped(text: str, width: int, most: int) -> list[str]:
    """`text` in lines of at most `width` columns; what `most` lines do not hold is cut."""
    lines: list[str] = []
    for word in text.split():
        for piece in chop_cells(word, width):
            if lines and cell_len(lines[-1]) + 1 + cell_len(piece) <= width:
                lines[-1] += f" {piece}"
            else:
                lines.append(piece)
    if len(lines) > most:
        kept = chop_cells(lines[most - 1], width - 1)[0]
        lines[most - 1 :] = [f"{kept}…"]
    return lines


def _pad(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
