"""How often a request becomes the right number of calls, on requests of BFCL with the functions they come with.

    python benchmarks/segments.py --data DIR [--most N] [--show N]

Beside the house planner stands the splitter alone, whose clauses are counted. `right functions` also wants each call to
be for the right function.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from calls import SEED, tool_of

from bottega.agents.plan import Each, Plan
from bottega.agents.planners.house import HousePlanner
from bottega.agents.planning import PlanningContext
from bottega.models.house.splitter import SplitterModel
from bottega.models.training.public import read_lines
from bottega.tools import Tool, Workspace

SETS = {
    "simple": "simple_python",
    "multiple": "multiple",
    "parallel": "parallel",
    "parallel_multiple": "parallel_multiple",
}


def calls_of(plan: Plan) -> Counter[str]:
    """How many calls of each tool a plan comes to; what cannot be done counts as a call of nothing."""
    found: Counter[str] = Counter()
    for step in plan.steps:
        lists = [v.each for v in step.arguments.values() if isinstance(v, Each) and isinstance(v.each, tuple)]
        found[step.tool or ""] += max((len(items) for items in lists), default=1)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description="Measure how requests are cut into calls.")
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--most", type=int, default=200)
    p.add_argument("--show", type=int, default=0, help="wrong plans of each set to show")
    p.add_argument("--only", choices=SETS)
    a = p.parse_args(argv)
    tools = {t["id"]: tool_of(t) for t in read_lines(a.data / "bfcl" / "tools.jsonl.gz")}
    queries = list(read_lines(a.data / "bfcl" / "queries.jsonl.gz"))
    planner, splitter = HousePlanner(), SplitterModel.open()
    print(f"{'BFCL':<20}{'requests':>9}{'splitter':>10}{'planner':>9}{'right functions':>17}", flush=True)
    for name, category in SETS.items():
        if a.only and name != a.only:
            continue
        asked = [q for q in queries if q["meta"]["category"] == category]
        asked = random.Random(SEED).sample(asked, min(a.most, len(asked)))
        cut = counted = right = shown = 0
        for q in asked:
            gold = Counter(tools[c["tool"]].id for c in q["calls"])
            made = calls_of(planned(planner, q["query"], [tools[c] for c in q["candidates"] if c in tools]))
            cut += len(splitter.split(q["query"])) == gold.total()
            counted += made.total() == gold.total()
            right += made == gold
            if made.total() != gold.total() and shown < a.show:
                shown += 1
                print(f"  {q['query']}\n    {dict(gold)}\n    {dict(made)}", file=sys.stderr)
        shares = "".join(f"{100 * n / len(asked):>{w}.1f}" for n, w in ((cut, 10), (counted, 9), (right, 17)))
        print(f"{name:<20}{len(asked):>9}{shares}", flush=True)


def planned(planner: HousePlanner, request: str, tools: list[Tool]) -> Plan:
    """The plan in an empty folder: no file of the person's is meant."""
    with tempfile.TemporaryDirectory() as folder:
        context = PlanningContext(Workspace.at(folder), tuple(tools), (), lambda level, text: None)
        return asyncio.run(planner.plan(request, context))


if __name__ == "__main__":
    main()
