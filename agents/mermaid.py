"""Plans as Mermaid flowcharts, which GitHub and many editors draw. No text of a plan can become syntax."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from .drawing import one_line, step_detail
from .plan import Plan, Step, references

LONGEST = 120
"""Characters of an instruction, and of what is below it."""

_SPECIAL = re.compile(r"(?<![^\W_])[_./-]|[_./-](?![^\W_])|[!-+:-@\[-^`{-~\u007f-\u00a0\u2060]")
"""What is written as a number: all of ASCII but letters, digits, space and comma; `_`, `.`, `/` and `-` may stand
inside words."""

_ALIKE = str.maketrans({"`": "\u02cb", "*": "\u2217", "~": "\u223c"})
_LATE = re.compile(r"^|\\|\$(?=\$)|:(?=/|fa-)|@|\bwww(?=\.)|\](?=\()|ﬂ(?=°)|¶(?=ß)|(?<![^\W_])_|_(?![^\W_])", re.I)
"""What Mermaid reads as Markdown, formulas, icons and line breaks after it has put characters for the numbers, which
versions do by turns. Other characters that look the same, or one behind that nobody sees, keep it from that."""

Goals = Mapping[str, Plan]


def mermaid(plan: Plan, goals: Goals | None = None) -> str:
    """A flowchart of `plan`, for a block of Markdown marked `mermaid` or a file of its own.

    Solid arrows carry results, with the path that is taken of them; dotted ones only order. `goals` are the plans of
    steps that are goals, where they are known, by the step's id; each is drawn as a frame. Any plan can be drawn.
    GitHub draws flowcharts of up to 500 arrows and 50,000 characters.
    """
    chart = _Chart(goals or {})
    lines = [*chart.steps(plan, "    ", frozenset()), *chart.arrows()]
    if not chart.names:
        lines.append('    nothing["nothing to do"]')
    if chart.impossible:
        lines.append("    classDef impossible stroke-dasharray: 4 4")
        lines.append(f"    class {','.join(chart.impossible)} impossible")
    return "\n".join(["flowchart TD", *lines]) + "\n"


def escaped(text: str, limit: int = LONGEST) -> str:
    """`text` on one line as it stands in a quoted label, cut after `limit` characters."""
    line = one_line(text, limit).translate(_ALIKE)
    return _SPECIAL.sub(lambda found: f"#{ord(found[0])};", _LATE.sub("\\g<0>\u2060", line)) if line else ""


class _Chart:
    """Gives steps names of its own, so that no id of a plan is ever a word of Mermaid's."""

    def __init__(self, goals: Goals) -> None:
        self._goals = goals
        self._drawn: list[tuple[str, Step]] = []
        self.names: dict[str, str] = {}
        """The name of each step, by its id."""
        self.impossible: list[str] = []

    def steps(self, plan: Plan, indent: str, inside: frozenset[str]) -> Iterator[str]:
        """The lines that say what there is. `inside` are the goals around."""
        for step in plan.steps:
            nested = self._goals.get(step.id) if step.goal and step.id not in inside else None
            name = f"{'g' if nested and nested.steps else 'n'}{len(self._drawn) + 1}"
            self._drawn.append((name, step))
            self.names.setdefault(step.id, name)
            if step.problem:
                self.impossible.append(name)
            if nested and nested.steps:
                yield f'{indent}subgraph {name}["{_label(step)}"]'
                yield from self.steps(nested, indent + "    ", inside | {step.id})
                yield f"{indent}end"
            else:
                left, right = ("{{", "}}") if step.goal else ("[", "]") if step.tool else ("(", ")")
                yield f'{indent}{name}{left}"{_label(step)}"{right}'

    def arrows(self) -> Iterator[str]:
        """The lines that say what leads to what."""
        for name, step in self._drawn:
            taken: dict[str, list[str]] = {}
            for reference in references(step.arguments):
                paths = taken.setdefault(reference.from_, [])
                if reference.path and reference.path not in paths:
                    paths.append(reference.path)
            for need in step.needs:
                if need not in self.names:
                    continue
                arrow = "-->" if need in taken else "-.->"
                path = escaped(", ".join(taken.get(need, ())), 40)
                label = f'|"{path}"|' if path else ""
                yield f"    {self.names[need]} {arrow}{label} {name}"


def _label(step: Step) -> str:
    """The name of a step and what it does; below that with what, or why it cannot be done."""
    first = ": ".join(part for part in (one_line(step.id, 24), one_line(step.instruction, LONGEST)) if part)
    detail = f"cannot: {one_line(step.problem)}" if step.problem else step_detail(step)
    return "<br/>".join(part for part in (escaped(first, 2 * LONGEST), escaped(detail)) if part) or "#32;"
