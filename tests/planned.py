"""The real command line on the house's tools and real servers; only the plan is given: a request is its steps, in JSON.

Run by tests of what goes wrong: `python planned.py run '[{"tool": "calc/calculate", "arguments": {...}}]'`.
"""

import functools
import json
import sys

import bottega.workshop as workshop
from bottega import Plan, Step
from bottega.agents.planning import PlanningContext
from bottega.cli import main
from bottega.testing import ScriptedPlanner


class Planner(ScriptedPlanner):
    async def plan(self, request: str, context: PlanningContext) -> Plan:
        steps = [Step(id=f"s{n}", instruction=one["tool"], **one) for n, one in enumerate(json.loads(request), 1)]
        return Plan(request=request, steps=tuple(steps))


if __name__ == "__main__":
    workshop.Bottega = functools.partial(workshop.Bottega, planner=Planner([]))
    sys.exit(main())
