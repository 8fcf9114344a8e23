"""`Gateway`: what a client of many servers is offered, and the way of a call to the server that has the tool.

Knows nothing of how clients are connected: `stdio.py` and `http.py` do.
"""

from __future__ import annotations

import asyncio
import json
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import BottegaError, NotSent, ServerError
from ...tools import Tool, ToolContext, ToolResult
from ...tools.catalog import Catalog, CatalogStatus, Change
from ...tools.catalog.definition import KeptTool
from ...tools.mcp.connections import Connection
from ...tools.mcp.definitions import Closed, SessionLost, clean
from ...tools.mcp.wire import INTERNAL_ERROR, MODERN, Message, Refused, encoded
from ...tools.policy import Policy, Rule, Verdict
from .approval import Approvals, Asked
from .audit import AuditLog, measured
from .client import ASKABLE, Call, Client
from .finding import Finder
from .names import wire_names
from .own import DESCRIPTIONS, described, found_text

if TYPE_CHECKING:
    from ...retrieval.encoding import Encoding

Json = Any

INVALID_PARAMS = -32602
PAGE = 200
"""Tools in one page of a list."""
PATIENCE = 10.0
"""Seconds waited for servers that are being listed for the first time: by a search while no tool at all is known, by a
call of a tool that is not known."""
ROUNDS = 10
"""How often a server may ask a client of the older protocol something more about one call."""
_RULES_KEPT = 1.0
_TOOLS_KEPT = 0.1
"""Seconds for which what another process has approved or heard may not be seen yet."""


class Result(dict[str, Json]):
    """A result, with the JSON that it is."""

    def __init__(self, value: Message) -> None:
        super().__init__(value)
        self.text = encoded(value)


@dataclass(frozen=True)
class Limits:
    """What a call may take."""

    longest: float = 600.0
    """Seconds after which a call is given up even where progress is told; without it, `tool_timeout_sec` counts."""
    idle: float = 0.0
    """Seconds after which a server that nobody calls is ended; 0 for never."""


class Gateway:
    """Finds, describes and calls the tools of a catalog for any number of clients.

        async with Gateway(catalog, context) as gateway:
            await serve_stdio(gateway)

    Servers are listed in the background where they never were, and connected when they are called. One that fails,
    hangs or floods harms its own calls only.
    """

    def __init__(
        self,
        catalog: Catalog,
        context: ToolContext,
        *,
        rules: Callable[[], tuple[Rule, ...]] = tuple,
        allow: bool = False,
        all_tools: bool = False,
        index: Path | None = None,
        retriever: Callable[[], Encoding] | None = None,
        audit: AuditLog | None = None,
        limits: Limits = Limits(),
        version: str = "",
    ) -> None:
        """`context` is for tools that are not MCP servers'. `rules` gives the person's rules, and is asked again.

        `allow` is for tools that would have to be asked about; `all_tools` lists every tool, not only the three;
        `index` is the folder that keeps the search index; `retriever` opens what encodes for it, where it is not the
        house's.
        """
        self.all_tools = all_tools
        self.version = version
        self._catalog = catalog
        self._context = context
        self._rules = rules
        self._allow = allow
        self._audit = audit
        self._limits = limits
        self._finder = Finder(catalog.tools, index, retriever)
        self._approvals = Approvals()
        self._policy = Policy(web=True)
        self._policy_read = -_RULES_KEPT
        self._verdicts: dict[str, tuple[Tool, Verdict]] = {}
        self._names: dict[str, tuple[str, str]] | None = None
        self._called: dict[str, Tool] = {}
        self._looked = -_TOOLS_KEPT
        self._sorted: list[str] = []
        self._clients: set[Client] = set()
        self._running: Counter[str] = Counter()
        self._used: dict[str, float] = {}
        self._connections: dict[str, Connection] = {}
        self._listing: asyncio.Task[None] | None = None
        self._listed = 0
        self._due = 0
        self._problem: str | None = None
        self._resting: asyncio.Task[None] | None = None
        self._warming: asyncio.Task[None] | None = None
        self._watchers: set[Callable[[], None]] = set()
        self._unwatch: Callable[[], None] = lambda: None

    async def __aenter__(self) -> Gateway:
        self._unwatch = self._catalog.on_change(self._changed)
        unknown = [s for s in self._catalog.status() if s.enabled and s.listed is None and s.transport != "import"]
        self._due = len(unknown)
        self._listing = asyncio.create_task(self._list())
        if self._limits.idle:
            self._resting = asyncio.create_task(self._rest())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._unwatch()
        tasks = [task for task in (self._listing, self._resting, self._warming) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Has `callback` called when the list of tools has changed; returns what ends that. It does not wait."""
        self._watchers.add(callback)
        return lambda: self._watchers.discard(callback)

    def joined(self, client: Client) -> None:
        """Notes that a client is there: servers are told that they may ask what it can answer."""
        self._clients.add(client)

    def left(self, client: Client) -> None:
        self._clients.discard(client)

    def capabilities(self, modern: bool) -> Message:
        """What the gateway says that it can do."""
        return {"tools": {"listChanged": self.all_tools}} | ({} if modern else {"logging": {}})

    @property
    def identity(self) -> Message:
        return {"name": "bottega-gateway", "version": self.version}

    @property
    def instructions(self) -> str:
        """What a client may tell its model."""
        servers = [s for s in self._catalog.status() if s.enabled]
        return (
            f"Tools of {len(servers)} servers are behind find_tools. Describe one thing that has to be done to "
            "find_tools, look at what you want to use with describe_tool, and use it with call_tool."
        )

    # What clients ask for

    def list_tools(self, params: Message, *, modern: bool) -> Message:
        """A page of `tools/list`. Raises `Refused` for a cursor that is none."""
        tools: list[Message] = []
        self._warm()
        cursor = params.get("cursor")
        if cursor is None:
            tools = list(DESCRIPTIONS)
        elif not isinstance(cursor, str) or not cursor.startswith("after:"):
            raise Refused(INVALID_PARAMS, f"the cursor {cursor!r} is none of this server's")
        result: Message = {"tools": tools}
        if self.all_tools:
            names = self._shown()
            start = bisect_right(self._sorted, cursor.removeprefix("after:")) if cursor else 0
            page = self._sorted[start : start + PAGE]
            for name in page:
                server, tool = names[name]
                if (known := self._catalog.get(f"{server}/{tool}")) is not None:
                    tools.append(_definition(name, known))
            if start + PAGE < len(self._sorted):
                result["nextCursor"] = f"after:{page[-1]}"
        return self._stamped(result | ({"ttlMs": 0, "cacheScope": "private"} if modern else {}), modern)

    async def call_tool(self, params: Message, call: Call) -> Result:
        """Answers `tools/call`. What goes wrong with a tool is a result; raises `Refused` for what is no call."""
        name, arguments = params.get("name"), params.get("arguments")
        arguments = {} if arguments is None else arguments
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise Refused(INVALID_PARAMS, "a call has a name, and arguments that are an object")
        match name:
            case "call_tool":
                wanted, arguments = arguments.get("tool"), arguments.get("arguments")
                arguments = {} if arguments is None else arguments
                if not isinstance(wanted, str) or not isinstance(arguments, dict):
                    return self._told("call_tool takes tool, an id, and arguments, an object", call, error=True)
            case "find_tools":
                return await self._find(arguments, call)
            case "describe_tool":
                return self._describe(arguments, call)
            case _:
                wanted = name
        try:
            tool = self._tool(wanted)
        except BottegaError:
            # Perhaps its server is only just being listed.
            await self._patience(None, lambda: self._has(wanted))
            try:
                tool = self._tool(wanted)
            except BottegaError as error:
                return self._told(str(error), call, error=True)
        return await self._proxied(tool, arguments, params, call)

    def input_schema(self, name: str) -> Message | None:
        """The schema of a tool that is listed by this name; None for the gateway's own."""
        parts = self._shown().get(name)
        tool = self._catalog.get("/".join(parts)) if parts else None
        return tool.input_schema if tool else None

    # The gateway's own tools

    async def _find(self, arguments: Message, call: Call) -> Result:
        query, count, server = arguments.get("query"), arguments.get("limit", 10), arguments.get("server")
        if not isinstance(query, str) or not query.strip():
            return self._told("find_tools takes query, what a tool has to do, in words", call, error=True)
        if not isinstance(count, int) or not 1 <= count <= 50:
            return self._told("limit has to be a number from 1 to 50", call, error=True)
        if server is not None and server not in {s.name for s in self._catalog.status()}:
            names = ", ".join(s.name for s in self._catalog.status())
            return self._told(f"there is no server {server!r}; there are: {names[:2000]}", call, error=True)
        await self._patience(call, lambda: bool(self._catalog.tools()))
        within = None if server is None else {tool.id for tool in self._catalog.tools() if tool.server == server}
        try:
            hits = await self._finder.find(query[:2000], count, within)
        except BottegaError as error:
            return self._told(f"the tools cannot be searched: {error}", call, error=True)
        from ...retrieval.scoring import FITS  # has been imported by the search

        found = [
            {
                "id": hit.id,
                "description": _first_line(hit.tool.description),
                "score": round(hit.score, 3),
                "fits": hit.nearness >= FITS,
                "required": list(hit.tool.input_schema.get("required") or ()),
            }
            for hit in hits
        ]
        note = self._note()
        return self._told(found_text(found, note), call, data={"tools": found} | ({"note": note} if note else {}))

    def _describe(self, arguments: Message, call: Call) -> Result:
        wanted = arguments.get("tools", arguments.get("tool"))
        names = [wanted] if isinstance(wanted, str) else wanted
        if not isinstance(names, list) or not 1 <= len(names) <= 20 or not all(isinstance(n, str) for n in names):
            return self._told("describe_tool takes tools, a list of 1 to 20 ids", call, error=True)
        found, problems = [], []
        for name in names:
            try:
                found.append(described(self._tool(name)))
            except BottegaError as error:
                problems.append(str(error))
        text = "\n\n".join([json.dumps(one, ensure_ascii=False, indent=1) for one in found] + problems)
        data = {"tools": found} | ({"problems": problems} if problems else {})
        return self._told(text, call, data=data, error=not found)

    def _tool(self, name: str) -> Tool:
        """The tool of an id, a listed name or a short name. Raises `UsageError` and `ToolError`."""
        now = time.monotonic()
        if now - self._looked > _TOOLS_KEPT:
            self._looked = now
            self._called.clear()
        if (tool := self._called.get(name)) is None:
            parts = self._shown().get(name)
            tool = self._called[name] = self._catalog.resolve("/".join(parts) if parts else name)
        return tool

    def _has(self, name: str) -> bool:
        try:
            self._tool(name)
        except BottegaError:
            return False
        return True

    def _told(self, text: str, call: Call, *, data: Message | None = None, error: bool = False) -> Result:
        """A result of the gateway's own; texts of servers are in it, so it is cleaned."""
        result: Message = {"content": [{"type": "text", "text": clean(text)}]}
        if data is not None:
            result["structuredContent"] = data
        return Result(self._stamped(result | {"isError": error}, call.client.modern))

    # Calls that go on to a server

    async def _proxied(self, tool: Tool, arguments: Message, params: Message, call: Call) -> Result:
        started = time.perf_counter()
        decision, outcome = "allow", "failed"
        result: Result | None = None
        try:
            decision, early = await self._permitted(tool, arguments, params, call)
            if early is not None:
                outcome = "asked" if decision == "asked" else "refused"
                result = early
                return result
            try:
                result = Result(await self._sent(tool, arguments, params, call))
            except Refused:
                outcome = "error"
                raise
            except TimeoutError:
                outcome = "timeout"
                result = self._told(self._late(tool), call, error=True)
            except BottegaError as error:
                result = self._told(str(error), call, error=True)
            else:
                outcome = "error" if result.get("isError") is True else "ok"
            return result
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            if self._audit is not None:
                self._audit.write(
                    {
                        "tool": tool.id,
                        "client": call.client.name[:100],
                        "decision": decision,
                        "outcome": outcome,
                        "ms": round((time.perf_counter() - started) * 1000, 2),
                        "arguments": measured(encoded(arguments)),
                        "result": measured(result.text) if result is not None else None,
                    }
                )

    async def _permitted(
        self, tool: Tool, arguments: Message, params: Message, call: Call
    ) -> tuple[str, Result | None]:
        """The decision, and what to answer at once where the call is not to be made now."""
        verdict = self._verdict(tool)
        if verdict.decision == "allow":
            return "allow", None
        if verdict.decision == "deny":
            return "deny", self._told(f"refused: {verdict.reason}", call, error=True)
        if self._allow:
            return "allowed by --yes", None
        said = await self._approvals.ask(tool, arguments, params, call)
        if said is True:
            return "allowed by the person", None
        if isinstance(said, Asked):
            return "asked", Result(self._stamped(said.result, modern=True))
        if said is False:
            return "refused by the person", self._told(f"refused: the person said no to {tool.id}", call, error=True)
        rule = f'[[rules]] with tool = "{tool.id}" and decision = "allow"'
        return "nobody to ask", self._told(
            f"refused: {verdict.reason}, and this client cannot ask a person. Who trusts it writes {rule} into their "
            "policy.toml, or starts the gateway with --yes.",
            call,
            error=True,
        )

    async def _sent(self, tool: Tool, arguments: Message, params: Message, call: Call) -> Message:
        """The result of the server itself."""
        source, check = self._catalog.source(tool)
        server = tool.server
        self._running[server] += 1
        try:
            if not isinstance(source, Connection):
                async with asyncio.timeout(self._limits.longest):
                    return self._stamped(_of_tool(await tool(self._context, **arguments)), call.client.modern)
            if server not in self._connections:
                source.asks = self._asks
                self._connections[server] = source
            rest = {k: v for k, v in params.items() if k not in ("name", "arguments")}
            return await self._passed_on(source, check, {"name": tool.name, "arguments": arguments, **rest}, call)
        finally:
            self._running[server] -= 1
            self._used[server] = time.monotonic()

    async def _passed_on(
        self, connection: Connection, check: Callable[[], None], params: Message, call: Call
    ) -> Message:
        now = asyncio.get_running_loop().time()
        call.idle, call.last = connection.config.tool_timeout, now + self._limits.longest
        for last in (False, True):
            link = await connection.link()
            untold = link.version < MODERN and not call.askable <= connection.told
            if untold and self._running[connection.config.name] == 1:
                # It was started when nobody could be asked what this client can be.
                await connection.rest()
                link = await connection.link()
            check()
            try:
                if link.version >= MODERN:
                    params = call.levelled(params)
                async with asyncio.timeout(min(call.idle, self._limits.longest)) as call.limit:
                    result = await link.forward("tools/call", params, call, call.client.capabilities)
                    for _ in range(ROUNDS):
                        if result.get("resultType") != "input_required" or call.client.modern:
                            break
                        answers = await _answers(result, call)
                        again = {**params, "inputResponses": answers, "requestState": result.get("requestState")}
                        result = await link.forward("tools/call", again, call, call.client.capabilities)
            except (Closed, SessionLost, NotSent) as why:
                error = await connection.lost(why)
                if last or isinstance(why, Closed):
                    raise error from None
            except ServerError as error:
                raise ServerError(f"server {connection.config.name!r} {error.message}", hint=error.hint) from None
            else:
                connection.worked()
                return _suited(result, call.client.modern)
            finally:
                call.limit = None
        raise AssertionError("unreachable")

    def _asks(self) -> set[str]:
        return {name for client in self._clients for name in client.capabilities if name in ASKABLE}

    def _late(self, tool: Tool) -> str:
        connection = self._connections.get(tool.server)
        seconds = min(connection.config.tool_timeout, self._limits.longest) if connection else self._limits.longest
        return (
            f"server {tool.server!r} did not answer {tool.name!r} within {seconds:g} s, or told no progress for so "
            "long; whether it did what it was asked is not known (raise its tool_timeout_sec, or --longest)"
        )

    def _verdict(self, tool: Tool) -> Verdict:
        now = time.monotonic()
        if now - self._policy_read > _RULES_KEPT:
            self._policy_read = now
            # A file that is being edited may be broken for a moment: what was read before holds.
            with suppress(BottegaError):
                rules = self._rules()
                if rules != self._policy.rules:
                    self._policy, self._verdicts = Policy(rules, web=True), {}
        known = self._verdicts.get(tool.id)
        if known is None or known[0] is not tool:
            known = self._verdicts[tool.id] = tool, self._policy.judge(tool)
        return known[1]

    # Keeping up with the servers

    async def _list(self) -> None:
        """Lists what was never listed. A server that cannot be listed is told of by `find_tools`."""

        ending: set[asyncio.Task[None]] = set()

        def told(status: CatalogStatus) -> None:
            self._listed += 1
            # Fifty servers that wait for a first call take gigabytes.
            ending.add(asyncio.create_task(self._end(status.name)))

        try:
            await self._catalog.refresh(told=told)
        except BottegaError as error:
            self._problem = str(error)
        finally:
            await asyncio.gather(*ending)

    async def _end(self, server: str) -> None:
        """Ends a server until it is called, unless it is being called."""
        tool = next((tool for tool in self._catalog.tools() if tool.server == server), None)
        if tool is not None and not self._running[server]:
            source, _ = self._catalog.source(tool)
            if isinstance(source, Connection):
                await source.rest()

    def _warm(self) -> None:
        """Opens the index once a client has looked around: the search that comes next then finds it open."""
        if self._warming is None and self._catalog.tools():
            self._warming = asyncio.create_task(self._finder.warm())

    async def _patience(self, call: Call | None, enough: Callable[[], bool]) -> None:
        """Waits a while for servers that are being listed for the first time, and tells `call` how far that is."""
        end = time.monotonic() + PATIENCE
        shown = -1
        while self._listing and not self._listing.done() and not enough() and time.monotonic() < end:
            if call is not None and self._listed != shown:
                shown = self._listed
                call.progress(shown, self._due, f"{shown} of {self._due} servers are listed")
            await asyncio.wait([self._listing], timeout=0.05)

    def _note(self) -> str:
        """What a person should know about a search: servers that are not listed yet, or cannot be."""
        if self._listing is not None and not self._listing.done() and self._due:
            return f"{self._listed} of {self._due} new servers are listed so far; search again for more"
        failed = [s.name for s in self._catalog.status() if s.failed and not s.tools]
        if not failed:
            return self._problem or ""
        more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
        return f"tools of these servers are not known, because they cannot be reached: {', '.join(failed[:5])}{more}"

    def _changed(self, change: Change) -> None:
        self._finder.changed()
        self._names = None
        self._called.clear()
        for id in (*change.changed, *change.removed):
            self._verdicts.pop(id, None)
        if self.all_tools:
            for callback in list(self._watchers):
                callback()

    def _shown(self) -> dict[str, tuple[str, str]]:
        if self._names is None:
            self._names = wire_names((tool.server, tool.name) for tool in self._catalog.tools())
            self._sorted = list(self._names)
        return self._names

    async def _rest(self) -> None:
        """Ends servers that nobody has called for a while."""
        while True:
            await asyncio.sleep(self._limits.idle / 4)
            now = time.monotonic()
            for server, connection in self._connections.items():
                if not self._running[server] and now - self._used.get(server, now) > self._limits.idle:
                    await connection.rest()

    def _stamped(self, result: Message, modern: bool) -> Message:
        """A result of the gateway's own as the client's protocol has it."""
        if not modern:
            return result
        return {"resultType": "complete", **result, "_meta": {"io.modelcontextprotocol/serverInfo": self.identity}}


async def _answers(result: Message, call: Call) -> Message:
    """What a client of the older protocol answers to what a server of the newer one asks."""
    requests = result.get("inputRequests")
    answers = {}
    for key, request in (requests if isinstance(requests, dict) else {}).items():
        method, params = request.get("method"), request.get("params")
        if not isinstance(method, str):
            raise Refused(INTERNAL_ERROR, "the server asked something that cannot be understood")
        answers[key] = await call.answer(method, params if isinstance(params, dict) else {})
    return answers


def _suited(result: Message, modern: bool) -> Message:
    """A server's result as the client's protocol has it: nothing is changed but what that protocol does not know."""
    if modern:
        return result if "resultType" in result else {**result, "resultType": "complete"}
    if "resultType" not in result:
        return result
    result = {key: value for key, value in result.items() if key != "resultType"}
    if not isinstance(result.get("structuredContent", {}), dict):
        del result["structuredContent"]
    return result


def _of_tool(result: ToolResult) -> Message:
    """The result of a tool that is no MCP server's."""
    message: Message = {"content": [{"type": "text", "text": result.text}], "isError": result.is_error}
    if isinstance(result.data, dict):
        message["structuredContent"] = result.data
    return message


def _definition(name: str, tool: Tool) -> Message:
    """A tool as `tools/list` says it, under the gateway's name for it."""
    if isinstance(tool, KeptTool):
        said = {key: value for key, value in tool.definition.items() if key != "_meta"}
    else:
        said = {}
    shown = {**said, "name": name, "description": tool.description, "inputSchema": tool.input_schema}
    # Clients of the older protocol take no output schema but that of an object.
    if "outputSchema" in shown and shown["outputSchema"].get("type") != "object":
        del shown["outputSchema"]
    return shown


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= 200 else f"{line[:199]}…"
