"""The three tools that a gateway has of its own: how they are described, and how they say what they found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...tools import Tool

Json = Any

_READS = {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True, "openWorldHint": False}

DESCRIPTIONS: tuple[dict[str, Json], ...] = (
    {
        "name": "find_tools",
        "title": "Find tools",
        "description": (
            "Find tools among those of all connected servers. Describe one thing that has to be done, written as "
            "'a tool that ...'; search once for each step of a task. Gives the ids of the tools that fit best."
        ),
        "inputSchema": {
            "type": "object",
            "properties": {
                "query": {"type": "string", "minLength": 1, "description": "what the tool has to do, in words"},
                "limit": {"type": "integer", "minimum": 1, "maximum": 50, "default": 10},
                "server": {"type": "string", "description": "look only among the tools of this server"},
            },
            "required": ["query"],
            "additionalProperties": False,
        },
        "annotations": _READS,
    },
    {
        "name": "describe_tool",
        "title": "Describe tools",
        "description": "Show what tools do and which arguments they take, in full, before they are called.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "tools": {
                    "type": "array",
                    "items": {"type": "string"},
                    "minItems": 1,
                    "maxItems": 20,
                    "description": "ids that find_tools gave",
                }
            },
            "required": ["tools"],
            "additionalProperties": False,
        },
        "annotations": _READS,
    },
    {
        "name": "call_tool",
        "title": "Call a tool",
        "description": "Call a tool that find_tools found, with the arguments that describe_tool says it takes.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "tool": {"type": "string", "description": "the id of the tool"},
                "arguments": {"type": "object", "description": "its arguments"},
            },
            "required": ["tool"],
            "additionalProperties": False,
        },
        "annotations": {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": False, "openWorldHint": True},
    },
)


def found_text(found: Sequence[dict[str, Json]], note: str) -> str:
    """What a search found, for a model to read."""
    if not found:
        return "\n".join(["No tool fits.", *([note] if note else [])])
    lines = [] if any(one["fits"] for one in found) else ["No tool seems to be for this. The nearest are:"]
    for one in found:
        takes = f" · needs {', '.join(one['required'])}" if one["required"] else ""
        lines.append(f"{one['id']} ({one['score']:.2f}): {one['description']}{takes}")
    return "\n".join([*lines, *([note] if note else [])])


def described(tool: Tool) -> dict[str, Json]:
    """A tool in full."""
    shown: dict[str, Json] = {
        "id": tool.id,
        "description": tool.description,
        "inputSchema": tool.input_schema,
        "annotations": {
            "readOnlyHint": tool.annotations.read_only,
            "destructiveHint": tool.annotations.destructive,
            "idempotentHint": tool.annotations.idempotent,
            "openWorldHint": tool.annotations.open_world,
        },
    }
    if tool.output_schema is not None:
        shown["outputSchema"] = tool.output_schema
    return shown
