"""How a value is written into a path, a query, a header or a cookie: the `style` and `explode` of OpenAPI parameters.

What stands between two values is written as it is, everything else percent-encoded, so that a server which splits first
and decodes then has the value back. A value that it could not have back is refused.
"""

from __future__ import annotations

import json
from typing import Any, Literal
from urllib.parse import quote

from ...core.errors import ToolError

Json = Any
Pairs = list[tuple[str, str]]
"""Names and values as they stand in a query or a form, encoded."""

Style = Literal["simple", "label", "matrix", "form", "spaceDelimited", "pipeDelimited", "deepObject"]
STYLES: dict[str, tuple[Style, ...]] = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form",),
}
"""Place -> the styles of its parameters; the first is the default."""

_RESERVED = ":/?@!$'()*;"
"""What `allowReserved` leaves as it is: not what would end the value."""
_BETWEEN: dict[str, tuple[str, str]] = {
    "form": (",", ""),
    "spaceDelimited": ("%20", " "),
    "pipeDelimited": ("%7C", "|"),
}
"""Style -> what stands between the values of a list, and what they cannot hold: it is the same when encoded."""


def written(value: Json) -> str:
    """A single value as text: `true`, `3`, `1.5`, a text as it is, an object or a list as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def encoded(value: Json, *, reserved: bool = False) -> str:
    """A single value percent-encoded; `reserved` leaves as it is what has a meaning in URLs, but not in queries."""
    try:
        return quote(written(value), safe=_RESERVED if reserved else "")
    except UnicodeEncodeError:
        raise ToolError("the text has characters that cannot be sent (lone surrogates)") from None


def in_path(name: str, value: Json, style: Style, explode: bool) -> str:
    """What stands in a path for a parameter."""
    if style == "simple":
        return ",".join(_items(value, "=" if explode else ","))
    if style == "label":
        items = _items(value, "=" if explode else ",")
        return "." + (".".join(item.replace(".", "%2E") for item in items) if explode else ",".join(items))
    if explode and isinstance(value, dict):
        return "".join(f";{encoded(k)}={encoded(v)}" for k, v in value.items())
    if explode and isinstance(value, list):
        return "".join(f";{encoded(name)}={encoded(v)}" for v in value)
    return f";{encoded(name)}={','.join(_items(value, ','))}"


def in_header(value: Json, explode: bool) -> str:
    """What a header parameter says. Headers are not encoded: raises `ToolError` for a list with a comma in an item."""
    if not isinstance(value, dict | list):
        return written(value)
    pairs = value.items() if isinstance(value, dict) else [(v,) for v in value]
    parts = [[written(part) for part in pair] for pair in pairs]
    if any("," in part for pair in parts for part in pair) or (explode and any("=" in pair[0] for pair in parts)):
        raise ToolError("a list in a header cannot have an item with a comma in it")
    return ",".join(("=" if explode else ",").join(pair) for pair in parts)


def in_query(name: str, value: Json, style: Style, explode: bool, *, reserved: bool = False) -> Pairs:
    """The pairs of a query, a cookie or a form that a parameter makes; none for an empty list or object.

    Raises `ToolError` for a list with an item that holds what stands between items.
    """
    key = encoded(name)
    if not isinstance(value, list | dict):
        return [(key, encoded(value, reserved=reserved))]
    if not value:
        return []
    if style == "deepObject":
        return _deep(key, value, reserved)
    if style == "form" and explode:
        pairs = value.items() if isinstance(value, dict) else [(name, v) for v in value]
        return [(encoded(k), encoded(v, reserved=reserved)) for k, v in pairs]
    between, never = _BETWEEN[style]
    parts = [part for pair in value.items() for part in pair] if isinstance(value, dict) else value
    if never and any(never in written(part) for part in parts):
        raise ToolError(f"{name}: an item of this list cannot have {never!r} in it, which stands between items")
    return [(key, between.join(encoded(part, reserved=reserved) for part in parts))]


def _deep(key: str, value: Json, reserved: bool) -> Pairs:
    """`a[b][c]=1`; lists by their numbers, which the specification leaves open and most servers read."""
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        return [pair for k, v in inner for pair in _deep(f"{key}%5B{encoded(str(k))}%5D", v, reserved)]
    return [(key, encoded(value, reserved=reserved))]


def _items(value: Json, between: str) -> list[str]:
    if isinstance(value, dict):
        return [f"{encoded(k)}{between}{encoded(v)}" for k, v in value.items()]
    return [encoded(v) for v in value] if isinstance(value, list) else [encoded(value)]
