"""LangChain: `create_agent` on LangGraph, the workers' agents as tools of the supervisor's."""

from __future__ import annotations

from typing import Any

import job
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

PACKAGES = ("langchain", "langgraph", "langchain-openai", "openai")


@tool
async def lookup(key: str) -> str:
    """Look up the value of a key."""
    return job.value(key)


def setup(server: str, names: tuple[str, ...]) -> tuple[Any, str]:
    model = ChatOpenAI(base_url=f"{server}/v1", api_key="none", model=job.MODEL)

    def as_tool(name: str) -> Any:
        agent = create_agent(model, [lookup], system_prompt=job.worker(name), name=name)

        @tool(f"ask_{name}", description=f"Ask {name}.")
        async def ask(task: str) -> str:
            given = await agent.ainvoke({"messages": [("user", task)]})
            return str(given["messages"][-1].content)

        return ask

    return create_agent(model, [as_tool(n) for n in names], system_prompt=job.SUPERVISOR), job.task(names)


async def run(made: tuple[Any, str], stream: bool) -> str:
    supervisor, task = made
    messages = {"messages": [("user", task)]}
    if not stream:
        return str((await supervisor.ainvoke(messages))["messages"][-1].content)
    pieces: list[str] = []
    async for chunk, about in supervisor.astream(messages, stream_mode="messages"):
        if about.get("langgraph_node") == "model":
            pieces.append(chunk.content)
    return "".join(pieces)
