"""Filling is a pure function of schema, instruction and scores: here the scores are made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.agents.candidates import Earlier
from bottega.agents.filling import fill, inherit
from bottega.agents.plan import Each, Reference
from bottega.models.house.slots import Card, Pointer, Reading
from bottega.tools import Tool, ToolContext, ToolResult


def a_tool(properties: dict[str, Any], required: list[str] | None = None) -> Tool:
    async def call(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        return ToolResult("done")

    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }
    return Tool("move", "Moves things.", schema, call)


def pointing(
    text: str,
    at: str | None = None,
    options: Mapping[int, float] | None = None,
    count: int = 0,
    earlier: tuple[float, ...] = (),
) -> Pointer:
    """A pointer that is sure of the words `at`, of options, of an earlier step, or of nothing: absent."""
    spans = []
    begin = 0
    for word in text.split(" "):
        spans.append((begin, begin + len(word)))
        begin += len(word) + 1
    start, end = np.full(len(spans), -9.0, np.float32), np.full(len(spans), -9.0, np.float32)
    if at is not None:
        place = text.index(at)
        inside = [i for i, (b, e) in enumerate(spans) if b < place + len(at) and e > place]
        start[inside[0]], end[inside[-1]] = -0.1, -0.1
    scores = tuple((options or {}).get(i, -9.0) for i in range(count))
    sure = at is not None or options or any(e > -1 for e in earlier)
    return Pointer(-6.0 if sure else -0.05, scores, earlier, start, end, spans)


def reading(tool: Tool, pointers: Mapping[str, Pointer], fit: float = 0.9) -> Reading:
    return Reading(Card.of(tool.name, tool.description, tool.input_schema), fit, pointers)


def test_numbers_go_to_number_parameters_and_ids_to_text_parameters() -> None:
    text = "Move 12 pieces of D-118 from bin A3 to bin C9"
    tool = a_tool({"sku": {"type": "string"}, "quantity": {"type": "integer"}, "to": {"type": "string"}})
    pointers = {"sku": pointing(text, "D-118"), "quantity": pointing(text, "12"), "to": pointing(text, "C9")}
    filled = fill(tool, reading(tool, pointers), text)
    assert filled.arguments == {"sku": "D-118", "quantity": 12, "to": "C9"}
    assert filled.missing == ()


def test_a_required_number_that_is_not_in_the_text_is_missing() -> None:
    text = "What was the iron of Nora Beck"
    tool = a_tool({"patient_id": {"type": "integer"}})
    filled = fill(tool, reading(tool, {"patient_id": pointing(text, "Nora Beck")}), text)
    assert filled.missing == ("patient_id",)
    assert filled.quality < filled.fit


def test_one_piece_of_the_text_is_used_once() -> None:
    text = "from A3 onwards"
    tool = a_tool({"source": {"type": "string"}, "target": {"type": "string"}})
    filled = fill(tool, reading(tool, {"source": pointing(text, "A3"), "target": pointing(text, "A3")}), text)
    assert len(filled.arguments) == 1
    assert len(filled.missing) == 1


def test_an_option_in_other_words_is_taken_from_the_model() -> None:
    text = "What does it cost in dollars"
    tool = a_tool({"currency": {"type": "string", "enum": ["EUR", "USD"]}})
    filled = fill(tool, reading(tool, {"currency": pointing(text, options={1: -0.1}, count=2)}), text)
    assert filled.arguments == {"currency": "USD"}


def test_an_optional_parameter_that_is_absent_is_left_out() -> None:
    text = "How warm is it in Turin"
    tool = a_tool({"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}}, ["city"])
    filled = fill(tool, reading(tool, {"city": pointing(text, "Turin"), "unit": pointing(text, count=2)}), text)
    assert filled.arguments == {"city": "Turin"}


def test_several_options_joined_by_and_make_a_call_for_each() -> None:
    text = "Tell me the rooms of doctor Alder and doctor Cedar"
    tool = a_tool({"doctor": {"type": "string", "enum": ["Alder", "Birch", "Cedar"]}})
    filled = fill(tool, reading(tool, {"doctor": pointing(text, options={0: -0.7, 2: -0.8}, count=3)}), text)
    assert filled.arguments == {"doctor": Each(each=("Alder", "Cedar"))}


def test_an_earlier_result_becomes_a_reference() -> None:
    text = "write the count to errors.txt"
    tool = a_tool({"path": {"type": "string", "format": "path"}, "content": {"type": "string"}})
    pointers = {"path": pointing(text, "errors.txt"), "content": pointing(text, earlier=(-0.1,))}
    filled = fill(
        tool,
        reading(tool, pointers),
        text,
        [Earlier("s1", "Count the lines", "files/count_lines", {"path": "app.log"})],
    )
    assert filled.arguments == {"path": "errors.txt", "content": Reference(**{"from": "s1"})}


def test_a_number_that_was_said_goes_before_an_earlier_result() -> None:
    text = "and what is 20% of 50?"
    tool = a_tool({"percent": {"type": "number"}, "of": {"type": "number"}})
    pointers = {"percent": pointing(text, "20", earlier=(-9.0,)), "of": pointing(text, "50", earlier=(3.0,))}
    filled = fill(tool, reading(tool, pointers), text, [Earlier("s1", "What is 12 * 12")])
    assert filled.arguments == {"percent": 20, "of": 50}


def test_a_path_meant_by_it_is_the_path_of_the_step_before() -> None:
    text = "append 'new lamps' to it"
    tool = a_tool({"path": {"type": "string", "format": "path"}, "content": {"type": "string"}})
    pointers = {"path": pointing(text, earlier=(-0.1,)), "content": pointing(text, "'new lamps'", earlier=(-9.0,))}
    filled = fill(
        tool, reading(tool, pointers), text, [Earlier("s1", "Read todo.txt", "files/read_file", {"path": "todo.txt"})]
    )
    assert filled.arguments == {"path": "todo.txt", "content": "new lamps"}


def test_an_elliptic_instruction_takes_what_it_leaves_out_from_the_call_before() -> None:
    text = "and for b.log"
    tool = a_tool({"path": {"type": "string", "format": "path"}, "text": {"type": "string"}})
    filled = fill(tool, reading(tool, {"path": pointing(text, "b.log"), "text": pointing(text)}), text)
    assert filled.missing == ("text",)
    whole = inherit(filled, Earlier("s1", "", tool.id, {"path": "a.log", "text": "ERROR"}), filled.missing)
    assert whole.arguments == {"path": "b.log", "text": "ERROR"}
    assert whole.missing == ()


def test_what_is_said_plainly_and_goes_nowhere_counts_against_a_tool() -> None:
    text = "Save the level of D-118 to d118.txt"
    tool = a_tool({"sku": {"type": "string"}})
    filled = fill(tool, reading(tool, {"sku": pointing(text, "D-118")}), text)
    assert filled.unused == 1
    assert filled.quality < filled.fit


@pytest.mark.parametrize(
    ("hint", "said", "wanted"),
    [("ISO date, YYYY-MM-DD", "3 December 2026", "2026-12-03"), ("24 hour time, HH:MM", "4 pm", "16:00")],
)
def test_dates_and_times_take_the_form_that_the_description_asks_for(hint: str, said: str, wanted: str) -> None:
    text = f"Book it on {said} please"
    tool = a_tool({"when": {"type": "string", "description": hint}})
    assert fill(tool, reading(tool, {"when": pointing(text, said)}), text).arguments == {"when": wanted}


@given(st.text(max_size=80), st.sampled_from(["string", "integer", "number", "boolean", "array", "object"]))
def test_no_text_and_no_type_breaks_the_filling(text: str, kind: str) -> None:
    tool = a_tool({"x": {"type": kind}})
    words = [(i, i + 1) for i in range(len(text))]
    flat = np.full(len(words), -1.0, np.float32)
    pointer = Pointer(-2.0, (-1.0, -1.5) if kind == "boolean" else (), (), flat, flat, words)
    filled = fill(tool, reading(tool, {"x": pointer}), text)
    assert ("x" in filled.arguments) != ("x" in filled.missing)
