"""Makes text whole: models and servers may say halves of characters, which no file, wire or database takes."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

T = TypeVar("T")

_HALVES = re.compile("[\ud800-\udfff]")


def sound(value: T) -> T:
    """`value`, JSON or a pydantic model, with U+FFFD in place of each lone surrogate in its texts and keys."""
    try:
        to_json(value)
        return value
    except (PydanticSerializationError, UnicodeEncodeError):
        if isinstance(value, BaseModel):
            return type(value).model_validate(_mended(value.model_dump(mode="json")))
        mended: T = _mended(value)
        return mended


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return _HALVES.sub("�", value)
    if isinstance(value, dict):
        return {_mended(key): _mended(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_mended(part) for part in value]
    return value
