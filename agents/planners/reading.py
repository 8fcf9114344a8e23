"""Reads the plan out of what a language model said, and finds all that is wrong with it, so that one repair can do."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from pydantic import ValidationError

from ...core.errors import ModelError, PlanError, ToolError
from ...tools import Tool
from ..arguments import misfits
from ..forms import json_in
from ..plan import MOST_STEPS, Each, Json, Plan, Step, references
from ..specialist import Specialist
from .briefing import FIELDS

_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")


class Faults(Exception):
    """What is wrong with a plan, a line each."""

    def __init__(self, found: Sequence[str]) -> None:
        super().__init__("; ".join(found))
        self.found = tuple(found)


def read_plan(
    text: str,
    request: str,
    tools: Sequence[Tool],
    specialists: Sequence[Specialist],
    given: Collection[str] = (),
    taken: Collection[str] = (),
) -> Plan:
    """The plan in what a model said, its steps in an order in which they may run. Raises `Faults`.

    `given` are steps outside the plan whose results it may use, `taken` ids that no step of it may have. What is meant
    beyond doubt is put right: the id of a tool written otherwise, a name of a specialist in other letters, one who may
    not use the tool of the step.
    """
    steps: list[Step] = []
    found: list[str] = []
    by_id = {tool.id: tool for tool in tools}
    for n, said in enumerate(_said(text), 1):
        try:
            step = _step(said, n, by_id, specialists)
        except Faults as faults:
            found += faults.found
            continue
        steps.append(step)
        if step.id in taken:
            found.append(f"step {step.id}: this is the id of a result that is there already; take another one")
        if step.tool is not None:
            found += [f"step {step.id}: {what}" for what in _misuse(step, by_id[step.tool])]
    if found:
        raise Faults(found)
    found = list(_dangling(steps, given))
    try:
        plan = Plan(request=request, steps=tuple(steps)).check(given=given)
    except PlanError as error:
        raise Faults(found or [str(error)]) from None
    return plan.model_copy(update={"steps": tuple(_ordered(plan.steps))})


def _said(text: str) -> list[Json]:
    """The steps that were written down. A bare list of them is as good."""
    try:
        value = json_in(text)
    except ModelError as error:
        raise Faults([f"the plan cannot be read: {error}"]) from None
    steps = value.get("steps") if isinstance(value, dict) else value
    if not isinstance(steps, list):
        raise Faults(['the plan has to be an object with a list "steps"'])
    if len(steps) > MOST_STEPS:
        raise Faults([f"the plan has {len(steps)} steps, more than {MOST_STEPS}: make steps goals of their own"])
    return steps


def _step(said: Json, n: int, tools: Mapping[str, Tool], specialists: Sequence[Specialist]) -> Step:
    if not isinstance(said, dict):
        raise Faults([f"step {n} has to be an object"])
    fields = {name: said[name] for name in FIELDS if said.get(name) not in (None, "")}
    fields["id"] = id = str(fields.get("id", f"s{n}"))
    if not _ID.fullmatch(id):
        raise Faults([f"step {n}: {id[:60]!r} is no id; take letters and digits, such as s{n}"])
    if isinstance(fields.get("arguments"), str):
        fields["arguments"] = _unwrapped(fields["arguments"])
    found = []
    if (name := fields.get("tool")) is not None:
        fields["tool"] = tool = _meant(str(name), tools)
        if tool is None:
            found.append(f"step {id}: there is no tool {name!r}{_close(str(name), tools)}")
    if (name := fields.get("specialist")) is not None:
        fields["specialist"] = _meant(str(name), names := [s.name for s in specialists])
        if fields["specialist"] is None:
            found.append(f"step {id}: there is no specialist {name!r}{_close(str(name), names)}")
    if found:
        raise Faults(found)
    try:
        step = Step.model_validate({"instruction": fields.get("tool", ""), **fields})
    except ValidationError as error:
        raise Faults([f"step {id}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3]]) from None
    if not step.instruction:
        raise Faults([f"step {id} has no instruction"])
    return _sensible(step, tools, specialists)


def _sensible(step: Step, tools: Mapping[str, Tool], specialists: Sequence[Specialist]) -> Step:
    """A step without what goes without saying: a tool makes it no goal, and needs no one who may not use it."""
    if step.tool is None:
        return step
    who = next((s for s in specialists if s.name == step.specialist), None)
    barred = who is not None and tools[step.tool] not in who.usable([tools[step.tool]])
    return step.model_copy(update={"goal": False, "problem": None} | ({"specialist": None} if barred else {}))


def _misuse(step: Step, tool: Tool) -> Iterator[str]:
    """What `tool` cannot take of the arguments, as far as they are known."""
    has = ", ".join(tool.parameters) or "none"
    closed = bool(tool.parameters) or tool.input_schema.get("additionalProperties") is False
    for name in step.arguments:
        if closed and name not in tool.parameters:
            yield f"{tool.id} has no argument {name!r}; it has {has}"
    told = {name for name, schema in tool.parameters.items() if schema.get("x-source") == "instruction"}
    for name in tool.required:
        if name not in step.arguments and name not in told:
            yield (f"{tool.id} needs {name!r}: give it, have a step find it out, or leave the tool to a specialist")
    defs = {"$defs": tool.input_schema["$defs"]} if "$defs" in tool.input_schema else {}
    for name, value in step.arguments.items():
        if name not in tool.parameters or any(True for _ in references(value)):
            continue
        for one in value.each if isinstance(value, Each) and isinstance(value.each, tuple) else (value,):
            for where, what in misfits({**tool.parameters[name], **defs}, one):
                yield f"{tool.id} cannot take this {'.'.join(filter(None, (name, where)))}: {what}"
            try:
                if isinstance(one, str) and (check := tool.checks.get(name)):
                    check(one)
            except ToolError as error:
                yield f"{tool.id}: {error}"


def _dangling(steps: Iterable[Step], given: Collection[str]) -> Iterator[str]:
    known = [*(step.id for step in steps), *given]
    for step in steps:
        for need in step.needs:
            if need not in known:
                yield f"step {step.id} uses the result of {need!r}, which is no step{_close(need, known)}"


def _ordered(steps: Sequence[Step]) -> list[Step]:
    """The steps of a plan without cycles, each after those it needs, else as they were."""
    ids, placed, left = {s.id for s in steps}, dict[str, Step](), list(steps)
    while left:
        ready = [s for s in left if all(need in placed or need not in ids for need in s.needs)]
        placed |= {s.id: s for s in ready}
        left = [s for s in left if s.id not in placed]
    return list(placed.values())


def _unwrapped(text: str) -> Json:
    """Arguments that were written as JSON in a text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _meant(name: str, there: Iterable[str]) -> str | None:
    """The one of `there` that is called `name`, or beyond doubt: without the server, or with other signs between."""
    there = list(there)
    if name in there:
        return name
    folded = _folded(name)
    for alike in (
        [t for t in there if _folded(t) == folded],
        [t for t in there if _folded(t.rpartition("/")[2]) == folded],
    ):
        if len(alike) == 1:
            return alike[0]
    return None


def _folded(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def _close(name: str, there: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(there), n=3, cutoff=0.5)
    return f"; there is {', '.join(close)}" if close else ""
