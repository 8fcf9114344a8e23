"""Requests as raw JSON over an open connection, beside the SDK's session: what is passed on is not looked into.

For a gateway. The session's models would take apart and put together again what only has to go through, and leave out
what they do not know. Importing this module imports nothing heavy.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Protocol

from pydantic_core import PydanticSerializationError, from_json, to_json

from ...core.errors import ServerError
from .definitions import Closed, SessionLost, clean
from .http1 import Answer, Poster

Json = Any
Message = dict[str, Json]

MODERN = "2026-07-28"
"""The revision of the protocol since which each request says for itself what its client can do."""
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
INFO_KEY = "io.modelcontextprotocol/clientInfo"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
_ENVELOPE = (VERSION_KEY, INFO_KEY, CAPABILITIES_KEY)

METHOD_NOT_FOUND = -32601
INTERNAL_ERROR = -32603

_BURST = 2000
"""Messages that nobody asked for, in one second, after which a server is read more slowly."""


class Refused(Exception):
    """A JSON-RPC error: what a peer answered with, or is to be answered with."""

    def __init__(self, code: int, message: str, data: Json = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data

    @classmethod
    def of(cls, error: Json) -> Refused:
        """Of the `error` member of an answer, whatever it is."""
        error = error if isinstance(error, dict) else {}
        code, message = error.get("code"), error.get("message")
        return cls(
            code if isinstance(code, int) else INTERNAL_ERROR,
            clean(message)[:2000] if isinstance(message, str) else "refused without saying why",
            error.get("data"),
        )

    def to_json(self) -> Message:
        """The `error` member of an answer."""
        return {"code": self.code, "message": self.message} | ({} if self.data is None else {"data": self.data})


class Caller(Protocol):
    """Who waits for an answer, and what reaches them until it is there."""

    @property
    def client(self) -> object:
        """The same object for all calls of one client."""
        ...

    def hear(self, method: str, params: Message) -> None:
        """Takes a notification that belongs to the call; progress without its token. Does not wait."""
        ...

    async def answer(self, method: str, params: Message) -> Message:
        """Answers what the server asks meanwhile. Raises `Refused`."""
        ...


class Wire(Protocol):
    """A connection that has shaken hands."""

    version: str
    """The revision that was agreed on."""

    async def request(
        self, method: str, params: Message, caller: Caller, capabilities: Message, headers: Mapping[str, str]
    ) -> Message:
        """Sends a request and gives its result as it is.

        `capabilities` are those of the caller's client, for a server that wants them with each request; `headers` go
        along over HTTP. Cancelling it tells the server. Raises `Refused`, `Closed`, `SessionLost`, and `ServerError`
        with what the server did as its message, without the server's name.
        """
        ...


def decoded(text: bytes | str) -> Json:
    """The JSON value. Raises `ValueError`."""
    try:
        return from_json(text)
    except ValueError:
        return json.loads(text)  # which takes lone surrogates, too


def encoded(value: Json) -> bytes:
    """`value` as JSON in UTF-8, on one line."""
    try:
        return to_json(value)
    except (PydanticSerializationError, ValueError, UnicodeError):
        return json.dumps(value).encode()


def enveloped(params: Message, version: str, capabilities: Message, client: Message, token: str) -> Message:
    """`params` for a server of this version: with what it wants to know of the client, and with our progress token."""
    given = params.get("_meta")
    meta = {k: v for k, v in given.items() if k not in _ENVELOPE} if isinstance(given, dict) else {}
    if "progressToken" in meta:
        meta["progressToken"] = token
    if version >= MODERN:
        meta[VERSION_KEY] = version
        meta[INFO_KEY] = client
        meta[CAPABILITIES_KEY] = capabilities
    rest = {k: v for k, v in params.items() if k != "_meta"}
    return {**rest, "_meta": meta} if meta else rest


class PipeWire:
    """Over the pipes of a process. Who reads them gives it each line first."""

    def __init__(self, stdin: asyncio.StreamWriter, client: Message) -> None:
        self.version = ""
        self._stdin = stdin
        self._client = client
        self._waiting: dict[str, tuple[asyncio.Future[Message], Caller]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._count = 0
        self._uncalled = 0
        self._second = 0.0
        self._awaited = False
        self._closed = False

    async def request(
        self, method: str, params: Message, caller: Caller, capabilities: Message, headers: Mapping[str, str]
    ) -> Message:
        if self._closed:
            raise Closed
        self._count += 1
        key = f"w{self._count}"
        params = enveloped(params, self.version, capabilities, self._client, key)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[key] = answer, caller
        try:
            self._send({"jsonrpc": "2.0", "id": key, "method": method, "params": params})
            await self._drain()
            return await answer
        except asyncio.CancelledError:
            self._send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": key}})
            raise
        finally:
            del self._waiting[key]

    def take(self, line: bytes) -> bool:
        """Whether the line was for somebody who waits here."""
        self._awaited = False
        if not self._waiting:
            return False
        try:
            message = decoded(line)
        except ValueError:
            return False
        if not isinstance(message, dict):
            return False
        method, key, params = message.get("method"), message.get("id"), message.get("params")
        params = params if isinstance(params, dict) else {}
        if method is None:
            return isinstance(key, str) and self._answered(key, message)
        if key is not None:
            return self._asked(key, method, params)
        if method == "notifications/progress":
            token = params.pop("progressToken", None)
            found = self._waiting.get(token) if isinstance(token, str) else None
            if found:
                found[1].hear(method, params)
            return found is not None
        if method == "notifications/message":
            for _, caller in list(self._waiting.values()):
                caller.hear(method, params)
            return True
        return False

    async def pause(self) -> None:
        """To be awaited after each line: slows a server that says too much that nobody asked for."""
        if self._awaited:
            return
        now = asyncio.get_running_loop().time()
        if now - self._second >= 1:
            self._second, self._uncalled = now, 0
        self._uncalled += 1
        if self._uncalled % 10 == 0:
            await asyncio.sleep(0.005 if self._uncalled > _BURST else 0)

    def close(self) -> None:
        """Tells everybody who waits that the connection is gone."""
        self._closed = True
        for answer, _ in self._waiting.values():
            if not answer.done():
                answer.set_exception(Closed())
        for task in self._answering:
            task.cancel()

    def _answered(self, key: str, message: Message) -> bool:
        found = self._waiting.get(key)
        if found is None:
            return False
        self._awaited = True
        answer, _ = found
        if not answer.done():
            result = message.get("result")
            if isinstance(result, dict):
                answer.set_result(result)
            else:
                answer.set_exception(Refused.of(message.get("error")))
        return True

    def _asked(self, key: Json, method: str, params: Message) -> bool:
        """Whether what the server asks goes to a client. Over pipes it does not say about which call it is."""
        if method == "ping":
            return False
        callers = [caller for _, caller in self._waiting.values()]
        asked = callers[0] if len({id(caller.client) for caller in callers}) == 1 else None

        async def answer() -> None:
            message = await replied(asked, key, method, params)
            self._send(message)

        task = asyncio.create_task(answer())
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
        return True

    def _send(self, message: Message) -> None:
        if not self._stdin.is_closing():
            self._stdin.write(encoded(message) + b"\n")

    async def _drain(self) -> None:
        try:
            await self._stdin.drain()
        except (ConnectionError, RuntimeError):
            raise Closed from None


class HttpWire:
    """Over streamable HTTP: each request a POST, whose answer is JSON or a stream of events."""

    def __init__(self, poster: Poster, client: Message) -> None:
        self.version = ""
        self.session: str | None = None
        """The session of a server of the older protocol."""
        self._poster = poster
        self._client = client
        self._count = 0
        self._answering: set[asyncio.Task[None]] = set()

    async def request(
        self, method: str, params: Message, caller: Caller, capabilities: Message, headers: Mapping[str, str]
    ) -> Message:
        self._count += 1
        key = f"w{self._count}"
        params = enveloped(params, self.version, capabilities, self._client, key)
        body = encoded({"jsonrpc": "2.0", "id": key, "method": method, "params": params})
        try:
            async with self._poster.post(self._headers(headers), body) as answer:
                return await self._result(answer, key, caller)
        except asyncio.CancelledError:
            if self.version < MODERN:  # newer ones see that the connection is closed
                self._later({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": key}})
            raise

    def close(self) -> None:
        """Ends what is still being told to the server."""
        for task in self._answering:
            task.cancel()

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        session = {"mcp-session-id": self.session} if self.session else {}
        return {
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
            "mcp-protocol-version": self.version,
            **session,
            **more,
        }

    async def _result(self, answer: Answer, key: str, caller: Caller) -> Message:
        kind = answer.headers.get("content-type", "")
        if answer.status == 200 and kind.startswith("text/event-stream"):
            async for event in answer.events():
                message = _object(event)
                method, params = message.get("method"), message.get("params")
                params = params if isinstance(params, dict) else {}
                if method is None:
                    if message.get("id") == key:
                        return _outcome(message)
                elif message.get("id") is not None:
                    self._reply(caller, message["id"], method, params)
                else:
                    params.pop("progressToken", None)
                    caller.hear(method, params)
            raise ServerError("ended its answer before the result")
        message = _object(await answer.read()) if kind.startswith("application/json") else {}
        if answer.status == 200 and ("result" in message or "error" in message):
            return _outcome(message)
        if answer.status == 404 and self.session:
            raise SessionLost
        if "error" in message:
            raise Refused.of(message["error"])
        raise ServerError(f"answered with HTTP status {answer.status}")

    def _reply(self, caller: Caller, key: Json, method: str, params: Message) -> None:
        async def reply() -> None:
            await self._tell(await replied(caller, key, method, params))

        self._keep(asyncio.create_task(reply()))

    def _later(self, message: Message) -> None:
        self._keep(asyncio.create_task(self._tell(message)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _tell(self, message: Message) -> None:
        try:
            async with asyncio.timeout(10), self._poster.post(self._headers({}), encoded(message)) as answer:
                await answer.read()
        except (ServerError, Closed, TimeoutError):
            pass  # the call itself will show that the server is gone


async def replied(caller: Caller | None, key: Json, method: str, params: Message) -> Message:
    """The message that answers what a server asks of a client."""
    try:
        if caller is None:
            raise Refused(METHOD_NOT_FOUND, "several clients are being served: it is not known which one is asked")
        result = await caller.answer(method, params)
    except Refused as refused:
        return {"jsonrpc": "2.0", "id": key, "error": refused.to_json()}
    return {"jsonrpc": "2.0", "id": key, "result": result}


def _object(text: bytes) -> Message:
    try:
        value = decoded(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _outcome(message: Message) -> Message:
    result = message.get("result")
    if isinstance(result, dict):
        return result
    raise Refused.of(message.get("error"))
