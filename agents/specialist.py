"""A `Specialist` does the steps given to it, with its own few tools or with a task model. The house has four."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..core.errors import BottegaError, PermissionNeeded, PlanError, ToolError, UsageError
from ..core.usage import Usage
from ..tools import Tool, ToolResult, Toolset
from .arguments import calls_of, check, fit, value_of
from .plan import Json, Reference, Step, StepResult, ToolCall
from .readable import Nearness, asked_fields, clean, readable

if TYPE_CHECKING:
    from ..models.chat import ChatClient, ChatReply, ChatRequest
    from .planning import Binder, Finder

SHOWN_PER_CALL = 2_000
"""Characters of a call's text that its record keeps."""

MOST_VALUE = 5_000_000
"""Characters of text that a result may hand on to other steps."""


class Caller(Protocol):
    """Makes a call for a step. Raises `PermissionNeeded` for one that is not allowed; a failing tool is a result."""

    async def __call__(self, step: Step, tool: Tool, arguments: dict[str, Json]) -> ToolResult: ...


class Classifier(Protocol):
    """A task model that gives texts labels: for each text its labels with scores, the best first."""

    def classify(self, texts: Sequence[str]) -> list[list[tuple[str, float]]]: ...


class Completer(Protocol):
    """Asks a language model for a step: `client`, or the run's own.

    The reply is kept by the run, so that it is never asked for twice, and paid from its budget. Raises
    `BudgetExceeded`, `ModelError`, `ServerError`, and `UsageError` where there is no model.
    """

    async def __call__(self, step: Step, request: ChatRequest, client: ChatClient | None = None) -> ChatReply: ...


class Delegator(Protocol):
    """Gives a task to another specialist, as a step below `step` with a context of its own. Never raises."""

    async def __call__(self, step: Step, specialist: Specialist, task: str) -> StepResult: ...


class Questioner(Protocol):
    """Asks the person something for a step. Raises `PermissionNeeded` where there is nobody to ask."""

    async def __call__(self, step: Step, question: str) -> str: ...


@dataclass(frozen=True)
class StepContext:
    """What a specialist works with: the catalog, a way to call, a binder for steps that the planner left open, a way to
    tell which field of a result is near to what was asked, a search over tools, a language model, colleagues, and the
    person. What a run does not have is None."""

    tools: tuple[Tool, ...]
    call: Caller
    binder: Binder | None = None
    nearness: Nearness | None = None
    finder: Finder | None = None
    complete: Completer | None = None
    delegate: Delegator | None = None
    ask: Questioner | None = None


@dataclass(frozen=True)
class Specialist:
    """Someone who can do a kind of step.

    `tools` is a toolset, or any of tools, toolsets and names of toolsets or servers; without any it may use every tool
    there is. `examples` are requests it should get: the router learns from them and from the description. With `model`,
    the name of a trained classifier, it answers with the label for a text.

        Specialist("porter", "Knows which room a person works in.", tools=[room_of], examples=["Where does Ada sit?"])
    """

    name: str
    description: str
    tools: Toolset | Iterable[Tool | Toolset | str] = ()
    examples: tuple[str, ...] = ()
    model: str | None = None

    def __post_init__(self) -> None:
        if not self.name.strip() or "/" in self.name:
            raise UsageError(f"{self.name!r} cannot be the name of a specialist", hint="use letters, digits, - and _")
        given: list[Tool | Toolset | str] = [self.tools] if isinstance(self.tools, Toolset | str) else list(self.tools)
        object.__setattr__(self, "tools", tuple(self._named(part) for part in given))
        object.__setattr__(self, "examples", tuple(self.examples))

    def _named(self, part: Tool | Toolset | str) -> Tool | Toolset | str:
        """A tool that belongs to no toolset belongs to this specialist."""
        return dataclasses.replace(part, server=self.name) if isinstance(part, Tool) and not part.server else part

    @property
    def own_tools(self) -> tuple[Tool, ...]:
        """The tools it brings along, beside those it only names."""
        found: list[Tool] = []
        for part in self.tools:
            found.extend([] if isinstance(part, str) else [part] if isinstance(part, Tool) else part)
        return tuple(found)

    @property
    def general(self) -> bool:
        """Whether it may use every tool there is."""
        return not self.tools and self.model is None

    def usable(self, catalog: Iterable[Tool]) -> tuple[Tool, ...]:
        """The tools of `catalog` that it may use."""
        if self.general:
            return tuple(catalog)
        names = {part for part in self.tools if isinstance(part, str)}
        own = {t.id for t in self.own_tools}
        return tuple(t for t in catalog if t.server in names or t.id in own)

    async def perform(self, step: Step, inputs: Mapping[str, StepResult], context: StepContext) -> StepResult:
        """Does `step`, whose `inputs` are the results it needs. What goes wrong is the result, never raised."""
        try:
            return await self._perform(step, inputs, context)
        except PermissionNeeded as error:
            return StepResult(step=step.id, status="refused", error=str(error))
        except BottegaError as error:
            return StepResult(step=step.id, status="failed", error=str(error))

    async def _perform(self, step: Step, inputs: Mapping[str, StepResult], context: StepContext) -> StepResult:
        if step.problem:
            return StepResult(step=step.id, status="cannot", error=step.problem)
        if step.tool is None and self.model is not None:
            return await self._label(step, inputs)
        tools = self.usable(context.tools)
        if step.tool is None:
            binder = context.binder
            bound = await binder.bind(step.instruction, list(inputs.values()), tools) if binder else None
            if bound is None or bound.tool is None:
                why = (bound.problem if bound else None) or "no tool here fits this"
                return StepResult(step=step.id, status="cannot", error=why)
            found = {"tool": bound.tool, "arguments": bound.arguments, "confidence": bound.confidence}
            step = step.model_copy(update=found)
        tool = next((t for t in tools if t.id == step.tool), None)
        if tool is None:
            raise ToolError(f"{self.name} has no tool {step.tool!r}")
        return await self._use(tool, step, inputs, context)

    async def _use(self, tool: Tool, step: Step, inputs: Mapping[str, StepResult], context: StepContext) -> StepResult:
        planned = calls_of(step, tool, inputs)
        for arguments in planned:
            check(tool, arguments)
        if tool.annotations.read_only:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_outcome(step, tool, arguments, context.call)) for arguments in planned]
            outcomes = [task.result() for task in tasks]
        else:
            outcomes = [await _outcome(step, tool, arguments, context.call) for arguments in planned]
        near = context.nearness if tool.annotations.read_only else None  # of what was done, all is told
        return await asyncio.to_thread(_result, step, tool, planned, outcomes, near)

    async def _label(self, step: Step, inputs: Mapping[str, StepResult]) -> StepResult:
        assert self.model is not None
        given = step.arguments.get("text", step.instruction)
        text = fit(value_of(given, inputs) if isinstance(given, Reference) else given, {"type": "string"})
        labels = await asyncio.to_thread(_classify, self.model, text)
        if not labels:
            return StepResult(step=step.id, status="failed", error=f"the model {self.model!r} gave no label")
        label, score = labels[0]
        usage = Usage(model_calls=1)
        return StepResult(step=step.id, status="succeeded", value=label, text=label, confidence=score, usage=usage)


def house_specialists() -> tuple[Specialist, ...]:
    """Those who are always there: the operator for anything, analyst, reader and writer for their crafts."""
    return (
        Specialist(
            "operator",
            "Does everyday jobs with any tool: looks things up, counts, converts, calculates, searches, acts through "
            "connected servers.",
        ),
        Specialist(
            "analyst",
            "Answers questions about figures in tables and databases: totals, averages, extremes, counts, rankings, "
            "rows and columns.",
            tools=("tables", "sqlite"),
        ),
        Specialist("reader", "Answers questions from what a document says, and shows the passage.", tools=("reading",)),
        Specialist(
            "writer",
            "Works with files and texts: writes, copies, moves and lists files, summarises texts, finds addresses and "
            "dates in them.",
            tools=("files", "text"),
        ),
    )


def assign(step: Step, specialists: Sequence[Specialist], catalog: Sequence[Tool]) -> Specialist:
    """Who does `step`: the one it names, else the one whose craft its tool is, else a general one.

    Raises `PlanError` for a name that nobody has, and when nobody is there for it.
    """
    if step.specialist is not None:
        for specialist in specialists:
            if specialist.name == step.specialist:
                return specialist
        known = ", ".join(s.name for s in specialists)
        raise PlanError(f"step {step.id!r} is for {step.specialist!r}, who is not here", hint=f"there are {known}")
    for specialist in sorted(specialists, key=lambda s: s.general):
        if specialist.general or (step.tool and any(t.id == step.tool for t in specialist.usable(catalog))):
            return specialist
    raise PlanError(f"nobody here may use {step.tool!r}" if step.tool else f"nobody is there for step {step.id!r}")


async def _outcome(step: Step, tool: Tool, arguments: dict[str, Json], call: Caller) -> ToolResult | BottegaError:
    """A call's result, or the error that kept it from being made: one of several must not take the others along."""
    try:
        return await call(step, tool, arguments)
    except BottegaError as error:
        return error


def _result(
    step: Step,
    tool: Tool,
    planned: list[dict[str, Json]],
    outcomes: list[ToolResult | BottegaError],
    nearness: Nearness | None,
) -> StepResult:
    made = [o if isinstance(o, ToolResult) else ToolResult(str(o), is_error=True) for o in outcomes]
    good = [(arguments, result) for arguments, result in zip(planned, made, strict=True) if not result.is_error]
    bad = [(arguments, result) for arguments, result in zip(planned, made, strict=True) if result.is_error]
    values = [_value(result) for _, result in good]
    fanned = len(planned) > 1
    files = tuple(dict.fromkeys(f for _, result in good for f in result.files))
    refused = any(isinstance(o, PermissionNeeded) for o in outcomes)
    return StepResult(
        step=step.id,
        status="refused" if refused else "failed" if bad else "succeeded",
        value=(values if fanned else values[0]) if values else None,
        text="\n".join(clean(result.text) for _, result in good),
        fields=asked_fields(step.instruction, values[0], good[0][0], nearness) if values else (),
        error=_why(bad, fanned) if bad else None,
        sources=tuple(dict.fromkeys(s for arguments in planned for s in _sources(tool, arguments) if s not in files)),
        files=files,
        calls=tuple(
            ToolCall(tool=tool.id, arguments=a, text=clean(r.text, SHOWN_PER_CALL), is_error=r.is_error)
            for a, r in zip(planned, made, strict=True)
        ),
        confidence=step.confidence,
        usage=Usage(tool_calls=sum(isinstance(o, ToolResult) for o in outcomes)),
    )


def _value(result: ToolResult) -> Json:
    """The JSON value of a result: its data, the JSON in its text, or the text."""
    if result.data is not None:
        return result.data
    text = result.text[:MOST_VALUE]
    if text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            pass
    return text


def _why(bad: list[tuple[dict[str, Json], ToolResult]], fanned: bool) -> str:
    if not fanned:
        return clean(bad[0][1].text, 1_000) or "the tool failed and did not say why"
    return "; ".join(f"{readable(arguments)}: {clean(result.text, 200)}" for arguments, result in bad[:5])


def _sources(tool: Tool, arguments: dict[str, Json]) -> list[str]:
    """The workspace paths and addresses among the arguments."""
    return [
        value
        for name, value in arguments.items()
        if isinstance(value, str) and (tool.parameters.get(name) or {}).get("format") in ("path", "uri")
    ]


def _classify(name: str, text: str) -> list[tuple[str, float]]:
    from ..models.registry import open_model

    model: Classifier = open_model(name)
    return model.classify([text])[0]
