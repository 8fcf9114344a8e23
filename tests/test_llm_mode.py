"""A workshop with a language model, as a whole: planner, specialist and team against a real server on loopback.

The faults that servers and models have are recovered from, or told in one line; budgets hold to the token.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bottega import Bottega, RunResult, Specialist, tool
from bottega.agents.plan import Budget
from bottega.agents.planners import LLMPlanner
from bottega.models.chat import ChatReply, OpenAIChat, Patience
from bottega.testing import ChatServer, Cut, Garbled, Refused, wants

ROOMS = {"Ada": "attic", "Piet": "east hall"}
REQUEST = "Where is Ada, and which tour leads to her and Piet?"
HASTY = Patience(retries=2, first_wait=0.001)


@tool(read_only=True)
def room_of(person: str) -> dict[str, str]:
    """Tell in which room a person works."""
    return {"person": person, "room": ROOMS[person]}


PORTER = Specialist("porter", "Knows who works where.", tools=[room_of])
SCOUT = Specialist("scout", "Looks rooms up.", prompt="ROLE scout", tools=[room_of])
GUIDE = Specialist("guide", "Plans tours.", prompt="ROLE guide", team=(SCOUT,))
PLAN = {
    "steps": [
        {"id": "s1", "instruction": "Where is Ada?", "tool": "porter/room_of", "arguments": {"person": "Ada"}},
        {"id": "s2", "instruction": "A tour to Ada and Piet", "tool": None, "specialist": "guide", "after": ["s1"]},
    ]
}

Body = dict[str, Any]


def honest(body: Body) -> str | ChatReply:
    """What a good model says: it is told nothing but the request, as servers are."""
    system, *rest = body["messages"]
    outputs = [m for m in rest if m["role"] == "tool" and m["content"].startswith("<data")]
    if "You plan the work" in system["content"]:
        return json.dumps(PLAN)
    if "ROLE guide" in system["content"]:
        return "First the east hall, then the attic." if outputs else wants("ask_scout", task="Where is Piet?")
    if "ROLE scout" in system["content"]:
        return "Piet is in the east hall." if outputs else wants("room_of", person="Piet")
    return "Ada is in the attic [s1]. First the east hall, then the attic [s2]."


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[RunResult, ChatServer]]:
    def go(answers: Any, **options: Any) -> tuple[RunResult, ChatServer]:
        with ChatServer(answers) as server:
            model = OpenAIChat("any", base_url=server.url, patience=HASTY)
            with Bottega(
                tmp_path,
                model=model,
                planner=LLMPlanner(),
                specialists=[PORTER, GUIDE],
                servers={},
                ledger=":memory:",
                **options,
            ) as bottega:
                return bottega.run(REQUEST), server

    return go


def first(fault: Any, at: int) -> Callable[[Body], Any]:
    """Answers of a good model, but `fault` for the call with the number `at`."""
    calls = iter(range(1, 1_000))
    return lambda body: fault if next(calls) == at else honest(body)


def test_a_plan_a_specialist_and_its_colleague_work_together(run: Callable[..., tuple[RunResult, ChatServer]]) -> None:
    result, server = run(honest)
    assert result.status == "succeeded"
    assert "attic" in result.answer
    assert "First the east hall" in result.answer
    assert [step.status for step in result.results] == ["succeeded", "succeeded"]
    assert result.usage.model_calls == server.calls
    assert result.usage.input_tokens == server.input_tokens


CALLS = 5
"""Model calls of the job before the answer: one for the plan, two of the guide, two of the scout."""


@pytest.mark.parametrize("at", range(1, CALLS + 1))
@pytest.mark.parametrize(
    "fault",
    [
        Refused(429, retry_after=0.001),
        Refused(500),
        Garbled(),
        Cut("half an answer"),
        "",
        wants("no_such_tool"),
        wants("room_of", "{person:"),
        wants("ask_scout", nonsense=1),
        ChatReply(text="cut o", finish="length"),
    ],
    ids=["429", "500", "garbled", "cut", "empty", "unknown tool", "no JSON", "breaks the schema", "too long"],
)
def test_one_fault_anywhere_changes_nothing_in_the_answer(
    run: Callable[..., tuple[RunResult, ChatServer]], fault: Any, at: int
) -> None:
    result, server = run(first(fault, at))
    assert result.status == "succeeded", result.answer
    assert "First the east hall" in result.answer
    assert server.calls > CALLS


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (lambda body: Refused(401, "wrong key"), "wrong key"),
        (lambda body: Refused(500), "refused by the script"),
        (lambda body: Garbled(), "not JSON"),
        (lambda body: "", "empty"),
        (lambda body: '{"steps": [}', "not JSON"),
        (lambda body: json.dumps({"steps": [{"id": "s1", "instruction": "x", "tool": "fly"}]}), "no tool 'fly'"),
    ],
    ids=["wrong key", "always 500", "always garbled", "always empty", "no JSON", "no such tool"],
)
def test_what_cannot_be_recovered_from_is_told_in_one_line(
    run: Callable[..., tuple[RunResult, ChatServer]], answers: Any, told: str
) -> None:
    result, _ = run(answers)
    assert result.status == "failed"
    assert told in result.answer
    assert "\n" not in result.answer
    assert "Traceback" not in result.answer


def test_an_endless_loop_of_calls_is_ended(run: Callable[..., tuple[RunResult, ChatServer]]) -> None:
    def looping(body: Body) -> str | ChatReply:
        return wants("room_of", person="Piet") if "ROLE scout" in body["messages"][0]["content"] else honest(body)

    result, server = run(looping)
    assert server.calls < 12
    assert "First the east hall" in result.answer


@pytest.mark.parametrize("tokens", [1, 400, 1_500, 4_000, 20_000])
def test_a_budget_of_tokens_holds(run: Callable[..., tuple[RunResult, ChatServer]], tokens: int) -> None:
    result, server = run(honest, budget=Budget(tokens=tokens))
    assert server.input_tokens + server.output_tokens <= tokens
    assert (result.status, result.exit_code) in (("exhausted", 4), ("succeeded", 0))


@pytest.mark.parametrize("calls", range(9))
def test_a_budget_of_calls_holds(run: Callable[..., tuple[RunResult, ChatServer]], calls: int) -> None:
    result, server = run(honest, budget=Budget(calls=calls))
    assert server.calls + result.usage.tool_calls <= calls
    assert result.status in ("exhausted", "succeeded")


def test_a_goal_is_planned_when_it_is_reached_with_the_results_it_has_by_then(
    run: Callable[..., tuple[RunResult, ChatServer]],
) -> None:
    whole = [PLAN["steps"][0], {"id": "s2", "instruction": "Find her neighbour", "goal": True, "after": ["s1"]}]
    part = {
        "id": "s3",
        "instruction": "who",
        "tool": "room_of",
        "arguments": {"person": {"from": "s1", "path": "person"}},
    }

    def answers(body: Body) -> str:
        asked = body["messages"][1]["content"]
        if asked.endswith("Request: Find her neighbour"):
            assert '<data from="s1">\n{"person": "Ada", "room": "attic"}\n</data>' in asked
            return json.dumps({"steps": [part]})
        return json.dumps({"steps": whole})

    result, server = run(answers)
    assert (result.status, server.calls) == ("succeeded", 2)
    assert [step.value for step in result.results] == [{"person": "Ada", "room": "attic"}] * 2


def test_what_failed_is_planned_anew_and_what_is_done_is_not_done_again(
    run: Callable[..., tuple[RunResult, ChatServer]],
) -> None:
    lost = {"id": "s2", "instruction": "Where is Max?", "tool": "porter/room_of", "arguments": {"person": "Max"}}
    mended = {"id": "s3", "instruction": "Where is Piet?", "tool": "porter/room_of", "arguments": {"person": "Piet"}}

    def answers(body: Body) -> str:
        again = "s2 (lost): failed" in body["messages"][1]["content"]
        return json.dumps({"steps": [mended] if again else [PLAN["steps"][0], lost]})

    result, server = run(answers)
    assert (result.status, server.calls) == ("succeeded", 2)
    assert [(step.step, step.value["room"]) for step in result.results] == [("s1", "attic"), ("s3", "east hall")]
    assert result.usage.tool_calls == 3
