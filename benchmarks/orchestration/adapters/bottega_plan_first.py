"""Bottega planning first: a model call for a plan whose steps are tool calls, and one for the report on them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

import job

from bottega import Bottega, RunResult, Toolset, tool
from bottega.models.chat import OpenAIChat

PACKAGES = ("bottega", "openai")


@tool(read_only=True)
async def lookup(key: str) -> str:
    """Look up the value of a key."""
    return job.value(key)


@dataclass
class Made:
    bottega: Bottega
    task: str
    folder: tempfile.TemporaryDirectory[str]
    """Kept here, for it is removed with its owner."""


def setup(server: str, names: tuple[str, ...]) -> Made:
    folder = tempfile.TemporaryDirectory()
    bottega = Bottega(
        folder.name,
        servers={},
        tools=Toolset.of("desk", "Values.", [lookup]),
        model=OpenAIChat(job.MODEL, base_url=f"{server}/v1"),
        planner="llm",
        concurrency=64,
    )
    return Made(bottega, job.task(names), folder)


async def run(made: Made, stream: bool) -> str:
    if not stream:
        return (await made.bottega.arun(made.task)).answer
    result: RunResult | None = None
    async for event in made.bottega.stream(made.task):
        if event.type == "run_finished":
            result = event.result
    assert result is not None
    return result.answer
