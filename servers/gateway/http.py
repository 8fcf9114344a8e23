"""A gateway over streamable HTTP, for many clients of both protocols.

The SDK's server does the protocol. Calls do not go through its models: they are taken before it, once they have passed
the same checks, and are answered as raw JSON, or as a stream of events where something is said before the result.
Importing this module imports the SDK.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcp.server.lowlevel import Server
from mcp.server.streamable_http import check_accept_headers
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import (
    ERROR_CODE_HTTP_STATUS,
    InboundLadderRejection,
    classify_inbound_request,
    find_duplicated_routing_header,
    validate_mcp_param_headers,
)
from mcp.shared.subscriptions import ToolsListChanged
from mcp.types import CallToolResult, EmptyResult, ListToolsResult
from starlette.requests import Request

from ...tools.mcp.wire import INTERNAL_ERROR, MODERN, Message, Refused, decoded, encoded
from ..mcp import serve_http as serve_app
from .client import Call, Client, introduced
from .gateway import Gateway, Result
from .stdio import OLDER

if TYPE_CHECKING:
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
    from mcp.server.session import ServerSession
    from starlette.types import ASGIApp, Receive, Scope, Send

Json = Any
Key = str | int

_LARGEST = 4 * 2**20
"""Bytes of a request that are read here; what is larger the SDK refuses."""
_SESSIONS = 10_000
_WAITING = 1000
"""Notifications of one call that wait to be read, above which they are dropped."""
_PING = 15.0
"""Seconds of silence after which an answer begins as a stream, so that nothing between takes it for dead."""


async def serve_http(
    gateway: Gateway, *, host: str = "127.0.0.1", port: int = 8765, started: Callable[[str], None] | None = None
) -> None:
    """Serves over streamable HTTP at `http://host:port/mcp` until it is cancelled, as `servers.mcp.serve_http` does."""
    server = _Server(gateway)
    unwatch = gateway.watch(server.tools_changed)
    try:
        await serve_app(
            server.server,
            host=host,
            port=port,
            started=started,
            front=lambda app, security: _Front(app, gateway, security),
        )
    finally:
        unwatch()


class _Server:
    """The SDK's server: for everything but calls, and for calls that are not as they should be."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._bus = InMemorySubscriptionBus()
        self._sessions: weakref.WeakSet[ServerSession] = weakref.WeakSet()
        self._telling: set[asyncio.Task[None]] = set()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the SDK's word on logging, which older clients still want
            self.server = Server[Any](
                str(gateway.identity["name"]),
                version=gateway.version,
                instructions=gateway.instructions,
                get_tool_input_schema=gateway.input_schema,
                on_list_tools=_not_reached_list,
                on_call_tool=_not_reached_call,
                on_set_logging_level=_level,
                on_subscriptions_listen=ListenHandler(self._bus) if gateway.all_tools else None,
            )
        self.server.middleware.append(self._pass)

    def tools_changed(self) -> None:
        self._keep(asyncio.create_task(self._bus.publish(ToolsListChanged())))
        for session in list(self._sessions):
            self._keep(asyncio.create_task(_told(session)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _pass(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        params = dict(ctx.params or {})
        modern = ctx.protocol_version >= MODERN
        try:
            if ctx.method == "tools/list" and ctx.request_id is not None:
                if not modern and self._gateway.all_tools:
                    self._sessions.add(ctx.session)
                return self._gateway.list_tools(params, modern=modern)
            if ctx.method == "tools/call" and ctx.request_id is not None:
                client = introduced(params) if modern else Client(ctx.protocol_version)
                return await self._gateway.call_tool(params, Call.of(params, client or Client(), lambda *_: None))
        except Refused as refused:
            raise MCPError(refused.code, refused.message, refused.data) from None
        return await call_next(ctx)


async def _told(session: ServerSession) -> None:
    with contextlib.suppress(Exception):  # a client that has gone meanwhile
        await session.send_tool_list_changed()


async def _not_reached_list(ctx: Any, params: Any) -> ListToolsResult:
    raise AssertionError("the middleware answers")


async def _not_reached_call(ctx: Any, params: Any) -> CallToolResult:
    raise AssertionError("the middleware answers")


async def _level(ctx: Any, params: Any) -> EmptyResult:
    return EmptyResult()


@dataclass(eq=False)
class _Session:
    """A client of the older protocol."""

    client: Client
    answering: dict[Key, asyncio.Task[Any]] = field(default_factory=dict)
    asked: dict[str, asyncio.Future[Message]] = field(default_factory=dict)
    count: int = 0


class _Front:
    """Stands before the SDK's application and takes the calls out."""

    def __init__(self, app: ASGIApp, gateway: Gateway, security: TransportSecuritySettings) -> None:
        self._app = app
        self._gateway = gateway
        self._security = TransportSecurityMiddleware(security)
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/mcp":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        version, id = request.headers.get("mcp-protocol-version"), request.headers.get("mcp-session-id")
        if scope["method"] == "DELETE" and id is not None and id in self._sessions:
            self._forget(id)
        if scope["method"] != "POST" or int(request.headers.get("content-length") or _LARGEST) >= _LARGEST:
            await self._app(scope, receive, send)
            return
        body, replay = await _body(receive)
        if version == MODERN:
            if request.headers.get("mcp-method") == "tools/call":
                message = await self._sound(request, body)
                if message is not None and self._is_modern_call(request, message):
                    client = introduced(message["params"])
                    assert client
                    await self._answer(message, client, None, receive, send)
                    return
        elif id is None:
            message = _message(body)
            if message is not None and message.get("method") == "initialize":
                await self._app(scope, replay, self._initializing(message, send))
                return
        elif (session := self._sessions.get(id)) is not None and (version is None or version in OLDER):
            message = await self._sound(request, body)
            if message is not None and await self._taken(message, session, receive, send):
                self._sessions.move_to_end(id)
                return
        await self._app(scope, replay, send)

    async def _sound(self, request: Request, body: bytes) -> Message | None:
        """The message of a request that may come here; None leaves it to the SDK to say what is wrong."""
        if await self._security.validate_request(request, is_post=True) is not None:
            return None
        return _message(body) if all(check_accept_headers(request)) else None

    def _is_modern_call(self, request: Request, message: Message) -> bool:
        params, key = message.get("params"), message.get("id")
        if message.get("method") != "tools/call" or not isinstance(params, dict) or not isinstance(key, str | int):
            return False
        arguments = params.get("arguments") or {}
        if find_duplicated_routing_header(request.headers.items()) is not None or not isinstance(arguments, dict):
            return False
        if isinstance(classify_inbound_request(message, headers=dict(request.headers)), InboundLadderRejection):
            return False
        if introduced(params) is None:
            return False
        schema = self._gateway.input_schema(str(params.get("name")))
        return schema is None or validate_mcp_param_headers(schema, arguments, request.headers) is None

    def _initializing(self, message: Message, send: Send) -> Send:
        """Learns the session that the SDK opens, and who the client says it is."""
        params = message.get("params")
        params = params if isinstance(params, dict) else {}

        async def sending(event: Any) -> None:
            if event["type"] == "http.response.start" and event["status"] == 200:
                id = next((v.decode("latin-1") for k, v in event["headers"] if k.lower() == b"mcp-session-id"), None)
                capabilities, info = params.get("capabilities"), params.get("clientInfo")
                if id is not None and isinstance(capabilities, dict) and isinstance(info, dict):
                    client = Client(OLDER[-1], capabilities, str(info.get("name", "")))
                    self._sessions[id] = _Session(client)
                    self._gateway.joined(client)
                    while len(self._sessions) > _SESSIONS:
                        self._forget(next(iter(self._sessions)))
            await send(event)

        return sending

    def _forget(self, id: str) -> None:
        session = self._sessions.pop(id)
        self._gateway.left(session.client)
        for task in session.answering.values():
            task.cancel()

    async def _taken(self, message: Message, session: _Session, receive: Receive, send: Send) -> bool:
        """Whether a message of an older client was for us: a call, the end of one, the answer to what was asked."""
        method, key, params = message.get("method"), message.get("id"), message.get("params")
        if method == "tools/call" and isinstance(key, str | int) and isinstance(params, dict):
            task = asyncio.current_task()
            assert task
            session.answering[key] = task
            try:
                await self._answer(message, session.client, session, receive, send)
            finally:
                session.answering.pop(key, None)
            return True
        if method == "notifications/cancelled" and isinstance(params, dict):
            running = session.answering.get(params.get("requestId", ""))
            if running is None:
                return False
            running.cancel()
        elif method == "logging/setLevel" and isinstance(params, dict):
            session.client.level = str(params.get("level"))
            return False
        elif method is None and isinstance(key, str) and (asked := session.asked.get(key)) is not None:
            if not asked.done():
                result = message.get("result")
                if isinstance(result, dict):
                    asked.set_result(result)
                else:
                    asked.set_exception(Refused.of(message.get("error")))
        else:
            return False
        await _respond(send, 202, b"")
        return True

    async def _answer(
        self, message: Message, client: Client, session: _Session | None, receive: Receive, send: Send
    ) -> None:
        """Answers a call; one of the newer protocol is cancelled when its client goes away."""
        me = asyncio.current_task()
        assert me
        stream = _Stream(send)

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            stream.gone = True
            me.cancel()

        async def ask(method: str, params: Message) -> Message:
            assert session
            session.count += 1
            key = f"g{session.count}"
            asked: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
            session.asked[key] = asked
            stream.say({"jsonrpc": "2.0", "id": key, "method": method, "params": params})
            try:
                return await asked
            finally:
                del session.asked[key]

        def say(method: str, params: Message) -> None:
            stream.say({"jsonrpc": "2.0", "method": method, "params": params})

        params = message["params"]
        call = Call.of(params, client, say, ask if session else None)
        watching = asyncio.create_task(watch()) if session is None else None
        key, status = encoded(message["id"]), 200
        try:
            try:
                result = await self._gateway.call_tool(params, call)
                text = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (key, _text(result))
            except Refused as refused:
                status = ERROR_CODE_HTTP_STATUS.get(refused.code, 200) if session is None else 200
                text = b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (key, encoded(refused.to_json()))
            except asyncio.CancelledError:
                if session is None and not stream.gone:
                    raise
                me.uncancel()
                # Cancelled by its client: what is still owed is the end of the response.
                error = Refused(INTERNAL_ERROR, "cancelled")
                text = b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (key, encoded(error.to_json()))
            except Exception as error:
                print(f"tools/call failed: {error!r}", file=sys.stderr, flush=True)
                failed = Refused(INTERNAL_ERROR, "tools/call failed")
                text = b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (key, encoded(failed.to_json()))
            if watching is not None:
                watching.cancel()  # the end of the answer looks to it like a client that goes away
            await stream.end(status, text)
        except asyncio.CancelledError:
            if not stream.gone:
                raise
        finally:
            stream.close()
            if watching is not None:
                watching.cancel()


class _Stream:
    """An answer: one JSON object, or server-sent events where something is said before it."""

    def __init__(self, send: Send) -> None:
        self.gone = False
        self._send = send
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._streaming: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_PING, self._begin)

    def say(self, message: Message) -> None:
        """Sends a message before the result; drops it where too many wait."""
        if self._queue.qsize() < _WAITING or "id" in message:
            self._queue.put_nowait(_event(encoded(message)))
        self._begin()

    async def end(self, status: int, text: bytes) -> None:
        """Sends the result."""
        if self.gone:
            return
        if self._streaming is None:
            await _respond(self._send, status, text)
            return
        self._queue.put_nowait(_event(text))
        self._queue.put_nowait(None)
        await self._streaming

    def close(self) -> None:
        self._timer.cancel()
        if self._streaming is not None:
            self._streaming.cancel()

    def _begin(self) -> None:
        if self._streaming is None:
            self._streaming = asyncio.create_task(self._stream())

    async def _stream(self) -> None:
        headers = [
            (b"content-type", b"text/event-stream"),
            (b"cache-control", b"no-cache, no-transform"),
            (b"x-accel-buffering", b"no"),
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        while True:
            try:
                async with asyncio.timeout(_PING):
                    event = await self._queue.get()
            except TimeoutError:
                event = b": still working\r\n\r\n"
            if event is None:
                break
            await self._send({"type": "http.response.body", "body": event, "more_body": True})
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _event(text: bytes) -> bytes:
    return b"event: message\r\ndata: " + text + b"\r\n\r\n"


def _text(result: Message) -> bytes:
    return result.text if isinstance(result, Result) else encoded(result)


async def _respond(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    if body:
        headers.append((b"content-type", b"application/json"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _message(body: bytes) -> Message | None:
    try:
        value = decoded(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and value.get("jsonrpc") == "2.0" else None


async def _body(receive: Receive) -> tuple[bytes, Receive]:
    """The body of a request, and what gives it again to somebody else."""
    events = []
    body = b""
    while True:
        event = await receive()
        events.append(event)
        body += event.get("body", b"")
        if event["type"] != "http.request" or not event.get("more_body") or len(body) > _LARGEST:
            break
    waiting = iter(events)

    async def replay() -> Any:
        found = next(waiting, None)
        return found if found is not None else await receive()

    return body, replay
