"""A server of language models on loopback that does as it is told, with the faults that real ones have."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import cast

from ..loop import LoopThread
from ..models.chat import ChatReply
from .faults import Cut, Fault, Garbled, Refused, Silent, Slow
from .http import (
    Body,
    message_of,
    object_in,
    open_stream,
    pieces_of,
    read_request,
    words_in,
    write_chunk,
    write_event,
    write_json,
    write_whole,
)
from .script import Script, counted, numbered

Answer = str | ChatReply | Fault


class ChatServer:
    """An OpenAI-compatible server of chat completions on a free port of 127.0.0.1; `url` is its base URL.

        with ChatServer([Refused(429, retry_after=0.1), "Hello."]) as server:
            chat = OpenAIChat("any", base_url=server.url)

    Answers come in order, or from a function of each request's JSON body, which may be asynchronous. An answer is text,
    a `ChatReply` or a fault. Each comes after `latency` seconds. What is streamed is given word by word; a word counts
    as a token where a reply tells no usage. `async with` serves in the running event loop, `with` in a thread.

    `requests` holds the bodies it was sent, `calls` how many, `peak` how many were under way at once, `connections` how
    many were opened, `input_tokens` and `output_tokens` what was told in whole replies.
    """

    def __init__(
        self,
        answers: Iterable[Answer] | Callable[[Body], Answer | Awaitable[Answer]],
        *,
        latency: float = 0.0,
    ) -> None:
        self.latency = latency
        self.url = ""
        self.peak = self.connections = self.input_tokens = self.output_tokens = 0
        self._script: Script[Body, Answer | Awaitable[Answer]] = Script(answers)
        self._under_way = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread: LoopThread | None = None

    @property
    def requests(self) -> list[Body]:
        return self._script.asked

    @property
    def calls(self) -> int:
        return len(self._script.asked)

    def assert_done(self) -> None:
        """Raises `AssertionError` where answers are left that nobody asked for."""
        self._script.assert_done()

    async def __aenter__(self) -> ChatServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: object) -> None:
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def __enter__(self) -> ChatServer:
        self._thread = LoopThread()
        return self._thread.run(self.__aenter__())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._thread:
            self._thread.run(self.__aexit__(kind, error, at))
            self._thread.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request."""
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks.add(task)
        self.connections += 1
        try:
            while True:
                path, body = await read_request(reader)
                if path.endswith("/chat/completions"):
                    await self._complete(writer, body)
                elif path.endswith("/models"):
                    write_json(writer, 200, {"object": "list", "data": [{"id": "scripted", "object": "model"}]})
                else:
                    write_json(writer, 404, {"error": {"message": f"there is no {path}"}})
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the server is closed
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _complete(self, writer: asyncio.StreamWriter, content: bytes) -> None:
        self._under_way += 1
        self.peak = max(self.peak, self._under_way)
        try:
            body = object_in(content)
            if body is None:
                write_json(writer, 400, {"error": {"message": "the body is no JSON object"}})
                return
            answer = await self._answer(body)
            if self.latency:
                await asyncio.sleep(self.latency)
            await self._say(writer, answer, body)
        finally:
            self._under_way -= 1

    async def _answer(self, body: Body) -> Answer:
        """What the script says; its own errors are told to the client, so that a test fails with them."""
        try:
            answer = self._script.next(body)
            return await answer if inspect.isawaitable(answer) else answer
        except Exception as error:
            return Refused(400, f"the script of the test server: {type(error).__name__}: {error}")

    async def _say(self, writer: asyncio.StreamWriter, answer: Answer, body: Body) -> None:
        match answer:
            case Refused():
                headers = {} if answer.retry_after is None else {"Retry-After": str(answer.retry_after)}
                error = {"message": answer.message, "type": "scripted", "code": answer.code}
                write_json(writer, answer.status, {"error": error}, headers)
            case Garbled() if body.get("stream"):
                open_stream(writer)
                write_chunk(writer, f"data: {answer.body}\n\n".encode())
                write_chunk(writer, b"")
            case Garbled():
                write_whole(writer, 200, answer.body.encode())
            case Silent():
                await asyncio.Event().wait()
            case Cut():
                await self._give(writer, answer.reply, body, cut=answer)
            case Slow():
                await self._give(writer, answer.reply, body, pause=answer.seconds)
            case _:
                await self._give(writer, answer, body)

    async def _give(
        self,
        writer: asyncio.StreamWriter,
        said: str | ChatReply,
        body: Body,
        *,
        cut: Cut | None = None,
        pause: float = 0.0,
    ) -> None:
        """A reply, streamed or whole; cut, or with a pause before each piece."""
        reply = numbered(said, self.calls)
        read = reply.usage.input_tokens or words_in(body)
        frame = {"id": f"chatcmpl-{self.calls}", "created": 0, "model": reply.model or body.get("model", "scripted")}
        usage = {"prompt_tokens": read, "completion_tokens": counted(reply)}
        if body.get("stream"):
            frame["object"] = "chat.completion.chunk"
            open_stream(writer)
            pieces = pieces_of(reply)
            for piece in pieces[: cut.pieces] if cut else pieces:
                if pause:
                    await asyncio.sleep(pause)
                write_event(writer, {**frame, "choices": [{"index": 0, **piece}]})
            if cut:
                await _leave(writer, cut)
            if not cut and (body.get("stream_options") or {}).get("include_usage"):
                write_event(writer, {**frame, "choices": [], "usage": usage})
            if not cut:
                write_chunk(writer, b"data: [DONE]\n\n")
            write_chunk(writer, b"")
        else:
            if pause:
                await asyncio.sleep(pause)
            choice = {"index": 0, "message": message_of(reply), "finish_reason": None if cut else reply.finish}
            whole = {**frame, "object": "chat.completion", "choices": [choice], "usage": usage}
            write_whole(writer, 200, json.dumps(whole).encode(), missing=20 if cut and cut.how != "ended" else 0)
            if cut:
                await _leave(writer, cut)
        if not cut:
            self.input_tokens += read
            self.output_tokens += usage["completion_tokens"]


async def _leave(writer: asyncio.StreamWriter, cut: Cut) -> None:
    """What becomes of the connection of a reply that is cut."""
    if cut.how == "ended":
        return
    await writer.drain()
    if cut.how == "stalled":
        await asyncio.Event().wait()
    raise ConnectionResetError
