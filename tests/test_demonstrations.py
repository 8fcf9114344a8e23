"""What was done for requests like this one is found by meaning; and done again where only values differ."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.agents.again import again, shape
from bottega.agents.plan import Each, Plan, Reference, Step, StepResult
from bottega.agents.planners.recalling import RecallingPlanner
from bottega.agents.planning import PlanningContext
from bottega.models.house.retriever import RetrieverModel
from bottega.retrieval import Demonstrations
from bottega.testing import ScriptedPlanner
from bottega.tools import Tool, Workspace
from bottega.tools.house import house_toolsets

TOOLS: tuple[Tool, ...] = tuple(tool for toolset in house_toolsets() for tool in toolset)


class Counting:
    """An encoder of three words; remembers what it encoded."""

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        self.encoded += texts
        rows = [[1e-6 + text.count(word) for word in ("lamp", "rain", "file")] for text in texts]
        vectors = np.array(rows, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def kept(*pairs: tuple[str, str], most: int = 100) -> Demonstrations[str]:
    """Demonstrations whose value is also their shape, with ids 0, 1, 2."""
    found: Demonstrations[str] = Demonstrations(Counting(), shape=lambda value: value, most=most)
    for n, (request, value) in enumerate(pairs):
        found.add(str(n), request, value)
    return found


def test_the_nearest_come_first_with_their_nearness() -> None:
    found = kept(("rain", "a"), ("lamp rain", "b"), ("lamp", "c"), ("file", "d")).nearest("lamp", 5)
    assert [one.value for one in found] == ["c", "b"]
    assert found[0].nearness == pytest.approx(1)
    assert found[1].nearness == pytest.approx(2**-0.5, abs=1e-3)
    assert (found[0].id, found[0].request) == ("2", "lamp")


def test_what_is_too_far_is_not_shown() -> None:
    assert kept(("rain", "a"), ("file", "b")).nearest("lamp") == []
    assert [one.value for one in kept(("lamp rain", "a")).nearest("lamp", at_least=0.7)] == ["a"]
    assert kept(("lamp rain", "a")).nearest("lamp", at_least=0.8) == []


def test_of_one_shape_only_the_nearest_is_shown() -> None:
    found = kept(("lamp rain", "a"), ("lamp", "a"), ("lamp lamp rain", "b")).nearest("lamp", 2)
    assert [(one.request, one.value) for one in found] == [("lamp", "a"), ("lamp lamp rain", "b")]


def test_a_request_done_again_in_the_same_way_is_kept_once_as_it_was_last() -> None:
    found = kept(("lamp", "a"), ("rain", "b"), (" lamp\n", "a"))
    assert len(found) == 2
    assert [one.id for one in found.nearest("lamp")] == ["2"]


def test_of_equally_near_ones_the_latest_goes_first() -> None:
    assert [one.value for one in kept(("lamp", "a"), ("lamp", "b")).nearest("lamp")] == ["b", "a"]


def test_the_oldest_give_way() -> None:
    found = kept(("lamp", "a"), ("rain", "b"), ("file", "c"), most=2)
    assert len(found) == 2
    assert found.nearest("lamp") == []


def test_a_request_is_encoded_once() -> None:
    encode = Counting()
    found: Demonstrations[int] = Demonstrations(encode, shape=lambda value: value)
    found.add("1", "lamp", 1)
    assert encode.encoded == [], "nothing is encoded before something is looked for"
    found.nearest("rain")
    found.add("2", "lamp", 2)
    found.add("3", "file", 3)
    found.nearest("rain")
    assert encode.encoded == ["rain", "lamp", "rain", "file"]


def test_nothing_is_found_among_nothing() -> None:
    assert kept().nearest("lamp") == []
    assert kept(("lamp", "a")).nearest("lamp", 0) == []


@given(
    st.lists(st.tuples(st.sampled_from(["lamp", "rain", "file", "lamp rain"]), st.integers(0, 3)), max_size=20),
    st.integers(0, 5),
    st.floats(0, 1),
)
def test_whatever_is_kept_at_most_k_of_different_shapes_are_found(
    pairs: list[tuple[str, int]], k: int, at_least: float
) -> None:
    found = kept(*((request, str(value)) for request, value in pairs)).nearest("lamp file", k, at_least)
    assert len(found) <= k
    assert len({one.value for one in found}) == len(found)
    assert all(one.nearness >= at_least for one in found)
    assert [one.nearness for one in found] == sorted((one.nearness for one in found), reverse=True)


def test_several_threads_add_and_look_at_once() -> None:
    found = kept()
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for n in range(50):
                found.add(f"{number}-{n}", f"lamp {'rain ' * n}", f"{number}-{n}")
                assert found.nearest("lamp", 3, at_least=0)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_the_house_retriever_finds_a_request_of_the_same_meaning() -> None:
    found: Demonstrations[str] = Demonstrations(RetrieverModel.open().encode_requests, shape=lambda value: value)
    found.add("1", "How many ERROR lines are there in kiln.log?", "count")
    found.add("2", "What will the weather be in Porto tomorrow?", "weather")
    found.add("3", "Convert 20 miles to kilometres", "convert")
    assert [one.value for one in found.nearest("Count the lines with WARNING in press.log", 1)] == ["count"]


# The same again


def step(id: str, tool: str, /, instruction: str = "", after: Iterable[str] = (), **arguments: Any) -> Step:
    return Step(id=id, instruction=instruction or tool, tool=tool, arguments=arguments, after=tuple(after))


def reference(id: str) -> Reference:
    return Reference(**{"from": id})


COUNT = Plan(
    request="Count the lines of kiln.log that contain 'gas pressure' and write the number to errors.txt",
    steps=(
        step(
            "s1",
            "search/count_matching_lines",
            "Count the lines of kiln.log that contain 'gas pressure'",
            path="kiln.log",
            text="gas pressure",
        ),
        step("s2", "files/write_file", "write the number to errors.txt", path="errors.txt", content=reference("s1")),
    ),
)
CONVERT = Plan(
    request="Convert 10 and 20.5 miles to km",
    steps=(step("s1", "units/convert_units", value=Each(each=(10, 20.5)), from_unit="mile", to_unit="km"),),
)


def test_the_plan_of_a_request_with_other_values_has_these_values() -> None:
    request = "Count the lines of press.log that contain 'no paper' and write the number to paper.txt."
    made = again(request, COUNT, TOOLS)
    assert made is not None
    assert made.request == request
    assert made["s1"].arguments == {"path": "press.log", "text": "no paper"}
    assert made["s2"].arguments == {"path": "paper.txt", "content": reference("s1")}
    assert made["s1"].instruction == "Count the lines of press.log that contain 'no paper'"
    assert made["s2"].instruction == "write the number to paper.txt"


def test_numbers_stay_numbers() -> None:
    made = again("Convert 3.5 and 40 miles to km", CONVERT, TOOLS)
    assert made is not None
    assert made["s1"].arguments["value"] == Each(each=(3.5, 40))


def test_values_that_change_places_do_so_at_once() -> None:
    plan = Plan(
        request="Copy a.txt to b.txt",
        steps=(step("s1", "files/copy_file", "Copy a.txt to b.txt", source="a.txt", destination="b.txt"),),
    )
    made = again("Copy b.txt to a.txt", plan, TOOLS)
    assert made is not None
    assert made["s1"].arguments == {"source": "b.txt", "destination": "a.txt"}
    assert made["s1"].instruction == "Copy b.txt to a.txt"


def test_a_name_in_capitals_may_be_another() -> None:
    plan = Plan(request="Where does Ada Okoye work?", steps=(step("s1", "x/find", name="Ada Okoye"),))
    find = next(t for t in TOOLS if t.id == "files/read_file")
    tool = Tool("find", "Find", {"type": "object", "properties": {"name": {"type": "string"}}}, find.call, server="x")
    made = again("Where does Piet de Vries work?", plan, [tool])
    assert made is None, "`de` is no name in capitals, and nothing is guessed"
    made = again("Where does Chiara Sala work?", plan, [tool])
    assert made is not None
    assert made["s1"].arguments == {"name": "Chiara Sala"}


@pytest.mark.parametrize(
    "request_text",
    [
        "Count the words of kiln.log that contain 'gas pressure' and write the number to errors.txt",
        "Count the lines of kiln.log that contain 'gas pressure'",
        "Count the lines of kiln.log that contain 'gas pressure' and write the number to errors.txt and mail it",
        "Do not count the lines of kiln.log that contain 'gas pressure' and write the number to errors.txt",
        "Count the lines of kiln.csv that contain 'gas pressure' and write the number to errors.txt",
        "Count the lines of kiln.log and press.log that contain 'gas pressure' and write the number to errors.txt",
        "",
        "x" * 10_000,
    ],
)
def test_a_request_that_asks_for_something_else_is_not_the_same_again(request_text: str) -> None:
    assert again(request_text, COUNT, TOOLS) is None


def test_a_word_that_the_plan_does_not_have_word_for_word_has_to_stay() -> None:
    assert again("Convert 10 and 20.5 feet to km", CONVERT, TOOLS) is None
    plan = Plan(request="How many orders come from the north?", steps=(step("s1", "tables/ask_table", path="o.csv"),))
    assert again("How many orders come from the south?", plan, TOOLS) is None


def test_a_day_that_was_said_in_words_is_not_the_same_day_again() -> None:
    plan = Plan(request="Which weekday is tomorrow?", steps=(step("s1", "dates/weekday_of", date="2026-03-19"),))
    assert again("Which weekday is tomorrow?", plan, TOOLS) is None
    written = plan.model_copy(update={"request": "Which weekday is 2026-03-19?"})
    made = again("Which weekday is 2027-01-01?", written, TOOLS)
    assert made is not None
    assert made["s1"].arguments == {"date": "2027-01-01"}


def test_a_tool_that_is_gone_or_does_not_take_the_value_is_no_way() -> None:
    assert again(COUNT.request, COUNT, [t for t in TOOLS if t.id != "files/write_file"]) is None
    plan = Plan(
        request="What time is it in UTC?", steps=(step("s1", "time/current_time", timezone="UTC"),)
    )  # the tool's own check knows time zones
    assert again("What time is it in CET?", plan, TOOLS) is not None
    assert again("What time is it in XQZ?", plan, TOOLS) is None


def test_goals_and_what_nobody_could_do_are_planned_anew() -> None:
    for odd in ({"goal": True}, {"problem": "nobody can"}):
        plan = Plan(request="x", steps=(Step(id="s1", instruction="x", **odd),))
        assert again("x", plan, TOOLS) is None


@given(st.text(max_size=200), st.text(max_size=60))
def test_any_two_texts_are_compared(past: str, request_text: str) -> None:
    plan = COUNT.model_copy(update={"request": past})
    made = again(request_text, plan, TOOLS)
    assert made is None or made.check().request == request_text


def test_the_shape_is_what_a_plan_does_values_and_ids_aside() -> None:
    renamed = Plan(
        request="other",
        steps=(
            step("a", "search/count_matching_lines", path="x", text="y"),
            step("b", "files/write_file", path="z", content=reference("a")),
        ),
    )
    assert shape(renamed) == shape(COUNT)
    unlinked = Plan(request="other", steps=(renamed.steps[0], step("b", "files/write_file", path="z", content="5")))
    assert shape(unlinked) != shape(COUNT)


def context(folder: Path, *plans: Plan) -> tuple[PlanningContext, list[str]]:
    told: list[str] = []
    at = Workspace.at(folder)
    return PlanningContext(at, TOOLS, (), lambda level, text: told.append(text), demonstrations=plans), told


def test_the_recalling_planner_asks_no_planner_for_the_same_again(tmp_path: Path) -> None:
    inner = ScriptedPlanner([step("own", "calc/calculate", expression="1")])
    planner = RecallingPlanner(inner)
    given, told = context(tmp_path, CONVERT, COUNT)
    made = asyncio.run(planner.plan(COUNT.request.replace("kiln", "press"), given))
    assert made["s1"].arguments["path"] == "press.log"
    assert inner.requests == []
    assert told == ["planned as a request of the same form was before"]
    assert [s.id for s in asyncio.run(planner.plan("Something else", given)).steps] == ["own"]


def test_a_recalled_plan_that_fails_is_planned_anew(tmp_path: Path) -> None:
    inner = ScriptedPlanner([step("own", "calc/calculate", expression="1")])
    planner = RecallingPlanner(inner)
    given, _ = context(tmp_path, COUNT)
    made = asyncio.run(planner.plan(COUNT.request, given))
    failed = {"s1": StepResult(step="s1", status="failed", error="no file")}
    second = asyncio.run(planner.revise(made, failed, given))
    assert second is not None
    assert [s.id for s in second.steps] == ["own"]
    assert asyncio.run(planner.revise(second, failed, given)) is None, "what the planner itself made is its own affair"
