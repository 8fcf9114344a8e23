"""A run, from the request to its result. The stations are in `nodes.py`; here is what carries a run between them.

That is LangGraph; a run whose plan has one step goes the same way without it: the import takes longer than such a run.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..agents.plan import Plan, RunResult, StepResult
from ..agents.planning import Binder, Planner, PlanningContext, Router
from ..agents.readable import Nearness
from ..agents.reporter import Report, report
from ..agents.specialist import Specialist
from ..core.ids import new_id
from ..core.usage import Usage
from ..tools import Tool, ToolContext, Workspace
from ..tools.policy import Policy
from .approvals import Approvals, Approve
from .calls import Calls
from .events import (
    ApprovalAsked,
    ApprovalGiven,
    Emit,
    Level,
    Notice,
    RunFinished,
    RunStarted,
    StepFinished,
    ToolCalled,
    ToolReturned,
)
from .nodes import MOST_PLANS, NODES, SCHEMA, Node, State, following


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Who and what is at hand, the same for many runs."""

    workspace: Workspace
    tools: tuple[Tool, ...]
    specialists: tuple[Specialist, ...]
    planner: Planner
    policy: Policy
    router: Router | None = None
    binder: Binder | None = None
    nearness: Nearness | None = None
    approve: Approve = None
    concurrency: int = 8
    """Steps under way at once, and calls under way at once, in one run."""
    notices: tuple[tuple[Level, str], ...] = ()
    """Told at the start of each run: servers that are not there, for example."""


class Run:
    """One request and what has become of it so far. `go` does it."""

    def __init__(self, crew: Crew, request: str, emit: Emit) -> None:
        self.id = new_id("run")
        self.crew = crew
        self.request = request
        self.emit = emit
        self.context = PlanningContext(crew.workspace, crew.tools, crew.specialists, self._notice)
        self.calls = self._calls()
        self.plan: Plan | None = None
        self.results: dict[str, StepResult] = {}
        self.result: RunResult | None = None
        self._spent = Usage()
        self._started = time.perf_counter()

    async def go(self) -> RunResult:
        """Does the request. What goes wrong in plans, steps and tools is in the result; a cancellation goes on up."""
        self.emit(RunStarted(run=self.id, request=self.request, workspace=str(self.crew.workspace.root)))
        for level, text in self.crew.notices:
            self._notice(level, text)
        try:
            state = State(schema=SCHEMA)
            while (node := following(state)) is not None and not self._is_long():
                state.update(await NODES[node](state, self))
            if node is not None:
                graph = await asyncio.to_thread(run_graph)
                await graph.ainvoke(
                    state, context=self, config={"recursion_limit": (len(NODES) + 1) * (MOST_PLANS + 1)}
                )
        except asyncio.CancelledError:
            so_far = [report(self.plan, self.results).answer] if self.plan and self.results else []
            self.finish(Report("cancelled", "\n".join(["Cancelled.", *so_far])))
            raise
        assert self.result is not None
        return self.result

    def keep(self, result: StepResult) -> None:
        """Takes note of a step's result."""
        self.results[result.step] = result
        self._spent += result.usage
        self.emit(StepFinished(run=self.id, result=result))

    def finish(self, said: Report) -> None:
        """Ends the run with these words."""
        steps = self.plan.steps if self.plan else ()
        self.result = RunResult(
            run=self.id,
            request=self.request,
            status=said.status,
            answer=said.answer,
            route=self.context.route,
            plan=self.plan,
            results=tuple(self.results[s.id] for s in steps if s.id in self.results),
            usage=self._spent + Usage(seconds=round(time.perf_counter() - self._started, 3)),
        )
        self.emit(RunFinished(run=self.id, result=self.result))

    def _is_long(self) -> bool:
        return self.plan is not None and len(self.plan.steps) > 1

    def _notice(self, level: Level, text: str) -> None:
        self.emit(Notice(run=self.id, level=level, text=text))

    def _calls(self) -> Calls:
        run, emit = self.id, self.emit
        return Calls(
            context=ToolContext(self.crew.workspace, web=self.crew.policy.web),
            policy=self.crew.policy,
            approvals=Approvals(
                self.crew.approve,
                asked=lambda ask: emit(ApprovalAsked(run=run, approval=ask)),
                given=lambda ask, yes: emit(ApprovalGiven(run=run, approval=ask.id, approved=yes)),
            ),
            limit=asyncio.Semaphore(self.crew.concurrency),
            called=lambda step, call, tool, arguments: emit(
                ToolCalled(run=run, step=step, call=call, tool=tool, arguments=arguments)
            ),
            returned=lambda step, call, tool, text, is_error, seconds: emit(
                ToolReturned(run=run, step=step, call=call, tool=tool, text=text, is_error=is_error, seconds=seconds)
            ),
        )


@functools.cache
def run_graph() -> Any:
    """The run as a compiled LangGraph graph over `State`, with the `Run` as its context. Imports LangGraph."""
    # Read when LangGraph is imported: checkpoints may then hold plain data only.
    os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")
    from langgraph.graph import END, START, StateGraph
    from langgraph.runtime import Runtime

    def station(node: Node) -> Callable[..., Any]:
        async def pass_through(state: State, runtime: Runtime[Any]) -> State:
            return await node(state, runtime.context)

        return pass_through

    def onward(state: State) -> str:
        return following(state) or END

    graph = StateGraph(State)
    graph.add_conditional_edges(START, onward, [*NODES])
    for name, node in NODES.items():
        graph.add_node(name, station(node))
        graph.add_conditional_edges(name, onward, [*NODES, END])
    return graph.compile()
