"""The six stations of a run, as plain functions of its state, and the way between them. `run.py` drives them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict

from ..agents.arguments import calls_of, check
from ..agents.plan import Json, Plan, Step, StepResult, references
from ..agents.reporter import Report, report
from ..agents.specialist import StepContext, assign
from ..core.errors import BottegaError, PermissionNeeded, ToolError
from ..tools import Tool
from .events import Planned, Routed, StepStarted
from .handover import checked
from .scheduler import run_steps

if TYPE_CHECKING:
    from .run import Run

SCHEMA = 1
"""The version of `State`."""

MOST_PLANS = 2
"""How often a request is planned: once, and once more after something failed."""


class State(TypedDict, total=False):
    """Where a run is: small, and JSON. The route, the plan and the results themselves are kept by the `Run`."""

    schema: int
    at: str
    """The station last passed."""
    routed: str
    """What the router said: specialist, plan or cannot."""
    plans: int
    """How often the request was planned."""
    steps: dict[str, str]
    """Step -> status, of all that are finished."""
    revise: bool
    """Whether the review wants another plan."""
    problem: str
    """Why there is no plan."""


Node = Callable[[State, "Run"], Awaitable[State]]


def following(state: State) -> str | None:
    """The station that comes next; None at the end."""
    match state.get("at"):
        case None:
            return "route"
        case "route":
            return "report" if state["routed"] == "cannot" else "plan"
        case "plan":
            return "report" if state.get("problem") else "approve"
        case "approve":
            return "execute"
        case "execute":
            return "review"
        case "review":
            return "plan" if state["revise"] else "report"
        case _:
            return None


async def route(state: State, run: Run) -> State:
    """Asks the router who should take the request. Without a router it is planned."""
    if run.crew.router is None:
        return State(at="route", routed="plan")
    try:
        found = await run.crew.router.route(run.request, run.context)
    except BottegaError as error:
        return State(at="route", routed="cannot", problem=str(error))
    run.context = replace(run.context, route=found)
    run.emit(Routed(run=run.id, route=found))
    return State(at="route", routed=found.kind)


async def plan(state: State, run: Run) -> State:
    """Has the request planned, or, after a review, planned anew round what failed."""
    passed = State(at="plan", plans=state.get("plans", 0) + 1)
    try:
        if run.plan is None:
            made: Plan | None = await run.crew.planner.plan(run.request, run.context)
        else:
            made = await run.crew.planner.revise(run.plan, dict(run.results), run.context)
        made = made and made.check()
    except BottegaError as error:
        if run.plan is None:
            return State(**passed, problem=str(error))
        made = None
    if made is not None:
        made = made.model_copy(update={"revision": run.plan.revision + 1 if run.plan else 1})
        run.results = _kept(run.plan, made, run.results)
        run.plan = made
        run.emit(Planned(run=run.id, plan=made))
    return State(**passed, steps=_statuses(run))


async def approve(state: State, run: Run) -> State:
    """Asks about the calls that are known in full, before any work is done; about the others when they are known.

    A no is remembered: it refuses its step when that is due.
    """
    assert run.plan is not None
    tools = {tool.id: tool for tool in run.crew.tools}
    for step in run.plan.steps:
        tool = tools.get(step.tool or "")
        if run.crew.approve is None or tool is None or step.id in run.results:
            continue
        for arguments in _known_calls(step, tool):
            try:
                await run.calls.permit(step, tool, arguments)
            except PermissionNeeded:
                continue
    return State(at="approve")


async def execute(state: State, run: Run) -> State:
    """Has every step done that is not done yet, each as soon as its inputs exist."""
    assert run.plan is not None
    crew = run.crew
    context = StepContext(crew.tools, run.calls, crew.binder, crew.nearness)

    async def perform(step: Step, inputs: dict[str, StepResult]) -> StepResult:
        try:
            specialist = assign(step, crew.specialists, crew.tools)
        except BottegaError as error:
            return StepResult(step=step.id, status="failed", error=str(error))
        run.emit(
            StepStarted(
                run=run.id, step=step.id, instruction=step.instruction, specialist=specialist.name, tool=step.tool
            )
        )
        return checked(step, await specialist.perform(step, inputs, context))

    await run_steps(run.plan, perform, finished=run.results, limit=crew.concurrency, done=run.keep)
    return State(at="execute", steps=_statuses(run))


async def review(state: State, run: Run) -> State:
    """Compares what came out with the plan: is there something that another plan could mend?"""
    lost = any(result.status in ("failed", "cannot") for result in run.results.values())
    return State(at="review", revise=lost and state["plans"] < MOST_PLANS)


async def tell(state: State, run: Run) -> State:
    """Composes the answer."""
    problem = state.get("problem")
    run.finish(Report("failed", problem) if problem else report(run.plan, run.results, run.context.route))
    return State(at="report")


NODES: Mapping[str, Node] = {
    "route": route,
    "plan": plan,
    "approve": approve,
    "execute": execute,
    "review": review,
    "report": tell,
}


def _kept(old: Plan | None, new: Plan, results: Mapping[str, StepResult]) -> dict[str, StepResult]:
    """The results that a new plan goes on with: those of steps that succeeded and are the same in it."""
    before = {step.id: step for step in old.steps} if old else {}
    same = {step.id for step in new.steps if before.get(step.id) == step}
    return {id: result for id, result in results.items() if id in same and result.status == "succeeded"}


def _known_calls(step: Step, tool: Tool) -> Iterator[dict[str, Json]]:
    """The calls of a step whose arguments do not depend on other steps, as far as they are valid."""
    if any(True for _ in references(step.arguments)):
        return
    try:
        for arguments in calls_of(step, tool, {}):
            check(tool, arguments)
            yield arguments
    except ToolError:
        return


def _statuses(run: Run) -> dict[str, str]:
    return {id: result.status for id, result in run.results.items()}
