"""The same again goes before planning: a plan that succeeded, for a request that has other values in the same words."""

from __future__ import annotations

from collections.abc import Mapping

from ..again import again
from ..plan import Plan, StepResult
from ..planning import Planner, PlanningContext


class RecallingPlanner:
    """Plans a request as one of the context's demonstrations was, where only values differ, and else by `planner`."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner

    async def plan(self, request: str, context: PlanningContext) -> Plan:
        """The plan that is recalled, or that the planner makes. Raises what the planner raises."""
        recalled = _recalled(request, context)
        if recalled is None:
            return await self._planner.plan(request, context)
        context.notice("info", "planned as a request of the same form was before")
        return recalled

    async def revise(self, plan: Plan, results: Mapping[str, StepResult], context: PlanningContext) -> Plan | None:
        """What the planner makes of it; of a recalled plan that failed, what it would have planned itself."""
        revised = await self._planner.revise(plan, results, context)
        recalled = _recalled(plan.request, context)
        if revised is not None or recalled is None or recalled.steps != plan.steps:
            return revised
        made = await self._planner.plan(plan.request, context)
        return None if made.steps == plan.steps else made


def _recalled(request: str, context: PlanningContext) -> Plan | None:
    found = (again(request, plan, context.tools) for plan in context.demonstrations)
    return next((plan for plan in found if plan is not None), None)
