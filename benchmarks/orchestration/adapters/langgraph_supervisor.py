"""langgraph-supervisor with its defaults: the supervisor hands over to one worker after the other."""

from __future__ import annotations

from itertools import count
from typing import Any

import job
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent
from langgraph_supervisor import create_supervisor

PACKAGES = ("langgraph-supervisor", "langgraph", "langchain-openai", "openai")

threads = count()


async def lookup(key: str) -> str:
    """Look up the value of a key."""
    return job.value(key)


def setup(server: str, names: tuple[str, ...]) -> tuple[Any, str]:
    model = ChatOpenAI(base_url=f"{server}/v1", api_key="none", model=job.MODEL)
    team = [create_react_agent(model, [lookup], prompt=job.worker(n), name=n) for n in names]
    return create_supervisor(team, model=model, prompt=job.SUPERVISOR).compile(), job.task(names)


async def run(made: tuple[Any, str], stream: bool) -> str:
    graph, task = made
    config = {"configurable": {"thread_id": str(next(threads))}, "recursion_limit": 1000}
    messages = {"messages": [("user", task)]}
    if not stream:
        return str((await graph.ainvoke(messages, config))["messages"][-1].content)
    pieces: list[str] = []
    async for chunk, _ in graph.astream(messages, config, stream_mode="messages"):
        pieces.append(str(chunk.content))
    return "".join(pieces)
