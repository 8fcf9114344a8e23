"""The hand-over of a result: does a step give what the plan expects of it? Looked at before another step may use it."""

from __future__ import annotations

import re

from ..agents.arguments import fit, misfits, value_of
from ..agents.plan import Json, Reference, Step, StepResult
from ..core.errors import ToolError

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def checked(step: Step, result: StepResult) -> StepResult:
    """`result`, or a failed one where it is not what `step.expects`.

    `number`, `date`, `list`, `file`, `text` and JSON Schemas are looked at; any other expectation is for people.
    """
    if result.status != "succeeded":
        return result
    if isinstance(step.expects, dict):
        problem = _misfit(step.expects, result.value)
    else:
        problem = _problem(step.expects.strip().lower(), result)
    return result.model_copy(update={"status": "failed", "error": problem}) if problem else result


def _problem(expected: str, result: StepResult) -> str | None:
    if expected == "file":
        return None if result.files else "it should have written a file, and wrote none"
    value = value_of(Reference(from_=result.step), {result.step: result})
    if expected == "number":
        try:
            fit(value, {"type": "number"}, "its result")
        except ToolError as error:
            return str(error)
    if expected == "date" and not _DATE.search(str(value)):
        return f"its result has to be a date, and {str(value)[:80]!r} is not one"
    if expected == "list" and not isinstance(value, list | dict | str):
        return f"its result has to be a list, and {value!r} is not one"
    if expected == "text" and _is_empty(value):
        return "its result is empty"
    return None


def _misfit(schema: dict[str, Json], value: Json) -> str | None:
    """How `value` breaks a JSON Schema."""
    if not (found := misfits(schema, value)):
        return None
    where, how = found[0]
    return f"its result is not what was asked for{f' at {where}' if where else ''}: {how[:300]}"


def _is_empty(value: Json) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)
