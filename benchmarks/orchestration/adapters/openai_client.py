"""The floor: the job written by hand with asyncio and the openai client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import job
from openai import AsyncOpenAI

PACKAGES = ("openai",)

Ask = Callable[..., Awaitable[str]]


class Agent:
    """A prompt and its tools: asks the model and calls what it wants called, until it says something."""

    def __init__(self, client: AsyncOpenAI, prompt: str, tools: dict[str, tuple[str, Ask]]) -> None:
        self._client = client
        self._prompt = prompt
        self._tools = {name: ask for name, (_, ask) in tools.items()}
        self._offers: Any = [_offer(name, parameter) for name, (parameter, _) in tools.items()]

    async def __call__(self, task: str, stream: bool = False) -> str:
        messages: list[Any] = [{"role": "system", "content": self._prompt}, {"role": "user", "content": task}]
        while True:
            if stream and len(messages) > 2:
                return await self._streamed(messages)
            reply = await self._client.chat.completions.create(model=job.MODEL, messages=messages, tools=self._offers)
            message = reply.choices[0].message
            if not message.tool_calls:
                return message.content or ""
            messages.append(message.model_dump(exclude_none=True))
            calls: list[Any] = message.tool_calls
            given = await asyncio.gather(
                *(self._tools[c.function.name](**json.loads(c.function.arguments)) for c in calls)
            )
            for call, text in zip(calls, given, strict=True):
                messages.append({"role": "tool", "tool_call_id": call.id, "content": text})

    async def _streamed(self, messages: list[Any]) -> str:
        stream = await self._client.chat.completions.create(
            model=job.MODEL, messages=messages, tools=self._offers, stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        return "".join(pieces)


def _offer(name: str, parameter: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {parameter: {"type": "string"}}, "required": [parameter]}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": schema}}


async def lookup(key: str) -> str:
    return job.value(key)


def setup(server: str, names: tuple[str, ...]) -> tuple[Agent, str]:
    client = AsyncOpenAI(base_url=f"{server}/v1", api_key="none")
    team = {f"ask_{n}": ("task", Agent(client, job.worker(n), {"lookup": ("key", lookup)})) for n in names}
    return Agent(client, job.SUPERVISOR, dict(team)), job.task(names)


async def run(made: tuple[Agent, str], stream: bool) -> str:
    supervisor, task = made
    return await supervisor(task, stream)
