"""Microsoft Agent Framework: the workers as tools (`as_tool`) of the supervisor."""

from __future__ import annotations

from typing import Any

import job
from agent_framework import Agent
from agent_framework.openai import OpenAIChatCompletionClient

PACKAGES = ("agent-framework-core", "agent-framework-openai", "openai")


async def lookup(key: str) -> str:
    """Look up the value of a key."""
    return job.value(key)


def setup(server: str, names: tuple[str, ...]) -> tuple[Any, str]:
    client = OpenAIChatCompletionClient(model=job.MODEL, base_url=f"{server}/v1", api_key="none")
    team = [Agent(client, job.worker(n), name=n, description=f"Ask {n}.", tools=[lookup]) for n in names]
    tools = [agent.as_tool(name=f"ask_{agent.name}") for agent in team]
    return Agent(client, job.SUPERVISOR, name="supervisor", tools=tools), job.task(names)


async def run(made: tuple[Any, str], stream: bool) -> str:
    supervisor, task = made
    if not stream:
        return str((await supervisor.run(task)).text)
    return "".join([update.text or "" async for update in supervisor.run(task, stream=True)])
