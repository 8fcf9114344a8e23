"""How a run is told: the value first, the source in brackets, failures in plain words, nothing invented."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.agents.plan import Plan, Route, Step, StepResult, ToolCall
from bottega.agents.reporter import Report, report


def told(*pairs: tuple[Step, StepResult]) -> Report:
    return report(Plan(request="r", steps=tuple(s for s, _ in pairs)), {r.step: r for _, r in pairs})


def one(
    value: Any = None,
    *,
    id: str = "s1",
    instruction: str = "do it",
    text: str | None = None,
    tool: str = "desk/look",
    arguments: tuple[dict[str, Any], ...] = ({},),
    reported: bool = True,
    **more: Any,
) -> tuple[Step, StepResult]:
    """A step with its result; without `text` the tool said its value as JSON."""
    said = text if text is not None else value if isinstance(value, str) else json.dumps(value)
    status = more.pop("status", "succeeded")
    result = StepResult(
        step=id,
        status=status,
        value=value,
        text=said if status == "succeeded" else "",
        calls=tuple(ToolCall(tool=tool, arguments=a, text="") for a in arguments),
        **more,
    )
    return Step(id=id, instruction=instruction, tool=tool, reported=reported), result


def test_one_step_is_told_in_its_tools_own_words() -> None:
    said = told(one({"result": 36}, text="15% of 240 is 36.", tool="calc/percentage"))
    assert said == Report("succeeded", "15% of 240 is 36. [s1: calc/percentage]")


@pytest.mark.parametrize(
    ("value", "fields", "answer"),
    [
        (42, (), "42"),
        (0.1 + 0.2, (), "0.3"),
        (True, (), "yes"),
        ({"value": 80.5, "test": "iron"}, ("value",), "80.5"),
        ({"minutes": 34}, ("minutes",), "34 (minutes)"),
        ({"patient_id": 3, "phone": "555-1"}, ("phone",), "555-1 (phone)"),
        ({"now": {"kmh": 12}}, ("now.kmh",), "12 (kmh)"),
        ({"booked": True}, ("booked",), "booked: yes"),
        ({"date": "2026-12-01", "doctor": "Cedar"}, (), "date: 2026-12-01, doctor: Cedar"),
        ({"a": 1, "b": 2, "c": 3}, ("a", "c"), "a: 1, c: 3"),
        ({"articles": ["A-1", "B-2"]}, ("articles",), "A-1, B-2"),
        ([], (), "nothing"),
    ],
)
def test_the_field_that_was_asked_for_comes_first_and_all_fields_where_it_is_unclear(
    value: Any, fields: tuple[str, ...], answer: str
) -> None:
    assert told(one(value, fields=fields)).answer == f"{answer} [s1: desk/look]"


def test_several_values_are_told_with_what_they_are_and_sentences_as_they_are() -> None:
    said = told(
        one({"minutes": 34}, fields=("minutes",), instruction="Tell me the wait at Alder's."),
        one(3, id="s2", text="todo.txt has 3 lines.", sources=("todo.txt",), tool="files/count_lines"),
        one({"n": 3}, id="s3", text="todo.txt has 3 lines.", sources=("todo.txt",), tool="files/count_lines"),
    )
    assert said.answer.splitlines() == [
        "34 (minutes) · Tell me the wait at Alder's [s1: desk/look]",
        "3 · do it [s2: files/count_lines todo.txt]",
        "todo.txt has 3 lines. [s3: files/count_lines todo.txt]",
    ]


def test_lists_and_files_are_blocks() -> None:
    text = "call the printer\nfix the door"
    alone = told(one(text, sources=("todo.txt",), tool="files/read_file"))
    assert alone.answer == f"{text}\n[s1: files/read_file todo.txt]"
    both = told(one(text, instruction="Show todo.txt"), one(5, id="s2"))
    assert (
        both.answer == "Show todo.txt [s1: desk/look]:\n  call the printer\n  fix the door\n\n5 · do it [s2: desk/look]"
    )


def test_a_note_on_how_it_was_found_stays_on_the_line() -> None:
    said = told(one({"answer": "west"}, text="region: west\n[SELECT region FROM sales]", tool="tables/ask_table"))
    assert said.answer == "region: west [SELECT region FROM sales] [s1: tables/ask_table]"


def test_a_fan_out_says_which_value_belongs_to_what() -> None:
    calls = ({"doctor": "Alder", "day": 1}, {"doctor": "Cedar", "day": 1})
    value = [{"room": 3}, {"room": 7}]
    text = "\n".join(map(json.dumps, value))
    assert told(one(value, text=text, arguments=calls, fields=("room",))).answer.startswith(
        "Alder: 3 (room); Cedar: 7 (room)"
    )


def test_a_step_that_only_serves_another_is_not_told_unless_it_wrote_or_failed() -> None:
    said = told(one(1, reported=False), one(2, id="s2"))
    assert said.answer == "2 [s2: desk/look]"
    said = told(one({"path": "a.txt"}, text="done", reported=False, files=("a.txt",)), one(2, id="s2"))
    assert "done (Wrote a.txt) [s1: desk/look]" in said.answer
    said = told(one(reported=False, status="failed", error="no"), one(id="s2", status="skipped", error="it needs s1"))
    assert '"do it" failed: no' in said.answer


def test_written_files_are_named_once() -> None:
    said = told(one({"path": "e.txt"}, text="Wrote e.txt (3 characters).", files=("e.txt",), tool="files/write_file"))
    assert said.answer == "Wrote e.txt (3 characters). [s1: files/write_file]"
    assert told(one({"ok": True, "x": 1}, files=("e.txt",))).answer == "Wrote e.txt [s1: desk/look]"


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        (["succeeded", "succeeded"], "succeeded"),
        (["succeeded", "failed"], "partial"),
        (["succeeded", "cannot"], "partial"),
        (["failed", "skipped"], "failed"),
        (["cannot", "skipped"], "cannot"),
        (["cannot", "failed"], "failed"),
        (["succeeded", "refused"], "stopped"),
        (["refused", "skipped"], "stopped"),
    ],
)
def test_the_status_of_a_run_follows_from_its_steps(statuses: list[Any], status: str) -> None:
    pairs = [one("x" if s == "succeeded" else None, id=f"s{i}", status=s, error="why") for i, s in enumerate(statuses)]
    assert told(*pairs).status == status


def test_a_failure_is_told_in_plain_words_with_its_hint() -> None:
    step, result = one(
        instruction="Read missing.csv", status="failed", error="there is no file missing.csv (did you mean sales.csv?)"
    )
    assert told((step, result)) == Report(
        "failed", '"Read missing.csv" failed: there is no file missing.csv (did you mean sales.csv?) [s1: desk/look]'
    )


def test_what_a_half_failed_fan_out_gave_is_told() -> None:
    said = told(one([{"n": 1}], status="failed", error="sku: B: no article", arguments=({"sku": "A"}, {"sku": "B"})))
    assert said.status == "partial"
    assert "n: 1" in said.answer
    assert "no article" in said.answer


def test_nobody_can_is_said_with_what_would_help() -> None:
    assert report(None, {}, Route(kind="cannot", reason="No tool flies.")) == Report("cannot", "No tool flies.")
    assert "would help" in report(None, {}).answer


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        max_leaves=6,
    )
)
def test_any_result_can_be_told_and_no_terminal_escape_gets_through(value: Any) -> None:
    answer = told(one(value, text="" if value is None else None)).answer
    assert answer
    assert "\x1b" not in answer
