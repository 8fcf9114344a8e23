"""What servers say, made safe to use: tool definitions and results as plain JSON in, `Tool` and `ToolResult` out.

Nothing here trusts a server: a bad definition is dropped alone, an endless list is cut, control characters go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..tool import Call, Tool, ToolAnnotations, ToolResult

Json = Any

KEYED = "io.bottega/keyed"
"""In `_meta` of a tool that does nothing a second time for the same `io.bottega/effect-key` in `_meta` of a call."""

MAX_PAGES = 500
MAX_TOOLS = 50_000
"""A listing is cut where it gets longer than this."""
MAX_TEXT = 1_000_000
"""Characters of a result that are kept."""

_NAME = re.compile(r"[\w.:/-]{1,128}", re.ASCII)
_DESCRIPTION = 20_000
_NOT_TEXT = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor movements
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # window titles, links
    r"|\x1b[PX^_][^\x1b]*\x1b\\|\x1b[@-Z\\-_]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    r"|[\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]"  # turns or hides what a person reads
)


class Closed(Exception):
    """The connection is gone; why, its owner finds out."""


class SessionLost(Exception):
    """The server is up but no longer knows this session: nothing was done, and a new session will do."""


class Listing:
    """Collects a server's `tools/list`, page by page, keeping what is good and saying what is not."""

    def __init__(self) -> None:
        self.definitions: dict[str, dict[str, Json]] = {}
        self.problems: list[str] = []
        self._pages = 0
        self._cursors: set[str] = set()

    def add(self, page: Mapping[str, Json]) -> list[dict[str, Json]]:
        """Takes a page in and returns its good definitions."""
        self._pages += 1
        entries = page.get("tools")
        if not isinstance(entries, list):
            self.problems.append("its list of tools is not a list")
            return []
        good = []
        for entry in entries:
            problem = definition_problem(entry)
            name = entry.get("name") if isinstance(entry, dict) else None
            if problem is None and name in self.definitions:
                problem = "its name is taken by another tool of this server"
            if problem:
                self.reject(name, problem)
            else:
                self.definitions[entry["name"]] = entry
                good.append(entry)
        return good

    def reject(self, name: Json, problem: str) -> None:
        """Drops a tool and says so."""
        shown = repr(clean(name)[:80]) if isinstance(name, str) else "without a name"
        self.problems.append(f"tool {shown} is left out: {problem}")

    def wants(self, cursor: str | None) -> bool:
        """Whether to ask for the page at `cursor`; not at the end, nor where the list goes in circles or has no end."""
        if not cursor:
            return False
        if cursor in self._cursors:
            self.problems.append("its list of tools goes in circles and was cut")
            return False
        if self._pages >= MAX_PAGES or len(self.definitions) >= MAX_TOOLS:
            self.problems.append(
                f"its list of tools was cut after {self._pages} pages with {len(self.definitions)} tools"
            )
            return False
        self._cursors.add(cursor)
        return True


def definition_problem(entry: Json) -> str | None:
    """Why a definition cannot be used, or None."""
    if not isinstance(entry, dict):
        return "it is not an object"
    name, schema = entry.get("name"), entry.get("inputSchema")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return "its name is not 1 to 128 letters, digits or _ . - : /"
    if not isinstance(schema, dict):
        return "it has no input schema"
    if schema.get("type") != "object":
        return f"its input schema is of type {schema.get('type')!r}, not 'object'"
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict) or not all(isinstance(p, dict | bool) for p in properties.values()):
        return "the properties of its input schema are no schemas"
    if not isinstance(required, list) or not all(isinstance(r, str) for r in required):
        return "the required names of its input schema are no names"
    for key in ("description", "title"):
        if not isinstance(entry.get(key), str | None):
            return f"its {key} is not text"
    if not isinstance(entry.get("outputSchema"), dict | None):
        return "its output schema is not an object"
    return None


def as_tool(definition: Mapping[str, Json], server: str, call: Call, *, cleaned: bool = False) -> Tool:
    """A `Tool` of a good definition. What it does not promise about itself is taken to be unsafe.

    `cleaned` says that nothing in it has to be taken out.
    """
    schema = definition["inputSchema"] if cleaned else _cleaned(definition["inputSchema"])
    if any(isinstance(p, bool) for p in schema.get("properties", {}).values()):
        schema = {
            **schema,
            "properties": {k: {} if isinstance(p, bool) else p for k, p in schema["properties"].items()},
        }
    description = definition.get("description") or definition.get("title") or definition["name"].replace("_", " ")
    return Tool(
        name=definition["name"],
        description=clean(description)[:_DESCRIPTION],
        input_schema=schema,
        call=call,
        annotations=_annotations(definition.get("annotations"), definition.get("_meta")),
        server=server,
        output_schema=definition.get("outputSchema"),
        remote=True,
    )


def _annotations(hints: Json, meta: Json) -> ToolAnnotations:
    hints = hints if isinstance(hints, dict) else {}
    read_only = hints.get("readOnlyHint") is True
    return ToolAnnotations(
        read_only=read_only,
        destructive=not read_only and hints.get("destructiveHint") is not False,
        idempotent=read_only or hints.get("idempotentHint") is True,
        open_world=hints.get("openWorldHint") is not False,
        keyed=isinstance(meta, dict) and meta.get(KEYED) is True,
    )


def as_result(result: Mapping[str, Json]) -> ToolResult:
    """A `ToolResult` of a `tools/call` result.

    `data` is the structured content, or else what the text says where the text is JSON. What is huge is cut.
    """
    blocks = [block for block in result.get("content") or [] if isinstance(block, dict)]
    raw = [_block_text(block) for block in blocks]
    is_error = result.get("isError") is True
    structured = result.get("structuredContent")
    if structured is not None:
        data = structured["result"] if isinstance(structured, dict) and structured.keys() == {"result"} else structured
    else:
        data = None if is_error else _data_of([block["text"] for block in blocks if isinstance(block.get("text"), str)])
    if not raw and data is not None:
        raw = [data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)]
    if data is not None and len(json.dumps(data)) > 4 * MAX_TEXT:
        data = None
    text = clean("\n".join(raw))
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}\n[cut here: it has {len(text)} characters]"
    return ToolResult(text or ("failed without saying why" if is_error else ""), data=_cleaned(data), is_error=is_error)


def clean(text: str) -> str:
    """`text` without terminal control sequences, control characters and marks that hide or turn text."""
    return _NOT_TEXT.sub("", text.replace("\r\n", "\n"))


def _cleaned(value: Json) -> Json:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(v) for v in value]
    if isinstance(value, dict):
        return {clean(k): _cleaned(v) for k, v in value.items()}
    return value


def _data_of(texts: list[str]) -> Json:
    """The JSON value that one text is, or the list of values that several are; None for prose."""
    if not texts or sum(map(len, texts)) > 4 * MAX_TEXT:
        return None
    try:
        values = [json.loads(text, parse_constant=_no_json) for text in texts]
    except (ValueError, RecursionError):
        return None
    return values[0] if len(values) == 1 else values


def _no_json(constant: str) -> Json:
    raise ValueError(constant)


def _block_text(block: Mapping[str, Json]) -> str:
    """What a person reads of a content block."""
    resource = block.get("resource")
    match block.get("type"):
        case "text":
            return str(block.get("text", ""))
        case "image" | "audio" as kind:
            return f"[{kind} {block.get('mimeType', '')}, {len(block.get('data') or '') * 3 // 4} bytes]"
        case "resource_link":
            return f"{block.get('title') or block.get('name') or 'resource'}: {block.get('uri', '')}"
        case "resource" if isinstance(resource, dict):
            return str(resource["text"]) if "text" in resource else f"[resource {resource.get('uri', '')}]"
        case kind:
            return f"[{kind}]"
