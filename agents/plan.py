"""The words that planners, specialists and graphs share: `Plan`, `Step`, `StepResult`, `Route`, `RunResult`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ..core.errors import PlanError
from ..core.usage import Usage

Json = Any
StepStatus = Literal[
    "succeeded", "failed", "cannot", "skipped", "refused", "uncertain", "waiting", "exhausted", "cancelled"
]
"""`uncertain`: a call that may not be made twice was under way when the process died, so that nobody knows whether it
was done. `waiting`: for an answer of a person."""
RunStatus = Literal[
    "running", "waiting", "succeeded", "partial", "failed", "cannot", "stopped", "exhausted", "cancelled"
]
"""`stopped`: something needed an approval that nobody gave. `exhausted`: the budget was spent. A `waiting` run goes on
once its questions are answered."""

EXIT_CODES: dict[RunStatus, int] = {
    "succeeded": 0,
    "running": 1,
    "failed": 1,
    "cannot": 1,
    "stopped": 3,
    "waiting": 3,
    "exhausted": 4,
    "partial": 5,
    "cancelled": 130,
}


MOST_STEPS = 2_000
"""Steps that one plan may have."""


class Frozen(BaseModel):
    """The manners of every record here: it does not change, and knows its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class Reference(Frozen):
    """An argument that is (part of) the result of another step; in JSON `{"from": "s1", "path": "patient_id"}`.

    `path` goes into a structured result: keys and list indices joined with dots. Empty means the result's value.
    """

    from_: str = Field(validation_alias="from", serialization_alias="from")
    path: str = ""


class Each(Frozen):
    """An argument that takes one value after the other, a call for each; in JSON `{"each": ["Alder", "Cedar"]}`.

    Several of them in one step go along together: the first call takes the first value of each, and so on. A
    `Reference` stands for the items of a list that another step gave.
    """

    each: Reference | tuple[Json, ...]

    @field_validator("each", mode="before")
    @classmethod
    def _read(cls, value: Json) -> Json:
        return _bound(value)


class Step(Frozen):
    """One thing to do.

    A step that a planner has bound names its `tool` and `arguments`; an unbound one is left to its specialist, which
    finds the tool itself. A `goal` is planned when it is reached, and its plan done in its place. `after` orders steps
    that share no data. `problem` says why nothing can be done about it.
    """

    id: str
    instruction: str
    specialist: str | None = None
    tool: str | None = None
    arguments: dict[str, Reference | Each | Json] = Field(default_factory=dict)
    after: tuple[str, ...] = ()
    goal: bool = False
    share: float | None = Field(default=None, gt=0, le=1)
    """The part of what is left of the run's budget that this step may spend; without one, all of it."""
    retries: int = Field(default=0, ge=0, le=20)
    """How often it is tried again after it failed."""
    expects: str | dict[str, Json] = ""
    """What the result should be, checked at the hand-over: a word, a description for people, or a JSON Schema."""
    reported: bool = True
    """Whether the answer tells its result; a step that only serves another one is not told."""
    confidence: float = 1.0
    problem: str | None = None
    shown: tuple[str, ...] = ()
    """Ids of the tools that were looked at for it, the best first: what was not taken says something of them too."""

    @field_validator("arguments", mode="before")
    @classmethod
    def _read(cls, value: Json) -> Json:
        return {k: _bound(v) for k, v in value.items()} if isinstance(value, dict) else value

    @property
    def needs(self) -> tuple[str, ...]:
        """Ids of the steps that must have finished before this one."""
        return tuple(dict.fromkeys([*self.after, *(r.from_ for r in references(self.arguments))]))


class Plan(Frozen):
    """A directed acyclic graph of steps, in an order in which they may run."""

    request: str
    steps: tuple[Step, ...]
    revision: int = 1

    def check(
        self, specialists: Iterable[str] | None = None, given: Iterable[str] = (), most_steps: int = MOST_STEPS
    ) -> Plan:
        """This plan, or `PlanError`: too many steps, a repeated id, an unknown reference or specialist, a cycle.

        `specialists` are the names that there are; None leaves them unchecked. `given` are steps outside the plan whose
        results it may use: those that a goal has as inputs.
        """
        ids = [s.id for s in self.steps]
        if len(ids) > most_steps:
            raise PlanError(
                f"the plan has {len(ids)} steps, more than {most_steps}", hint="make steps goals of their own"
            )
        known, names = {*ids, *given}, None if specialists is None else set(specialists)
        if len(set(ids)) != len(ids):
            raise PlanError(f"two steps share the id {next(i for i in ids if ids.count(i) > 1)!r}")
        for step in self.steps:
            for need in step.needs:
                if need not in known:
                    raise PlanError(f"step {step.id!r} uses the result of {need!r}, which is not a step of the plan")
            if names is not None and step.specialist is not None and step.specialist not in names:
                raise PlanError(
                    f"step {step.id!r} is for {step.specialist!r}, who is not here",
                    hint=f"there are {', '.join(sorted(names)) or 'none'}",
                )
        waits = {s.id: set(s.needs).intersection(ids) for s in self.steps}
        needed_by: dict[str, list[str]] = {id: [] for id in ids}
        for id, needs in waits.items():
            for need in needs:
                needed_by[need].append(id)
        ready = [id for id, needs in waits.items() if not needs]
        while ready:
            done = ready.pop()
            del waits[done]
            for id in needed_by[done]:
                waits[id].discard(done)
                if not waits[id]:
                    ready.append(id)
        if waits:
            raise PlanError(f"the steps {', '.join(waits)} wait for each other")
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
    elif isinstance(value, Each):
        yield from references(value.each)
    elif isinstance(value, dict):
        for v in value.values():
            yield from references(v)
    elif isinstance(value, list | tuple):
        for v in value:
            yield from references(v)


def rebound(value: Json, there: Callable[[Reference], Reference]) -> Json:
    """An argument with every `Reference` in it replaced by what `there` gives for it."""
    if isinstance(value, Reference):
        return there(value)
    if isinstance(value, Each):
        return Each(each=rebound(value.each, there))
    if isinstance(value, dict):
        return {k: rebound(v, there) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rebound(v, there) for v in value]
    return value


def renamed(step: Step, names: Mapping[str, str]) -> Step:
    """`step` with the ids that `names` has replaced: its own, and those it refers to."""

    def there(reference: Reference) -> Reference:
        return reference.model_copy(update={"from_": names.get(reference.from_, reference.from_)})

    return step.model_copy(
        update={
            "id": names.get(step.id, step.id),
            "arguments": {name: rebound(value, there) for name, value in step.arguments.items()},
            "after": tuple(names.get(id, id) for id in step.after),
        }
    )


def _bound(value: Json) -> Json:
    """References and fan-outs read back from their JSON forms."""
    if isinstance(value, dict):
        if value.keys() == {"each"} and isinstance(value["each"], list | tuple | dict | Reference):
            return Each(each=_bound(value["each"]))
        return _reference_or({k: _bound(v) for k, v in value.items()})
    if isinstance(value, list | tuple):
        return [_bound(v) for v in value]
    return value


def _reference_or(value: Json) -> Json:
    """A `Reference` where `value` is one in JSON, else `value`."""
    if not isinstance(value, dict) or "from" not in value or not value.keys() <= {"from", "path"}:
        return value
    return Reference(**value) if all(isinstance(v, str) for v in value.values()) else value


class Budget(Frozen):
    """What a run, its sub-plans and delegates together may spend; None is no limit.

    `tokens` in and out of language models, `cost` in US dollars, `seconds` of work, `calls` of tools and models,
    `depth` of plans inside plans.
    """

    tokens: int | None = Field(default=None, ge=0)
    cost: float | None = Field(default=None, ge=0)
    seconds: float | None = Field(default=None, ge=0)
    calls: int | None = Field(default=None, ge=0)
    depth: int = Field(default=3, ge=0)


class Answer(Frozen):
    """A person's answer to a question.

    For an approval: `once`, `run` (this tool with arguments of this form, for the rest of the run), `always` (a rule
    that stays), `edit` (with other `arguments`), `deny` (with a reason in `text`). For a plan `once`,
    `edit` (another `plan`) or `deny`. For an uncertain call `once` (make it again), `text` (it was done, and gave
    this) or `deny` (leave it). For any other question `text` or `deny`.
    """

    decision: Literal["once", "run", "always", "edit", "deny", "text"]
    text: str = ""
    arguments: dict[str, Json] | None = None
    plan: Plan | None = None


class Question(Frozen):
    """Something that waits for a person.

    `approval`: may this call be made? `uncertain`: was this call done? `plan`: may this plan be done? `question`: of a
    step that wants to know something.
    """

    id: str
    kind: Literal["approval", "uncertain", "plan", "question"]
    step: str
    text: str
    """Why it is asked, or what."""
    instruction: str = ""
    tool: str | None = None
    arguments: dict[str, Json] | None = None
    plan: Plan | None = None


class ToolCall(Frozen):
    """A call that was made, and what came back (shortened)."""

    tool: str
    arguments: dict[str, Json]
    text: str
    is_error: bool = False


class StepResult(Frozen):
    """What a step gave. `value` is what other steps refer to; `text` is what a person reads.

    Errors are values, never raised.
    """

    step: str
    status: StepStatus
    value: Json = None
    text: str = ""
    fields: tuple[str, ...] = ()
    """Paths into `value` of what the instruction asked for; empty: all of it."""
    error: str | None = None
    sources: tuple[str, ...] = ()
    """What it was read from: workspace paths, addresses."""
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
    reason: str | None = None
    """Why nobody can, and what would help."""


class RunResult(Frozen):
    """The end of a run."""

    run: str
    request: str
    status: RunStatus
    answer: str
    route: Route | None = None
    plan: Plan | None = None
    results: tuple[StepResult, ...] = ()
    questions: tuple[Question, ...] = ()
    """What it waits for."""
    usage: Usage = Usage()

    @property
    def exit_code(self) -> int:
        """What a command line ends with."""
        return EXIT_CODES[self.status]

    def to_json(self) -> dict[str, Json]:
        """What `bottega run --json` prints: run_id, status, answer, route, plan, steps, questions, usage."""
        whole = self.model_dump(mode="json")
        return {
            "run_id": whole["run"],
            "status": whole["status"],
            "answer": whole["answer"],
            "route": whole["route"],
            "plan": whole["plan"],
            "steps": whole["results"],
            "questions": whole["questions"],
            "usage": whole["usage"],
        }
