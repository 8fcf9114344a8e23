"""For the tests of chat clients: quick patience, requests, and a server that says the bytes it is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bottega.core.errors import BottegaError
from bottega.models.chat import ChatReply, ChatRequest, Message, OpenAIChat, Patience, ToolOffer
from bottega.testing import ChatServer

QUICK = Patience(retries=2, first_wait=0.001, longest_wait=1.0, connect=5.0, silence=5.0)
KEY = "sk-averysecretkey0123456789"
SCHEMA = {
    "type": "object",
    "properties": {"town": {"type": "string"}},
    "required": ["town"],
    "additionalProperties": False,
}
LOOKUP = ToolOffer(name="lookup", description="Looks a value up.", parameters=SCHEMA)


def say(text: str = "hello there", **more: Any) -> ChatRequest:
    return ChatRequest(
        messages=(Message(role="system", content="Be brief."), Message(role="user", content=text)), **more
    )


@dataclass
class Outcome:
    """What became of one request to a scripted server."""

    server: ChatServer
    heard: list[str] = field(default_factory=list)
    reply: ChatReply = field(default_factory=ChatReply)
    error: BottegaError | None = None


def ask(
    answers: Iterable[Any] | Callable[[dict[str, Any]], Any],
    request: ChatRequest | None = None,
    *,
    stream: bool = False,
    make: Callable[..., Any] = OpenAIChat,
    model: str = "any",
    **options: Any,
) -> Outcome:
    """One request to a server that says `answers`, by the client that `make` makes."""
    options = {"patience": QUICK, "api_key": KEY} | options

    async def go() -> Outcome:
        async with ChatServer(answers) as server:
            chat, outcome = make(model, base_url=server.url, **options), Outcome(server)
            try:
                outcome.reply = await chat.complete(request or say(), outcome.heard.append if stream else None)
            except BottegaError as error:
                outcome.error = error
            finally:
                await chat.close()
            return outcome

    return asyncio.run(go())


@dataclass
class RawServer:
    """Says the same bytes to every request. `heads` are the request heads it was sent."""

    url: str
    heads: list[str] = field(default_factory=list)


@asynccontextmanager
async def raw(answer: bytes) -> AsyncIterator[RawServer]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length")
        )
        await reader.readexactly(length)
        said.heads.append(head)
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    said = RawServer(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    try:
        yield said
    finally:
        server.close()
        await server.wait_closed()


def http(body: str, kind: str = "application/json", status: int = 200) -> bytes:
    """A whole response."""
    content = body.encode()
    head = f"HTTP/1.1 {status} Said\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def ask_raw(answer: bytes, *, stream: bool = False, **options: Any) -> Outcome:
    """One request to a server that says these bytes."""
    options = {"patience": QUICK, "api_key": KEY} | options

    async def go() -> Outcome:
        async with raw(answer) as server:
            chat, outcome = OpenAIChat("any", base_url=server.url, **options), Outcome(ChatServer([]))
            try:
                outcome.reply = await chat.complete(say(), outcome.heard.append if stream else None)
            except BottegaError as error:
                outcome.error = error
            finally:
                await chat.close()
            return outcome

    return asyncio.run(go())
