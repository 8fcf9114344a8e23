"""A planner and a router that do as they are told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..agents.plan import Plan, Route, Step, StepResult
from ..agents.planning import PlanningContext


class ScriptedPlanner:
    """A planner that gives the steps it was made with, and after a failure those of `revision`.

        step = Step(id="s1", instruction="add", tool="calc/calculate", arguments={"expression": "1 + 1"})
        assert Bottega(planner=ScriptedPlanner([step])).run("What is 1 + 1?").status == "succeeded"

    `requests` holds what it was asked; `failures` what it was told had gone wrong.
    """

    def __init__(self, steps: Iterable[Step], revision: Iterable[Step] | None = None) -> None:
        self.requests: list[str] = []
        self.failures: list[str] = []
        self._steps = tuple(steps)
        self._revision = None if revision is None else tuple(revision)

    async def plan(self, request: str, context: PlanningContext) -> Plan:
        self.requests.append(request)
        return Plan(request=request, steps=self._steps)

    async def revise(self, plan: Plan, results: Mapping[str, StepResult], context: PlanningContext) -> Plan | None:
        self.failures += [result.error or "" for result in results.values() if result.status != "succeeded"]
        if self._revision is None:
            return None
        return Plan(request=plan.request, steps=self._revision)


class ScriptedRouter:
    """A router that gives the route it was made with. `requests` holds what it was asked."""

    def __init__(self, route: Route) -> None:
        self.requests: list[str] = []
        self._route = route

    async def route(self, request: str, context: PlanningContext) -> Route:
        self.requests.append(request)
        return self._route
