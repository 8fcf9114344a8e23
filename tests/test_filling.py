"""Filling is a pure function of schema, instruction and scores: here the scores are made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.agents.candidates import Earlier
from bottega.agents.filling import fill, inherit
from bottega.agents.plan import Each, Reference
from bottega.core.errors import ToolError
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


def texts(*names: str) -> dict[str, Any]:
    return {name: {"type": "string"} for name in names}


def filled_with(text: str, properties: dict[str, Any], at: Mapping[str, str | None]) -> dict[str, Any]:
    """The arguments for a text where the model points at these words."""
    tool = a_tool(properties)
    return fill(tool, reading(tool, {name: pointing(text, words) for name, words in at.items()}), text).arguments


def test_one_parameter_does_not_take_what_two_need() -> None:
    text = "compare the human genome and the chimp genome of Oslo and Bergen"
    at = {"first": "Oslo and Bergen", "second": "Oslo and Bergen"}
    assert filled_with(text, texts("first", "second"), at) == {"first": "Oslo", "second": "Bergen"}


def test_alike_parameters_take_their_values_in_the_order_of_the_text() -> None:
    text = "the roots with coefficients 5 and 20 and -25"
    numbers = {name: {"type": "integer"} for name in ("a", "b", "c")}
    tool, torn = a_tool(numbers), pointing(text, "5")
    torn.start[[4, 6, 8]] = torn.end[[4, 6, 8]] = -1.0
    torn.start[8] = torn.end[8] = -0.6
    assert fill(tool, reading(tool, dict.fromkeys(numbers, torn)), text).arguments == {"a": 5, "b": 20, "c": -25}


@pytest.mark.parametrize(
    ("text", "items", "at", "expected"),
    [
        ("sort ['Sam', 'Ada', 'Jo'] now", {"type": "string"}, "'Sam',", ["Sam", "Ada", "Jo"]),
        ("the mean of [3, 5, 8]", {"type": "integer"}, "8]", [3, 5, 8]),
        ("use 'age', 'income' and 'size' as inputs", {"type": "string"}, "'age',", ["age", "income", "size"]),
        (
            "buy apples, rice and bottled water",
            {"type": "string"},
            "bottled water",
            ["apples", "rice", "bottled water"],
        ),
        ("the table [[1, 2], [3, 4]]", {"type": "array"}, "[[1,", [[1, 2], [3, 4]]),
        (
            "its opening hours and the ticket price please",
            {"type": "string", "enum": ["opening_hours", "ticket_price", "address"]},
            None,
            ["opening_hours", "ticket_price"],
        ),
    ],
)
def test_a_list_is_taken_whole(text: str, items: dict[str, Any], at: str | None, expected: list[Any]) -> None:
    assert filled_with(text, {"x": {"type": "array", "items": items}}, {"x": at})["x"] == expected


def test_an_option_that_only_the_description_names_is_taken_as_it_is_written_there() -> None:
    text = "the report in full please"
    mode = {"type": "string", "description": "Either 'full' or 'short'."}
    assert filled_with(text, {"mode": mode}, {"mode": None}) == {"mode": "full"}


def test_the_longer_of_two_options_that_are_said_is_meant() -> None:
    text = "a comedy-drama from Spain"
    tool = a_tool({"genre": {"type": "string", "enum": ["comedy", "drama", "comedy-drama"]}})
    pointer = pointing(text, options={0: -1.0}, count=3)
    assert fill(tool, reading(tool, {"genre": pointer}), text).arguments == {"genre": "comedy-drama"}


def test_names_joined_by_and_are_a_call_each() -> None:
    text = "the weight of Ada and Bruno in 2020 and 2021"
    tool = a_tool({"name": {"type": "string"}, "year": {"type": "integer"}})
    pointers = {"name": pointing(text, "Ada and Bruno"), "year": pointing(text, "2020")}
    arguments = fill(tool, reading(tool, pointers), text).arguments
    assert arguments["name"] == Each(each=("Ada", "Ada", "Bruno", "Bruno"))
    assert arguments["year"] == Each(each=(2020, 2021, 2020, 2021))


def test_a_title_with_and_in_it_is_one_value() -> None:
    text = "who wrote Pride and Prejudice"
    assert filled_with(text, texts("title"), {"title": "Pride and Prejudice"}) == {"title": "Pride and Prejudice"}


def test_a_call_whose_value_has_a_rival_is_less_sure() -> None:
    text = "from Oslo to Bergen"
    tool = a_tool({"city": {"type": "string"}})
    sure, torn = pointing(text, "Oslo"), pointing(text, "Oslo")
    torn.start[3] = torn.end[3] = -0.2
    confident, doubtful = (fill(tool, reading(tool, {"city": p}), text).confidence for p in (sure, torn))
    assert doubtful < confident


def test_values_that_the_tool_refuses_are_left_out_when_they_are_checked() -> None:
    text = "the square root of 144"

    def check(value: str) -> None:
        if value.isdigit():
            raise ToolError("nothing to work out")

    tool = replace(a_tool({"expression": {"type": "string"}}), checks={"expression": check})
    pointer = pointing(text, "144")
    pointer.start[1] = -1.0
    read = reading(tool, {"expression": pointer})
    assert fill(tool, read, text).arguments == {"expression": "144"}
    assert fill(tool, read, text, checked=True).arguments == {"expression": "square root of 144"}
