"""What those who decide are given and have to offer: the context of a run; protocols for router, planner and binder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from ..tools import Tool, Workspace
from .plan import Plan, Route, Step, StepResult
from .specialist import Specialist

if TYPE_CHECKING:
    from ..models.chat import ChatReply, ChatRequest


@dataclass(frozen=True)
class PlanningContext:
    """What a router or planner may look at.

    `notice` tells the person something, with a level of `info`, `warning` or `error`. `route` is what the router said,
    once it has. `complete` asks the run's language model, where it has one; the call is kept, counted and paid by the
    run, and raises `BudgetExceeded` where it cannot be paid. `demonstrations` are plans that succeeded for requests
    like this one, the likest first. `given` are results that a goal inside a plan may refer to, by step.
    """

    workspace: Workspace
    tools: tuple[Tool, ...]
    specialists: tuple[Specialist, ...]
    notice: Callable[[Literal["info", "warning", "error"], str], None]
    route: Route | None = None
    complete: Callable[[ChatRequest], Awaitable[ChatReply]] | None = None
    demonstrations: tuple[Plan, ...] = ()
    given: Mapping[str, StepResult] = field(default_factory=dict)


class Router(Protocol):
    """Decides who takes a request."""

    async def route(self, request: str, context: PlanningContext) -> Route: ...


class Planner(Protocol):
    """Makes plans. A `BottegaError` that it raises ends the run as failed, with its message as the answer."""

    async def plan(self, request: str, context: PlanningContext) -> Plan: ...

    async def revise(self, plan: Plan, results: Mapping[str, StepResult], context: PlanningContext) -> Plan | None:
        """A plan that goes round what failed, or None when there is no other way.

        Steps that stay the same, id and all, keep their results; `plan.revision` goes up by one.
        """
        ...


@dataclass(frozen=True)
class Binding:
    """What a binder makes of an instruction.

    `steps` do it in their order, each bound to a tool: the last gives the result, those before it what that one needs.
    Without any, `problem` says why there are none and what would help. `unused` counts what the instruction says
    plainly (numbers, names, quotations) and no argument takes up.
    """

    steps: tuple[Step, ...] = ()
    problem: str | None = None
    unused: int = 0

    @property
    def confidence(self) -> float:
        """How sure the last step is, from 0 to 1."""
        return self.steps[-1].confidence if self.steps else 0.0


@runtime_checkable
class Binder(Protocol):
    """Finds tools and arguments for steps that no planner has bound."""

    async def bind(
        self,
        instruction: str,
        earlier: Sequence[StepResult],
        tools: Sequence[Tool],
        workspace: Workspace | None = None,
    ) -> Binding:
        """How `tools` would do an instruction. Its arguments may refer to results of `earlier` by their step, and may
        be names of what lies in the workspace."""
        ...

    async def clauses(self, instruction: str) -> Sequence[str]:
        """The parts of an instruction that ask for one thing each, in order; at least one."""
        ...


@runtime_checkable
class Finder(Protocol):
    """Searches tools by what they do."""

    async def find_tools(self, query: str, tools: Sequence[Tool], limit: int) -> Sequence[Tool]:
        """At most `limit` of `tools`, the best for `query` first."""
        ...


@runtime_checkable
class Comparer(Protocol):
    """Compares texts by what they mean."""

    def nearness(self, text: str, others: Sequence[str]) -> Sequence[float]:
        """The cosine of each of `others` with `text`."""
        ...
