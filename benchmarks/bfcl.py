"""BFCL's rules for a right call, by its lists of possible answers (Berkeley Function Calling Leaderboard, AST check).

A call is right if every argument is one of its possible values, none is missing but those that may be left out (an
empty text is among their values), and none is given that is not listed. Texts are compared without case and the
characters `,./-_*^` and spaces; an integer counts as a number, a number not as an integer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

LEFT_OUT = ""


def is_right(
    arguments: Mapping[str, Any], possible: Mapping[str, Sequence[Any]], schema: Mapping[str, Any] | None = None
) -> bool:
    """Whether the arguments of a call are among the possible ones. `schema` has the types of its parameters."""
    types = {name: p.get("type") for name, p in ((schema or {}).get("properties") or {}).items()}
    if not set(arguments) <= set(possible):
        return False
    for name, values in possible.items():
        if name not in arguments:
            if LEFT_OUT not in values:
                return False
        elif not is_possible(arguments[name], values, types.get(name)):
            return False
    return True


def is_possible(value: Any, values: Sequence[Any], kind: str | None = None) -> bool:
    """Whether a value is of the right type and equal to one of `values`."""
    if kind == "integer" and (isinstance(value, bool) or not isinstance(value, int)):
        return False
    if kind == "boolean" and not isinstance(value, bool):
        return False
    return any(_same(value, expected) for expected in values)


def _same(value: Any, expected: Any) -> bool:
    if isinstance(value, bool) or isinstance(expected, bool):
        return value is expected
    if isinstance(value, int | float) and isinstance(expected, int | float):
        return bool(value == expected)
    if isinstance(value, str) and isinstance(expected, str):
        return _plain(value) == _plain(expected)
    if isinstance(value, list) and isinstance(expected, list):
        return len(value) == len(expected) and all(map(_same, value, expected))
    if isinstance(value, dict) and isinstance(expected, dict):  # here each expected value is a list of possible ones
        return is_right(value, {k: v if isinstance(v, list) else [v] for k, v in expected.items()})
    return False


def _plain(text: str) -> str:
    return re.sub(r"[ ,./\-_*^]", "", text).lower().replace("'", '"')
