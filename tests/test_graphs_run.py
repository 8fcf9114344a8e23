"""How a run moves: stations, events, approvals, revisions, cancellation; with LangGraph and without."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bottega.agents.plan import Each, Plan, Question, Reference, Route, RunResult, Step
from bottega.agents.specialist import Specialist, house_specialists
from bottega.core.errors import ModelError, ServerError, ToolError
from bottega.graphs.approvals import Approve
from bottega.graphs.events import Event, read_event
from bottega.graphs.run import Crew, Run
from bottega.testing import ScriptedPlanner, ScriptedRouter
from bottega.tools import Tool, ToolResult, Toolset, Workspace, tool
from bottega.tools.policy import Policy


@tool(read_only=True)
def add(left: float, right: float) -> float:
    """Add two numbers."""
    return left + right


@tool(read_only=True)
def nothing_there(name: str) -> str:
    """Look for something that is not there."""
    raise ToolError(f"there is no {name}")


@tool(destructive=False)
def write(path: str, text: str, workspace: Workspace) -> ToolResult:
    """Write a file."""
    workspace.write_text(path, text)
    return ToolResult(f"wrote {path}", files=(path,))


TOOLS = Toolset.of("desk", "A desk.", [add, nothing_there, write]).tools


@dataclass
class Bench:
    """Runs requests over a folder, and keeps the events."""

    folder: Path
    events: list[Event] = field(default_factory=list)
    on_event: Callable[[Event], None] = lambda event: None

    def crew(self, planner: Any, approve: Approve = "all", tools: tuple[Tool, ...] = TOOLS, **more: Any) -> Crew:
        more.setdefault("policy", Policy(remote=more.pop("remote", frozenset())))
        more.setdefault("specialists", house_specialists())
        return Crew(workspace=Workspace.at(self.folder), tools=tools, planner=planner, approve=approve, **more)

    def emit(self, event: Event) -> None:
        self.events.append(event)
        self.on_event(event)

    def run(self, *steps: Step, **more: Any) -> RunResult:
        planner = more.pop("planner", None) or ScriptedPlanner(steps)
        return asyncio.run(Run(self.crew(planner, **more), "do it", self.emit).go())

    def types(self) -> list[str]:
        return [event.type for event in self.events]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def step(id: str, tool: str | None = "desk/add", **more: Any) -> Step:
    arguments = more.pop("arguments", {"left": 1, "right": 2} if tool == "desk/add" else {})
    return Step(id=id, instruction=more.pop("instruction", f"do {id}"), tool=tool, arguments=arguments, **more)


def from_(id: str) -> Reference:
    return Reference(from_=id)


CHAIN = (
    step("s1", instruction="add one and two"),
    step("s2", instruction="add ten to it", arguments={"left": from_("s1"), "right": 10}),
    step("s3", "desk/write", instruction="write it to sum.txt", arguments={"path": "sum.txt", "text": from_("s2")}),
)


def test_a_chain_hands_values_on_and_ends_in_a_file(bench: Bench) -> None:
    result = bench.run(*CHAIN)
    assert result.status == "succeeded"
    assert (bench.folder / "sum.txt").read_text() == "13"
    assert [r.value for r in result.results[:2]] == [3, 13]
    assert result.usage.tool_calls == 3
    assert result.usage.seconds > 0


def test_a_one_step_run_passes_the_same_stations_as_a_long_one(bench: Bench) -> None:
    bench.run(step("s1"))
    short, bench.events = bench.types(), []
    bench.run(step("s1"), step("s2", after=("s1",)))
    one_step = ["step_started", "tool_called", "tool_returned", "step_finished"]
    assert short == ["run_started", "planned", *one_step, "run_finished"]
    assert bench.types() == ["run_started", "planned", *one_step, *one_step, "run_finished"]


def test_a_one_step_run_does_not_import_langgraph(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys
from bottega.agents.plan import Step
from bottega.agents.specialist import house_specialists
from bottega.graphs.run import Crew, Run
from bottega.testing import ScriptedPlanner
from bottega.tools import Toolset, Workspace, tool
from bottega.tools.policy import Policy

@tool(read_only=True)
def one() -> int:
    "One."
    return 1

crew = Crew(workspace=Workspace.at({str(tmp_path)!r}), tools=Toolset.of("a", "", [one]).tools, policy=Policy(),
            specialists=house_specialists(), planner=ScriptedPlanner([Step(id="s1", instruction="one", tool="a/one")]))
assert asyncio.run(Run(crew, "one", lambda event: None).go()).status == "succeeded"
loaded = {{module.partition(".")[0] for module in sys.modules}}
print(*sorted({{"langgraph", "mcp", "torch", "chromadb", "openai", "duckdb"}} & loaded))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_every_event_can_be_written_and_read_back(bench: Bench) -> None:
    bench.run(*CHAIN, step("s4", arguments={"left": Each(each=(1, 2)), "right": 1}))
    assert {"question_asked", "question_answered"} <= set(bench.types())
    for event in bench.events:
        assert read_event(event.model_dump_json()) == event
        assert json.loads(event.model_dump_json())["version"] == 1


def test_a_failing_step_harms_only_what_depends_on_it(bench: Bench) -> None:
    result = bench.run(
        step("s1", "desk/nothing_there", arguments={"name": "missing.csv"}),
        step("s2", arguments={"left": from_("s1"), "right": 1}),
        step("s3"),
    )
    assert [r.status for r in result.results] == ["failed", "skipped", "succeeded"]
    assert (result.status, result.exit_code) == ("partial", 5)
    assert "missing.csv" in result.answer


def test_what_failed_is_planned_anew_once_and_what_is_finished_stays(bench: Bench) -> None:
    bad = step("s2", "desk/nothing_there", arguments={"name": "x"})
    planner = ScriptedPlanner(
        [step("s1"), bad], revision=[step("s1"), step("s2", arguments={"left": from_("s1"), "right": 5})]
    )
    result = bench.run(planner=planner)
    assert result.status == "succeeded"
    assert [r.value for r in result.results] == [3, 8]
    assert result.plan is not None
    assert result.plan.revision == 2
    started = [e.step for e in bench.events if e.type == "step_started"]
    assert sorted(started) == ["s1", "s2", "s2"]
    assert planner.failures == ["there is no x"]


def test_a_revision_that_fails_as_well_is_the_end(bench: Bench) -> None:
    bad = step("s1", "desk/nothing_there", arguments={"name": "x"})
    result = bench.run(planner=ScriptedPlanner([bad], revision=[bad]))
    assert result.status == "failed"
    assert bench.types().count("planned") == 2


def test_a_one_step_plan_that_is_revised_into_a_long_one_goes_on(bench: Bench) -> None:
    bad = step("s1", "desk/nothing_there", arguments={"name": "x"})
    result = bench.run(planner=ScriptedPlanner([bad], revision=CHAIN))
    assert result.status == "succeeded"
    assert (bench.folder / "sum.txt").exists()


def test_a_plan_with_a_cycle_ends_the_run_in_words(bench: Bench) -> None:
    result = bench.run(step("s1", after=("s2",)), step("s2", after=("s1",)))
    assert result.status == "failed"
    assert "wait for each other" in result.answer


def test_a_planner_that_cannot_work_ends_the_run_in_words(bench: Bench) -> None:
    class Broken(ScriptedPlanner):
        async def plan(self, request: str, context: object) -> Plan:
            raise ModelError("the splitter is cut short")

    result = bench.run(planner=Broken([]))
    assert (result.status, result.answer, result.plan) == ("failed", "the splitter is cut short", None)


def test_a_request_that_the_router_gives_to_nobody_is_not_planned(bench: Bench) -> None:
    planner = ScriptedPlanner(CHAIN)
    router = ScriptedRouter(Route(kind="cannot", reason="Nobody here books tables."))
    result = bench.run(planner=planner, router=router)
    assert (result.status, result.answer) == ("cannot", "Nobody here books tables.")
    assert result.route is not None
    assert planner.requests == []


def test_an_empty_plan_cannot_be_done_and_says_what_would_help(bench: Bench) -> None:
    result = bench.run()
    assert result.status == "cannot"
    assert "would help" in result.answer


def test_without_anybody_to_ask_a_side_effect_is_refused_and_the_rest_is_done(bench: Bench) -> None:
    result = bench.run(*CHAIN, approve=None)
    assert [r.status for r in result.results] == ["succeeded", "succeeded", "refused"]
    assert (result.status, result.exit_code) == ("stopped", 3)
    assert "--yes" in result.answer
    assert not (bench.folder / "sum.txt").exists()


def test_a_person_is_asked_with_the_arguments_as_they_will_be(bench: Bench) -> None:
    asked: list[Question] = []

    async def approve(request: Question) -> bool:
        asked.append(request)
        return True

    assert bench.run(*CHAIN, approve=approve).status == "succeeded"
    (request,) = asked
    assert request.arguments == {"path": "sum.txt", "text": "13"}
    assert request.tool == "desk/write"
    ids = [
        e.question.id if e.type == "question_asked" else e.question
        for e in bench.events
        if e.type in ("question_asked", "question_answered")
    ]
    assert ids == [request.id, request.id]


def test_what_is_known_before_the_work_starts_is_asked_before_and_once(bench: Bench) -> None:
    write_first = step("s2", "desk/write", arguments={"path": "a.txt", "text": "a"}, after=("s1",))
    assert bench.run(step("s1"), write_first).status == "succeeded"
    types = bench.types()
    assert types.count("question_asked") == 1
    assert types.index("question_answered") < types.index("step_started")


def test_a_no_refuses_the_step_and_is_not_asked_again(bench: Bench) -> None:
    asked = 0

    async def approve(request: Question) -> bool:
        nonlocal asked
        asked += 1
        return False

    result = bench.run(step("s1"), step("s2", "desk/write", arguments={"path": "a.txt", "text": "a"}), approve=approve)
    assert [r.status for r in result.results] == ["succeeded", "refused"]
    assert asked == 1
    assert not (bench.folder / "a.txt").exists()


def test_several_questions_are_open_at_once_and_answered_in_any_order(bench: Bench) -> None:
    asked: list[Question] = []
    second = asyncio.Event()

    async def approve(request: Question) -> bool:
        asked.append(request)
        if len(asked) == 2:
            second.set()
            return True
        await second.wait()
        return True

    one = step("s2", "desk/write", arguments={"path": "a.txt", "text": from_("s1")})
    two = step("s3", "desk/write", arguments={"path": "b.txt", "text": from_("s1")})
    assert bench.run(step("s1"), one, two, approve=approve).status == "succeeded"
    assert sorted(q.step for q in asked) == ["s2", "s3"]
    assert len({q.id for q in asked}) == 2


def test_a_result_that_is_not_what_was_expected_is_not_handed_on(bench: Bench) -> None:
    result = bench.run(
        step("s1", "desk/write", arguments={"path": "a.txt", "text": "x"}, expects="number"),
        step("s2", arguments={"left": from_("s1"), "right": 1}),
    )
    assert [r.status for r in result.results] == ["failed", "skipped"]
    assert "has to be a number" in result.answer


def test_a_dead_server_is_tried_again_for_reading_and_never_for_acting(bench: Bench) -> None:
    tries: list[str] = []

    def dying(name: str, read_only: bool) -> Tool:
        @tool(name=name, read_only=read_only)
        def call() -> str:
            """Call a server that dies once."""
            tries.append(name)
            if tries.count(name) == 1:
                raise ServerError("server 'far' died")
            return "alive"

        return call

    far = Toolset.of("far", "", [dying("look", True), dying("act", False)]).tools
    tools = tuple(replace(t, remote=True) for t in far)
    result = bench.run(step("s1", "far/look"), step("s2", "far/act"), tools=tools)
    assert [r.status for r in result.results] == ["succeeded", "uncertain"]
    assert result.status == "waiting"
    assert sorted(tries) == ["act", "look", "look"]
    assert "server 'far' died" in result.answer


def test_secrets_do_not_reach_the_events_of_a_call(bench: Bench) -> None:
    bench.run(step("s1", "desk/write", arguments={"path": "a.txt", "text": "password=hunter2222"}))
    assert "hunter2222" in (bench.folder / "a.txt").read_text()
    (called,) = [e for e in bench.events if e.type == "tool_called"]
    assert "hunter2222" not in called.model_dump_json()


def test_a_tool_that_breaks_is_a_failed_step(bench: Bench) -> None:
    @tool(read_only=True)
    def broken() -> str:
        """Break."""
        raise ZeroDivisionError("by zero")

    result = bench.run(step("s1", "b/broken"), tools=Toolset.of("b", "", [broken]).tools)
    assert result.status == "failed"
    assert "by zero" in result.answer
    assert "Traceback" not in result.answer


def test_a_step_for_nobody_fails_in_words(bench: Bench) -> None:
    result = bench.run(step("s1", specialist="pilot"))
    assert result.status == "failed"
    assert "'pilot'" in result.answer


def test_independent_calls_of_a_run_stay_under_one_limit_fan_outs_included(bench: Bench) -> None:
    running = most = 0

    @tool(read_only=True)
    async def count(n: int) -> int:
        """Count who is here."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1
        return n

    steps = [step(f"s{i}", "c/count", arguments={"n": Each(each=(1, 2, 3, 4))}) for i in range(4)]
    assert bench.run(*steps, tools=Toolset.of("c", "", [count]).tools, concurrency=3).status == "succeeded"
    assert most == 3


@pytest.mark.parametrize("long", [False, True], ids=["one step", "several steps"])
def test_a_cancelled_run_ends_at_once_says_what_was_done_and_leaves_nothing(bench: Bench, long: bool) -> None:
    async def main() -> None:
        reached = asyncio.Event()
        cleaned: list[bool] = []

        @tool(read_only=True)
        async def hang() -> str:
            """Hang."""
            reached.set()
            try:
                await asyncio.Event().wait()
            finally:
                cleaned.append(True)
            return ""

        tools = (*TOOLS, *Toolset.of("h", "", [hang]).tools)
        steps = [step("s1"), step("s2", "h/hang", after=("s1",))] if long else [step("s2", "h/hang")]
        before = asyncio.all_tasks()
        task = asyncio.create_task(Run(bench.crew(ScriptedPlanner(steps), tools=tools), "hang", bench.emit).go())
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cleaned == [True]
        assert asyncio.all_tasks() == before

    asyncio.run(main())
    last = bench.events[-1]
    assert last.type == "run_finished"
    assert (last.result.status, last.result.exit_code) == ("cancelled", 130)
    assert [r.step for r in last.result.results] == (["s1"] if long else [])


def test_a_specialist_with_a_model_answers_with_the_label(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    class Model:
        def classify(self, texts: list[str]) -> list[list[tuple[str, float]]]:
            return [[("card_swallowed" if "ate" in text else "other", 0.9)] for text in texts]

    registry = types.ModuleType("bottega.models.registry")
    registry.open_model = lambda name: Model()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bottega.models.registry", registry)
    teller = Specialist("teller", "Sorts bank requests.", model="bank")
    result = bench.run(
        Step(id="s1", instruction="The machine ate my card", specialist="teller"),
        specialists=(teller, *house_specialists()),
    )
    assert result.status == "succeeded"
    assert result.answer.startswith("card_swallowed")
    assert result.results[0].confidence == 0.9


def test_a_result_prints_as_the_json_of_the_command_line(bench: Bench) -> None:
    whole = bench.run(*CHAIN).to_json()
    assert list(whole) == ["run_id", "status", "answer", "route", "plan", "steps", "questions", "usage"]
    assert whole["plan"]["steps"][1]["arguments"]["left"] == {"from": "s1", "path": ""}
    assert [s["step"] for s in whole["steps"]] == ["s1", "s2", "s3"]
    json.dumps(whole)
    again = Plan.model_validate(whole["plan"])
    assert again.steps == CHAIN


def test_what_was_refused_is_asked_about_again_when_the_run_is_resumed(bench: Bench) -> None:
    answers = [False, True]

    async def approve(question: Question) -> bool:
        return answers.pop(0)

    async def twice() -> tuple[RunResult, RunResult]:
        write = step("s2", "desk/write", arguments={"path": "a.txt", "text": "a"})
        crew = bench.crew(ScriptedPlanner([step("s1"), write]), approve=approve)
        first = await Run(crew, "do it", bench.emit).go()
        return first, await Run(crew, "", bench.emit, resume=first.run).go()

    first, second = asyncio.run(twice())
    assert (first.status, second.status) == ("stopped", "succeeded")
    assert (bench.folder / "a.txt").read_text() == "a"
    assert [e.step for e in bench.events if e.type == "tool_called"] == ["s1", "s2"]


def test_a_goal_that_is_tried_again_does_only_what_failed(bench: Bench) -> None:
    tried: list[str] = []

    @tool(read_only=True)
    def stumble(name: str) -> str:
        """Fail at first."""
        tried.append(name)
        if tried.count(name) == 1:
            raise ToolError("not yet")
        return name

    tools = (*TOOLS, *Toolset.of("path", "", [stumble]).tools)
    inner = [step("s1"), step("s2", "path/stumble", arguments={"name": "stone"}, after=("s1",))]
    goal = Step(id="g", instruction="get there", goal=True, retries=1)
    result = bench.run(goal, planner=Nested({"do it": [goal], "get there": inner}), tools=tools)
    assert result.status == "succeeded"
    assert tried == ["stone", "stone"]
    assert [e.step for e in bench.events if e.type == "tool_called"] == ["g/s1", "g/s2", "g/s2"]


class Nested(ScriptedPlanner):
    """Plans by the words of what is to be done."""

    def __init__(self, plans: dict[str, list[Step]]) -> None:
        super().__init__([])
        self._plans = plans

    async def plan(self, request: str, context: Any) -> Plan:
        return Plan(request=request, steps=tuple(self._plans[request]))
