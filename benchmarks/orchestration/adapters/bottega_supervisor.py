"""Bottega with a supervisor: a specialist with a team. Every call is kept in a ledger on the disk before it is used."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

import job

from bottega import Bottega, Plan, RunResult, Specialist, Step, Toolset, tool
from bottega.models.chat import OpenAIChat

PACKAGES = ("bottega", "openai")


@tool(read_only=True)
async def lookup(key: str) -> str:
    """Look up the value of a key."""
    return job.value(key)


DESK = Toolset.of("desk", "Values.", [lookup])


@dataclass
class Made:
    bottega: Bottega
    plan: Plan
    folder: tempfile.TemporaryDirectory[str]
    """Kept here, for it is removed with its owner."""


def setup(server: str, names: tuple[str, ...]) -> Made:
    folder = tempfile.TemporaryDirectory()
    team = tuple(Specialist(n, f"Knows {n}.", prompt=job.worker(n), tools=("desk",)) for n in names)
    supervisor = Specialist("supervisor", "Collects values.", prompt=job.SUPERVISOR, team=team)
    bottega = Bottega(
        folder.name,
        servers={},
        tools=DESK,
        specialists=[supervisor],
        model=OpenAIChat(job.MODEL, base_url=f"{server}/v1"),
        planner="none",
        concurrency=64,
    )
    step = Step(id="s1", instruction=job.task(names), specialist="supervisor")
    return Made(bottega, Plan(request=job.task(names), steps=(step,)), folder)


async def run(made: Made, stream: bool) -> str:
    if not stream:
        return (await made.bottega.arun(made.plan.request, made.plan)).answer
    result: RunResult | None = None
    async for event in made.bottega.stream(made.plan.request, made.plan):
        if event.type == "run_finished":
            result = event.result
    assert result is not None
    return result.answer
