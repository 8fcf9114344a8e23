"""The texts of a tool: of which its vectors are made, and in which the words of a query are looked up.

Change what a text says and indices encode those tools again: vectors are kept by text.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..models.house.retriever import tool_text
from ..models.house.slots import words
from .spec import Described

DENSE = ("whole",)
"""Names of a tool's vectors."""

LEXICAL = ("whole", "name", "description", "parameters", "server")
"""Names of the fields with a BM25 score each."""


def dense_texts(tool: Described) -> tuple[str, ...]:
    """One text for each of `DENSE`. An empty one is not encoded: its vector is zero, its cosine with anything 0."""
    return (tool_text(tool.name, tool.description, tool.input_schema, tool.server),)


def lexical_texts(tool: Described) -> tuple[str, ...]:
    """One text for each of `LEXICAL`."""
    properties = tool.input_schema.get("properties")
    parameters = "; ".join(
        f"{words(key)} {prop.get('description') or ''}".strip()
        for key, prop in (properties.items() if isinstance(properties, Mapping) else ())
        if isinstance(prop, Mapping)
    )
    return (
        tool_text(tool.name, tool.description, tool.input_schema, tool.server),
        words(tool.name),
        tool.description,
        parameters,
        words(tool.server),
    )
