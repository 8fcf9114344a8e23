"""OpenAI Agents SDK: the workers as tools (`as_tool`) of the supervisor."""

from __future__ import annotations

import job
from openai import AsyncOpenAI

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled

PACKAGES = ("openai-agents", "openai")


@function_tool
async def lookup(key: str) -> str:
    """Look up the value of a key."""
    return job.value(key)


def setup(server: str, names: tuple[str, ...]) -> tuple[Agent, str]:
    set_tracing_disabled(True)
    client = AsyncOpenAI(base_url=f"{server}/v1", api_key="none")
    model = OpenAIChatCompletionsModel(model=job.MODEL, openai_client=client)
    team = [Agent(name=n, instructions=job.worker(n), model=model, tools=[lookup]) for n in names]
    tools = [a.as_tool(tool_name=f"ask_{a.name}", tool_description=f"Ask {a.name}.") for a in team]
    return Agent(name="supervisor", instructions=job.SUPERVISOR, model=model, tools=tools), job.task(names)


async def run(made: tuple[Agent, str], stream: bool) -> str:
    supervisor, task = made
    if not stream:
        return str((await Runner.run(supervisor, task)).final_output)
    streamed = Runner.run_streamed(supervisor, task)
    async for _ in streamed.stream_events():
        pass
    return str(streamed.final_output)
