"""Known workflows go before planning: a planner and a router that look first whether a request asks for one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from ...core.errors import ConfigError
from ..plan import Plan, Route, StepResult
from ..planning import Planner, PlanningContext, Router
from .matching import Match, WorkflowMatcher

MOST_FILES = 500
"""Files of a workspace whose names are looked for in a request."""


class WorkflowPlanner:
    """Plans a request by the workflow it asks for, and by `planner` where there is none."""

    def __init__(self, planner: Planner, matcher: WorkflowMatcher) -> None:
        self._planner = planner
        self._matcher = matcher

    async def plan(self, request: str, context: PlanningContext) -> Plan:
        """The plan of the workflow, or of the planner. A workflow that cannot be done is told as a notice.

        Raises what the planner raises.
        """
        match = await _match(self._matcher, request, context)
        if match is not None and not match.problem:
            try:
                match.workflow.check(context.tools, [specialist.name for specialist in context.specialists])
            except ConfigError as error:
                context.notice("warning", f"the workflow {match.workflow.name!r} cannot be run: {error}")
            else:
                context.notice("info", f"planned by the workflow {match.workflow.name!r}")
                return match.workflow.plan(match.inputs, request)
        elif match is not None:
            context.notice("info", f"the workflow {match.workflow.name!r} is not run: {match.problem}")
        return await self._planner.plan(request, context)

    async def revise(self, plan: Plan, results: Mapping[str, StepResult], context: PlanningContext) -> Plan | None:
        """What the planner makes of it."""
        return await self._planner.revise(plan, results, context)


class WorkflowRouter:
    """Routes a request that asks for a workflow to the planner, and any other as `router` says."""

    def __init__(self, router: Router, matcher: WorkflowMatcher) -> None:
        self._router = router
        self._matcher = matcher

    async def route(self, request: str, context: PlanningContext) -> Route:
        match = await _match(self._matcher, request, context)
        if match is not None and not match.problem:
            return Route(kind="plan")
        return await self._router.route(request, context)


async def _match(matcher: WorkflowMatcher, request: str, context: PlanningContext) -> Match | None:
    files = context.workspace.files(limit=MOST_FILES) if matcher.workflows else ()
    return await asyncio.to_thread(matcher.match, request, tuple(files))
