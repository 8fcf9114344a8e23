"""What the parts of a workflow alone do not show: names, references, cycles; and whether its tools are there."""

from __future__ import annotations

import graphlib
from collections.abc import Iterator, Mapping, Sequence

from ...tools import Tool
from ..plan import Json
from .form import Input, WorkflowStep, nearest
from .mentions import NAME, alone, mentions
from .yamlfile import Keys, Marked

_NAMED = "letters, digits and _ make a name"


def check_form(
    file: Marked,
    examples: Sequence[str],
    inputs: Mapping[str, Input],
    steps: Sequence[WorkflowStep],
    answer: Sequence[str],
) -> None:
    """Raises `ConfigError` with line and key for the first thing that is wrong."""
    ids = [step.id for step in steps]
    if not file.value["name"].strip():
        raise file.error(("name",), "a workflow needs a name", "give it one")
    for name, one in inputs.items():
        _check_input(file, name, one)
    for n, text in enumerate(examples):
        for found in mentions(text, ()):
            if found.name not in ("$", *inputs):
                hint = nearest(found.name, list(inputs), "write $$ for a dollar sign")
                raise file.error(("examples", n), f"there is no input {found.name!r}", hint)
    for n, step in enumerate(steps):
        _check_step(file, ("steps", n), step)
        if step.id in inputs or ids.index(step.id) != n:
            other = "an input" if step.id in inputs else "another step"
            raise file.error(("steps", n, "id"), f"{step.id!r} is the name of {other} too", "give it another")
    for n, step in enumerate(steps):
        _check_references(file, ("steps", n), step, inputs, ids)
    for other in answer:
        if other not in ids:
            raise file.error(("answer",), f"there is no step {other!r}", nearest(other, ids))
    _check_order(file, steps, ids)


def check_tools(
    file: Marked, steps: Sequence[WorkflowStep], tools: Mapping[str, Tool], specialists: Sequence[str]
) -> None:
    """Raises `ConfigError` with line and key for a tool, an argument or a specialist that is not there."""
    for n, step in enumerate(steps):
        at = ("steps", n)
        if step.specialist is not None and step.specialist not in specialists:
            hint = nearest(step.specialist, specialists)
            raise file.error((*at, "specialist"), f"there is no specialist {step.specialist!r}", hint)
        if step.tool is None:
            continue
        if step.tool not in tools:
            hint = nearest(step.tool, list(tools), "`bottega tools list` shows those that there are")
            raise file.error((*at, "tool"), f"there is no tool {step.tool!r}", hint)
        tool = tools[step.tool]
        for keys, name in _arguments(step):
            if name not in tool.parameters and not tool.input_schema.get("additionalProperties"):
                hint = nearest(name, list(tool.parameters))
                raise file.error((*at, *keys), f"{tool.id} takes no {name!r}", hint)
        given = {name for _, name in _arguments(step)}
        given |= {name for name, schema in tool.parameters.items() if schema.get("x-source") == "instruction"}
        if missing := [name for name in tool.required if name not in given]:
            raise file.error((*at, "tool"), f"{tool.id} needs {', '.join(missing)}", "give it under `with:`")


def _check_input(file: Marked, name: str, one: Input) -> None:
    at = ("inputs", name)
    if not NAME.fullmatch(name):
        raise file.error(at, f"{name!r} cannot be the name of an input", _NAMED)
    if one.options and one.type != "text":
        raise file.error((*at, "options"), "only an input of type text has options", "leave one out")
    try:
        if one.default is not None:
            one.take(one.default)
    except ValueError as error:
        raise file.error((*at, "default"), f"it {error}") from None


def _check_step(file: Marked, at: Keys, step: WorkflowStep) -> None:
    if not NAME.fullmatch(step.id):
        raise file.error((*at, "id"), f"{step.id!r} cannot be the name of a step", _NAMED)
    if step.goal and step.tool is not None:
        raise file.error((*at, "goal"), "a goal has no tool: it is planned when it is reached", "leave one out")
    if not step.do and step.tool is None:
        raise file.error(at, "the step says neither what to do nor with which tool", "add `do:` or `tool:`")
    for keys, name in _arguments(step):
        if step.tool is None:
            raise file.error((*at, *keys), "arguments are for a tool, and the step names none", "add `tool:`")
        if keys[0] == "each" and name in step.with_:
            raise file.error((*at, *keys), f"{name!r} stands under `with` too", "leave one out")


def _check_references(
    file: Marked, at: Keys, step: WorkflowStep, inputs: Mapping[str, Input], ids: Sequence[str]
) -> None:
    known = [*inputs, *ids]
    for other in step.after:
        if other not in ids:
            raise file.error((*at, "after"), f"there is no step {other!r}", nearest(other, ids))
    for keys, text in _texts(file, at, step):
        for found in mentions(text, ids):
            if found.name not in ("$", *known):
                hint = nearest(found.name, known, "write $$ for a dollar sign")
                raise file.error(keys, f"there is no input or step {found.name!r}", hint)
            if found.name in ids and keys[-1] != "do" and alone(text, ids) is None:
                what = f"the result of {found.name!r} stands inside a longer text"
                raise file.error(keys, what, "a result is the whole argument or no part of it")
    for name, raw in step.each.items():
        whole = alone(raw, ids) if isinstance(raw, str) else None
        if not isinstance(raw, list) and not (whole and (whole.name in ids or inputs[whole.name].type == "list")):
            wanted = "a list, an input of type list, or the result of a step"
            raise file.error((*at, "each", name), f"it has to be {wanted}")


def _check_order(file: Marked, steps: Sequence[WorkflowStep], ids: Sequence[str]) -> None:
    waits = {}
    for n, step in enumerate(steps):
        used = [found.name for _, text in _texts(file, ("steps", n), step) for found in mentions(text, ids)]
        waits[step.id] = {*step.after, *used}.intersection(ids)
    try:
        graphlib.TopologicalSorter(waits).prepare()
    except graphlib.CycleError as error:
        ring = list(dict.fromkeys(error.args[1]))
        told = (
            f"the steps {', '.join(ring)} wait for each other" if ring[1:] else f"the step {ring[0]} waits for itself"
        )
        raise file.error(("steps", ids.index(ring[0])), told) from None


def _arguments(step: WorkflowStep) -> Iterator[tuple[tuple[str, str], str]]:
    """Where each argument stands in the step, and its name."""
    yield from ((("with", name), name) for name in step.with_)
    yield from ((("each", name), name) for name in step.each)


def _texts(file: Marked, at: Keys, step: WorkflowStep) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text of a step in which something may be mentioned, and where it stands."""
    yield (*at, "do"), step.do
    for key, arguments in (("with", step.with_), ("each", step.each)):
        for name, raw in arguments.items():
            yield from _inside(file, raw, (*at, key, name))


def _inside(file: Marked, raw: Json, keys: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(raw, str):
        yield keys, raw
    elif isinstance(raw, list):
        for n, value in enumerate(raw):
            yield from _inside(file, value, (*keys, n))
    elif isinstance(raw, dict):
        if raw.keys() == {"each"} or ("from" in raw and raw.keys() <= {"from", "path"}):  # a plan would take it for one
            raise file.error(
                keys, "this is how a plan refers to results", "write $step.path, or use `each:` of the step"
            )
        for key, value in raw.items():
            yield from _inside(file, value, (*keys, key))
