"""How often the house planner links the right calls, on requests of UltraTool (split gnn_test) with an annotated graph.

    python benchmarks/links.py --data DIR [--most N] [--show N]

The catalog is the tools that the request wants. A plan links one step to another by a reference to its result or by
`after`; a link counts as a pair of tools, and F1 is over all links together. UltraTool's graphs are an order of calls,
whether data flows or not, and nearly all of them are the chain of the calls as listed: that row is told calls and
order, the planner is not. Another row links each of the planner's own steps to the one before.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from calls import SEED, tool_of
from segments import planned

from bottega.agents.plan import Plan
from bottega.agents.planners.house import HousePlanner
from bottega.models.training.public import read_lines

Links = set[tuple[str, str]]
"""Pairs of tools, the first of which comes before the second."""


def links(tools: Iterable[tuple[str | None, str | None]]) -> Links:
    """Without those of a tool with itself, or with a step that has none."""
    return {(a, b) for a, b in tools if a and b and a != b}


def linked(plan: Plan) -> Links:
    """What the plan's steps need of each other."""
    return links((plan[need].tool, step.tool) for step in plan.steps for need in step.needs)


def chain(tools: Sequence[str | None]) -> Links:
    return links(pairwise(tools))


def gold(query: Mapping[str, Any]) -> Links:
    """The annotated links; a few of them lead to a call that is not listed, and are left out."""
    tools = [call["tool"] for call in query["calls"]]
    return links((tools[i], tools[j]) for i, j in query["dag"] if max(i, j) < len(tools))


def row(made: Sequence[Links], right: Sequence[Links]) -> str:
    """Links, precision, recall and F1; a dash for the precision of no link."""
    hits = sum(len(m & r) for m, r in zip(made, right, strict=True))
    told, wanted = sum(map(len, made)), sum(map(len, right))
    precision = f"{100 * hits / told:.1f}" if told else "-"
    return f"{told:>7}{precision:>11}{100 * hits / max(1, wanted):>8.1f}{200 * hits / max(1, told + wanted):>7.1f}"


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description="Measure how the calls of a request are linked.")
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--most", type=int, default=200)
    p.add_argument("--show", type=int, default=0, help="wrongly linked plans to show")
    a = p.parse_args(argv)
    entries = read_lines(a.data / "ultratool" / "tools.jsonl.gz")
    tools = {t["id"]: replace(tool_of(t), server=t["server"]) for t in entries}
    ids = {tool.id: id for id, tool in tools.items()}
    asked = [q for q in read_lines(a.data / "ultratool" / "queries.jsonl.gz") if q["split"] == "gnn_test"]
    asked = random.Random(SEED).sample(asked, min(a.most, len(asked)))
    planner, right = HousePlanner(), [gold(q) for q in asked]
    plans = []
    for q, edges in zip(asked, right, strict=True):
        plan = planned(planner, q["query"], [tools[id] for id in dict.fromkeys(c["tool"] for c in q["calls"])])
        named = [s.model_copy(update={"tool": ids.get(s.tool or "")}) for s in plan.steps]
        plans.append(plan.model_copy(update={"steps": tuple(named)}))
        if len(plans) <= a.show and linked(plans[-1]) != edges:
            print(f"  {q['query']}\n    {sorted(edges)}", file=sys.stderr)
            for step in named:
                print(f"    {step.id} {step.tool} {step.needs} {step.problem or step.instruction}", file=sys.stderr)
    rows = {
        "house planner": [linked(plan) for plan in plans],
        "its steps as a chain": [chain([step.tool for step in plan.steps]) for plan in plans],
        "no links": [Links() for _ in asked],
        "gold calls as a chain": [chain([c["tool"] for c in q["calls"]]) for q in asked],
    }
    print(f"{f'UltraTool, {len(asked)} requests':<27}{'links':>7}{'precision':>11}{'recall':>8}{'F1':>7}")
    for name, made in rows.items():
        print(f"{name:<27}{row(made, right)}")
    wanted = [(c["tool"], plan) for plan, q in zip(plans, asked, strict=True) for c in q["calls"]]
    called = sum(any(step.tool == tool for step in plan.steps) for tool, plan in wanted)
    print(f"The plans have a step for {100 * called / len(wanted):.1f} percent of the calls.")


if __name__ == "__main__":
    main()
