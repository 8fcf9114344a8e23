"""Pydantic AI: the workers' agents as tools of the supervisor's. Its limit of 50 requests a run is lifted."""

from __future__ import annotations

from typing import Any

import job
from pydantic_ai import Agent, RunContext, Tool
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import UsageLimits

PACKAGES = ("pydantic-ai-slim", "openai")

UNLIMITED = UsageLimits(request_limit=None)


async def lookup(key: str) -> str:
    """Look up the value of a key."""
    return job.value(key)


def setup(server: str, names: tuple[str, ...]) -> tuple[Any, str]:
    model = OpenAIChatModel(job.MODEL, provider=OpenAIProvider(base_url=f"{server}/v1", api_key="none"))

    def as_tool(name: str) -> Any:
        agent = Agent(model, instructions=job.worker(name), tools=[lookup], name=name)

        async def ask(context: RunContext, task: str) -> str:
            """Ask a worker."""
            return str((await agent.run(task, usage=context.usage, usage_limits=UNLIMITED)).output)

        return Tool(ask, name=f"ask_{name}")

    return Agent(model, instructions=job.SUPERVISOR, tools=[as_tool(n) for n in names]), job.task(names)


async def run(made: tuple[Any, str], stream: bool) -> str:
    supervisor, task = made
    if not stream:
        return str((await supervisor.run(task, usage_limits=UNLIMITED)).output)
    async with supervisor.run_stream(task, usage_limits=UNLIMITED) as result:
        return "".join([piece async for piece in result.stream_text(delta=True, debounce_by=None)])
