"""Structured answers of a language model: the form that is asked for, and the JSON read out of what the model said."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from ..core.errors import ModelError, UsageError
from .arguments import misfits

Json = Any

_THOUGHT = re.compile(r"\A\s*<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.S)
_OPENING = re.compile(r"[{\[]")
_MOST_TRIES = 100
"""Brackets at which JSON may begin that are tried in one text."""


@dataclass(frozen=True)
class Form:
    """What a structured answer has to be: a JSON Schema, and the pydantic model that it came from, where there is one.

    `asked` is the schema as a model gets it: always of an object, because servers take no other; what is none goes into
    its field `value`.
    """

    schema: Mapping[str, Json]
    model: type[BaseModel] | None = None

    @classmethod
    def of(cls, given: Mapping[str, Json] | type[BaseModel]) -> Form:
        """The form of a JSON Schema or a pydantic model. Raises `UsageError` for what is neither."""
        import jsonschema

        if isinstance(given, type) and issubclass(given, BaseModel):
            return cls(given.model_json_schema(), given)
        if not isinstance(given, Mapping):
            raise UsageError(f"{given!r} is no form of a result", hint="give a JSON Schema or a pydantic model")
        try:
            jsonschema.Draft202012Validator.check_schema(given)
        except jsonschema.SchemaError as error:
            raise UsageError(f"the form of the result is no JSON Schema: {error.message[:200]}") from None
        return cls(given)

    @property
    def asked(self) -> dict[str, Json]:
        if self._is_object:
            return dict(self.schema)
        inner = {name: part for name, part in self.schema.items() if name != "$defs"}
        defs = {"$defs": self.schema["$defs"]} if "$defs" in self.schema else {}
        return {
            "type": "object",
            "properties": {"value": inner},
            "required": ["value"],
            "additionalProperties": False,
        } | defs

    def take(self, value: Json) -> Json:
        """`value` as JSON of this form. Raises `ModelError` saying what is wrong with it."""
        if not self._is_object and isinstance(value, dict) and value.keys() == {"value"}:
            value = value["value"]
        if found := misfits(self.schema, value):
            raise ModelError("; ".join(f"{where}: {what}" if where else what for where, what in found))
        if self.model is None:
            return value
        try:
            return self.model.model_validate(value).model_dump(mode="json", by_alias=True)
        except ValidationError as error:
            wrong = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
            raise ModelError("; ".join(wrong)) from None

    def read(self, text: str) -> Json:
        """The value of this form in what a model said. Raises `ModelError` where there is none."""
        return self.take(json_in(text))

    @property
    def _is_object(self) -> bool:
        return self.schema.get("type") == "object"


def said(text: str) -> str:
    """What a model said without the thinking aloud before it."""
    return _THOUGHT.sub("", text, count=1).strip()


def json_in(text: str) -> Json:
    """The JSON value in what a model said: all of it, or the longest object or list inside, fenced or not.

    Raises `ModelError` where there is none.
    """
    text = said(text)
    try:
        return _JSON.decode(text)
    except (ValueError, RecursionError) as error:
        problem = str(error)
    best: tuple[int, Json] = (0, None)
    at = tries = 0
    while tries < _MOST_TRIES and (opening := _OPENING.search(text, at)):
        tries += 1
        try:
            value, at = _JSON.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            at = opening.end()
            continue
        best = max(best, (at - opening.start(), value), key=lambda found: found[0])
    if not best[0]:
        raise ModelError(f"it is not JSON: {problem}")
    return best[1]


def _refuse(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


_JSON = json.JSONDecoder(parse_constant=_refuse)
