"""JSON and YAML texts as plain values, and the lines where things stand in them. Knows nothing of OpenAPI.

YAML is read as OpenAPI wants it: by the rules of JSON, so that `no`, `2026-03-01` and the key `200` are texts.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import yaml

from ...core.errors import ConfigError

Json = Any
Keys = Sequence[str | int]
DEEPEST = 200
"""Levels of nesting; a document with more is refused."""

_EVENTS = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_HINT = "mend the document"


def read(text: str, source: str) -> Json:
    """What a text says; JSON where it starts with a brace, else YAML. `source` is what errors call it.

    Raises `ConfigError`, which names line and column, for a text that is neither.
    """
    return _read_json(text, source) if text.lstrip().startswith(("{", "[")) else _read_yaml(text, source)


def line_of(text: str, keys: Keys) -> int | None:
    """The line (from 1) of the deepest key or item on the way that `keys` name; None where it cannot be found."""
    try:
        return _Walk(text).line(keys)
    except (yaml.YAMLError, RecursionError):
        return None


def _read_json(text: str, source: str) -> Json:
    try:
        return json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except json.JSONDecodeError as error:
        what = error.msg[0].lower() + error.msg[1:]
        raise ConfigError(f"{source}:{error.lineno}:{error.colno}: broken JSON: {what}", hint=_HINT) from None
    except RecursionError:
        raise ConfigError(f"{source} is nested too deeply", hint=_HINT) from None
    except ValueError as error:
        raise ConfigError(f"{source} has a number that JSON has not: {str(error)[:60]}", hint=_HINT) from None


def _read_yaml(text: str, source: str) -> Json:
    try:
        return _Reader(text).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError(f"{source}{where}: broken YAML: {error.problem or error.context}", hint=_HINT) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not YAML: {' '.join(str(error).split())[:200]}", hint=_HINT) from None


def _no_number(constant: str) -> Json:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


_SCALARS: tuple[tuple[re.Pattern[str], Callable[[str], Json]], ...] = (
    (re.compile(r"~|null|Null|NULL|"), lambda text: None),
    (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text[0] in "tT"),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), _finite),
)
"""What a bare word may be beside text."""


class _Reader:
    """Makes values of a YAML text event by event: the library's own way there has no end to how deep it goes."""

    def __init__(self, text: str) -> None:
        self._events = _EVENTS(text)
        self._anchors: dict[str, Json] = {}

    def document(self) -> Json:
        while not self._events.check_event(yaml.DocumentStartEvent):
            if self._events.check_event(yaml.StreamEndEvent):
                return None
            self._events.get_event()
        self._events.get_event()
        return self._value(self._events.get_event(), 0)

    def _value(self, event: Any, depth: int) -> Json:
        if depth > DEEPEST:
            raise _wrong("it is nested too deeply", event)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _wrong(f"*{event.anchor} stands for nothing, or for what it is part of", event)
            return self._anchors[event.anchor]
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            while not isinstance(inner := self._events.get_event(), yaml.SequenceEndEvent):
                value.append(self._value(inner, depth + 1))
        else:
            value = self._mapping(depth)
        if event.anchor:
            self._anchors[event.anchor] = value
        return value

    def _mapping(self, depth: int) -> dict[str, Json]:
        found: dict[str, Json] = {}
        merged: list[Json] = []
        while not isinstance(key := self._events.get_event(), yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent):
                raise _wrong("a key has to be a word", key)
            value = self._value(self._events.get_event(), depth + 1)
            if key.value == "<<" and key.implicit[0]:
                merged += value if isinstance(value, list) else [value]
            else:
                found[key.value] = value
        for other in merged:
            if isinstance(other, dict):
                found = {**other, **found}
        return found


def _scalar(event: Any) -> Json:
    if event.tag == "tag:yaml.org,2002:str" or (event.tag is None and not event.implicit[0]):
        return event.value
    for pattern, make in _SCALARS:
        if pattern.fullmatch(event.value):
            try:
                return make(event.value)
            except ValueError:
                raise _wrong(f"{event.value[:40]!r} is a number that JSON has not", event) from None
    return event.value


def _wrong(what: str, event: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=event.start_mark)


class _Walk:
    """Goes through a text, JSON or YAML, to one place in it."""

    def __init__(self, text: str) -> None:
        self._events = _EVENTS(text)

    def line(self, keys: Keys) -> int:
        event: Any = self._events.get_event()
        while isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            event = self._events.get_event()
        line = _line(event)
        for key in keys:
            found = self._entered(event, key)
            if found is None:
                break
            line, event = found
        return line + 1

    def _entered(self, event: Any, key: str | int) -> tuple[int, Any] | None:
        """The line of a key or an item of the collection that starts with `event`, and the event its value starts."""
        if isinstance(event, yaml.MappingStartEvent):
            while not isinstance(name := self._events.get_event(), yaml.MappingEndEvent):
                value = self._events.get_event()
                if isinstance(name, yaml.ScalarEvent) and name.value == str(key):
                    return _line(name), value
                self._skip(value)
        elif isinstance(event, yaml.SequenceStartEvent) and isinstance(key, int):
            while not isinstance(item := self._events.get_event(), yaml.SequenceEndEvent):
                if key == 0:
                    return _line(item), item
                key -= 1
                self._skip(item)
        return None

    def _skip(self, event: Any) -> None:
        open_ = isinstance(event, yaml.CollectionStartEvent)
        depth = int(open_)
        while depth:
            event = self._events.get_event()
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)


def _line(event: Any) -> int:
    line: int = event.start_mark.line
    return line
