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


@runtime_checkable
class Binder(Protocol):
    """Finds tool and arguments for a step that the planner left open."""

    async def bind(self, instruction: str, earlier: Sequence[StepResult], tools: Sequence[Tool]) -> Step | None:
        """A step with `tool` and `arguments`, or None when no tool fits."""
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
