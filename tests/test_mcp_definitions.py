from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.tools import ToolAnnotations, ToolContext, ToolResult
from bottega.tools.mcp.definitions import MAX_TEXT, Listing, as_result, as_tool, clean, definition_problem


async def nothing(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    return ToolResult("")


def text(*words: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": word} for word in words]} | more


@pytest.mark.parametrize(
    ("hints", "expected"),
    [
        (None, ToolAnnotations(read_only=False, destructive=True, idempotent=False, open_world=True)),
        ({"readOnlyHint": True}, ToolAnnotations(read_only=True, destructive=False, idempotent=True, open_world=True)),
        ({"destructiveHint": False, "openWorldHint": False}, ToolAnnotations(destructive=False, open_world=False)),
        ({"readOnlyHint": "yes", "destructiveHint": 0}, ToolAnnotations()),
    ],
)
def test_what_a_tool_does_not_promise_counts_as_unsafe(hints: Any, expected: ToolAnnotations) -> None:
    definition = {"name": "a", "inputSchema": {"type": "object"}, "annotations": hints}
    assert as_tool(definition, "s", nothing).annotations == expected


def test_a_definition_becomes_a_tool_with_its_schema_as_it_is() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/x"}, "b": True},
        "$defs": {"x": {"type": "string"}},
    }
    tool = as_tool({"name": "do-it", "title": "Does it", "inputSchema": schema}, "s", nothing)
    assert (tool.id, tool.description) == ("s/do-it", "Does it")
    assert tool.input_schema == schema | {"properties": {"a": {"$ref": "#/$defs/x"}, "b": {}}}


@pytest.mark.parametrize(
    ("result", "data"),
    [
        (text('{"id": 7}'), {"id": 7}),
        (text("42"), 42),
        (text("prose"), None),
        (text("NaN"), None),
        (text('{"a": 1}', '{"a": 2}'), [{"a": 1}, {"a": 2}]),
        (text('{"id": 7}', "and prose"), None),
        (text("x", structuredContent={"n": 1}), {"n": 1}),
        (text("x", structuredContent={"result": [1]}), [1]),
        (text('{"why": 1}', isError=True), None),
        ({"content": []}, None),
    ],
)
def test_structured_content_or_json_text_is_the_data(result: dict[str, Any], data: Any) -> None:
    assert as_result(result).data == data


def test_structured_content_without_text_is_told_as_text() -> None:
    assert as_result({"content": [], "structuredContent": {"n": 1}}).text == '{"n": 1}'


def test_blocks_that_are_not_text_are_named() -> None:
    content = [
        {"type": "image", "mimeType": "image/png", "data": "AAAA"},
        {"type": "resource_link", "name": "report", "uri": "file:///r"},
        {"type": "resource", "resource": {"uri": "file:///t", "text": "inside"}},
        {"type": "resource", "resource": {"uri": "file:///b", "blob": "AAAA"}},
    ]
    lines = as_result({"content": content}).text.splitlines()
    assert lines == ["[image image/png, 3 bytes]", "report: file:///r", "inside", "[resource file:///b]"]


def test_a_huge_result_is_cut_and_says_so() -> None:
    result = as_result(text("x" * (MAX_TEXT + 5)))
    assert result.text.endswith(f"[cut here: it has {MAX_TEXT + 5} characters]")
    assert len(result.text) < MAX_TEXT + 100
    assert as_result(text("ok", structuredContent={"a": "x" * 5 * MAX_TEXT})).data is None


def test_control_sequences_are_taken_out_of_text_and_data() -> None:
    result = as_result(text(json.dumps({"a\x1b[0m": "\x1b[31mred\u202e\x07"})))
    assert result.data == {"a": "red"}
    assert clean("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\r\nb\x9b1m\U000e0041") == "link\nb1m"


@given(st.text())
def test_clean_text_has_no_control_character_and_stays_clean(words: str) -> None:
    once = clean(words)
    assert not [c for c in once if (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160]
    assert clean(once) == once


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "inputSchema", "type", "properties", "required", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=5))
def test_no_page_breaks_the_listing(entries: list[Any]) -> None:
    listing = Listing()
    good = listing.add({"tools": entries})
    assert len(good) + len(listing.problems) == len(entries)
    for definition in good:
        tool = as_tool(definition, "s", nothing)
        assert all(isinstance(schema, dict) for schema in tool.parameters.values())


def test_each_bad_definition_is_named_with_its_fault() -> None:
    listing = Listing()
    good = {"name": "good", "inputSchema": {"type": "object"}}
    listing.add({"tools": [{"name": "a b"}, {"name": "c", "inputSchema": {"type": "array"}}, good, dict(good)]})
    assert list(listing.definitions) == ["good"]
    assert listing.problems == [
        "tool 'a b' is left out: its name is not 1 to 128 letters, digits or _ . - : /",
        "tool 'c' is left out: its input schema is of type 'array', not 'object'",
        "tool 'good' is left out: its name is taken by another tool of this server",
    ]


def test_a_definition_without_fault_has_no_problem() -> None:
    assert definition_problem({"name": "a.b/c-d:e", "inputSchema": {"type": "object"}}) is None
