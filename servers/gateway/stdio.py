"""A gateway on stdin and stdout: one client, lines of JSON, both protocols.

Imports nothing heavy, so that it answers at once.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from ...tools.mcp.wire import INTERNAL_ERROR, METHOD_NOT_FOUND, MODERN, VERSION_KEY, Message, Refused, decoded, encoded
from .client import LEVELS, Call, Client, introduced
from .gateway import INVALID_PARAMS, Gateway, Result

Json = Any
Key = str | int
Source = Callable[[Callable[[bytes], None]], Awaitable[None]]
"""Gives each line that arrives to whom it is given, in the event loop, until there are no more."""

OLDER = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""The revisions with a handshake that are spoken, the newest last."""
_PARSE_ERROR, _INVALID_REQUEST, _UNSUPPORTED = -32700, -32600, -32022
_LONGEST_LINE = 32 * 2**20
_FULL = 2**20
"""Bytes that wait to be read by the client, above which notifications are dropped."""
_SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


async def serve_stdio(gateway: Gateway) -> None:
    """Serves over this process's stdin and stdout until stdin ends. What is printed meanwhile goes to stderr."""
    async with _pipes() as (source, out):
        await Conversation(gateway, out).serve(source)


class Conversation:
    """One client on a pair of streams."""

    def __init__(self, gateway: Gateway, out: _Out) -> None:
        self._gateway = gateway
        self._out = out
        self._client: Client | None = None
        self._answering: dict[Key, asyncio.Task[None]] = {}
        self._asked: dict[str, asyncio.Future[Message]] = {}
        self._count = 0
        self._listening: dict[Key, Message] = {}

    async def serve(self, source: Source) -> None:
        """Answers until the source ends; what is being answered then is cancelled."""
        unwatch = self._gateway.watch(self._tools_changed)
        try:
            async with asyncio.TaskGroup() as group:
                await source(lambda line: self._take(line, group))
                for task in list(self._answering.values()):
                    task.cancel()
        finally:
            unwatch()
            if self._client is not None:
                self._gateway.left(self._client)

    def _take(self, line: bytes, group: asyncio.TaskGroup) -> None:
        if not line.strip():
            return
        try:
            message = decoded(line)
        except (ValueError, RecursionError):
            self._send({"jsonrpc": "2.0", "id": None, "error": {"code": _PARSE_ERROR, "message": "this is not JSON"}})
            return
        if not isinstance(message, dict):
            error = {"code": _INVALID_REQUEST, "message": "a message is one JSON object"}
            self._send({"jsonrpc": "2.0", "id": None, "error": error})
            return
        method, key, params = message.get("method"), message.get("id"), message.get("params")
        if isinstance(method, str) and (params is None or isinstance(params, dict)):
            if key is None:
                self._hear(method, params or {})
            elif isinstance(key, str | int):
                if key in self._answering:
                    self._refuse(key, Refused(_INVALID_REQUEST, f"the id {key!r} is in use"))
                    return
                task = group.create_task(self._answer(key, method, params or {}))
                self._answering[key] = task
                task.add_done_callback(lambda _: self._answering.pop(key, None))
        elif isinstance(key, str) and (waiting := self._asked.get(key)) is not None:
            if not waiting.done():
                result = message.get("result")
                if isinstance(result, dict):
                    waiting.set_result(result)
                else:
                    waiting.set_exception(Refused.of(message.get("error")))
        elif method is not None and isinstance(key, str | int):
            self._refuse(key, Refused(_INVALID_REQUEST, "a request has a method, and params that are an object"))

    def _hear(self, method: str, params: Message) -> None:
        key = params.get("requestId")
        if method == "notifications/cancelled" and isinstance(key, str | int) and key in self._answering:
            self._answering[key].cancel()

    async def _answer(self, key: Key, method: str, params: Message) -> None:
        try:
            result = await self._result(key, method, params)
        except Refused as refused:
            self._refuse(key, refused)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            print(f"{method} failed: {error!r}", file=sys.stderr, flush=True)
            self._refuse(key, Refused(INTERNAL_ERROR, f"{method} failed"))
        else:
            text = result.text if isinstance(result, Result) else encoded(result)
            self._out.write(b'{"jsonrpc":"2.0","id":%b,"result":%b}\n' % (encoded(key), text))

    async def _result(self, key: Key, method: str, params: Message) -> Message:
        if method == "initialize":
            return self._initialize(params)
        if method == "ping" and self._client is not None:
            return {}
        client = self._who(params)
        modern = client.modern
        match method:
            case "tools/call":
                return await self._gateway.call_tool(
                    params, Call.of(params, client, self._say, None if modern else self._ask)
                )
            case "tools/list":
                return self._gateway.list_tools(params, modern=modern)
            case "server/discover" if modern:
                return {
                    "resultType": "complete",
                    "supportedVersions": [MODERN],
                    "capabilities": self._gateway.capabilities(modern=True),
                    "instructions": self._gateway.instructions,
                    "ttlMs": 0,
                    "cacheScope": "private",
                    "_meta": {"io.modelcontextprotocol/serverInfo": self._gateway.identity},
                }
            case "subscriptions/listen" if modern:
                return await self._listen(key, params)
            case "logging/setLevel" if not modern:
                if params.get("level") not in LEVELS:
                    raise Refused(INVALID_PARAMS, f"level is one of {', '.join(LEVELS)}")
                client.level = params["level"]
                return {}
        raise Refused(METHOD_NOT_FOUND, f"there is no {method} here", method)

    def _who(self, params: Message) -> Client:
        """The client of a request. Raises `Refused` where it has not introduced itself."""
        meta = params.get("_meta")
        if not isinstance(meta, dict) or VERSION_KEY not in meta:
            if self._client is None:
                raise Refused(INVALID_PARAMS, "a conversation begins with initialize, or each request says who asks")
            return self._client
        if (client := introduced(params)) is not None:
            return client
        version = meta[VERSION_KEY]
        if version != MODERN and isinstance(version, str):
            data = {"supported": [MODERN], "requested": version}
            raise Refused(_UNSUPPORTED, f"the version {version!r} is not spoken here", data)
        raise Refused(INVALID_PARAMS, "_meta lacks what the version of the protocol wants in it")

    def _initialize(self, params: Message) -> Message:
        asked, capabilities, info = (params.get(k) for k in ("protocolVersion", "capabilities", "clientInfo"))
        if not isinstance(asked, str) or not isinstance(capabilities, dict) or not isinstance(info, dict):
            raise Refused(INVALID_PARAMS, "initialize takes protocolVersion, capabilities and clientInfo")
        version = asked if asked in OLDER else OLDER[-1]
        name = info.get("name")
        if self._client is not None:
            self._gateway.left(self._client)
        self._client = Client(version, capabilities, name if isinstance(name, str) else "")
        self._gateway.joined(self._client)
        return {
            "protocolVersion": version,
            "capabilities": self._gateway.capabilities(modern=False),
            "serverInfo": self._gateway.identity,
            "instructions": self._gateway.instructions,
        }

    async def _listen(self, key: Key, params: Message) -> Message:
        """Tells of changed tools for as long as the request is not cancelled."""
        wanted = params.get("notifications")
        honoured = {"toolsListChanged": True} if isinstance(wanted, dict) and wanted.get("toolsListChanged") else {}
        meta = {_SUBSCRIPTION: key}
        self._say("notifications/subscriptions/acknowledged", {"notifications": honoured, "_meta": meta})
        if honoured:
            self._listening[key] = meta
        try:
            await asyncio.Event().wait()
        finally:
            self._listening.pop(key, None)
        raise AssertionError("unreachable")

    def _tools_changed(self) -> None:
        if self._client is not None:
            self._say("notifications/tools/list_changed", {})
        for meta in self._listening.values():
            self._say("notifications/tools/list_changed", {"_meta": meta})

    async def _ask(self, method: str, params: Message) -> Message:
        self._count += 1
        key = f"g{self._count}"
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._asked[key] = answer
        self._send({"jsonrpc": "2.0", "id": key, "method": method, "params": params})
        try:
            return await answer
        except asyncio.CancelledError:
            self._say("notifications/cancelled", {"requestId": key})
            raise
        finally:
            del self._asked[key]

    def _say(self, method: str, params: Message) -> None:
        if self._out.waiting < _FULL:
            self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def _refuse(self, key: Key, refused: Refused) -> None:
        self._send({"jsonrpc": "2.0", "id": key, "error": refused.to_json()})

    def _send(self, message: Message) -> None:
        self._out.write(encoded(message) + b"\n")


class _Out:
    """Writes lines: through the event loop where stdout is a pipe, at once where it is a file or a terminal."""

    def __init__(self, file: int, writer: asyncio.StreamWriter | None) -> None:
        self._file = file
        self._writer = writer

    @property
    def waiting(self) -> int:
        """Bytes that the client has not read yet."""
        return self._writer.transport.get_write_buffer_size() if self._writer else 0

    def write(self, line: bytes) -> None:
        if self._writer is not None:
            if not self._writer.is_closing():
                self._writer.write(line)
            return
        while line:
            line = line[os.write(self._file, line) :]


@asynccontextmanager
async def _pipes() -> AsyncIterator[tuple[Source, _Out]]:
    """This process's stdin, line by line, and its stdout. Descriptors 0 and 1 are others meanwhile.

    So no server that is started reads what is meant for us, and nothing that is printed gets between the lines.
    """
    wire_in, wire_out = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    loop = asyncio.get_running_loop()
    writer = None
    if _is_pipe(wire_out):
        transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(wire_out, "wb"))
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
    out = _Out(wire_out, writer)

    async def of_a_pipe(take: Callable[[bytes], None]) -> None:
        reading = _Reading(take, out)
        with os.fdopen(wire_in, "rb") as file:
            transport, _ = await loop.connect_read_pipe(lambda: reading, file)
            try:
                await reading.ended
            finally:
                transport.close()

    try:
        yield of_a_pipe if _is_pipe(wire_in) else partial(_of_a_file, wire_in), out
    finally:
        if writer is not None:
            writer.close()


def _is_pipe(file: int) -> bool:
    mode = os.fstat(file).st_mode
    return sys.platform != "win32" and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))


class _Reading(asyncio.Protocol):
    """Parts what arrives into lines. Reads no further while the client does not read what it asked for."""

    def __init__(self, take: Callable[[bytes], None], out: _Out) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._take = take
        self._out = out
        self._rest = bytearray()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        if b"\n" in data:
            *lines, rest = bytes(self._rest).split(b"\n")
            self._rest = bytearray(rest)
            for line in lines:
                self._take(line)
        if len(self._rest) > _LONGEST_LINE:
            print("the client sent a line that is too long", file=sys.stderr, flush=True)
            self._end()
        elif self._out.waiting > 4 * _FULL:
            self._transport.pause_reading()
            self._again()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _again(self) -> None:
        if self._out.waiting > _FULL:
            asyncio.get_running_loop().call_later(0.05, self._again)
        elif not self._transport.is_closing():
            self._transport.resume_reading()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def _of_a_file(file: int, take: Callable[[bytes], None]) -> None:
    """The lines of what the event loop cannot wait for: read by a thread that nobody waits for."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    def read() -> None:
        try:
            with os.fdopen(file, "rb") as source:
                for line in source:
                    loop.call_soon_threadsafe(take, line)
            loop.call_soon_threadsafe(end)
        except RuntimeError:
            pass  # the loop is closed: nobody listens any more

    threading.Thread(target=read, daemon=True).start()
    await ended
