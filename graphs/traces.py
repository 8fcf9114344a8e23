"""Runs as OpenTelemetry spans: a reader of the event stream. How spans reach a collector is in `otlp.py`.

Names follow OpenTelemetry's conventions for generative AI, and OpenInference's for the kind of a span and the graph.
They are written out here: the package that lists them calls the list private, and moves it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from ..agents.plan import Json, Step
from ..core.redaction import redact
from .events import (
    Event,
    ModelCalled,
    ModelReturned,
    Notice,
    Planned,
    QuestionAnswered,
    QuestionAsked,
    Routed,
    RunFinished,
    RunResumed,
    RunStarted,
    StepFinished,
    StepStarted,
    TextStreamed,
    ToolCalled,
    ToolReturned,
)
from .spans import Key, SpanTree, Tracing, Value

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext, TracerProvider

PROVIDERS = {
    "anthropic": "anthropic",
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "gemini": "gcp.gemini",
    "groq": "groq",
    "mistral": "mistral_ai",
    "perplexity": "perplexity",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""The first part of a model's name, as LiteLLM writes it -> `gen_ai.provider.name`. All others speak OpenAI's API."""

FINE = ("succeeded", "waiting")
"""Ends of runs and steps that are no errors."""

_RUN: Key = ("run", "")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Traces:
    """A consumer of events that makes spans of them: for the run, its planning, each step, tool call and model call.

        traces = Traces(provider)
        await Run(crew, request, traces).go()

    A run's span lies in the span that is current where the run starts; all others lie in it. Spans have the events'
    times, are ended with the run at the latest, and carry no content unless told to. One object reads many runs.

    Args:
        provider: makes the spans. None: OpenTelemetry's global one, which does nothing until a program sets it.
        content: whether spans carry requests, instructions, arguments, results and answers, without the secrets that
            `core.redaction` knows.

    Raises `MissingExtra` without the extra `otel`.
    """

    def __init__(self, provider: TracerProvider | None = None, *, content: bool = False) -> None:
        self._tracing = Tracing(provider)
        self._content = content
        self._runs: dict[str, _RunSpans] = {}

    def __call__(self, event: Event) -> None:
        """Takes note of an event. Events of a run that did not start, or has ended, are passed over."""
        if isinstance(event, RunStarted | RunResumed):
            self._break_off(event.run)
            self._runs[event.run] = _RunSpans(self._tracing, event, self._content)
        elif event.run in self._runs:
            self._runs[event.run].note(event)
            if isinstance(event, RunFinished):
                del self._runs[event.run]

    def close(self) -> None:
        """Ends the spans of runs that were broken off, as errors. Afterwards other runs can be read."""
        for run in list(self._runs):
            self._break_off(run)

    def _break_off(self, run: str) -> None:
        if broken := self._runs.pop(run, None):
            broken.break_off()


class _RunSpans:
    """The spans of one run."""

    def __init__(self, tracing: Tracing, event: RunStarted | RunResumed, content: bool) -> None:
        self._content = content
        self._common: dict[str, Value] = {"gen_ai.conversation.id": event.run}
        self._spans = SpanTree(tracing, _nanoseconds(event.at))
        self._since = {"": self._spans.now}
        """Goal, or nothing for the whole run -> when its planning began, if it is planning that comes next."""
        self._steps: dict[str, Step] = {}
        self._begun = set(event.steps if isinstance(event, RunResumed) else ())
        """Steps that had their turn, be it in an earlier process."""
        self._ended: dict[str, SpanContext] = {}
        """The spans of finished steps, for those that depend on them."""
        self._asked: dict[str, Key] = {}
        self._heard: set[Key] = set()
        """Model calls of whose reply a piece has come."""
        resumed = isinstance(event, RunResumed)
        about: dict[str, Value] = {"gen_ai.workflow.name": "bottega", "bottega.resumed": resumed}
        self._start(_RUN, None, "invoke_workflow", "bottega", "CHAIN", about | _node("run", "bottega", ""))
        self._show(_RUN, "input", event.request)

    def note(self, event: Event) -> None:
        """Starts, fills or ends the spans that an event is about."""
        self._spans.now = max(self._spans.now, _nanoseconds(event.at))
        match event:
            case Routed():
                self._since[""] = self._spans.now
                route = event.route
                self._spans.set(_RUN, {"bottega.route": route.kind, "bottega.route.confidence": route.confidence})
            case Planned():
                self._planned(event)
            case StepStarted():
                self._step_started(event)
            case StepFinished():
                self._step_finished(event)
            case ToolCalled():
                self._tool_called(event)
            case ToolReturned():
                self._tool_returned(event)
            case ModelCalled():
                self._model_called(event)
            case TextStreamed():
                self._text_streamed(event)
            case ModelReturned():
                self._model_returned(event)
            case QuestionAsked():
                self._question_asked(event)
            case QuestionAnswered():
                owner = self._asked.pop(event.question, _RUN)
                owner = owner if owner in self._spans else _RUN
                self._spans.tell(owner, "bottega.question.answered", {"bottega.decision": event.answer.decision})
            case Notice():
                text = {"bottega.text": _text(event.text)} if self._content else {}
                self._spans.tell(_RUN, "bottega.notice", {"bottega.level": event.level, **text})
            case RunFinished():
                self._finished(event)

    def break_off(self) -> None:
        """Ends all spans at the last time that is known."""
        self._spans.end(_RUN, "broken_off")

    def _planned(self, event: Planned) -> None:
        key, plan = self._plan_started(event.goal), event.plan
        self._steps.update({step.id: step for step in plan.steps})
        self._spans.set(key, {"bottega.plan.revision": plan.revision, "bottega.plan.steps": len(plan.steps)})
        if self._content:
            self._show(key, "output", plan.model_dump(mode="json"))
        self._spans.end(key)
        self._since[event.goal] = self._spans.now

    def _plan_started(self, goal: str) -> Key:
        """The span of the planning under way, of the run or a goal in it; opened where it is not."""
        key: Key = ("plan", goal)
        if key not in self._spans:
            node = _node(f"{goal}/plan" if goal else "plan", "plan", goal or "run")
            self._start(key, self._owner(goal), "plan", "", "CHAIN", node, since=self._since.get(goal))
        return key

    def _step_started(self, event: StepStarted) -> None:
        key: Key = ("step", event.step)
        self._begun.add(event.step)
        self._since[event.step] = self._spans.now
        step = self._steps.get(event.step)
        needs = [self._ended[need] for need in (step.needs if step else ()) if need in self._ended]
        about: dict[str, Value] = {"bottega.attempt": event.attempt}
        if event.specialist:
            about["gen_ai.agent.name"] = event.specialist
        node = _node(event.step, event.specialist or event.step, event.parent or "run")
        name, parent = event.specialist or "", self._owner(event.parent or "")
        self._start(key, parent, "invoke_agent", name, "AGENT", about | node, after=needs)
        self._show(key, "input", event.instruction)

    def _step_finished(self, event: StepFinished) -> None:
        result = event.result
        self._since[""] = self._spans.now
        self._since.pop(result.step, None)
        key: Key = ("step", result.step)
        if result.step not in self._begun:  # it was skipped, or cancelled before its turn
            self._start(key, _RUN, "invoke_agent", "", "AGENT", _node(result.step, result.step, "run"))
        self._spans.set(key, {"bottega.status": result.status, "bottega.confidence": result.confidence})
        self._show(key, "output", result.text)
        if ended := self._end(key, None if result.status in FINE else result.status, result.error):
            self._ended[result.step] = ended

    def _tool_called(self, event: ToolCalled) -> None:
        key: Key = ("tool", event.call)
        about: dict[str, Value] = {"gen_ai.tool.name": event.tool, "gen_ai.tool.call.id": event.call}
        self._start(key, self._owner(event.step), "execute_tool", event.tool, "TOOL", about)
        self._show(key, "input", event.arguments, also="gen_ai.tool.call.arguments")

    def _tool_returned(self, event: ToolReturned) -> None:
        key: Key = ("tool", event.call)
        self._spans.set(key, {"bottega.kept": event.kept})
        self._show(key, "output", event.text, also="gen_ai.tool.call.result")
        self._end(key, "tool_error" if event.is_error else None, event.text)

    def _model_called(self, event: ModelCalled) -> None:
        key: Key = ("model", event.call)
        parent, (goal, _, part) = self._owner(event.step), event.step.rpartition("/")
        if parent == _RUN and part == "plan":
            parent = self._plan_started(goal)
        about: dict[str, Value] = {
            "gen_ai.request.model": event.model,
            "gen_ai.provider.name": PROVIDERS.get(event.model.partition("/")[0], "openai"),
            "bottega.messages": event.messages,
            "bottega.tools": event.tools,
        }
        self._start(key, parent, "chat", event.model, "LLM", about, remote=True)

    def _text_streamed(self, event: TextStreamed) -> None:
        key: Key = ("model", event.call)
        if key in self._spans and key not in self._heard:
            self._heard.add(key)
            self._spans.set(key, {"gen_ai.response.time_to_first_chunk": self._spans.age(key)})

    def _model_returned(self, event: ModelReturned) -> None:
        key: Key = ("model", event.call)
        self._heard.discard(key)
        about: dict[str, Value] = {"bottega.kept": event.kept, "gen_ai.response.model": event.model}
        if event.finish:
            about["gen_ai.response.finish_reasons"] = (event.finish,)
        if not event.kept:  # else it was paid, and told, when it was asked for the first time
            about["gen_ai.usage.input_tokens"] = event.usage.input_tokens
            about["gen_ai.usage.output_tokens"] = event.usage.output_tokens
            about["bottega.cost"] = event.usage.cost
        self._spans.set(key, about)
        parts: list[Json] = [{"type": "text", "content": event.text}] if event.text else []
        parts += [{"type": "tool_call", "name": name} for name in event.tools]
        said = [{"role": "assistant", "parts": parts, "finish_reason": event.finish}]
        self._show(key, "output", said, also="gen_ai.output.messages")
        self._end(key, "model_error" if event.error else None, event.error)

    def _question_asked(self, event: QuestionAsked) -> None:
        question = event.question
        owner = self._asked[question.id] = self._owner(question.step)
        about = {"bottega.question": question.kind}
        self._spans.tell(
            owner, "bottega.question.asked", about | ({"gen_ai.tool.name": question.tool} if question.tool else {})
        )

    def _finished(self, event: RunFinished) -> None:
        status = event.result.status
        self._spans.set(_RUN, {"bottega.status": status})
        self._show(_RUN, "output", event.result.answer)
        self._end(_RUN, None if status in FINE else status, event.result.answer)

    def _owner(self, step: str) -> Key:
        """The span of a step that is under way, or the run's."""
        key: Key = ("step", step)
        return key if key in self._spans else _RUN

    def _start(
        self,
        key: Key,
        parent: Key | None,
        operation: str,
        name: str,
        kind: Literal["CHAIN", "AGENT", "TOOL", "LLM"],
        about: dict[str, Value],
        *,
        since: int | None = None,
        remote: bool = False,
        after: list[SpanContext] | None = None,
    ) -> None:
        attributes = {"gen_ai.operation.name": operation, "openinference.span.kind": kind, **self._common, **about}
        name = f"{operation} {name}".rstrip()
        self._spans.start(key, parent, name, attributes, since=since, remote=remote, after=after or ())

    def _end(self, key: Key, error: str | None, why: str | None) -> SpanContext | None:
        """Ends a span; what a message says is content too."""
        return self._spans.end(key, error, _text(why) if self._content and why else None)

    def _show(self, key: Key, side: Literal["input", "output"], value: Json, *, also: str | None = None) -> None:
        """What went into a span or came out of it, where content is wanted; `also` under this name."""
        if not self._content:
            return
        text = _text(value)
        form = "text/plain" if isinstance(value, str) else "application/json"
        self._spans.set(key, {f"{side}.value": text, f"{side}.mime_type": form, **({also: text} if also else {})})


def _node(id: str, name: str, parent: str) -> dict[str, Value]:
    """The attributes by which the graph of a run is drawn; its root has no parent."""
    node: dict[str, Value] = {"graph.node.id": id, "graph.node.name": name}
    return {**node, "graph.node.parent_id": parent} if parent else node


def _text(value: Json) -> str:
    """A value as an attribute may carry it: text or JSON, without secrets, valid UTF-8."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return redact(text).encode("utf-8", "replace").decode()


def _nanoseconds(at: str) -> int:
    """Nanoseconds since the epoch of an event's time."""
    return (datetime.fromisoformat(at) - _EPOCH) // timedelta(microseconds=1) * 1_000
