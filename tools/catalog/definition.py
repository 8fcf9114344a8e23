"""A tool's definition as the catalog keeps it: its fingerprint, how two of them differ, and the `Tool` that it is."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from ..mcp.definitions import KEYED, as_tool
from ..tool import Call, Tool, ToolAnnotations
from .source import Definition

Json = Any

_PARTS = {
    "title": "title",
    "description": "description",
    "inputSchema": "input schema",
    "outputSchema": "output schema",
    "annotations": "annotations",
    "_meta": "annotations",
}
"""What is kept of a definition beside its name, and what people call it."""


def written(definition: Definition) -> str:
    """The definition as it is kept: JSON in ASCII, in the server's own order, without what nobody here looks at."""
    return json.dumps(_kept(definition), separators=(",", ":"))


def fingerprint(definition: Definition) -> str:
    """SHA-256, in hex, of what a tool promises: name, title, description, both schemas, annotations.

    The order of keys does not count; every character does, also one that nobody sees. Raises `RecursionError` for
    what is nested too deeply.
    """
    return hashlib.sha256(
        json.dumps(_kept(definition), sort_keys=True, separators=(",", ":")).encode("ascii")
    ).hexdigest()


def changed_parts(before: Definition, after: Definition) -> str:
    """What is different, in words: `description, input schema`."""
    one, other = _kept(before), _kept(after)
    return ", ".join(dict.fromkeys(word for key, word in _PARTS.items() if one.get(key) != other.get(key)))


def difference(before: Definition, after: Definition) -> list[str]:
    """Both definitions line by line, `-` and `+` before what is different. Hidden characters are shown as escapes."""
    one, other = (json.dumps(_kept(d), indent=2, sort_keys=True).splitlines() for d in (before, after))
    return list(difflib.unified_diff(one, other, "approved", "now", lineterm="", n=2))


_UNCLEAN = re.compile(r"\\[ubfr]|\x7f")
"""In JSON in ASCII, what might be a character that nobody sees; where there is none, nothing has to be looked for."""


class KeptTool(Tool):
    """A `Tool` of a definition that was kept. It is read when its schema is first looked at: most never are."""

    @classmethod
    def of(cls, server: str, name: str, description: str, text: str, call: Call) -> KeptTool:
        """The tool of a text that `written` gave; `description` as `shown_description` gave it."""
        found = cls.__new__(cls)
        found.__dict__.update(
            name=name, description=description, server=server, call=call, remote=True, checks={}, _text=text
        )
        return found

    @property
    def definition(self) -> Definition:
        """What is kept of what the server said, as it said it."""
        found: Definition = json.loads(self.__dict__["_text"])
        return found

    @cached_property
    def _read(self) -> Tool:
        text: str = self.__dict__["_text"]
        definition = json.loads(text)
        if _UNCLEAN.search(text) is None:
            return as_tool(definition, self.server, self.call, cleaned=True)
        whole = json.dumps(definition, ensure_ascii=False).encode("utf-8", "replace")  # without half surrogate pairs
        return as_tool(json.loads(whole), self.server, self.call)

    @cached_property
    def input_schema(self) -> dict[str, Json]:
        return self._read.input_schema

    @cached_property
    def output_schema(self) -> dict[str, Json] | None:
        return self._read.output_schema

    @cached_property
    def annotations(self) -> ToolAnnotations:
        return self._read.annotations


def shown_description(definition: Definition) -> str:
    """The description as people and models are shown it."""
    shown = as_tool({**definition, "inputSchema": {}}, "", _nobody).description
    return shown.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair cannot be written down


async def _nobody(arguments: dict[str, Json], context: object) -> Any:
    raise AssertionError("not to be called")


def _kept(definition: Definition) -> dict[str, Json]:
    kept = {key: definition[key] for key in ("name", *_PARTS) if definition.get(key) is not None and key != "_meta"}
    meta = definition.get("_meta")
    if isinstance(meta, Mapping) and meta.get(KEYED) is True:
        kept["_meta"] = {KEYED: True}
    return kept
