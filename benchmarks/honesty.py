"""How often something is called where nothing fits, on the requests of BFCL that none of their functions can do.

    python benchmarks/honesty.py --data DIR [--most N] [--show N] [--annotated]

`any` is the share of requests with a call, `changing` with the call of a function that changes something, `helpful` the
share of those without a call that are told what would help: a tool, or what the request does not say. Below it stands
the other side: how many of the simple requests, which can be done, get a call at all. The rule beside it always calls
the best hit of the search.

BFCL's functions say nothing of what they change, so the planner holds each for one that does; with `--annotated` those
that change nothing by `changes` say so. A function changes something if its name has a verb that changes and none that
reads, or if its description begins with one, unless that is the sending of a GET request.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calls import SEED, tool_of
from segments import planned

from bottega.agents.plan import Plan
from bottega.agents.planners.house import HousePlanner
from bottega.models.house.slots import words
from bottega.models.training.public import read_lines
from bottega.tools import Tool, ToolAnnotations

IMPOSSIBLE = ("irrelevance", "live_irrelevance")
POSSIBLE = ("simple_python",)

CHANGING = (
    "add apply archive assign book buy cancel change close copy create delete disable edit enable initiate insert "
    "invite lock make modify move open order pay play post publish purchase record register remove rename reply "
    "reschedule reserve reset save schedule send set share start stop submit transfer turn uninstall unlock update "
    "upload write"
)
READING = "calculate check compute count fetch find get list query retrieve search show view"
LEADING = "a allow allows api enables function it the this to tool user users"
"""What stands before the verb of a description: `This function allows a user to send ...`."""

HELPS = re.compile(r"would help|does not say")


@dataclass(frozen=True)
class Outcome:
    """What came of a request: the functions that are called, and the problems of the steps without one."""

    request: str
    called: tuple[Tool, ...]
    problems: tuple[str, ...] = ()

    @property
    def changing(self) -> bool:
        return any(map(changes, self.called))

    @property
    def helpful(self) -> bool:
        return bool(self.problems) and all(HELPS.search(problem) for problem in self.problems)


def changes(tool: Tool) -> bool:
    """Whether a function changes something, by its words alone."""
    verbs, named = CHANGING.split(), words(tool.name).split()
    if any(verb in named for verb in verbs) and not any(verb in named for verb in READING.split()):
        return True
    said = words(tool.description)
    first = next((word for word in said.split() if word not in LEADING.split()), "")
    begins = any(first in (verb, f"{verb}s", f"{verb}es", f"{verb[:-1]}ies") for verb in verbs)
    return begins and not re.search(r"\bget (?:http )?request", said)


def outcome(request: str, plan: Plan, tools: Sequence[Tool]) -> Outcome:
    by_id = {t.id: t for t in tools}
    called = tuple(by_id[step.tool] for step in plan.steps if step.tool)
    return Outcome(request, called, tuple(step.problem or "" for step in plan.steps if not step.tool))


def by_rule(planner: HousePlanner, request: str, tools: Sequence[Tool]) -> Outcome:
    return Outcome(request, tuple(asyncio.run(planner.find_tools(request, tools, 1))))


def row(name: str, outcomes: Sequence[Outcome]) -> str:
    silent = [o for o in outcomes if not o.called]
    helpful = f"{100 * sum(o.helpful for o in silent) / len(silent):>9.1f}" if silent else f"{'-':>9}"
    shares = "".join(
        f"{100 * many / len(outcomes):>{width}.1f}"
        for many, width in ((len(outcomes) - len(silent), 8), (sum(o.changing for o in outcomes), 10))
    )
    return f"{name:<36}{len(outcomes):>9}{shares}{helpful}"


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description="Measure how often something is called where nothing fits.")
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--most", type=int, default=300, help="requests of each kind at most")
    p.add_argument("--show", type=int, default=0, help="wrong plans of each kind to show, changing ones first")
    p.add_argument("--annotated", action="store_true", help="say of functions that change nothing that they only read")
    a = p.parse_args(argv)
    tools = {t["id"]: tool_of(t) for t in read_lines(a.data / "bfcl" / "tools.jsonl.gz")}
    if a.annotated:
        tools = {id: replace(t, annotations=ToolAnnotations(read_only=not changes(t))) for id, t in tools.items()}
    queries = list(read_lines(a.data / "bfcl" / "queries.jsonl.gz"))
    planner = HousePlanner()
    print(f"{'BFCL':<36}{'requests':>9}{'any':>8}{'changing':>10}{'helpful':>9}", flush=True)
    for name, categories in (("nothing fits", IMPOSSIBLE), ("one function fits", POSSIBLE)):
        asked = [q for q in queries if q["meta"]["category"] in categories]
        asked = random.Random(SEED).sample(asked, min(a.most, len(asked)))
        found, plain = [], []
        for q in asked:
            candidates = [tools[c] for c in q["candidates"] or () if c in tools]
            plain.append(by_rule(planner, q["query"], candidates))
            found.append(outcome(q["query"], planned(planner, q["query"], candidates), candidates))
        print(row(f"{name}: best hit called", plain), row(f"{name}: planner", found), sep="\n", flush=True)
        wrong = [o for o in found if bool(o.called) == (categories is IMPOSSIBLE)]
        for one in sorted(wrong, key=lambda o: not o.changing)[: a.show]:
            said = [f"{t.name}: {t.description[:100]}" for t in one.called] or list(one.problems)
            print(f"  {one.request[:300]}", *(f"    {line}" for line in said), sep="\n", file=sys.stderr)


if __name__ == "__main__":
    main()
