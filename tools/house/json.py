"""Values in JSON files, by their key: the whole path to it, or a name like it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from ...core.errors import ToolError
from ..tool import ToolResult, tool
from ..workspace import Workspace
from .parameters import PathName
from .values import counted, shown

_MOST_SHOWN = 100
_DEEPEST = 100

Place = tuple[str | int, ...]


@tool(read_only=True)
def json_value(workspace: Workspace, path: PathName, key: str) -> ToolResult:
    """Look up the value of a key (a setting, a field) in a JSON file.

    Args:
        path: JSON file to look into
        key: name of the key, such as page_size, or the path to it, such as database.port
    """
    document = _document(workspace, path)
    place = _find(document, key, path)
    value = _at(document, place)
    name = _dotted(place)
    text = f"{name}: {shown(value)}" if not isinstance(value, dict | list) else _pretty(value)
    return ToolResult(text, data={"value": value, "key": name})


@tool(read_only=True)
def json_keys(workspace: Workspace, path: PathName) -> ToolResult:
    """Show which keys (settings, fields) a JSON file has.

    Args:
        path: JSON file to look into
    """
    document = _document(workspace, path)
    match document:
        case dict():
            keys = list(document)
            lines = [f"{key}: {_kind(value)}" for key, value in document.items()]
        case list():
            keys = list(dict.fromkeys(key for item in document if isinstance(item, dict) for key in item))
            lines = [f"a list of {counted(len(document), 'item')}{' with the keys' if keys else ''}", *keys]
        case _:
            raise ToolError(f"{path} holds a single value, {_kind(document)}, and no keys")
    more = f"\n… and {len(lines) - _MOST_SHOWN} more" if len(lines) > _MOST_SHOWN else ""
    return ToolResult("\n".join(lines[:_MOST_SHOWN]) + more or f"{path} has no keys.", data={"keys": keys})


def _document(workspace: Workspace, path: str) -> Any:
    text = workspace.read_text(path)
    try:
        return json.loads(text, parse_constant=lambda name: None)
    except json.JSONDecodeError as error:
        raise ToolError(f"{path} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except (RecursionError, ValueError) as error:
        raise ToolError(f"{path} cannot be read as JSON: {error}") from None


def _find(document: Any, key: str, path: str) -> Place:
    """Where the key is: exactly there, or else the one place whose name is that, or at least has its words."""
    if not key.strip():
        raise ToolError("there is no key to look up")
    exact = _exact(document, key)
    if exact is not None:
        return exact
    asked = _words(key)
    places = list(_places(document))
    named = [(place, _words(place[-1]), _all_words(place)) for place in places if isinstance(place[-1], str)]
    for found in (
        [place for place, _, whole in named if whole == asked],
        [place for place, own, _ in named if own == asked],
        # Below a place that has the words only by its parents, nothing is meant.
        [place for place, own, whole in named if set(asked) <= set(whole) and set(own) & set(asked)],
        [place for place, own, _ in named if own and set(own) <= set(asked)],
    ):
        if len(found) == 1 or (found and len({repr(_at(document, place)) for place in found[:1000]}) == 1):
            return found[0]
        if found:
            some = ", ".join(_dotted(place) for place in found[:6]) + (" …" if len(found) > 6 else "")
            raise ToolError(f"{key!r} could be several keys of {path}: {some}", hint="give the whole path")
    names = {str(place[-1]): _dotted(place) for place, *_ in reversed(named)}
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    some = ", ".join(list(dict.fromkeys(str(place[0]) for place in places))[:10])
    hint = f"did you mean {names[near[0]]}?" if near else f"it has {some}" if some else None
    raise ToolError(f"{path} has no key {key!r}", hint=hint)


def _exact(document: Any, key: str) -> Place | None:
    """The place that a dotted path names: `servers.0.name`, `servers[0].name`. A key with dots in it goes before."""
    if isinstance(document, dict) and key in document:
        return (key,)
    place: Place = ()
    for part in re.sub(r"\[(\d+)\]", r".\1", key.strip().removeprefix("$")).strip(".").split("."):
        value = _at(document, place)
        if isinstance(value, dict) and part in value:
            place += (part,)
        elif isinstance(value, list) and part.isascii() and part.isdigit() and int(part) < len(value):
            place += (int(part),)
        else:
            return None
    return place


def _at(document: Any, place: Place) -> Any:
    for part in place:
        document = document[part]
    return document


def _places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every place below, from the top down."""
    if len(place) >= _DEEPEST:
        return
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for key, _ in items:
        yield (*place, key)
    for key, below in items:
        yield from _places(below, (*place, key))


def _all_words(place: Place) -> tuple[str, ...]:
    return tuple(word for part in place for word in _words(str(part)))


@lru_cache(maxsize=10_000)
def _words(name: str) -> tuple[str, ...]:
    """`taxRate`, `tax_rate` and `the tax rate` as the same words."""
    from .prose import STOP_WORDS

    spaced = re.sub(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    found = [w.lower() for w in re.findall(r"[^\W_]+", spaced)]
    said = [w for w in found if w not in STOP_WORDS]
    return tuple(w if len(w) < 4 or w.endswith("ss") else w.removesuffix("s") for w in said or found)


def _dotted(place: Place) -> str:
    return ".".join(str(part) for part in place)


def _kind(value: Any) -> str:
    match value:
        case dict():
            return f"{{{', '.join(list(value)[:8])}{' …' if len(value) > 8 else ''}}}"
        case list():
            return f"a list of {counted(len(value), 'item')}"
        case None:
            return "null"
        case _:
            text = shown(value)
            return text if len(text) <= 80 else text[:77] + "…"


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


TOOLS = (json_value, json_keys)
