"""What a crowd of other tools costs the house planner, on requests of the corpus.

    python benchmarks/crowd.py --data DIR [--crowd N ...] [--most N] [--show N]

Requests for the corpus's held-out servers (`one call`, `several calls`) and for the house's tools (`house`) are planned
with the tools of that server and the house, and with N tools of `DIR/pool/tools.jsonl.gz` beside them, which are on one
other server and say nothing of what they change. Right is a plan whose calls are of the right tools. A tool of the
crowd may do the same as the right one, so that 100% cannot be reached; what counts is the distance between the columns.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from again import tool_of
from honesty import changes

from bottega.agents.plan import Plan
from bottega.agents.planners.house import HousePlanner
from bottega.agents.planning import PlanningContext
from bottega.models.training.corpus import Compound, Example, Server, compounds, kept, read_servers, singles
from bottega.models.training.public import read_lines
from bottega.tools import Tool, ToolAnnotations, Workspace
from bottega.tools.house import house_toolsets

SEED = 3
KINDS = ("one call", "several calls", "house")


@dataclass(frozen=True)
class Asked:
    """A request, the tools whose calls do it, and the tools of the servers it is for."""

    kind: str
    request: str
    wanted: frozenset[str]
    server: str


def asked(servers: Sequence[Server], most: int) -> Iterator[Asked]:
    """At most `most` requests of each kind."""
    house = {tool.server for toolset in house_toolsets() for tool in toolset}
    held_out = [s for s in servers if s.held_out and s.name not in house]
    found = [_one("one call", e) for e in singles(held_out, 1, SEED)]
    found += [_several(c) for c in (*compounds(held_out, 1, SEED), *kept(held_out, 1, SEED))]
    found += [_one("house", e) for e in singles([s for s in servers if s.name in house], 1, SEED)]
    random.Random(SEED).shuffle(found)
    for kind in KINDS:
        yield from [one for one in found if one.kind == kind][:most]


def _one(kind: str, example: Example) -> Asked:
    return Asked(kind, example.instruction, frozenset([example.tool]), example.source)


def _several(compound: Compound) -> Asked:
    wanted = frozenset(call.tool for call in compound.calls)
    return Asked("several calls", compound.text, wanted, compound.calls[0].source)


def crowd_of(data: Path, size: int) -> list[Tool]:
    lines = list(read_lines(data / "pool" / "tools.jsonl.gz"))
    random.Random(SEED).shuffle(lines)
    some = lines[:size]
    names: dict[str, Tool] = {}
    for entry in some:
        tool = Tool(
            entry["name"],
            entry.get("description") or "",
            entry.get("input_schema") or {},
            _call,
            server="misc",
            remote=True,
        )
        names.setdefault(tool.id, tool)
    return list(names.values())


async def _call(arguments: object, context: object) -> None:
    raise NotImplementedError


def is_right(one: Asked, plan: Plan) -> bool:
    called = {step.tool for step in plan.steps if step.reported or step.tool in one.wanted}
    return called == one.wanted


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description="Measure what a crowd of other tools costs the planner.")
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--crowd", type=int, nargs="+", default=[0, 2000])
    p.add_argument("--most", type=int, default=100, help="requests of each kind at most")
    p.add_argument("--only", choices=KINDS)
    p.add_argument("--show", type=int, default=0, help="plans to show that a crowd has made wrong")
    p.add_argument("--vectors", type=Path, help="where vectors are kept between runs")
    a = p.parse_args(argv)
    servers = read_servers()
    house = [tool for toolset in house_toolsets() for tool in toolset]
    own = {s.name: [_annotated(tool_of(id, card)) for id, card in s.cards.items()] for s in servers if s.held_out}
    requests = [one for one in asked(servers, a.most) if a.only in (None, one.kind)]
    planner = HousePlanner(a.vectors)
    everything = [*house, *(tool for some in own.values() for tool in some), *crowd_of(a.data, max(a.crowd))]
    asyncio.run(planner.find_tools("anything", everything, 1))  # one index, whatever is asked of it
    plans: dict[int, list[Plan]] = {}
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.at(folder)
        for size in a.crowd:
            crowd = {tool.id for tool in crowd_of(a.data, size)}
            tools = [
                (*house, *own.get(one.server, ()), *(tool for tool in everything if tool.id in crowd))
                for one in requests
            ]
            begin = time.perf_counter()
            plans[size] = [_plan(planner, one, some, workspace) for one, some in zip(requests, tools, strict=True)]
            print(f"crowd {size}: {(time.perf_counter() - begin) / len(requests):.2f} s a request", file=sys.stderr)
    print(f"{'':<16}{'requests':>9}" + "".join(f"{f'crowd {size}':>12}" for size in a.crowd))
    for kind in KINDS:
        some = [n for n, one in enumerate(requests) if one.kind == kind]
        if not some:
            continue
        shares = [100 * sum(is_right(requests[n], plans[size][n]) for n in some) / len(some) for size in a.crowd]
        print(f"{kind:<16}{len(some):>9}" + "".join(f"{share:>12.1f}" for share in shares))
        first, last = plans[a.crowd[0]], plans[a.crowd[-1]]
        lost = [n for n in some if is_right(requests[n], first[n]) and not is_right(requests[n], last[n])]
        for n in lost[: a.show]:
            calls = [(step.instruction, step.tool) for step in last[n].steps]
            print(f"  {requests[n].request}\n    {sorted(requests[n].wanted)}\n    {calls}", file=sys.stderr)


def _annotated(tool: Tool) -> Tool:
    return replace(tool, annotations=ToolAnnotations(read_only=not changes(tool)), remote=True)


def _plan(planner: HousePlanner, one: Asked, tools: Sequence[Tool], workspace: Workspace) -> Plan:
    context = PlanningContext(workspace, tuple(tools), (), lambda level, text: None)
    return asyncio.run(planner.plan(one.request, context))


if __name__ == "__main__":
    main()
