"""What the engine itself costs: a plan with a straggler, plans with many steps, and the ledger. Prints JSON.

    python engine.py [--postgres URL]

No model is asked: plans are given, and their tools wait or give a text.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bottega import Bottega, Plan, Step, StepResult, ToolResult, Toolset, Usage, tool
from bottega.agents.plan import Budget, ToolCall
from bottega.graphs.ledger import Ledger, RunWriter, digest_of

STRAGGLER = {"slow": (1.0, ()), "fast": (0.1, ()), "s2": (0.1, ("slow",)), "f2": (0.5, ("fast",)), "f3": (0.5, ("f2",))}
"""Step -> seconds, and what it comes after: each of two chains takes 1.1 s; in waves they would take 2.0 s."""

WIDTH = 20
"""Chains that go on side by side in a long plan."""

PAYLOAD = 2_000
"""Characters that each step of a long plan gives."""

WORDS = ("amber", "bench", "chisel", "drawing", "easel", "fresco", "gesso", "hall", "ink", "joint", "kiln", "loom")


@tool(read_only=True)
async def wait(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return "done"


@tool(read_only=True)
def give(number: int) -> str:
    """Give a text."""
    return payload(number)


TOOLS = Toolset.of("engine", "Tools that wait or give a text.", [wait, give])


def payload(number: int) -> str:
    """A text of its own for each step, which compresses like language."""
    words = random.Random(number).choices(WORDS, k=PAYLOAD // 5)
    return " ".join([str(number), *words])[:PAYLOAD]


def straggler() -> Plan:
    steps = [
        Step(id=id, instruction="wait", tool="engine/wait", arguments={"seconds": seconds}, after=after)
        for id, (seconds, after) in STRAGGLER.items()
    ]
    return Plan(request="wait", steps=tuple(steps))


def long_plan(count: int) -> Plan:
    """Chains of steps, side by side; each step comes after the one before it in its chain."""
    steps = [
        Step(
            id=f"s{n}",
            instruction=f"give text {n}",
            tool="engine/give",
            arguments={"number": n},
            after=(f"s{n - WIDTH}",) if n >= WIDTH else (),
            reported=n >= count - WIDTH,
        )
        for n in range(count)
    ]
    return Plan(request="give texts", steps=tuple(steps))


async def timed(plan: Plan, folder: Path, ledger: str | None = None) -> tuple[float, float]:
    """Seconds of wall and processor that a plan takes, once everything is loaded."""
    async with Bottega(folder, servers={}, tools=TOOLS, planner="none", ledger=ledger) as bottega:
        warm = await bottega.arun("wait", straggler().model_copy(update={"steps": straggler().steps[1:2]}))
        assert warm.status == "succeeded", warm.answer
        wall, cpu = time.perf_counter(), time.process_time()
        result = await bottega.arun(plan.request, plan)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert result.status == "succeeded", result.answer
    assert len(result.results) == len(plan.steps)
    return wall, cpu


def stragglers(runs: int) -> list[float]:
    """Seconds of each run of the plan with the straggler."""

    async def one(folder: str) -> float:
        return (await timed(straggler(), Path(folder)))[0]

    walls = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            walls.append(asyncio.run(one(folder)))
    return walls


def long_plans(counts: Sequence[int], postgres: str | None) -> list[dict[str, Any]]:
    """What plans of these lengths take, and how large the ledger's file is afterwards."""
    found: list[dict[str, Any]] = []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, ".bottega", "runs.db")
            wall, cpu = asyncio.run(timed(long_plan(count), Path(folder)))
            found.append(
                {
                    "steps": count,
                    "wall": wall,
                    "cpu": cpu,
                    "file": file.stat().st_size,
                    "payload": sum(len(payload(n)) for n in range(count)),
                    "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                }
            )
            if postgres:
                found[-1]["postgres"] = asyncio.run(timed(long_plan(count), Path(folder), postgres))[0]
    return found


async def ledger_costs(url: str, count: int = 500) -> dict[str, float]:
    """Milliseconds that the ledger takes, by the median: for a step with one call, the same with a call that has to be
    noted on the disk before it is made, and for opening and ending a run."""
    ledger = Ledger(url)
    ledger.prepare()
    opened = time.perf_counter()
    writer = await ledger.create("give texts", "/nowhere", Budget())
    opened = time.perf_counter() - opened
    plain = [await kept(writer, n, intended=False) for n in range(count)]
    noted = [await kept(writer, n, intended=True) for n in range(count, count + count // 5)]
    ended = time.perf_counter()
    await writer.finish("succeeded", "done", 1.0)
    ended = time.perf_counter() - ended
    ledger.close()
    median = {"step": statistics.median(plain), "step with an effect": statistics.median(noted)}
    return {name: seconds * 1e3 for name, seconds in {**median, "run": opened + ended}.items()}


async def kept(writer: RunWriter, number: int, *, intended: bool) -> float:
    """Seconds for keeping one step: its call, then its result."""
    text = payload(number)
    step, key = f"s{number}", digest_of("give", number)
    call = ToolCall(tool="engine/give", arguments={"number": number}, text=text)
    result = StepResult(step=step, status="succeeded", value=text, text=text, calls=(call,), usage=Usage(tool_calls=1))
    outcome = asdict(ToolResult(text))
    begun = time.perf_counter()
    if intended:
        await writer.intend(key, step, "tool", "engine/give")
    await writer.outcome(key, step, "tool", "engine/give", outcome, Usage(tool_calls=1), intended=intended)
    await writer.step(result, key, 1, 1)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--postgres")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ledgers = {"SQLite": asyncio.run(ledger_costs(f"sqlite:///{folder}/runs.db"))}
    if given.postgres:
        ledgers["PostgreSQL"] = asyncio.run(ledger_costs(given.postgres))
    long = long_plans((250, 500, 1_000), given.postgres)
    print(json.dumps({"straggler": stragglers(given.runs), "long": long, "ledger": ledgers}))


if __name__ == "__main__":
    main()
