"""The six stations of a run, as plain functions of its state, and the way between them. `run.py` drives them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict

from ..agents.arguments import calls_of, check
from ..agents.plan import Json, Plan, RunStatus, Step, StepResult, references
from ..agents.reporter import Report, report
from ..core.errors import (
    FATAL,
    BottegaError,
    BudgetExceeded,
    Halt,
    ModelError,
    PermissionNeeded,
    PlanError,
    ServerError,
    ToolError,
)
from ..core.sound import sound
from ..tools import Tool
from .events import Planned, Routed
from .scheduler import UNFINISHED, run_steps

if TYPE_CHECKING:
    from .run import Run

SCHEMA = 1
"""The version of `State`."""

MOST_PLANS = 2
"""How often a request is planned: once, and once more after something failed."""


class State(TypedDict, total=False):
    """Where a run is: small, and JSON. Route, plan and results have rows of their own in the ledger."""

    schema: int
    at: str
    """The station last passed."""
    routed: str
    """What the router said: specialist, plan or cannot."""
    given: bool
    """Whether the plan came with the request: then no other is made."""
    plans: int
    """How often the request was planned."""
    again: int
    """How often the run was gone on with after its end."""
    revise: bool
    """Whether the review wants another plan."""
    problem: str
    """Why nothing can be done."""
    refused: bool
    """Whether the problem is that a person did not permit it, ..."""
    waits: bool
    """... that one has not answered yet, ..."""
    exhausted: bool
    """... or that the budget is spent."""


TOLD = ("succeeded", "partial")
"""Statuses of runs whose answer a language model may compose."""

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
            return "report" if state.get("problem") else "execute"
        case "execute":
            return "review"
        case "review":
            return "plan" if state["revise"] else "report"
        case _:
            return None


async def route(state: State, run: Run) -> State:
    """Asks the router who should take the request. Without a router, or with a plan, it is as planned."""
    if run.plan is not None:
        return State(at="route", routed="plan", given=True)
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
    """Has the request planned, or, after a review, planned anew round what failed. Keeps the plan."""
    count = state.get("plans", 0) + 1
    passed = State(at="plan", plans=count)
    run.journal.begin("plan", count)
    names = [s.name for s in run.crew.specialists]
    made: Plan | None
    try:
        if count == 1:
            made = run.plan if state.get("given") else await _planned(run)
        else:
            assert run.plan is not None
            assert run.crew.planner is not None
            made = await run.crew.planner.revise(run.plan, dict(run.results), run.context)
        made = made and sound(made).check(names)
    except FATAL:
        raise
    except BudgetExceeded as error:
        return State(**passed, problem=str(error), exhausted=True)
    except (ModelError, ServerError) as error:
        if count > 1:
            made = None
        elif run.crew.network is None:
            return State(**passed, problem=str(error))
        else:
            run.notice("warning", f"there is no plan, the specialists share the work: {error}")
            made = _shared(run.request)
    except BottegaError as error:
        if count == 1:
            return State(**passed, problem=str(error))
        made = None
    if made is not None:
        _take(run, made)
        await run.save(passed, route=run.context.route, plan=run.plan)
        run.emit(Planned(run=run.id, plan=made.model_copy(update={"revision": run.revision})))
    return passed


async def approve(state: State, run: Run) -> State:
    """Asks about the plan, where that is wanted, and about the calls that are known in full, before any work is done;
    about the others when they are known.

    A no to a call is remembered: it refuses its step when that is due.
    """
    assert run.plan is not None
    if run.crew.approve_plan:
        try:
            approved = await run.approvals.plan(run.plan)
            approved = approved.check(s.name for s in run.crew.specialists)
        except PermissionNeeded as error:
            return State(at="approve", problem=str(error), refused=True)
        except Halt as halt:
            return State(at="approve", problem=str(halt), waits=True)
        except PlanError as error:
            return State(at="approve", problem=f"the plan as it was edited cannot be: {error}")
        if approved is not run.plan:
            _take(run, approved)
            await run.save(State(at="approve"), plan=run.plan)  # whoever goes on from here need not ask again
            run.emit(Planned(run=run.id, plan=run.plan))
    tools = {tool.id: tool for tool in run.crew.tools}
    for step in run.plan.steps:
        tool = tools.get(step.tool or "")
        if run.crew.approve is None or tool is None or step.id in run.results:
            continue
        for arguments in _known_calls(step, tool):
            with suppress(PermissionNeeded, Halt):
                await run.calls.permit(step, tool, arguments)
    return State(at="approve")


async def execute(state: State, run: Run) -> State:
    """Has every step done that is not done yet, each as soon as its inputs exist."""
    assert run.plan is not None
    await run_steps(run.plan, run.steps, finished=run.results, slots=run.slots, done=run.heard)
    return State(at="execute")


async def review(state: State, run: Run) -> State:
    """Compares what came out with the plan: is there something that another plan could mend?"""
    assert run.plan is not None
    ended = [run.results[s.id].status for s in run.plan.steps if s.id in run.results]
    lost = any(status in ("failed", "cannot") for status in ended)
    open_ = len(ended) < len(run.plan.steps) or any(status in UNFINISHED for status in ended)
    can = run.crew.planner is not None and not state.get("given")
    return State(at="review", revise=lost and can and not open_ and state["plans"] < MOST_PLANS)


async def tell(state: State, run: Run) -> State:
    """Composes the answer."""
    if state.get("problem"):
        status: RunStatus = "failed"
        if state.get("waits"):
            status = "waiting"
        elif state.get("refused"):
            status = "stopped"
        elif state.get("exhausted"):
            status = "exhausted"
        said = Report(status, state["problem"])
    else:
        said = report(run.plan, run.results, run.context.route)
        complete = run.complete_as("report")
        if run.crew.tell is not None and complete is not None and run.plan is not None and said.status in TOLD:
            run.journal.begin("report", state.get("plans", 1))
            with suppress(BudgetExceeded):  # then it is told in plain words
                said = Report(said.status, await run.crew.tell(run.plan, run.results, complete))
    await run.finish(said)
    return State(at="report")


async def _planned(run: Run) -> Plan:
    """The plan of the planner; where there is none, one step for the specialists to share among themselves."""
    if run.crew.planner is not None:
        if run.crew.recall is not None:
            with suppress(ModelError):
                run.context = replace(run.context, demonstrations=await run.crew.recall(run.request))
        return await run.crew.planner.plan(run.request, run.context)
    return _shared(run.request)


def _shared(request: str) -> Plan:
    return Plan(request=request, steps=(Step(id="s1", instruction=request),))


def _take(run: Run, made: Plan) -> None:
    """Goes on with another plan, and with the results that hold in it too."""
    revision = run.revision + 1
    run.results = _kept(run.plan, made, run.results)
    run.plan = made.model_copy(update={"revision": revision})
    run.revision = revision


NODES: Mapping[str, Node] = {
    "route": route,
    "plan": plan,
    "approve": approve,
    "execute": execute,
    "review": review,
    "report": tell,
}


def _kept(old: Plan | None, new: Plan, results: Mapping[str, StepResult]) -> dict[str, StepResult]:
    """The results that a new plan goes on with: of steps that succeeded, and are the same in it with all they need."""
    before = {step.id: step for step in old.steps} if old else {}
    kept: dict[str, StepResult] = {}
    left = [step for step in new.steps if before.get(step.id) == step and step.id in results]
    while ready := [s for s in left if results[s.id].status == "succeeded" and all(n in kept for n in s.needs)]:
        kept.update((step.id, results[step.id]) for step in ready)
        left = [step for step in left if step.id not in kept]
    return kept


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
