"""A `Specialist` does the steps given to it: with its own few tools, with a task model, or with a language model."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..core.errors import BottegaError, PermissionNeeded, PlanError, ToolError, UsageError
from ..core.usage import Usage
from ..tools import Tool, ToolResult, Toolset, Workspace
from .arguments import fit, value_of
from .calling import GOES_UP, call_for
from .plan import Json, Reference, Step, StepResult
from .readable import Nearness
from .unbound import bound, carry_out

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ..models.chat import ChatClient, ChatReply, ChatRequest
    from .planning import Binder, Finder


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
    tell which field of a result is near to what was asked, a search over tools, a language model, colleagues, the
    person, and the folder. What a run does not have is None."""

    tools: tuple[Tool, ...]
    call: Caller
    binder: Binder | None = None
    nearness: Nearness | None = None
    finder: Finder | None = None
    complete: Completer | None = None
    delegate: Delegator | None = None
    ask: Questioner | None = None
    workspace: Workspace | None = None

    @functools.cached_property
    def by_id(self) -> Mapping[str, Tool]:
        """The catalog by the ids of its tools."""
        return {tool.id: tool for tool in self.tools}


@dataclass(frozen=True)
class Specialist:
    """Someone who can do a kind of step.

    `tools` is a toolset, or any of tools, toolsets and names of toolsets or servers; without any, and without a team,
    it may use every tool there is. `examples` are requests it should get: the router learns from them and from the
    description. With `model`, the name of a trained classifier, it answers with the label for a text.

        Specialist("porter", "Knows which room a person works in.", tools=[room_of], examples=["Where does Ada sit?"])

    With `prompt`, what it is told about its work, a language model does what no planner has bound to a tool: `chat`, or
    the run's own. It is shown the few tools that fit and can search for others. What only such a specialist has: a
    `team`, colleagues to whom it gives tasks; `asks`, whether it may ask the person; `returns`, the form of its result;
    `turns`, how often at most it asks its model in one step.

        Specialist("editor", "Writes articles.", prompt="Write like a newspaper.", team=(researcher, proofreader))

    Raises `UsageError` for what does not go together.
    """

    name: str
    description: str
    tools: Toolset | Iterable[Tool | Toolset | str] = ()
    examples: tuple[str, ...] = ()
    model: str | None = None
    prompt: str | None = None
    chat: ChatClient | None = None
    team: tuple[Specialist, ...] = ()
    turns: int = 20
    asks: bool = False
    returns: Mapping[str, Json] | type[BaseModel] | None = None

    def __post_init__(self) -> None:
        if not self.name.strip() or "/" in self.name:
            raise UsageError(f"{self.name!r} cannot be the name of a specialist", hint="use letters, digits, - and _")
        given: list[Tool | Toolset | str] = [self.tools] if isinstance(self.tools, Toolset | str) else list(self.tools)
        object.__setattr__(self, "tools", tuple(self._named(part) for part in given))
        object.__setattr__(self, "examples", tuple(self.examples))
        object.__setattr__(self, "team", tuple(self.team))
        self._check()

    def _check(self) -> None:
        if self.prompt is None and (self.chat or self.team or self.asks or self.returns):
            raise UsageError(
                f"{self.name} has chat, team, asks or returns, and no prompt", hint="these are for language models"
            )
        if self.prompt is not None and self.model is not None:
            raise UsageError(f"{self.name} has a prompt and a model", hint="it works with the one or with the other")
        if self.turns < 1:
            raise UsageError(f"{self.name} has {self.turns} turns", hint="it takes a number from 1")
        names = [colleague.name for colleague in self.team]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UsageError(f"two in the team of {self.name} are called {twice!r}")
        if self.returns is not None:
            from .forms import Form

            Form.of(self.returns)

    def _named(self, part: Tool | Toolset | str) -> Tool | Toolset | str:
        """A tool that belongs to no toolset belongs to this specialist."""
        return dataclasses.replace(part, server=self.name) if isinstance(part, Tool) and not part.server else part

    @functools.cached_property
    def own_tools(self) -> tuple[Tool, ...]:
        """The tools it brings along, beside those it only names."""
        found: list[Tool] = []
        for part in self.tools:
            found.extend([] if isinstance(part, str) else [part] if isinstance(part, Tool) else part)
        return tuple(found)

    @property
    def general(self) -> bool:
        """Whether it may use every tool there is."""
        return not self.tools and not self.team and self.model is None

    def usable(self, catalog: Iterable[Tool]) -> tuple[Tool, ...]:
        """The tools of `catalog` that it may use, and those it brings along, which are in the catalog or not."""
        if self.general:
            return tuple(catalog)
        found = {t.id: t for t in catalog if self.may_use(t)}
        return tuple((found | {t.id: t for t in self.own_tools if t.id not in found}).values())

    def may_use(self, tool: Tool) -> bool:
        """Whether it may use a tool."""
        names, own = self._names
        return self.general or tool.server in names or tool.id in own

    @functools.cached_property
    def _names(self) -> tuple[frozenset[str], frozenset[str]]:
        """The servers that it names, and the ids of its own tools."""
        return frozenset(part for part in self.tools if isinstance(part, str)), frozenset(t.id for t in self.own_tools)

    def _tool(self, id: str | None, context: StepContext) -> Tool | None:
        """The tool of that id, where it may use it."""
        if id is None:
            return None
        found = context.by_id.get(id) or next((t for t in self.own_tools if t.id == id), None)
        return found if found is not None and self.may_use(found) else None

    async def perform(self, step: Step, inputs: Mapping[str, StepResult], context: StepContext) -> StepResult:
        """Does `step`, whose `inputs` are the results it needs. What goes wrong is in the result.

        Raises only what concerns the run: `Halt`, `LedgerError`, `RunBusy`.
        """
        try:
            return await self._perform(step, inputs, context)
        except GOES_UP:
            raise
        except PermissionNeeded as error:
            return StepResult(step=step.id, status="refused", error=str(error))
        except BottegaError as error:
            return StepResult(step=step.id, status="failed", error=str(error))

    async def _perform(self, step: Step, inputs: Mapping[str, StepResult], context: StepContext) -> StepResult:
        if step.problem:
            return StepResult(step=step.id, status="cannot", error=step.problem)
        if step.tool is None and self.model is not None:
            return await self._label(step, inputs)
        tool = self._tool(step.tool, context)
        if self.prompt is not None and not (tool and _is_bound(step, tool)):
            from .dialogue import converse

            return await converse(self, step, inputs, context)
        if step.tool is None:
            tools = self.usable(context.tools)
            return await carry_out(step, await bound(step, inputs, tools, context), inputs, tools, context)
        if tool is None:
            raise ToolError(f"{self.name} has no tool {step.tool!r}")
        return await call_for(step, tool, inputs, context)

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


def generalist(chat: ChatClient | None = None, asks: bool = False) -> Specialist:
    """The one for what nobody could bind to a tool: any tool, by a language model. Without `chat` it is the run's."""
    return Specialist(
        "generalist",
        "Does what takes several tools and some thought, and what no other specialist is for.",
        prompt="You are a careful worker of all trades.",
        chat=chat,
        asks=asks,
    )


def assign(step: Step, specialists: Sequence[Specialist], catalog: Mapping[str, Tool]) -> Specialist:
    """Who does `step`: the one it names, else the one whose craft its tool is, else a general one.

    `catalog` has the tools by id. Raises `PlanError` for a name that nobody has, and when nobody is there for it.
    """
    if step.specialist is not None:
        for specialist in specialists:
            if specialist.name == step.specialist:
                return specialist
        known = ", ".join(s.name for s in specialists)
        raise PlanError(f"step {step.id!r} is for {step.specialist!r}, who is not here", hint=f"there are {known}")
    tool = catalog.get(step.tool or "")
    # Those of a craft first; of the general ones first those who need no language model.
    for specialist in sorted(specialists, key=lambda s: (s.general, s.prompt is not None)):
        if specialist.general or (tool is not None and specialist.may_use(tool)):
            return specialist
    raise PlanError(f"nobody here may use {step.tool!r}" if step.tool else f"nobody is there for step {step.id!r}")


def _is_bound(step: Step, tool: Tool) -> bool:
    """Whether a step says all that its tool has to be told."""
    told = {name for name, schema in tool.parameters.items() if schema.get("x-source") == "instruction"}
    return all(name in step.arguments or name in told for name in tool.required)


def _classify(name: str, text: str) -> list[tuple[str, float]]:
    from ..models.registry import open_model

    model: Classifier = open_model(name)
    return model.classify([text])[0]
