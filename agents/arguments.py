"""From the arguments of a planned step to those of its calls: references resolved, fan-outs spread, values fitted."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

from ..core.errors import ToolError
from ..tools import Tool
from .plan import Each, Reference, Step, StepResult
from .readable import dig, is_scalar, plain, readable, spoken, written

Json = Any

MOST_CALLS = 200
"""A step that would fan out to more calls than this is taken for a mistake."""

_NUMBER = re.compile(r"(?<![\w.,])[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w,]*\d)")


def calls_of(step: Step, tool: Tool, inputs: Mapping[str, StepResult]) -> list[dict[str, Json]]:
    """The arguments of each call that `step` makes: one, or as many as its `Each` arguments have values.

    Raises `ToolError` for a reference that leads nowhere, a value that cannot be made to fit, and fan-outs of unequal
    length.
    """
    whole = [name for name, schema in tool.parameters.items() if schema.get("x-source") == "instruction"]
    arguments = {**dict.fromkeys(whole, step.instruction), **step.arguments}
    spread = {name: _items(value, inputs) for name, value in arguments.items() if isinstance(value, Each)}
    lengths = {len(items) for items in spread.values()}
    if len(lengths) > 1:
        sizes = ", ".join(f"{name} has {len(items)}" for name, items in spread.items())
        raise ToolError(f"the values of the calls do not go together: {sizes}")
    count = lengths.pop() if lengths else 1
    if count > MOST_CALLS:
        raise ToolError(f"it would take {count} calls of {tool.id}", hint=f"at most {MOST_CALLS} in one step")
    return [
        {
            name: _resolved(spread[name][i] if name in spread else value, inputs, tool.parameters.get(name) or {}, name)
            for name, value in arguments.items()
        }
        for i in range(count)
    ]


def check(tool: Tool, arguments: dict[str, Json]) -> None:
    """Raises `ToolError` when `arguments` do not fit the tool's schema. A schema that is broken holds nothing up."""
    for where, what in misfits(tool.input_schema, arguments):
        raise ToolError(f"{tool.id} cannot take {f'this {where}' if where else 'this'}: {what}")


def misfits(schema: Mapping[str, Json], value: Json) -> list[tuple[str, str]]:
    """Where `value` breaks a JSON Schema, and how: (path, message), five at most.

    A schema that is broken, or that points elsewhere, holds nothing up.
    """
    import jsonschema
    import referencing
    from referencing.exceptions import Unresolvable

    # A registry of our own: the default one would fetch what a foreign schema points to.
    validator = jsonschema.Draft202012Validator(schema, registry=referencing.Registry())
    try:
        found = list(islice(validator.iter_errors(value), 5))
    except (jsonschema.SchemaError, Unresolvable, re.error, TypeError, AttributeError):
        return []
    return [(".".join(map(str, error.absolute_path)), error.message[:300]) for error in found]


def value_of(reference: Reference, inputs: Mapping[str, StepResult], name: str = "") -> Json:
    """What a reference stands for.

    An empty path is the field called like the parameter `name` that takes it, else the field that the other step was
    asked for, else all of it.
    """
    result = inputs[reference.from_]
    fields = result.fields
    path = reference.path or _called(name, result.value) or (fields[0] if len(fields) == 1 else "")
    try:
        return dig(result.value, path)
    except LookupError as error:
        raise ToolError(f"the result of {reference.from_}: {error.args[0]}") from None


def _called(name: str, value: Json) -> str:
    """The field of a structured result that has the parameter's name, however written; "" if there is none."""
    if not name or not isinstance(value, dict):
        return ""
    return next((key for key in value if spoken(key) == spoken(name)), "")


def fit(value: Json, schema: Mapping[str, Json], name: str = "it") -> Json:
    """A result made to fit a parameter: clean text for strings, a number out of its text for numbers, and so on.

    Raises `ToolError` when there is no plain way.
    """
    if options := schema.get("enum"):
        return next((o for o in options if str(o).casefold() == plain(value).strip().casefold()), value)
    kinds = _kinds(schema)
    if not kinds or ("null" in kinds and value is None):
        return value
    for kind in sorted(kinds, key=lambda k: not _is(value, k)):
        if kind in ("number", "integer"):
            return _to_number(value, kind, name)
        if kind == "string":
            return written(value)
        if kind == "boolean":
            return _to_boolean(value, name)
        if kind == "array":
            item = schema.get("items")
            items = value if isinstance(value, list) else [value]
            return [fit(v, item, name) if isinstance(item, dict) else v for v in items]
    return value


def _items(each: Each, inputs: Mapping[str, StepResult]) -> list[Json]:
    if not isinstance(each.each, Reference):
        return list(each.each)
    value = value_of(each.each, inputs)
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    if isinstance(value, str):
        return [line.strip() for line in value.splitlines() if line.strip()]
    return value if isinstance(value, list) else [value]


def _resolved(value: Json, inputs: Mapping[str, StepResult], schema: Mapping[str, Json], name: str) -> Json:
    if isinstance(value, Reference):
        return fit(value_of(value, inputs, name), schema, name)
    if isinstance(value, list | tuple):
        items = schema.get("items")
        return [_resolved(v, inputs, items if isinstance(items, dict) else {}, name) for v in value]
    if isinstance(value, dict):
        inner = schema.get("properties") or {}
        return {k: _resolved(v, inputs, inner.get(k) or {}, f"{name}.{k}") for k, v in value.items()}
    return value


def _kinds(schema: Mapping[str, Json]) -> list[str]:
    if isinstance(kind := schema.get("type"), str):
        return [kind]
    if isinstance(kind, list):
        return [k for k in kind if isinstance(k, str)]
    options = schema.get("anyOf") or schema.get("oneOf") or []
    return [k for option in options if isinstance(option, dict) for k in _kinds(option)]


def _is(value: Json, kind: str) -> bool:
    if kind in ("number", "integer"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    kinds: dict[str, type] = {"string": str, "boolean": bool, "array": list, "object": dict, "null": type(None)}
    return isinstance(value, kinds.get(kind, ()))


def _to_number(value: Json, kind: str, name: str) -> int | float:
    if isinstance(value, dict):
        numbers = [v for v in value.values() if _is(v, "number")]
        value = numbers[0] if len(numbers) == 1 else next(iter(value.values())) if len(value) == 1 else value
    if isinstance(value, list) and len(value) == 1:
        return _to_number(value[0], kind, name)
    found: Json = value
    if isinstance(value, str):
        matches = _NUMBER.findall(value)
        if len(matches) == 1:
            text = matches[0].replace(",", "").replace("\u2212", "-")
            found = float(text) if re.search(r"[.eE]", text) else int(text)
    if not _is(found, "number") or not math.isfinite(found):
        shown = readable(value)
        raise ToolError(f"{name} has to be a number, and {shown[:80]!r} is not one")
    if kind == "integer":
        if found != int(found):
            raise ToolError(f"{name} has to be a whole number, not {plain(found)}")
        return int(found)
    return found  # type: ignore[no-any-return]


def _to_boolean(value: Json, name: str) -> bool:
    word = plain(value).strip().casefold() if is_scalar(value) else ""
    if word in ("yes", "true", "1", "on"):
        return True
    if word in ("no", "false", "0", "off"):
        return False
    raise ToolError(f"{name} has to be yes or no, not {readable(value)[:80]!r}")
