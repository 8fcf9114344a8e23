"""The house planner first, and a language model where the house is not sure of its plan."""

from __future__ import annotations

from collections.abc import Mapping

from ...core.errors import FATAL, BottegaError, BudgetExceeded
from ..plan import Plan, StepResult
from ..planning import Planner, PlanningContext

SURE = 0.7
"""Least confidence of each step in a plan of the house that is taken as it is."""

_NOT_OURS = (BudgetExceeded, *FATAL)
"""Errors that no other planner mends."""


class EscalatingPlanner:
    """Takes the house's plan where every step of it is bound and at least as confident as `sure`; else that of `llm`,
    where the run has a language model.

    When `llm` fails, the house's plan is used after all, and the person is told.
    """

    def __init__(self, house: Planner, llm: Planner, sure: float = SURE) -> None:
        self._house = house
        self._llm = llm
        self._sure = sure

    async def plan(self, request: str, context: PlanningContext) -> Plan:
        """The plan of the one or the other. Raises what the house raises, and `BudgetExceeded`."""
        try:
            made = await self._house.plan(request, context)
        except BottegaError:
            if context.complete is None:
                raise
            return await self._llm.plan(request, context)
        if context.complete is None or self._is_good(made):
            return made
        try:
            return await self._llm.plan(request, context)
        except _NOT_OURS:
            raise
        except BottegaError as error:
            context.notice("warning", f"planned without the language model: {error}")
            return made

    async def revise(self, plan: Plan, results: Mapping[str, StepResult], context: PlanningContext) -> Plan | None:
        """The other way of `llm`, where there is a language model; else that of the house."""
        if context.complete is None:
            return await self._house.revise(plan, results, context)
        try:
            return await self._llm.revise(plan, results, context)
        except _NOT_OURS:
            raise
        except BottegaError as error:
            context.notice("warning", f"planned anew without the language model: {error}")
            return await self._house.revise(plan, results, context)

    def _is_good(self, plan: Plan) -> bool:
        return bool(plan.steps) and all(not s.problem and s.confidence >= self._sure for s in plan.steps)
