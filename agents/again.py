"""The same again: what a plan that succeeded shows, and that plan for a request of the same form with other values."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence

from ..core.errors import ToolError
from ..tools import Tool
from .arguments import check
from .plan import Each, Json, Plan, Reference, references

LONGEST = 500
"""Characters of a request."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_NUMBER = r"(?<![\w.,-])-?\d+(?:\.\d+)?(?![\w,]|\.\d)"
_FORMS = (
    (_DATE, r"(?<![\w-])\d{4}-\d\d-\d\d(?![\w-])"),
    (re.compile(r"\d\d?:\d\d"), r"(?<![\w:])\d\d?:\d\d(?![\w:])"),
    (re.compile(r"[^\s,;\"']*\w(?P<ending>\.[A-Za-z]\w{0,7})"), r"(?<![\w./-])[^\s,;\"']*\w{ending}(?!\w)"),
    (re.compile(r"(?=.*\d)[A-Za-z][\w-]*"), r"\b(?=[\w-]*\d)[A-Za-z][\w-]*\b"),
    (re.compile(r"[A-Z]+"), r"\b[A-Z]+\b"),
    (re.compile(r"[A-Z][\w'-]*(?: [A-Z][\w'-]*)*"), r"\b[A-Z][\w'-]*(?: [A-Z][\w'-]*)*"),
)
"""What values look like, and others of their kind: days, times, files of one ending, codes, abbreviations, names."""


def shape(plan: Plan) -> Hashable:
    """What a plan shows, values aside: its tools, whom they are for, which arguments they take, what feeds what."""
    place = {step.id: str(n) for n, step in enumerate(plan.steps)}
    return tuple(
        (step.tool, step.specialist, step.goal, *sorted(step.arguments), *sorted(place.get(n, n) for n in step.needs))
        for step in plan.steps
    )


def again(request: str, plan: Plan, tools: Sequence[Tool]) -> Plan | None:
    """`plan` for a request that differs from the plan's own in values only, or None.

    The values are those arguments that the plan's request has word for word and that look like values: files, codes,
    names, numbers, what stands in quotation marks. All else has to be the same, and the tools have to be there and to
    take the new values.
    """
    if max(len(request), len(plan.request)) > LONGEST or any(step.problem or step.goal for step in plan.steps):
        return None
    values = [value for step in plan.steps for value in _scalars(step.arguments)]
    if any(_DATE.fullmatch(str(value)) and str(value) not in plan.request for value in values):
        return None  # a day that was said in words is another day by now
    taken = _taken(request, plan.request, [value for value in values if not isinstance(value, bool)])
    if taken is None:
        return None
    steps = tuple(
        step.model_copy(
            update={
                "arguments": {name: _replaced(value, taken) for name, value in step.arguments.items()},
                "instruction": _reworded(step.instruction, taken),
                "shown": (),
            }
        )
        for step in plan.steps
    )
    known = {tool.id: tool for tool in tools}
    for step in steps:
        if step.tool is not None and not _takes(known.get(step.tool), step.arguments):
            return None
    return Plan(request=request, steps=steps)


def _taken(request: str, past: str, values: Sequence[Json]) -> dict[str, str] | None:
    """What stands in `request` in the places of the values of `past`, by their words; None if all else differs."""
    found: dict[str, tuple[int, int, str]] = {}
    for words in dict.fromkeys(str(value) for value in values if isinstance(value, str | int | float)):
        for begin, end, pattern in _places(past, words):
            if not any(begin < e and b < end for b, e, _ in found.values()):
                found[words] = (begin, end, pattern)
                break
    parts, at = [], 0
    order = sorted(found.items(), key=lambda item: item[1])
    for _, (begin, end, pattern) in order:
        parts += [_literal(past[at:begin]), f"({pattern})"]
        at = end
    same = re.fullmatch("".join([*parts, _literal(past[at:].rstrip(" .!?")), r"[\s.!?]*"]), request.strip())
    return None if same is None else {words: new for (words, _), new in zip(order, same.groups(), strict=True)}


def _places(text: str, words: str) -> Iterator[tuple[int, int, str]]:
    """Where a value stands in a text, and the pattern of values that may stand there."""
    for quotes in ('""', "''", "“”", "‘’"):  # noqa: RUF001
        begin = text.find(f"{quotes[0]}{words}{quotes[1]}")
        if begin >= 0:
            yield begin + 1, begin + 1 + len(words), f"[^{quotes}]+"
    if re.fullmatch(_NUMBER, words):
        forms: Iterator[str] = iter([_NUMBER])
    else:
        matches = ((form.fullmatch(words), other) for form, other in _FORMS)
        forms = (other.replace("{ending}", re.escape(m.groupdict().get("ending") or "")) for m, other in matches if m)
    for pattern in forms:
        for place in re.finditer(rf"(?<![\w.-]){re.escape(words)}(?![\w-])", text):
            yield *place.span(), pattern
        return


def _literal(text: str) -> str:
    return re.sub(r"(?:\\?\s)+", r"\\s+", re.escape(text))


def _replaced(value: Json, taken: Mapping[str, str]) -> Json:
    """An argument with the new values in it, of the types of the old."""
    if isinstance(value, Reference | bool) or value is None:
        return value
    if isinstance(value, Each):
        return Each(each=value.each if isinstance(value.each, Reference) else tuple(_replaced(value.each, taken)))
    if isinstance(value, dict):
        return {key: _replaced(inner, taken) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(inner, taken) for inner in value]
    new = taken.get(str(value))
    if new is None or isinstance(value, str):
        return value if new is None else new
    return float(new) if "." in new else int(new)


def _reworded(instruction: str, taken: Mapping[str, str]) -> str:
    changed = {old: new for old, new in taken.items() if old != new}
    if not changed:
        return instruction
    longest = sorted(changed, key=len, reverse=True)
    return re.sub(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest))})(?![\w-])", lambda m: changed[m[0]], instruction)


def _scalars(value: Json) -> Iterator[Json]:
    if isinstance(value, Each):
        value = () if isinstance(value.each, Reference) else value.each
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _scalars(inner)
    elif not isinstance(value, Reference) and value is not None:
        yield value


def _takes(tool: Tool | None, arguments: Mapping[str, Json]) -> bool:
    """Whether the tool is there and takes the arguments, as far as they are known."""
    if tool is None:
        return False
    known = {n: v for n, v in arguments.items() if not isinstance(v, Each) and not any(references(v))}
    if len(known) < len(arguments):
        return tool.accepts(known)
    try:
        check(
            tool,
            dict.fromkeys((n for n, p in tool.parameters.items() if p.get("x-source") == "instruction"), "") | known,
        )
    except ToolError:
        return False
    return tool.accepts(known)
