"""`Catalog`: the tools of all configured servers, from what was kept of them; servers start when they are called."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ...core.errors import NotSent, ServerError, ToolError, UsageError
from ..mcp.config import ServerConfig
from ..tool import Tool, ToolContext, ToolResult
from .definition import KeptTool, changed_parts, difference
from .known import Change, KnownServer, change_of
from .naming import named
from .source import Check, Definition, Source, open_source
from .store import Entry, Failure, Store

Json = Any
State = Literal["configured", "listed", "connected", "called"]
"""How far it has come: a server is configured; its tools are listed, and known from then on; it is connected now; it,
or the tool, has been called, now or earlier."""

PARALLEL_STARTS = 8
"""Servers that start at the same time."""
CALLS_KEPT = 30.0
"""Seconds, at most, for which it is not written down that tools were called."""


@dataclass(frozen=True)
class HeldBack:
    """A tool that is another than was approved. It is not offered, and not called, until a person approves it."""

    id: str
    parts: str
    """What is different: `description, input schema`."""
    difference: tuple[str, ...]
    """Both definitions line by line, as `diff` shows them."""
    hash: str
    """The fingerprint of what it says now."""


@dataclass(frozen=True)
class CatalogStatus:
    """How a server is doing; times are seconds since the epoch."""

    name: str
    state: State
    transport: str
    """`stdio`, `http`, `openapi`; `import` for definitions that no server is known for."""
    address: str
    enabled: bool = True
    connected: bool = False
    tools: int = 0
    """How many it offers."""
    held: int = 0
    """How many are held back."""
    listed: float | None = None
    called: float | None = None
    failed: bool = False
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class ToolStatus:
    """How far a tool has come; times are seconds since the epoch."""

    id: str
    state: State
    called: float | None = None
    held: HeldBack | None = None
    callable: bool = True
    """Whether there is a server to call it."""


class Catalog:
    """The tools of a configuration's servers.

        async with Catalog.open(read_config(folder), folder, folder / ".bottega/catalog") as catalog:
            await catalog.refresh()
            tools = catalog.tools()

    What servers have told is kept in a folder, so that their tools are known, and can be searched, while no server
    runs. Calling a tool connects its server. A connected server is heard whenever its tools change.

    Trust is on first use: a tool is what it said it was when it was first seen. Where it says otherwise later - its
    title, description, schemas or annotations - it is held back until `approve`, whatever has become of the server's
    command meanwhile.

    To be used in one event loop; several processes may use one folder.
    """

    def __init__(self, configs: Sequence[ServerConfig], workspace: Path, store: Store) -> None:
        self._workspace = workspace
        self._store = store
        self._slots = asyncio.Semaphore(PARALLEL_STARTS)
        self._servers = {config.name: KnownServer(config.name, config) for config in configs}
        self._callbacks: list[Callable[[Change], None]] = []
        self._called: dict[tuple[str, str], float] = {}
        self._unwritten: dict[tuple[str, str], float] = {}
        self._written = time.monotonic()
        self._tools: dict[str, Tool] | None = None
        self._read()

    @classmethod
    def open(cls, configs: Sequence[ServerConfig], workspace: str | Path, folder: str | Path | None = None) -> Catalog:
        """The catalog of these servers, of which the later counts where two have one name. Starts nothing.

        Their commands run in `workspace`. What they tell is kept in `folder`, which is made where it is not there;
        None keeps nothing. A folder that cannot be used is no error: `problems` tells it.
        """
        place = Path(folder).expanduser() if folder is not None else None
        return cls(configs, Path(workspace).expanduser().resolve(), Store(place))

    async def __aenter__(self) -> Catalog:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def tools(self, *, imported: bool = True) -> list[Tool]:
        """The tools that are known, in the order of the configuration, without those held back. Starts nothing.

        Those that were imported, and have no server that could be called, are among them unless `imported` is False.
        """
        offered = self._offered().values()
        return [tool for tool in offered if imported or self._servers[tool.server].config is not None]

    def get(self, id: str) -> Tool | None:
        """The tool with this id, where it is offered."""
        return self._offered().get(id)

    def resolve(self, name: str) -> Tool:
        """The tool that `name` means: its id, or its name where only one tool has it.

        Raises `UsageError` where none or several have it, saying which are meant or near, and `ToolError` where it is
        held back.
        """
        offered = self._offered()
        if (found := offered.get(name)) is None:
            for entry in [entry for server in self._servers.values() for entry in server.current if entry.held]:
                if name in (entry.id, entry.name):
                    raise _refusal(_held(entry))
            found = named(name, offered.values())
        return found

    async def call(
        self, name: str, arguments: dict[str, Json], context: ToolContext, *, seconds: float | None = None
    ) -> ToolResult:
        """Calls the tool that `name` means, connecting its server first. It may take `seconds`.

        What the tool fails at is the result. Raises what `resolve` raises, `NotSent` where the server could not be
        reached, and `ServerError` where it died or did not answer in time.
        """
        tool = self.resolve(name)
        try:
            async with asyncio.timeout(seconds):
                return await tool(context, **arguments)
        except TimeoutError:
            raise ServerError(f"server {tool.server!r} did not answer {tool.name!r} within {seconds:g} s") from None

    async def refresh(
        self,
        servers: Collection[str] | None = None,
        *,
        every: bool = False,
        told: Callable[[CatalogStatus], None] | None = None,
    ) -> list[Change]:
        """Asks servers for their tools: those that were never listed, or not with the config they have now.

        `every` asks all, `servers` those that are named. At most eight start at the same time, and each fails alone:
        `problems` tells of it. One that failed before is tried again when twenty times as long has passed as failing
        took, so that a mute one does not cost each request its startup timeout; or at once, where it is named. `told`
        hears of each server that is done. Returns what has changed. Raises `UsageError` for a name that is none.
        """
        wanted = None if servers is None else [self._known(name) for name in dict.fromkeys(servers)]
        if wanted is None:
            wanted = [server for server in self._servers.values() if every or server.due]
        changes: list[Change] = []
        stop = self.on_change(changes.append)
        try:
            await asyncio.gather(*(self._list(server, told) for server in wanted if server.usable))
        finally:
            stop()
        return changes

    async def connect(self, server: str) -> None:
        """Connects a server where it is not connected. Raises `ServerError`, and `UsageError` for an unknown name."""
        await self._source(self._known(server)).connect()

    def source(self, tool: Tool) -> tuple[Source, Check]:
        """The server of a tool, for who passes calls on to it, and what has to be called right before each of them.

        Starts nothing. Raises `NotSent` where the server cannot be used; the check raises `ToolError` for a tool that
        is not, or not any more, what was approved.
        """
        server = self._known(tool.server)
        return self._source(server), partial(self._before_sending, server, tool.name)

    def status(self) -> list[CatalogStatus]:
        """How each server is doing. Starts nothing."""
        last: dict[str, float] = {}
        for (server, _), at in self._called.items():
            last[server] = max(at, last.get(server, 0))
        return [self._status(server, last.get(server.name)) for server in self._servers.values()]

    def tool_status(self, id: str) -> ToolStatus:
        """How far a tool has come. Raises `UsageError` for an id that is none."""
        self._look()
        server = self._servers.get(id.partition("/")[0])
        entry = server.entries.get(id.partition("/")[2]) if server is not None and server.offers else None
        if server is None or entry is None or entry.definition is None:
            raise UsageError(f"there is no tool {id!r}", hint="bottega tools list shows all there are")
        called = self._called.get((entry.server, entry.name))
        state: State = "called" if called is not None else "connected" if server.connected else "listed"
        held = _held(entry) if entry.held else None
        return ToolStatus(id, state, called, held, callable=server.config is not None)

    def problems(self) -> list[tuple[str, str]]:
        """What is wrong, as (server name, message); the name is empty for what concerns none."""
        found = [("", self._store.problem)] if self._store.problem else []
        for server in self._servers.values():
            found += [(server.name, problem) for problem in server.problems]
            if held := [entry.name for entry in server.current if entry.held]:
                names = ", ".join(held[:3]) + (f" and {len(held) - 3} more" if len(held) > 3 else "")
                what = "1 tool has" if len(held) == 1 else f"{len(held)} tools have"
                hint = f"to look at what changed: bottega tools approve {server.name}"
                found.append(
                    (server.name, f"{what} changed since approved, held back until you look: {names} ({hint})")
                )
        return found

    def held_back(self) -> list[HeldBack]:
        """The tools that are held back."""
        self._look()
        return [_held(entry) for server in self._servers.values() for entry in server.current if entry.held]

    def approve(self, tools: Collection[str | HeldBack]) -> list[str]:
        """Trusts tools that are held back as they are now. Gives their ids.

        `tools` are ids, names of servers for all of theirs, or what `held_back` gave: then only what was seen there is
        trusted. Raises `UsageError` for what is not held back, or has changed again since it was seen.
        """
        held = {one.id: one.hash for one in self.held_back()}
        names = [one if isinstance(one, str) else one.id for one in tools]
        for name in names:
            if not any(name in (id, id.partition("/")[0]) for id in held):
                raise UsageError(
                    f"nothing of {name!r} is held back", hint=f"held back are: {', '.join(held) or 'none'}"
                )
        if again := [one.id for one in tools if isinstance(one, HeldBack) and held[one.id] != one.hash]:
            raise UsageError(f"{', '.join(again)} changed again while you looked", hint="look at it once more")
        approved = []
        for server in self._servers.values():
            mine = [e for e in server.current if e.held and (server.name in names or e.id in names)]
            if mine:
                change = server.approve(entry.name for entry in mine)
                self._keep([server])
                self._tell(change)
                approved += [entry.id for entry in mine]
        return approved

    def add(self, definitions: Mapping[str, Sequence[Definition]]) -> list[Change]:
        """Takes in definitions from elsewhere, by server: each time the whole list of a server's tools.

        Of a server that is configured they are what it is expected to tell, and it need not be started to know them;
        without one they are listed, and cannot be called.
        """
        self._look()
        changes, keep = [], []
        for name, found in definitions.items():
            server = self._servers.setdefault(name, KnownServer(name, None))
            change, new = server.take(found, ())
            changes.append(change)
            keep += [server] if new else []
        self._keep(keep)
        for change in changes:
            self._tell(change)
        return changes

    def definitions(self) -> Iterable[tuple[str, dict[str, Json]]]:
        """(Server, definition as it was told) of every tool that is offered."""
        for server in self._servers.values():
            for entry in server.current:
                if entry.definition is not None and not entry.held:
                    yield server.name, json.loads(entry.definition)

    def on_change(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Has `callback` called whenever tools have changed; returns what ends that. It must not wait, nor raise."""
        self._callbacks.append(callback)
        return partial(self._callbacks.remove, callback)

    async def close(self) -> None:
        """Ends all servers; no process stays behind."""
        try:
            await asyncio.gather(*(s.source.close() for s in self._servers.values() if s.source is not None))
        finally:
            self._write_calls()
            self._store.close()

    def _offered(self) -> dict[str, Tool]:
        self._look()
        if self._tools is None:
            self._tools = {
                entry.id: KeptTool.of(
                    entry.server,
                    entry.name,
                    entry.description,
                    entry.definition,
                    partial(self._call, server, entry.name),
                )
                for server in self._servers.values()
                for entry in server.current
                if entry.definition is not None and not entry.held
            }
        return self._tools

    async def _call(
        self, server: KnownServer, name: str, arguments: dict[str, Json], context: ToolContext
    ) -> ToolResult:
        self._check(server, name)
        check = partial(self._before_sending, server, name)
        return await self._source(server).call(name, arguments, context, check)

    def _before_sending(self, server: KnownServer, name: str) -> None:
        self._check(server, name)
        self._note_call(server.name, name)

    def _check(self, server: KnownServer, name: str) -> None:
        """Raises `ToolError` where a tool is not, or not any more, what was approved."""
        if (entry := server.entries.get(name)) is not None and entry.held:
            self._look()  # perhaps it has been approved meanwhile, in another process
            entry = server.entries.get(name)
        if server.config is None:
            hint = f"configure it: bottega mcp add {server.name} -- COMMAND"
            raise ToolError(
                f"{server.name}/{name} was imported, and no server {server.name!r} is configured", hint=hint
            )
        if entry is None or entry.definition is None:
            raise ToolError(f"server {server.name!r} has no tool {name!r} any more")
        if entry.held:
            raise _refusal(_held(entry))

    def _source(self, server: KnownServer) -> Source:
        if not server.usable or server.config is None:
            why = server.config.problem if server.config and server.config.problem else "it is not enabled"
            raise NotSent(f"server {server.name!r} cannot be used: {why}")
        if server.source is None:
            server.source = open_source(server.config, self._workspace, self._slots, partial(self._hear, server))
        return server.source

    def _hear(self, server: KnownServer, definitions: Sequence[Definition], problems: Sequence[str]) -> None:
        self._look()
        server.heard = True
        change, new = server.take(definitions, problems)
        if new:
            self._keep([server])
        self._tell(change)

    async def _list(self, server: KnownServer, told: Callable[[CatalogStatus], None] | None) -> None:
        """Asks a server for its tools; what goes wrong is noted."""
        source, started = self._source(server), time.monotonic()
        failure: tuple[str, str | None] | None = None
        try:
            await source.connect(fresh=True)
            if not server.offers:
                failure = "; ".join(source.problems) or f"server {server.name!r} told nothing", None
        except ServerError as error:
            failure = error.message, error.hint
        if failure is not None:
            assert server.config
            took = min(time.monotonic() - started, server.config.startup_timeout)  # without the wait for a slot
            server.fail(Failure(time.time(), took, *failure))
            self._store.write({server.name: (server.listed, None)} if server.listed else {})
        if told is not None:
            told(self._status(server, None))

    def _status(self, server: KnownServer, called: float | None) -> CatalogStatus:
        current, config = server.current, server.config
        held = sum(entry.held for entry in current)
        state: State = (
            "called" if called else "connected" if server.connected else "listed" if server.offers else "configured"
        )
        problems = server.problems
        return CatalogStatus(
            server.name,
            state,
            config.transport if config else "import",
            config.address if config else "",
            enabled=config is None or config.enabled,
            connected=server.connected,
            tools=len(current) - held,
            held=held,
            listed=server.listed.at if server.listed and server.offers else None,
            called=called,
            failed=bool(problems) and not (server.connected and server.offers),
            problems=problems,
        )

    def _known(self, name: str) -> KnownServer:
        if name not in self._servers:
            raise UsageError(f"there is no server {name!r}", hint=f"there are: {', '.join(self._servers) or 'none'}")
        return self._servers[name]

    def _note_call(self, server: str, name: str) -> None:
        self._called[server, name] = self._unwritten[server, name] = time.time()
        if time.monotonic() - self._written > CALLS_KEPT:
            self._write_calls()

    def _write_calls(self) -> None:
        if self._unwritten:
            self._store.write_calls(self._unwritten)
        self._unwritten, self._written = {}, time.monotonic()

    def _keep(self, servers: Sequence[KnownServer]) -> None:
        self._tools = None
        rows = {s.name: (s.listed, list(s.entries.values())) for s in servers if s.listed is not None}
        if rows:
            self._store.write(rows)

    def _tell(self, change: Change) -> None:
        if change:
            self._tools = None
            for callback in list(self._callbacks):
                callback(change)

    def _look(self) -> None:
        """Takes in what other processes have written: above all, what a person has approved."""
        if self._store.changed_elsewhere():
            for change in self._read():
                self._tell(change)

    def _read(self) -> list[Change]:
        """Takes in what is kept. A server that has told its tools to this process is known better here."""
        if (found := self._store.read()) is None:
            return []
        servers, entries, called = found
        self._called = called | self._unwritten
        by_server: dict[str, dict[str, Entry]] = {}
        for entry in entries:
            by_server.setdefault(entry.server, {})[entry.name] = entry
        for name, listed in servers.items():
            if not listed.digest:
                self._servers.setdefault(name, KnownServer(name, None))
        changes = []
        for name, server in self._servers.items():
            kept = by_server.get(name, {})
            before = server.current
            if server.heard:
                server.approve(e.name for e in before if e.held and e.name in kept and kept[e.name].approved == e.hash)
            else:
                server.listed, server.entries = servers.get(name), kept
            changes.append(change_of(name, before, server.current))
        return changes


def _held(entry: Entry) -> HeldBack:
    approved, now = json.loads(entry.approved_definition or "{}"), json.loads(entry.definition or "{}")
    return HeldBack(entry.id, changed_parts(approved, now), tuple(difference(approved, now)), entry.hash)


def _refusal(held: HeldBack) -> ToolError:
    return ToolError(
        f"{held.id} is held back: its {held.parts} changed since it was approved",
        hint=f"to look at what changed: bottega tools approve {held.id}",
    )
