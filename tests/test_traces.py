"""Runs as OpenTelemetry spans: what there is a span for, how spans nest, what they say and keep to themselves."""

from __future__ import annotations

import asyncio
import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import SpanKind, StatusCode

from bottega import Bottega, Plan, Specialist, Step, tool
from bottega.agents.plan import Answer, Question, Reference, Route, RunResult, StepResult
from bottega.core.errors import MissingExtra, ToolError, UsageError
from bottega.core.usage import Usage
from bottega.graphs import events as ev
from bottega.graphs.otlp import Otlp
from bottega.graphs.traces import Traces
from bottega.testing import ScriptedModel, ScriptedPlanner, wants
from bottega.tools import ToolResult, Toolset, Workspace


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


reached = asyncio.Event()


@tool(read_only=True)
async def hang() -> str:
    """Hang."""
    reached.set()
    await asyncio.Event().wait()
    return ""


DESK = Toolset.of("desk", "A desk.", [add, nothing_there, write, hang])
CHAIN = (
    Step(id="s1", instruction="add one and two", tool="desk/add", arguments={"left": 1, "right": 2}),
    Step(
        id="s2",
        instruction="add ten to it",
        specialist="analyst-to-be",
        tool="desk/add",
        arguments={"left": Reference(from_="s1"), "right": 10},
    ),
    Step(
        id="s3",
        instruction="write it to sum.txt",
        tool="desk/write",
        arguments={"path": "sum.txt", "text": Reference(from_="s2")},
    ),
)
CHAIN = tuple(step.model_copy(update={"specialist": "operator"}) for step in CHAIN)


class Recorder:
    """A provider that keeps the spans that have ended."""

    def __init__(self) -> None:
        self.provider = TracerProvider()
        self._kept = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._kept))

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._kept.get_finished_spans()

    def named(self, name: str) -> ReadableSpan:
        [span] = [span for span in self.spans if span.name == name]
        return span

    def about(self, name: str) -> dict[str, Any]:
        return dict(self.named(name).attributes or {})

    def parent(self, span: ReadableSpan) -> str | None:
        names = {s.context.span_id: s.name for s in self.spans if s.context}
        return names[span.parent.span_id] if span.parent else None

    def texts(self) -> str:
        """All that the spans say."""
        return "\n".join(span.to_json() for span in self.spans)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def run(folder: Path, traces: Traces, *steps: Step, request: str = "do it", approve: Any = "all") -> None:
    """A real run whose events go to `traces`."""

    async def main() -> None:
        planner = ScriptedPlanner(steps)
        async with Bottega(folder, servers={}, tools=DESK, planner=planner, approve=approve) as bottega:
            async for event in bottega.stream(request):
                traces(event)

    asyncio.run(main())


def test_a_run_gives_spans_for_itself_its_planning_its_steps_and_their_calls(
    tmp_path: Path, recorder: Recorder
) -> None:
    run(tmp_path, Traces(recorder.provider), *CHAIN)
    assert [(span.name, recorder.parent(span)) for span in recorder.spans if span.name != "plan"] == [
        ("execute_tool desk/add", "invoke_agent operator"),
        ("invoke_agent operator", "invoke_workflow bottega"),
        ("execute_tool desk/add", "invoke_agent operator"),
        ("invoke_agent operator", "invoke_workflow bottega"),
        ("execute_tool desk/write", "invoke_agent operator"),
        ("invoke_agent operator", "invoke_workflow bottega"),
        ("invoke_workflow bottega", None),
    ]
    assert recorder.parent(recorder.named("plan")) == "invoke_workflow bottega"
    assert {span.status.status_code for span in recorder.spans} == {StatusCode.UNSET}
    kinds = {span.name.split()[0]: (span.attributes or {})["openinference.span.kind"] for span in recorder.spans}
    assert kinds == {"invoke_workflow": "CHAIN", "plan": "CHAIN", "invoke_agent": "AGENT", "execute_tool": "TOOL"}


def test_spans_have_the_times_of_the_events(tmp_path: Path, recorder: Recorder) -> None:
    events: list[ev.Event] = []
    traces = Traces(recorder.provider)

    def both(event: ev.Event) -> None:
        events.append(event)
        traces(event)

    async def main() -> None:
        async with Bottega(tmp_path, servers={}, tools=DESK, planner=ScriptedPlanner(CHAIN[:1])) as bottega:
            async for event in bottega.stream("do it"):
                both(event)

    asyncio.run(main())
    at = {event.type: nanoseconds(event.at) for event in events}
    whole, call = recorder.named("invoke_workflow bottega"), recorder.named("execute_tool desk/add")
    assert (whole.start_time, whole.end_time) == (at["run_started"], at["run_finished"])
    assert (call.start_time, call.end_time) == (at["tool_called"], at["tool_returned"])


def nanoseconds(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1_000) * 1_000_000


def test_the_graph_of_a_run_can_be_drawn_from_its_spans(tmp_path: Path, recorder: Recorder) -> None:
    run(tmp_path, Traces(recorder.provider), *CHAIN)
    nodes = {
        (a["graph.node.id"], a["graph.node.name"], a.get("graph.node.parent_id"))
        for a in (dict(span.attributes or {}) for span in recorder.spans)
        if "graph.node.id" in a
    }
    steps = {(f"s{n}", "operator", "run") for n in (1, 2, 3)}
    assert nodes == {("run", "bottega", None), ("plan", "plan", "run"), *steps}
    by_node = {(span.attributes or {}).get("graph.node.id"): span for span in recorder.spans}
    [link] = by_node["s2"].links
    assert link.context == by_node["s1"].context


def test_every_gen_ai_name_is_one_of_the_conventions(tmp_path: Path, recorder: Recorder) -> None:
    traces = Traces(recorder.provider, content=True)
    run(tmp_path, traces, *CHAIN)
    for event in MODEL_RUN:
        traces(event)
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    used = {name for span in recorder.spans for name in span.attributes or {} if name.startswith("gen_ai.")}
    assert used <= known
    assert used >= {"gen_ai.operation.name", "gen_ai.request.model", "gen_ai.usage.input_tokens", "gen_ai.agent.name"}


def event(kind: type[ev.Happening], **fields: Any) -> Any:
    return kind(run="run-1", **fields)


MODEL_RUN: tuple[ev.Event, ...] = (
    event(ev.RunStarted, request="Who sits where?", workspace="/desk", at="2026-01-02T03:04:05.000+00:00"),
    event(ev.ModelCalled, step="plan", call="m1", model="gpt-x", messages=2, at="2026-01-02T03:04:05.100+00:00"),
    event(ev.TextStreamed, step="plan", call="m1", text="{", at="2026-01-02T03:04:05.350+00:00"),
    event(ev.TextStreamed, step="plan", call="m1", text="}", at="2026-01-02T03:04:05.400+00:00"),
    event(
        ev.ModelReturned,
        step="plan",
        call="m1",
        model="gpt-x",
        text="{}",
        finish="stop",
        usage=Usage(model_calls=1, input_tokens=70, output_tokens=7, cost=0.25),
        at="2026-01-02T03:04:05.500+00:00",
    ),
    event(ev.Planned, plan=Plan(request="r", steps=()), at="2026-01-02T03:04:05.600+00:00"),
    event(ev.StepStarted, step="s1", instruction="ask", specialist="porter", at="2026-01-02T03:04:06.000+00:00"),
    event(ev.ModelCalled, step="s1", call="m2", model="anthropic/claude", messages=2, tools=3),
    event(ev.ModelReturned, step="s1", call="m2", model="anthropic/claude", tools=("room_of",), finish="tool_calls"),
    event(ev.StepStarted, step="s1/1", instruction="look", specialist="clerk", parent="s1"),
    event(ev.ModelCalled, step="s1/1", call="m3", model="gpt-x", messages=9),
    event(ev.ModelReturned, step="s1/1", call="m3", model="gpt-x", error="the server gave 500: password=hunter2222"),
    event(ev.StepFinished, result=StepResult(step="s1/1", status="failed", error="no reply")),
    event(ev.ModelCalled, step="s1", call="m4", model="gpt-x", messages=9),
    event(ev.ModelReturned, step="s1", call="m4", model="gpt-x", finish="stop", usage=Usage(input_tokens=5), kept=True),
    event(ev.StepFinished, result=StepResult(step="s1", status="succeeded", text="Room 12")),
    event(ev.ModelCalled, step="report", call="m5", model="gpt-x", messages=1),
    event(ev.ModelReturned, step="report", call="m5", model="gpt-x", text="Room 12.", finish="stop"),
    event(ev.RunFinished, result=RunResult(run="run-1", request="r", status="partial", answer="Room 12.")),
)


def test_model_calls_lie_in_what_asks_for_them(recorder: Recorder) -> None:
    traces = Traces(recorder.provider)
    for one in MODEL_RUN:
        traces(one)
    models = [span for span in recorder.spans if span.name.startswith("chat ")]
    assert [(span.name, recorder.parent(span)) for span in models] == [
        ("chat gpt-x", "plan"),
        ("chat anthropic/claude", "invoke_agent porter"),
        ("chat gpt-x", "invoke_agent clerk"),
        ("chat gpt-x", "invoke_agent porter"),
        ("chat gpt-x", "invoke_workflow bottega"),
    ]
    assert recorder.parent(recorder.named("invoke_agent clerk")) == "invoke_agent porter"
    assert recorder.about("invoke_agent clerk")["graph.node.parent_id"] == "s1"
    assert {span.kind for span in models} == {SpanKind.CLIENT}
    first, second, third, kept, _ = (dict(span.attributes or {}) for span in models)
    assert (first["gen_ai.usage.input_tokens"], first["gen_ai.usage.output_tokens"]) == (70, 7)
    assert (first["gen_ai.provider.name"], second["gen_ai.provider.name"]) == ("openai", "anthropic")
    assert first["gen_ai.response.time_to_first_chunk"] == 0.25
    assert first["bottega.cost"] == 0.25
    assert second["gen_ai.response.finish_reasons"] == ("tool_calls",)
    assert third["error.type"] == "model_error"
    assert "gen_ai.usage.input_tokens" not in kept  # it was paid once
    assert recorder.about("invoke_workflow bottega")["error.type"] == "partial"
    plan = recorder.named("plan")
    assert plan.start_time == nanoseconds("2026-01-02T03:04:05.000+00:00")
    assert plan.end_time == nanoseconds("2026-01-02T03:04:05.600+00:00")


def test_a_real_run_with_a_language_model_has_spans_for_its_calls(tmp_path: Path, recorder: Recorder) -> None:
    adder = Specialist("adder", "Adds.", prompt="Add.", tools=("desk",))
    boss = Specialist("boss", "Has things added.", prompt="Delegate.", team=(adder,))
    replies = [wants("ask_adder", task="add 1 and 2"), wants("add", left=1, right=2), "It is 3.", "Together: 3."]
    plan = Plan(request="add", steps=(Step(id="s1", instruction="add 1 and 2", specialist="boss"),))
    traces = Traces(recorder.provider)

    async def main() -> None:
        model = ScriptedModel(replies)
        bottega = Bottega(tmp_path, servers={}, tools=DESK, specialists=[boss], model=model, planner="none")
        async with bottega:
            async for event in bottega.stream("add", plan):
                traces(event)

    asyncio.run(main())
    assert [(span.name, recorder.parent(span)) for span in recorder.spans if span.name != "plan"] == [
        ("chat scripted", "invoke_agent boss"),
        ("chat scripted", "invoke_agent adder"),
        ("execute_tool desk/add", "invoke_agent adder"),
        ("chat scripted", "invoke_agent adder"),
        ("invoke_agent adder", "invoke_agent boss"),
        ("chat scripted", "invoke_agent boss"),
        ("invoke_agent boss", "invoke_workflow bottega"),
        ("invoke_workflow bottega", None),
    ]
    last = dict(next(span.attributes or {} for span in reversed(recorder.spans) if span.name == "chat scripted"))
    assert last["gen_ai.response.finish_reasons"] == ("stop",)
    assert last["gen_ai.usage.output_tokens"] == 2
    assert last["gen_ai.response.time_to_first_chunk"] >= 0
    nested(recorder.spans)


def test_a_goal_is_planned_in_its_own_span(recorder: Recorder) -> None:
    traces = Traces(recorder.provider)
    part = Step(id="s1/s1", instruction="look")
    for one in (
        event(ev.RunStarted, request="r", workspace="/"),
        event(ev.Planned, plan=Plan(request="r", steps=(Step(id="s1", instruction="find out", goal=True),))),
        event(ev.StepStarted, step="s1", instruction="find out"),
        event(ev.ModelCalled, step="s1/plan", call="m1", model="gpt-x", messages=2),
        event(ev.ModelReturned, step="s1/plan", call="m1", model="gpt-x", finish="stop"),
        event(ev.Planned, plan=Plan(request="find out", steps=(part,)), goal="s1"),
        event(ev.StepStarted, step="s1/s1", instruction="look", specialist="clerk", parent="s1"),
        event(ev.StepFinished, result=StepResult(step="s1/s1", status="succeeded")),
        event(ev.StepFinished, result=StepResult(step="s1", status="succeeded")),
        event(ev.RunFinished, result=RunResult(run="run-1", request="r", status="succeeded", answer="")),
    ):
        traces(one)
    assert [(span.name, recorder.parent(span)) for span in recorder.spans] == [
        ("plan", "invoke_workflow bottega"),
        ("chat gpt-x", "plan"),
        ("plan", "invoke_agent"),
        ("invoke_agent clerk", "invoke_agent"),
        ("invoke_agent", "invoke_workflow bottega"),
        ("invoke_workflow bottega", None),
    ]
    plans = [dict(span.attributes or {}) for span in recorder.spans if span.name == "plan"]
    assert [(a["graph.node.id"], a["graph.node.parent_id"]) for a in plans] == [("plan", "run"), ("s1/plan", "s1")]


def test_a_failing_tool_and_a_refused_step_are_errors_by_class(tmp_path: Path, recorder: Recorder) -> None:
    missing = Step(id="s1", instruction="look", tool="desk/nothing_there", arguments={"name": "x"})
    writing = Step(id="s2", instruction="write", tool="desk/write", arguments={"path": "a", "text": "b"})
    skipped = Step(id="s3", instruction="add", tool="desk/add", arguments={"left": Reference(from_="s2"), "right": 1})
    run(tmp_path, Traces(recorder.provider), missing, writing, skipped, approve=None)
    errors = {
        (span.attributes or {}).get("graph.node.id", span.name): (span.attributes or {}).get("error.type")
        for span in recorder.spans
        if span.status.status_code is StatusCode.ERROR
    }
    assert errors["execute_tool desk/nothing_there"] == "tool_error"
    assert (errors["s1"], errors["s2"], errors["s3"]) == ("failed", "refused", "skipped")
    assert errors["run"] == "stopped"


def test_without_being_told_so_spans_carry_no_content(tmp_path: Path, recorder: Recorder) -> None:
    traces = Traces(recorder.provider)
    missing = Step(id="s9", instruction="look behind the arras", tool="desk/nothing_there", arguments={"name": "rat"})
    run(tmp_path, traces, *CHAIN, missing, request="Sum up the arras")
    for one in MODEL_RUN:
        traces(one)
    said = recorder.texts()
    for word in ("arras", "rat", "sum.txt", "wrote", "add ten", "Room 12", "hunter2222", "sits", str(tmp_path)):
        assert f" {word}" not in said
        assert f'"{word}' not in said
    assert {span.status.description for span in recorder.spans} == {None}


def test_content_is_told_on_demand_and_without_secrets(tmp_path: Path, recorder: Recorder) -> None:
    traces = Traces(recorder.provider, content=True)
    text = "api_key=abcdef123456 and more"
    secret = Step(id="s1", instruction="write", tool="desk/write", arguments={"path": "a.txt", "text": text})
    run(tmp_path, traces, secret, request="Write token: abcdef123456 to a.txt")
    for one in MODEL_RUN:
        traces(one)
    call = recorder.about("execute_tool desk/write")
    assert call["gen_ai.tool.call.arguments"] == '{"path": "a.txt", "text": "api_key=[redacted] and more"}'
    assert (call["gen_ai.tool.call.result"], call["output.value"]) == ("wrote a.txt", "wrote a.txt")
    whole = next(dict(s.attributes or {}) for s in recorder.spans if s.name == "invoke_workflow bottega")
    assert whole["input.value"] == "Write token: [redacted] to a.txt"
    assert "gen_ai.output.messages" in recorder.texts()
    assert "the server gave 500" in recorder.texts()
    assert "abcdef123456" not in recorder.texts()
    assert "hunter2222" not in recorder.texts()


def test_questions_to_people_are_told_in_the_span_they_hold_up(recorder: Recorder) -> None:
    traces = Traces(recorder.provider)
    question = Question(id="ask-1", kind="approval", step="s1", tool="desk/write", arguments={}, text="it writes")
    for one in (
        event(ev.RunStarted, request="r", workspace="/"),
        event(ev.StepStarted, step="s1", instruction="write", specialist="writer"),
        event(ev.QuestionAsked, question=question),
        event(ev.QuestionAnswered, question="ask-1", answer=Answer(decision="deny", text="no")),
        event(ev.Notice, level="warning", text="password=hunter2222"),
        event(ev.StepFinished, result=StepResult(step="s1", status="refused")),
        event(ev.QuestionAnswered, question="ask-0", answer=Answer(decision="once")),
        event(ev.RunFinished, result=RunResult(run="run-1", request="r", status="stopped", answer="")),
    ):
        traces(one)
    held = recorder.named("invoke_agent writer").events
    assert [e.name for e in held] == ["bottega.question.asked", "bottega.question.answered"]
    assert dict(held[1].attributes or {}) == {"bottega.decision": "deny"}
    whole = recorder.named("invoke_workflow bottega").events
    assert [e.name for e in whole] == ["bottega.notice", "bottega.question.answered"]


def test_a_run_lies_in_the_span_of_the_program_that_starts_it(tmp_path: Path, recorder: Recorder) -> None:
    tracer = recorder.provider.get_tracer("program")
    with tracer.start_as_current_span("request"):
        run(tmp_path, Traces(recorder.provider), CHAIN[0])
    assert recorder.parent(recorder.named("invoke_workflow bottega")) == "request"


def test_a_cancelled_run_ends_its_spans(tmp_path: Path, recorder: Recorder) -> None:
    steps = [CHAIN[0], Step(id="s2", instruction="hang", tool="desk/hang", after=("s1",))]

    async def main() -> None:
        traces = Traces(recorder.provider)
        reached.clear()
        bottega = Bottega(tmp_path, servers={}, tools=DESK, planner=ScriptedPlanner(steps))
        async with bottega, aclosing(bottega.stream("hang")) as stream:
            async for event in stream:
                traces(event)
                if event.type == "tool_called" and event.tool == "desk/hang":
                    break
        assert not [span for span in recorder.spans if span.name == "invoke_workflow bottega"]
        traces.close()
        traces.close()

    asyncio.run(main())
    assert recorder.about("invoke_workflow bottega")["error.type"] == "broken_off"
    assert recorder.about("execute_tool desk/hang")["error.type"] == "broken_off"
    nested(recorder.spans)


def test_a_resumed_run_is_another_trace_of_the_same_conversation(recorder: Recorder) -> None:
    traces = Traces(recorder.provider)
    kept = event(ev.StepFinished, result=StepResult(step="s1", status="succeeded"))
    end = event(ev.RunFinished, result=RunResult(run="run-1", request="r", status="waiting", answer=""))
    for one in (event(ev.RunStarted, request="r", workspace="/"), end):
        traces(one)
    for one in (event(ev.RunResumed, request="r", steps=("s1",)), kept, end):
        traces(one)
    first, second = (dict(span.attributes or {}) for span in recorder.spans)
    assert first["gen_ai.conversation.id"] == second["gen_ai.conversation.id"] == "run-1"
    assert (first["bottega.resumed"], second["bottega.resumed"]) == (False, True)
    assert {span.status.status_code for span in recorder.spans} == {StatusCode.UNSET}


def test_runs_that_go_on_at_once_are_kept_apart(recorder: Recorder) -> None:
    traces = Traces(recorder.provider)
    runs = [f"run-{n}" for n in range(3)]
    for id in runs:
        traces(ev.RunStarted(run=id, request="r", workspace="/"))
    for id in runs:
        traces(ev.StepStarted(run=id, step="s1", instruction="i", specialist="operator"))
    for id in runs:
        traces(ev.StepFinished(run=id, result=StepResult(step="s1", status="succeeded")))
        traces(ev.RunFinished(run=id, result=RunResult(run=id, request="r", status="succeeded", answer="")))
    assert len({span.context.trace_id for span in recorder.spans if span.context}) == 3
    steps = [span for span in recorder.spans if span.name == "invoke_agent operator"]
    assert [(span.attributes or {})["gen_ai.conversation.id"] for span in steps] == runs


def test_a_step_that_tells_of_its_end_too_late_has_one_span(recorder: Recorder) -> None:
    traces = Traces(recorder.provider)
    for one in (
        event(ev.RunStarted, request="r", workspace="/"),
        event(ev.StepStarted, step="s1", instruction="whole", specialist="porter"),
        event(ev.StepStarted, step="s1/clerk", instruction="part", specialist="clerk", parent="s1"),
        event(ev.StepFinished, result=StepResult(step="s1", status="cancelled")),
        event(ev.StepFinished, result=StepResult(step="s1/clerk", status="cancelled")),
    ):
        traces(one)
    traces.close()
    assert [span.name for span in recorder.spans] == [
        "invoke_agent clerk",
        "invoke_agent porter",
        "invoke_workflow bottega",
    ]
    assert recorder.about("invoke_agent clerk")["error.type"] == "broken_off"


def test_events_of_an_unknown_run_are_passed_over(recorder: Recorder) -> None:
    traces = Traces(recorder.provider)
    for one in MODEL_RUN[1:]:
        traces(one)
    assert recorder.spans == ()


def nested(spans: tuple[ReadableSpan, ...]) -> None:
    """All spans form one tree, and each ends before the one it lies in."""
    by_id = {span.context.span_id: span for span in spans if span.context}
    assert len(by_id) == len(spans)
    assert len({span.context.trace_id for span in spans if span.context}) == 1
    assert sum(span.parent is None for span in spans) == 1
    for span in spans:
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time <= span.end_time
        if span.parent is not None:
            outer = by_id[span.parent.span_id]
            assert (outer.start_time or 0) <= span.start_time
            assert span.end_time <= (outer.end_time or 0)


class Happenings:
    """Makes up a run, event by event, out of what may happen next; and counts the spans it should give."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.at = datetime(2026, 1, 1, tzinfo=UTC)
        self.steps: dict[str, str | None] = {}
        self.late: list[str] = []
        self.tools: list[tuple[str, str]] = []
        self.models: list[tuple[str, str]] = []
        self.asked: list[str] = []
        self.count = 0
        self.spans = 1
        self.planning: set[str] = set()
        self.revision = 0

    def event(self, kind: type[ev.Happening], **fields: Any) -> Any:
        # Some clocks are set back while a run goes on.
        self.at += timedelta(milliseconds=self.data.draw(st.integers(-20, 100)))
        return kind(run="run-1", at=self.at.isoformat(timespec="milliseconds"), **fields)

    def new(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def pick(self, values: list[Any]) -> Any:
        return self.data.draw(st.sampled_from(values))

    def step_starts(self) -> ev.Event:
        parent = self.pick([None, *self.steps])
        step = self.new("s")
        self.steps[step] = parent
        self.spans += 1
        return self.event(ev.StepStarted, step=step, instruction="i", specialist="operator", parent=parent)

    def step_starts_again(self) -> ev.Event:
        step = self.pick([*self.steps])
        parent = self.steps[step]
        self.take_out(step)
        self.late.remove(step)
        self.steps[step] = parent
        self.spans += 1
        return self.event(ev.StepStarted, step=step, instruction="i", parent=parent, attempt=2)

    def take_out(self, step: str) -> None:
        """Ends a step with all that lies in it, which may tell of its end later."""
        for inner in [id for id, parent in self.steps.items() if parent == step]:
            self.take_out(inner)
        del self.steps[step]
        self.planning.discard(step)
        self.late.append(step)

    def step_ends(self) -> ev.Event:
        step = self.pick([*self.steps, *self.late])
        if step in self.steps:
            self.take_out(step)
        self.late.remove(step)
        status = self.pick(["succeeded", "failed", "cancelled", "waiting"])
        return self.event(ev.StepFinished, result=StepResult(step=step, status=status))

    def step_is_skipped(self) -> ev.Event:
        self.spans += 1
        return self.event(ev.StepFinished, result=StepResult(step=self.new("s"), status="skipped"))

    def tool_is_called(self) -> ev.Event:
        self.tools.append((self.pick([*self.steps]), self.new("c")))
        self.spans += 1
        return self.event(ev.ToolCalled, step=self.tools[-1][0], call=self.tools[-1][1], tool="t", arguments={})

    def tool_returns(self) -> ev.Event:
        self.tools.remove(one := self.pick(self.tools))  # its step may have ended long ago
        wrong = self.pick([True, False])
        return self.event(ev.ToolReturned, step=one[0], call=one[1], tool="t", text="x", is_error=wrong)

    def model_is_called(self) -> ev.Event:
        step = self.pick(["plan", "report", *self.steps, *(f"{goal}/plan" for goal in self.steps)])
        self.models.append((step, self.new("m")))
        self.spans += 1
        goal, _, part = step.rpartition("/")
        if part == "plan":
            self.spans += goal not in self.planning
            self.planning.add(goal)
        return self.event(ev.ModelCalled, step=step, call=self.models[-1][1], model="m", messages=1)

    def model_says(self) -> ev.Event:
        step, call = self.pick(self.models)
        return self.event(ev.TextStreamed, step=step, call=call, text="x")

    def model_returns(self) -> ev.Event:
        self.models.remove(one := self.pick(self.models))
        error = self.pick([None, "cut"])
        return self.event(ev.ModelReturned, step=one[0], call=one[1], model="m", error=error)

    def is_planned(self) -> ev.Event:
        goal = self.pick(["", *self.steps])
        self.spans += goal not in self.planning
        self.planning.discard(goal)
        self.revision += 1
        steps = tuple(Step(id=id, instruction="i") for id in self.steps)
        return self.event(ev.Planned, plan=Plan(request="r", steps=steps, revision=self.revision), goal=goal)

    def is_routed(self) -> ev.Event:
        return self.event(ev.Routed, route=Route(kind="plan"))

    def is_asked(self) -> ev.Event:
        self.asked.append(self.new("ask"))
        asked = Question(id=self.asked[-1], kind="approval", step=self.pick([*self.steps]), tool="t", text="why")
        return self.event(ev.QuestionAsked, question=asked)

    def is_answered(self) -> ev.Event:
        self.asked.remove(one := self.pick(self.asked))
        return self.event(ev.QuestionAnswered, question=one, answer=Answer(decision="once"))

    def next(self) -> ev.Event:
        can = [self.step_starts, self.step_is_skipped, self.model_is_called, self.is_planned, self.is_routed]
        can += [self.step_ends, self.step_starts_again, self.tool_is_called, self.is_asked] if self.steps else []
        can += [self.tool_returns] if self.tools else []
        can += [self.model_says, self.model_returns] if self.models else []
        can += [self.is_answered] if self.asked else []
        return self.pick(can)()


@given(st.data(), st.integers(0, 40), st.booleans(), st.booleans())
def test_whatever_happens_all_spans_are_ended_and_well_nested(
    data: st.DataObject, length: int, finished: bool, content: bool
) -> None:
    recorder, happenings = Recorder(), Happenings(data)
    traces = Traces(recorder.provider, content=content)
    traces(happenings.event(ev.RunStarted, request="r", workspace="/"))
    for _ in range(length):
        traces(happenings.next())
    if finished:
        result = RunResult(run="run-1", request="r", status="cancelled", answer="")
        traces(happenings.event(ev.RunFinished, result=result))
    traces.close()
    nested(recorder.spans)
    assert len(recorder.spans) == happenings.spans


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingExtra, match=r"bottega\[otel\]"):
        Traces()
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(MissingExtra, match=r"bottega\[otel\]"):
        Otlp("http://127.0.0.1:4318")


@pytest.mark.parametrize("address", ["", "collector", "ftp://collector", "http://", "http://h:99999", "http://[::1"])
def test_what_is_no_address_is_refused_in_words(address: str) -> None:
    with pytest.raises(UsageError, match="it takes an address"):
        Otlp(address)


def test_a_refused_address_does_not_tell_its_password() -> None:
    with pytest.raises(UsageError) as refused:
        Otlp("http://ada:hunter2222@collector:99999")
    assert "hunter2222" not in str(refused.value)


class Collector(http.server.ThreadingHTTPServer):
    """A collector on loopback that keeps what it is sent."""

    def __init__(self, status: int = 200) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        bodies = self.bodies

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *words: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def collector() -> Iterator[Collector]:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    with Collector() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_collector_gets_the_spans_of_a_run(tmp_path: Path, collector: Collector) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    otlp = Otlp(collector.address)
    run(tmp_path, Traces(otlp.provider), *CHAIN)
    assert otlp.close() is None
    [(path, body)] = collector.bodies
    assert path == "/v1/traces"
    [resource] = ExportTraceServiceRequest.FromString(body).resource_spans
    service = {a.key: a.value.string_value for a in resource.resource.attributes}
    assert service["service.name"] == "bottega"
    names = sorted(span.name for scope in resource.scope_spans for span in scope.spans)
    steps, calls = ["invoke_agent operator"] * 3, ["execute_tool desk/add"] * 2
    assert names == sorted(["invoke_workflow bottega", "plan", *steps, *calls, "execute_tool desk/write"])


def test_no_span_of_a_large_run_is_lost(collector: Collector) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    otlp = Otlp(f"{collector.address}/here")
    traces = Traces(otlp.provider)
    traces(event(ev.RunStarted, request="r", workspace="/"))
    for n in range(5_000):
        traces(event(ev.StepStarted, step=f"s{n}", instruction="i"))
        traces(event(ev.StepFinished, result=StepResult(step=f"s{n}", status="succeeded")))
    traces.close()
    assert otlp.close() is None
    assert {path for path, _ in collector.bodies} == {"/here"}
    requests = [ExportTraceServiceRequest.FromString(body) for _, body in collector.bodies]
    assert sum(len(s.spans) for r in requests for one in r.resource_spans for s in one.scope_spans) == 5_001


def planned(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The real command with a plan that adds two numbers."""
    plan = json.dumps([{"tool": "calc/calculate", "arguments": {"expression": "20 + 22"}}])
    command = [sys.executable, str(Path(__file__).with_name("planned.py")), "run", plan, "--workspace", str(folder)]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False)


def test_the_command_sends_traces_where_it_is_told(tmp_path: Path, collector: Collector) -> None:
    done = planned(tmp_path, "--quiet", "--traces", collector.address)
    assert (done.returncode, done.stderr) == (0, "")
    assert "42" in done.stdout
    [(path, body)] = collector.bodies
    assert path == "/v1/traces"
    assert b"execute_tool calc/calculate" in body
    assert b"20 + 22" not in body
    planned(tmp_path, "--quiet", "--traces", collector.address, "--trace-content")
    assert b"20 + 22" in collector.bodies[1][1]


def test_the_command_does_its_work_where_no_traces_can_be_sent(tmp_path: Path) -> None:
    with Collector() as gone:
        address = gone.address
    done = planned(tmp_path, "--traces", address)
    assert done.returncode == 0
    assert "42" in done.stdout
    assert f"spans did not reach {address}/v1/traces" in done.stderr
    assert "Traceback" not in done.stderr
    wrong = planned(tmp_path, "--traces", "collector")
    assert wrong.returncode == 2
    assert "it takes an address like" in wrong.stderr


def test_a_collector_that_is_not_there_costs_a_line_and_not_the_run(tmp_path: Path, capfd: Any) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    with Collector() as gone:
        address = gone.address
    otlp = Otlp(address.replace("//", "//ada:hunter2222@"), seconds=0.2)
    run(tmp_path, Traces(otlp.provider), CHAIN[0])
    begun = time.monotonic()
    assert otlp.close() == f"4 spans did not reach {address}/v1/traces"
    assert time.monotonic() - begun < 5
    assert capfd.readouterr().err == ""
