"""The words that planners, specialists and graphs share: `Plan`, `Step`, `StepResult`, `Route`, `RunResult`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..core.errors import PlanError
from ..core.usage import Usage

Json = Any
StepStatus = Literal["succeeded", "failed", "cannot", "skipped", "refused"]
RunStatus = Literal["succeeded", "partial", "failed", "cannot", "refused", "cancelled"]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reference(Frozen):
    """An argument that is (part of) the result of another step; in JSON `{"from": "s1", "path": "patient_id"}`.

    `path` goes into a structured result: keys and list indices joined with dots. Empty means the result's value.
    """

    from_: str = Field(alias="from")
    path: str = ""
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Step(Frozen):
    """One thing to do.

    A step that a planner has bound names its `tool` and `arguments`; an unbound one is left to its specialist, which finds the
    tool itself. `after` orders steps that share no data. `problem` says why nothing can be done about it.
    """

    id: str
    instruction: str
    specialist: str | None = None
    tool: str | None = None
    arguments: dict[str, Reference | Json] = Field(default_factory=dict)
    after: tuple[str, ...] = ()
    expects: str = ""
    """What the result should be: shown to people, checked at the hand-over."""
    reported: bool = True
    """Whether the answer tells its result; a step that only serves another one is not told."""
    confidence: float = 1.0
    problem: str | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Ids of the steps that must have finished before this one."""
        return tuple(dict.fromkeys([*self.after, *(r.from_ for r in references(self.arguments))]))


class Plan(Frozen):
    """A directed acyclic graph of steps, in an order in which they may run."""

    request: str
    steps: tuple[Step, ...]
    revision: int = 1

    def check(self) -> Plan:
        """This plan, or `PlanError`: a repeated id, an unknown reference, a cycle."""
        ids = [s.id for s in self.steps]
        if len(set(ids)) != len(ids):
            raise PlanError(f"two steps share the id {next(i for i in ids if ids.count(i) > 1)!r}")
        for step in self.steps:
            for need in step.needs:
                if need not in ids:
                    raise PlanError(f"step {step.id!r} uses the result of {need!r}, which is not a step of the plan")
        done: set[str] = set()
        left = list(self.steps)
        while left:
            ready = [s for s in left if done.issuperset(s.needs)]
            if not ready:
                raise PlanError(f"the steps {', '.join(s.id for s in left)} wait for each other")
            done.update(s.id for s in ready)
            left = [s for s in left if s.id not in done]
        return self

    def __getitem__(self, id: str) -> Step:
        for step in self.steps:
            if step.id == id:
                return step
        raise KeyError(id)


def references(value: Json) -> Iterator[Reference]:
    """Every `Reference` inside an argument, also in lists and objects."""
    if isinstance(value, Reference):
        yield value
    elif isinstance(value, dict):
        for v in value.values():
            yield from references(v)
    elif isinstance(value, list | tuple):
        for v in value:
            yield from references(v)


class ToolCall(Frozen):
    """A call that was made, and what came back (shortened)."""

    tool: str
    arguments: dict[str, Json]
    text: str
    is_error: bool = False


class StepResult(Frozen):
    """What a step gave. `value` is what other steps refer to; `text` is what a person reads. Errors are values, never raised."""

    step: str
    status: StepStatus
    value: Json = None
    text: str = ""
    error: str | None = None
    files: tuple[str, ...] = ()
    """Workspace paths it wrote."""
    calls: tuple[ToolCall, ...] = ()
    confidence: float = 1.0
    usage: Usage = Usage()


class Route(Frozen):
    """Who should take a request: one specialist, the planner, or nobody."""

    kind: Literal["specialist", "plan", "cannot"]
    specialist: str | None = None
    confidence: float = 1.0
    scores: dict[str, float] = Field(default_factory=dict)


class RunResult(Frozen):
    """The end of a run. Printed by `bottega run --json`."""

    run: str
    request: str
    status: RunStatus
    answer: str
    plan: Plan | None = None
    results: tuple[StepResult, ...] = ()
    usage: Usage = Usage()
