"""What happens in a run, as typed events. Console, JSON output and traces all read this one stream."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from ..agents.plan import Answer, Frozen, Json, Plan, Question, Route, RunResult, StepResult
from ..core.usage import Usage

Level = Literal["info", "warning", "error"]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Happening(Frozen):
    """What all events have: the run they belong to, the time (ISO 8601, UTC), the version of their form."""

    run: str
    at: str = Field(default_factory=_now)
    version: Literal[1] = 1


class RunStarted(Happening):
    type: Literal["run_started"] = "run_started"
    request: str
    workspace: str


class Notice(Happening):
    """Something a person should know that ends nothing: a server that is not there, a choice that was made."""

    type: Literal["notice"] = "notice"
    level: Level = "info"
    text: str


class Routed(Happening):
    type: Literal["routed"] = "routed"
    route: Route


class Planned(Happening):
    """A plan was made: the run's own, or that of a `goal`. With `plan.revision` above 1 it replaces an earlier one."""

    type: Literal["planned"] = "planned"
    plan: Plan
    goal: str = ""


class StepStarted(Happening):
    """`parent` is the step that this one is a part of: a goal, or a specialist who delegates."""

    type: Literal["step_started"] = "step_started"
    step: str
    instruction: str
    specialist: str | None = None
    tool: str | None = None
    parent: str | None = None
    attempt: int = 1


class ToolCalled(Happening):
    """`call` is what the call's end is known by."""

    type: Literal["tool_called"] = "tool_called"
    step: str
    call: str
    tool: str
    arguments: dict[str, Json]


class ToolReturned(Happening):
    """`text` is shortened; `seconds` is wall time. `kept`: the outcome was known from before, and no call was made."""

    type: Literal["tool_returned"] = "tool_returned"
    step: str
    call: str
    tool: str
    text: str
    is_error: bool = False
    seconds: float = 0.0
    kept: bool = False


class ModelCalled(Happening):
    """A language model is asked. `step` is `plan` or `report` where the run itself asks."""

    type: Literal["model_called"] = "model_called"
    step: str
    call: str
    model: str
    messages: int
    tools: int = 0


class ModelReturned(Happening):
    """`text` is shortened; `tools` are the names of the calls it wants; `error` is why there is no reply."""

    type: Literal["model_returned"] = "model_returned"
    step: str
    call: str
    model: str
    text: str = ""
    tools: tuple[str, ...] = ()
    finish: str = ""
    usage: Usage = Usage()
    seconds: float = 0.0
    kept: bool = False
    error: str | None = None


class TextStreamed(Happening):
    """A piece of a model's reply, as it comes."""

    type: Literal["text_streamed"] = "text_streamed"
    step: str
    call: str
    text: str


class StepFinished(Happening):
    type: Literal["step_finished"] = "step_finished"
    result: StepResult


class QuestionAsked(Happening):
    """A person is asked, or a question was put into the queue."""

    type: Literal["question_asked"] = "question_asked"
    question: Question


class QuestionAnswered(Happening):
    """The answer to the question with the id `question`, also when it was no."""

    type: Literal["question_answered"] = "question_answered"
    question: str
    answer: Answer


class RunResumed(Happening):
    """A run goes on that was broken off, or that waited. `steps` are those that are finished already."""

    type: Literal["run_resumed"] = "run_resumed"
    request: str
    steps: tuple[str, ...] = ()


class RunFinished(Happening):
    type: Literal["run_finished"] = "run_finished"
    result: RunResult


Event = Annotated[
    RunStarted
    | RunResumed
    | Notice
    | Routed
    | Planned
    | StepStarted
    | ToolCalled
    | ToolReturned
    | ModelCalled
    | ModelReturned
    | TextStreamed
    | StepFinished
    | QuestionAsked
    | QuestionAnswered
    | RunFinished,
    Field(discriminator="type"),
]

Emit = Callable[[Event], None]


def read_event(text: str | bytes) -> Event:
    """The event of a JSON text. Raises `pydantic.ValidationError` for anything else."""
    event: Event = TypeAdapter(Event).validate_json(text)
    return event
