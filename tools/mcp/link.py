"""One open connection to a server, through the MCP SDK. Importing this module imports the SDK: do it late."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
from mcp import ClientSession, MCPError
from mcp.client.session import ClientRequestContext, IncomingMessage
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import SubscriptionLost, listen
from mcp.shared.dispatcher import CallOptions, Dispatcher, OnNotify, OnNotifyIntercept, OnRequest
from mcp.shared.inbound import NAME_BEARING_METHODS, encode_header_value, mcp_param_headers, x_mcp_header_map
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.message import SessionMessage
from mcp.shared.transport_context import TransportContext
from mcp.types import PaginatedRequestParams, ToolListChangedNotification, jsonrpc_message_adapter
from mcp.types.methods import validate_server_result
from mcp_types import (
    CONNECTION_CLOSED,
    METHOD_NOT_FOUND,
    UNSUPPORTED_PROTOCOL_VERSION,
    ErrorData,
    Implementation,
    JSONRPCMessage,
    JSONRPCNotification,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from ...core.errors import ServerError, ToolError
from ..tool import ToolResult
from .config import ServerConfig
from .definitions import Closed, Listing, SessionLost, as_result, clean
from .http1 import LibraryPoster, LoopbackPoster, is_loopback
from .process import MAX_LINE, ServerProcess
from .wire import MODERN, Caller, HttpWire, PipeWire, Wire

Json = Any

# The SDK logs what servers do wrong; without a handler Python would print it on the terminal.
logging.getLogger("mcp").addHandler(logging.NullHandler())

PROBE_SECONDS = 1.0
"""How long a process's answer to the modern `server/discover` is waited for before `initialize` is sent as well.

Short, because some older servers ignore what they do not know. A slow modern server answers both and is asked again."""
LISTEN_PAUSE = 60.0
"""Seconds, at most, before a stream of changes that broke off is opened again."""
_PASSED_ON = {"notifications/cancelled", "notifications/subscriptions/acknowledged"}
"""The notifications of a process that the SDK has to see. It takes 0.4 ms for each, and a server may send them without
end; that tools have changed is heard before."""
EFFECT_KEY = "io.bottega/effect-key"
"""Where in `_meta` of a call its key is. A tool whose own `_meta` has `io.bottega/keyed: true` minds it."""

_CLIENT = Implementation(name="bottega", version="0.1.0")
_IDENTITY = {"name": _CLIENT.name, "version": _CLIENT.version}


class Link:
    """A connection that has shaken hands."""

    def __init__(
        self, session: ClientSession, wire: _Tolerant, raw: Wire, closed: asyncio.Event, changed: asyncio.Event
    ) -> None:
        self.closed = closed
        """Set when the server has closed the connection."""
        self.changed = changed
        """Set when the server has said that its tools are others now."""
        self._session = session
        self._wire = wire
        self._lists = asyncio.Lock()
        self._raw = raw
        self._mirrored: dict[str, dict[tuple[str, ...], str]] = {}

    @property
    def listing(self) -> Listing:
        """What the last `list_tools` has heard, so far where it goes on."""
        return self._wire.listing

    async def list_tools(self) -> Listing:
        """Asks for all tools, page by page. A server that knows no tools has none. Raises `Closed` and `ToolError`."""
        async with self._lists:
            self._wire.listing = Listing()
            return await self._pages()

    async def _pages(self) -> Listing:
        cursor: str | None = None
        while True:
            try:
                page = await self._session.list_tools(params=PaginatedRequestParams(cursor=cursor) if cursor else None)
            except MCPError as error:
                if error.code == CONNECTION_CLOSED:
                    raise Closed from None
                if error.code == METHOD_NOT_FOUND and cursor is None:
                    return self.listing
                raise ToolError(f"refused to list its tools: {clean(error.message)[:300]}") from None
            except ValidationError:
                raise ToolError("answered the request for its tools with something that is no list of tools") from None
            cursor = page.next_cursor
            if not self.listing.wants(cursor):
                return self.listing

    async def call(self, name: str, arguments: dict[str, Json], key: str = "") -> ToolResult:
        """Calls a tool; `key` says to the server which calls are one and the same.

        Raises `ToolError` for what the server refuses, `Closed` and `SessionLost`.
        """
        meta: Any = {EFFECT_KEY: key} if key else None
        try:
            result = await self._session.call_tool(name, arguments, meta=meta)
        except MCPError as error:
            if error.code == CONNECTION_CLOSED:
                raise Closed from None
            if error.message in ("Session terminated", "Session not found"):
                raise SessionLost from None
            raise ToolError(f"{name}: {clean(error.message)[:500]}") from None
        except ValidationError:
            raise ToolError(f"{name} returned something that is not an MCP result") from None
        except RuntimeError as error:
            # The SDK's word for a result that breaks the tool's own output schema, or that asks the person something.
            raise ToolError(f"{name}: {clean(str(error)).splitlines()[0][:300]}") from None
        return as_result(result.model_dump(by_alias=True, mode="json", exclude_none=True))

    @property
    def version(self) -> str:
        """The revision of the protocol that was agreed on."""
        return self._raw.version

    async def forward(
        self, method: str, params: dict[str, Json], caller: Caller, capabilities: dict[str, Json]
    ) -> dict[str, Json]:
        """Sends a request on as it is and gives its result as it is.

        Raises `Refused` with the server's own error, `Closed`, `SessionLost` and `ServerError`; see `Wire.request`.
        """
        headers = self._routing(method, params) if isinstance(self._raw, HttpWire) else {}
        return await self._raw.request(method, params, caller, capabilities, headers)

    def _routing(self, method: str, params: dict[str, Json]) -> dict[str, str]:
        """The headers in which the newer protocol repeats what a request is about."""
        if self._raw.version < MODERN:
            return {}
        headers = {"mcp-method": method}
        name = params.get(NAME_BEARING_METHODS.get(method, ""))
        if isinstance(name, str):
            headers["mcp-name"] = encode_header_value(name)
        if method == "tools/call" and isinstance(name, str):
            if (definition := self.listing.definitions.get(name)) is not None:
                self._mirrored[name] = x_mcp_header_map(definition["inputSchema"])
            if mirrored := self._mirrored.get(name):
                headers |= mcp_param_headers(mirrored, params.get("arguments") or {})
        return headers


@asynccontextmanager
async def over_pipes(process: ServerProcess, *, modern: bool, asks: Collection[str] = ()) -> AsyncIterator[Link]:
    """A connection to a running process. Without `modern`, only the older handshake is tried. Raises `Closed`.

    `asks` are the capabilities that a server of the older protocol is told of (`elicitation`, `sampling`, `roots`).
    """
    arriving, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, leaving = anyio.create_memory_object_stream[SessionMessage](0)
    closed, changed = asyncio.Event(), asyncio.Event()
    raw = PipeWire(process.stdin, _IDENTITY)

    async def read() -> None:
        try:
            # ValueError: a line longer than MAX_LINE.
            with contextlib.suppress(ValueError, ConnectionError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                while line := await process.stdout.readline():
                    taken = raw.take(line)
                    await raw.pause()
                    if taken:
                        continue
                    if (message := _message(line)) is None:
                        continue
                    if not isinstance(message, JSONRPCNotification) or message.method in _PASSED_ON:
                        await arriving.send(SessionMessage(message))
                        continue
                    if message.method == "notifications/tools/list_changed":
                        changed.set()
                    await asyncio.sleep(0)  # others have their turn, however much there is to read
        finally:
            closed.set()
            raw.close()
            arriving.close()

    async def write() -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            async for message in leaving:
                process.stdin.write(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
                await process.stdin.drain()

    pumps = [asyncio.create_task(read()), asyncio.create_task(write())]
    try:
        wire, probe = JSONRPCDispatcher(incoming, outgoing), PROBE_SECONDS if modern else 0
        async with _session(wire, raw, closed, changed, probe, asks) as link:
            yield link
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for stream in (arriving, incoming, outgoing, leaving):
            stream.close()


def _message(line: bytes) -> JSONRPCMessage | None:
    """The message of a line; None where it is none. Half a surrogate pair in a text becomes a question mark."""
    with contextlib.suppress(ValidationError):
        return jsonrpc_message_adapter.validate_json(line, by_name=False)
    with contextlib.suppress(ValueError, RecursionError):
        mended = json.dumps(json.loads(line), ensure_ascii=False).encode("utf-8", "replace")
        return jsonrpc_message_adapter.validate_json(mended, by_name=False)
    return None


@asynccontextmanager
async def over_http(config: ServerConfig, asks: Collection[str] = ()) -> AsyncIterator[Link]:
    """A connection to a URL; `asks` as in `over_pipes`.

    Raises `ServerError` that says what the server answered, where that was an HTTP error.
    """
    assert config.url
    status: list[int] = []

    async def note(response: httpx2.Response) -> None:
        status[:] = [response.status_code]
        if session := response.headers.get("mcp-session-id"):
            raw.session = session

    local = urlsplit(config.url).hostname in ("127.0.0.1", "localhost", "::1")
    client = httpx2.AsyncClient(
        headers=dict(config.headers),
        timeout=httpx2.Timeout(config.startup_timeout, read=config.tool_timeout + 5),
        event_hooks={"response": [note]},
        trust_env=not local,
    )
    posting = LoopbackPoster(config.url, config.headers) if is_loopback(config.url) else None
    raw = HttpWire(posting or LibraryPoster(config.url, client), _IDENTITY)
    failure: ServerError | None = None
    async with (
        client,
        streamable_http_client(config.url, http_client=client, max_sse_event_size=MAX_LINE) as (read, write),
    ):
        try:
            wire, probe = JSONRPCDispatcher(read, write), config.startup_timeout / 2
            async with _session(wire, raw, asyncio.Event(), asyncio.Event(), probe, asks) as link:
                yield link
        except MCPError as error:
            # Not raised here, for the SDK's task group would wrap it up.
            failure = _refused(config, error, status[-1] if status else 0)
        finally:
            raw.close()
            if posting:
                await posting.close()
    if failure:
        raise failure


def _refused(config: ServerConfig, error: MCPError, status: int) -> ServerError:
    if status >= 400:
        hint = "check its headers" if status in (401, 403) else "check its url" if status in (404, 405) else None
        return ServerError(f"server {config.name!r} answered with HTTP status {status}", hint=hint)
    return ServerError(f"server {config.name!r} refused the connection: {clean(error.message)[:300]}")


@asynccontextmanager
async def _session(
    wire: JSONRPCDispatcher[TransportContext],
    raw: Wire,
    closed: asyncio.Event,
    changed: asyncio.Event,
    probe: float,
    asks: Collection[str],
) -> AsyncIterator[Link]:
    """A session that has shaken hands. Raises `Closed`, and `MCPError` where the server does not want to."""
    dispatcher = _Tolerant(wire)
    failure: Exception | None = None

    async def heard(message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            changed.set()

    async with ClientSession(
        dispatcher=dispatcher,
        client_info=_CLIENT,
        message_handler=heard,
        elicitation_callback=_nobody if "elicitation" in asks else None,
        sampling_callback=_nobody if "sampling" in asks else None,
        list_roots_callback=_nobody if "roots" in asks else None,
    ) as session:
        dispatcher.version = lambda: session.protocol_version or "2025-11-25"
        try:
            await _shake_hands(session, probe)
        except (Closed, MCPError) as error:
            failure = error
        else:
            raw.version = session.protocol_version or "2025-11-25"
            listening = asyncio.create_task(_listen(session, changed))
            try:
                yield Link(session, dispatcher, raw, closed, changed)
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
    if failure:
        raise failure


async def _nobody(context: ClientRequestContext, params: Any = None) -> ErrorData:
    """The answer to what a server asks outside of any call that is passed on: those are answered by the raw wire."""
    return ErrorData(code=METHOD_NOT_FOUND, message="nobody is there to ask")


async def _listen(session: ClientSession, changed: asyncio.Event) -> None:
    """Keeps the stream open over which a modern server tells of changes; an older one tells without being asked."""
    tools = session.server_capabilities.tools if session.server_capabilities else None
    if session.protocol_version not in MODERN_PROTOCOL_VERSIONS or tools is None or not tools.list_changed:
        return
    pause = 1.0
    while True:
        started = asyncio.get_running_loop().time()
        try:
            async with listen(session, tools_list_changed=True) as changes:
                if pause > 1:
                    changed.set()  # what happened while nobody listened is not told again
                async for _ in changes:
                    changed.set()
        except SubscriptionLost:
            pass
        except (MCPError, TimeoutError, RuntimeError):
            return  # it does not offer that, or is about to close
        if asyncio.get_running_loop().time() - started > LISTEN_PAUSE:
            pause = 1.0
        await asyncio.sleep(pause)
        pause = min(LISTEN_PAUSE, 2 * pause)


async def _shake_hands(session: ClientSession, probe: float) -> None:
    if probe:
        try:
            async with asyncio.timeout(probe):
                await session.discover()
                return
        except (TimeoutError, RuntimeError, ValidationError):
            pass
        except MCPError as error:
            if error.code == CONNECTION_CLOSED:
                raise Closed from None
    try:
        await session.initialize()
    except MCPError as error:
        if error.code == CONNECTION_CLOSED:
            raise Closed from None
        if error.code != UNSUPPORTED_PROTOCOL_VERSION:
            raise
        # A slow modern server: it has taken the probe after all, and now knows only that handshake.
        await session.discover()


class _Tolerant(Dispatcher[TransportContext]):
    """Passes everything on, but sifts each page of tools first: the SDK takes a page as a whole or not at all."""

    def __init__(self, wire: JSONRPCDispatcher[TransportContext]) -> None:
        self.listing = Listing()
        self.version: Callable[[], str] = lambda: "2025-11-25"
        self._wire = wire

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        raw = await self._wire.send_raw_request(method, params, opts)
        return self._sifted(raw) if method == "tools/list" else raw

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        await self._wire.notify(method, params, opts)

    async def run(
        self,
        on_request: OnRequest,
        on_notify: OnNotify,
        on_notify_intercept: OnNotifyIntercept | None = None,
        *,
        task_status: Any = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        await self._wire.run(on_request, on_notify, on_notify_intercept, task_status=task_status)

    def _sifted(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        cursor = raw.get("nextCursor")
        page = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        if isinstance(cursor, str):
            page["nextCursor"] = cursor
        good = []
        for definition in self.listing.add(raw):
            try:
                validate_server_result("tools/list", self.version(), {**page, "tools": [definition]})
                good.append(definition)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"] if part != "tools")
                self.listing.reject(definition["name"], f"{where}: {first['msg'].lower()}"[:200])
                del self.listing.definitions[definition["name"]]
        return {**page, "tools": good}
