"""A YAML file as plain JSON values that know their lines. Stricter than YAML is: one way to read each value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ...core.errors import ConfigError

LARGEST = 1_000_000
"""Bytes of a file."""

Json = Any
Keys = Sequence[str | int]


@dataclass(frozen=True)
class Marked:
    """What a file says. `source` is what errors call it."""

    value: Json
    source: str
    _tree: yaml.Node | None

    def line(self, keys: Keys) -> int:
        """The line of the deepest key or item on the way that `keys` name, from 1."""
        node, line = self._tree, 0
        for key in keys:
            if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
                node = node.value[key]
                line = node.start_mark.line
            elif isinstance(node, yaml.MappingNode):
                pair = next((pair for pair in node.value if pair[0].value == str(key)), None)
                if pair is None:
                    break
                line, node = pair[0].start_mark.line, pair[1]
            else:
                break
        return int(line) + 1

    def error(self, keys: Keys, what: str, hint: str | None = None) -> ConfigError:
        """An error about the value at `keys`, to be raised."""
        name = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")
        return ConfigError(
            f"{self.source} line {self.line(keys)}{f', {name}' if name else ''}: {what}", hint=hint or "mend the file"
        )


def read_file(path: Path) -> Marked:
    """What a YAML file says. Raises `ConfigError`, which names file and line, for one that cannot be read."""
    try:
        if not path.is_file():
            raise ConfigError(f"there is no file {path}", hint="check the name")
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="name a file you may read") from None
    if len(text) > LARGEST:
        raise ConfigError(f"{path} is larger than {LARGEST // 1_000_000} MB", hint="name another file")
    try:
        return read_text(text.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path} line {line} is not UTF-8 text", hint="save the file as UTF-8") from None


def read_text(text: str, source: str) -> Marked:
    """What a YAML text says; `source` is what errors call it. Raises `ConfigError` as `read_file` does."""
    try:
        tree = _Loader(text).get_single_node()
        return Marked(None if tree is None else _json(tree), source, tree)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{source}{where} cannot be read: {error.problem}", hint="mend the file") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not YAML: {' '.join(str(error).split())}", hint="mend the file") from None
    except RecursionError:
        raise ConfigError(f"{source} is nested too deeply", hint="mend the file") from None


class _Loader(yaml.SafeLoader):
    """Reads YAML into nodes as people expect it: `no`, `16:30` and `2026-03-01` are texts."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as its base has it

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):  # a few lines of them can stand for billions of values
            raise _wrong("aliases (*name) are not read", self.get_event())  # type: ignore[no-untyped-call]
        return super().compose_node(parent, index)


_TAG = "tag:yaml.org,2002:"
_SCALARS: dict[str, tuple[str, str, Callable[[str], Json]]] = {
    "null": (r"~|null|Null|NULL|", "~nN", lambda text: None),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF", lambda text: text.lower() == "true"),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789", int),
    "float": (
        r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?",
        "-+.0123456789",
        lambda text: _finite(float(text)),
    ),
}
"""What a bare word may be beside text: its pattern, the characters it begins with, its value."""

for _kind, (_pattern, _first, _) in _SCALARS.items():
    _Loader.add_implicit_resolver(
        _TAG + _kind, re.compile(f"(?:{_pattern})\\Z"), [*_first, ""] if _kind == "null" else [*_first]
    )


def _json(node: yaml.Node) -> Json:
    """The value of a node. Raises `yaml.MarkedYAMLError` for what JSON has not."""
    kind = node.tag.removeprefix(_TAG)
    if isinstance(node, yaml.MappingNode) and kind == "map":
        found: dict[str, Json] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _wrong("a key has to be a word", key)
            if key.value in found:
                raise _wrong(f"{key.value!r} stands twice", key)
            found[key.value] = _json(value)
        return found
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        return [_json(item) for item in node.value]
    if isinstance(node, yaml.ScalarNode) and kind == "str":
        return node.value
    if isinstance(node, yaml.ScalarNode) and kind in _SCALARS:
        try:
            return _SCALARS[kind][2](node.value)
        except ValueError:
            raise _wrong(f"{node.value[:40]!r} is no {kind}", node) from None
    raise _wrong(f"the tag {node.tag.replace(_TAG, '!!')} is not read", node)


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError
    return number


def _wrong(what: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=at.start_mark)
