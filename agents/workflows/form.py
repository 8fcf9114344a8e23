"""What the file of a workflow has in it: its keys and their types, and errors that say what was meant instead."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from ...core.errors import ConfigError
from ..plan import Json
from .yamlfile import Marked

Kind = Literal["text", "path", "date", "integer", "number", "boolean", "list"]


def _listed(value: Json) -> Json:
    """One name stands for a list of one."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Part(BaseModel):
    """A part of the file. It takes no number for a text."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Input(Part):
    """Something that a workflow is told when it is run.

    An input without `default` has to be given. One whose default is nothing (`default:`) may be left out, and so are
    the arguments that are just this input.
    """

    type: Kind = "text"
    description: str = ""
    default: Json = None
    options: Names = ()
    """The only texts that it takes."""

    @property
    def required(self) -> bool:
        return "default" not in self.model_fields_set

    def json_schema(self) -> dict[str, Json]:
        """The JSON Schema of its values."""
        schema = dict(_SCHEMAS[self.type])
        if self.description:
            schema["description"] = self.description
        if self.options:
            schema["enum"] = list(self.options)
        if self.default is not None:
            schema["default"] = self.default
        return schema

    def take(self, value: Json) -> Json:
        """`value` as this input has it. A text, as a command line gives it, is read. Raises `ValueError`."""
        if value is None and not self.required:
            return None
        found = _TAKE[self.type](value)
        if not self.options:
            return found
        option = next((o for o in self.options if o.casefold() == found.casefold()), None)
        if option is None:
            raise ValueError(f"is {value!r}, which is not one of {', '.join(self.options)}")
        return option


class WorkflowStep(Part):
    """One step as it is written. `with` are its tool's arguments; `each` are lists, of which each call takes one item.

    The rest is as in a `Step` of a plan.
    """

    id: str = ""
    do: str = ""
    tool: str | None = None
    with_: dict[str, Json] = Field(default_factory=dict, alias="with")
    each: dict[str, Json] = Field(default_factory=dict)
    specialist: str | None = None
    after: Names = ()
    expects: str | dict[str, Json] = ""
    goal: bool = False
    share: Annotated[float, Field(gt=0, le=1, strict=False)] | None = None
    retries: Annotated[int, Field(ge=0, le=20)] = 0


class Whole(Part):
    """The whole file."""

    name: str
    description: str = ""
    examples: Names = ()
    inputs: dict[str, Input | None] = Field(default_factory=dict)
    steps: Annotated[tuple[WorkflowStep, ...], BeforeValidator(_listed), Field(min_length=1)]
    answer: Names = ()


def read_form(file: Marked) -> Whole:
    """The file as a form. Raises `ConfigError` with line and key for a key that is unknown, and for a wrong type."""
    if not isinstance(file.value, dict):
        raise ConfigError(f"{file.source} is no workflow", hint="it needs at least `name:` and `steps:`")
    try:
        return Whole.model_validate(file.value)
    except ValidationError as error:
        raise _explained(error.errors()[0], file) from None


def nearest(name: str, known: Sequence[str], hint: str | None = None) -> str | None:
    """A hint for a name that is not among the `known`: the one that was meant, `hint`, or those that there are."""
    if near := difflib.get_close_matches(name, known, 1):
        return f"did you mean {near[0]}?"
    return hint or (f"there are {', '.join(known)}" if 0 < len(known) <= 12 else None)


def _explained(error: ErrorDetails, file: Marked) -> ConfigError:
    keys: list[str | int] = []
    value = file.value
    for key in error["loc"]:  # beside keys it has names of types
        item = isinstance(value, list) and isinstance(key, int) and key < len(value)
        if not item and not (isinstance(value, dict) and key in value):
            break
        value = value[key]
        keys.append(key)
    match error["type"]:
        case "extra_forbidden":
            part = WorkflowStep if "steps" in keys[:1] else Input if "inputs" in keys[:1] else Whole
            known = [field.alias or name for name, field in part.model_fields.items()]
            return file.error(keys, f"{keys[-1]!r} is not known here", nearest(str(keys[-1]), known))
        case "missing":
            return file.error(keys, f"`{error['loc'][-1]}:` is missing", "add it")
        case "literal_error":
            return file.error(keys, f"it is {value!r}", f"it takes {error['ctx']['expected']}")
        case kind if kind in _WANTED:
            return file.error(keys, f"it has to be {_WANTED[kind]}, not {_shown(value)}")
        case _:
            return file.error(keys, error["msg"][:1].lower() + error["msg"][1:])


_WANTED = {
    "string_type": "text (in quotes, where YAML reads it otherwise)",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "dict_type": "lines of `name: value`",
    "model_type": "lines of `name: value`",
    "model_attributes_type": "lines of `name: value`",
    "tuple_type": "a list",
    "too_short": "a list of at least one",
}


def _shown(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise ValueError(f"is {_shown(value)}, which is not text (put it in quotes)")
    return value


def _integer(value: Json) -> int:
    number = _number(value, "a whole number")
    if number != int(number):
        raise ValueError(f"is {_shown(value)}, which is not a whole number")
    return int(number)


def _number(value: Json, kind: str = "a number") -> int | float:
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        number = value if isinstance(value, int | float) else float(value) if not _is_whole(value) else int(value)
        if not math.isfinite(number):
            raise ValueError
        return number
    except (ValueError, OverflowError):
        raise ValueError(f"is {_shown(value)}, which is not {kind}") from None


def _is_whole(text: str) -> bool:
    return text.strip().lstrip("+-").isdecimal()


def _boolean(value: Json) -> bool:
    word = str(value).strip().lower()
    if not isinstance(value, str | bool) or word not in ("true", "false", "yes", "no"):
        raise ValueError(f"is {_shown(value)}, which is neither true nor false")
    return word in ("true", "yes")


def _list(value: Json) -> list[Json]:
    """A list of scalars; of a text its JSON, or what stands between commas."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
        except ValueError:
            raise ValueError(f"is {_shown(value)}, which begins like a JSON list and is none") from None
        value = [item.strip() if isinstance(item, str) else item for item in value]
    if not isinstance(value, list | tuple) or any(isinstance(item, list | tuple | dict) for item in value):
        raise ValueError(f"is {_shown(value)}, which is not a list of texts or numbers")
    return list(value)


_TAKE: dict[Kind, Callable[[Json], Json]] = {
    "text": _text,
    "path": _text,
    "date": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "list": _list,
}

_SCHEMAS: dict[Kind, dict[str, Json]] = {
    "text": {"type": "string"},
    "path": {"type": "string", "format": "path"},
    "date": {"type": "string", "format": "date"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "list": {"type": "array", "items": {"type": "string"}},
}
