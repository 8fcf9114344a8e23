"""Who helps: requests are done again without each specialist in turn, in copies of the folder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bottega import Bottega, Plan, Specialist, Step, Workspace, tool
from bottega.ablation import Finding, Task, compared, read_tasks, trials
from bottega.agents.planning import PlanningContext
from bottega.core.errors import UsageError
from bottega.testing import ScriptedPlanner


@tool
def note(text: str, workspace: Workspace) -> str:
    """Note something."""
    workspace.write_text("notes.txt", text)
    return f"noted {text}"


@tool(read_only=True)
def stumble() -> str:
    """Stumble."""
    raise ValueError("stumbled")


CLERK = Specialist("clerk", "Notes things.", tools=[note])
CLOWN = Specialist("clown", "Stumbles over things.", tools=[stumble])
TASKS = [Task("note it", ("noted it",)), Task("note it twice"), Task("be careful")]


class Planner(ScriptedPlanner):
    """Lets the clerk note, and the clown, where there is one, handle what wants care."""

    async def plan(self, request: str, context: PlanningContext) -> Plan:
        step = Step(id="s1", instruction=request, specialist="clerk", tool="clerk/note", arguments={"text": "it"})
        if "careful" in request and any(s.name == "clown" for s in context.specialists):
            step = Step(id="s1", instruction=request, specialist="clown", tool="clown/stumble")
        return Plan(request=request, steps=(step,))


def opened(folder: Path, without: Sequence[str]) -> Bottega:
    everybody = [CLERK, CLOWN]
    return Bottega(folder, servers={}, specialists=everybody, planner=Planner([]), approve="all", without=without)


def findings(folder: Path) -> dict[str, Finding]:
    async def work() -> dict[str, Finding]:
        everybody, *others = [trial async for trial in trials(TASKS, ["clerk", "clown", "reader"], folder, opened)]
        return {f.specialist: f for f in (compared(TASKS, everybody, trial) for trial in others)}

    return asyncio.run(work())


def test_each_specialist_gets_its_verdict_and_the_folder_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    found = findings(tmp_path)
    assert {name: f.verdict for name, f in found.items()} == {
        "clerk": "indispensable",
        "clown": "harmful",
        "reader": "useless",
    }
    assert found["clerk"].lost == ("note it", "note it twice")
    assert found["clown"].gained == ("be careful",)
    assert (found["clerk"].steps, found["reader"].steps) == (2, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_chance_is_that_of_an_exact_sign_test() -> None:
    assert Finding("a", 1, lost=("x",) * 5, gained=()).chance == pytest.approx(2 / 32)
    assert Finding("a", 1, lost=("x", "y"), gained=("z",)).chance == 1.0
    assert Finding("a", 1, lost=(), gained=()).chance == 1.0
    assert Finding("a", 1, lost=("x", "y"), gained=("z",)).verdict == "helpful"


@pytest.mark.parametrize(
    ("text", "says"), [("", "no requests"), ('{"request": "a"}\nnonsense', "line 2"), ('{"answer": "a"}', "line 1")]
)
def test_a_file_that_holds_no_requests_says_where(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        read_tasks(path)


def test_answers_may_be_one_text_or_several(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(
        "\n".join(json.dumps(row) for row in [{"request": "a", "answer": 3}, {"request": "b", "answer": ["x", "Y"]}])
    )
    one, two = read_tasks(path)
    assert one.is_right("succeeded", "there are 3")
    assert not one.is_right("failed", "there are 3")
    assert two.is_right("succeeded", "a y b")
