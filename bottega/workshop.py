"""`Bottega`, the workshop as Python sees it: takes requests, gives results, events and plans."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .agents.plan import Plan, Route, RunResult
from .agents.planning import Binder, Comparer, Finder, Planner, PlanningContext, Router
from .agents.specialist import Specialist, house_specialists
from .core.errors import UsageError
from .graphs.approvals import Approve
from .graphs.events import Emit, Event, Level
from .graphs.run import Crew, Run
from .tools import Tool, Toolset, Workspace
from .tools.policy import Policy

if TYPE_CHECKING:
    from .loop import LoopThread
    from .tools.mcp import McpServers, ServerConfig

LONGEST_REQUEST = 64_000
"""Bytes of UTF-8 that a request may have."""

Servers = str | Path | Mapping[str, Any] | None


class Bottega:
    """A workshop for one folder.

        with Bottega("office") as bottega:
            print(bottega.run("How many ERROR lines are there in app.log?").answer)

    Args:
        workspace: the folder to work in; tools reach nothing outside it.
        servers: MCP servers beside those of the folder's `.mcp.json`: a file of the same form. A dict in the form of
            its `mcpServers` stands for all servers; `{}` for none.
        specialists: your own, beside those of the house; one with the name of a house specialist takes its place.
        tools: your own, beside those of the house.
        web: whether tools may reach the network.
        approve: who is asked about side effects: `"all"` approves each, a coroutine function decides, None refuses.
        planner, router: in place of the house's. With a planner and no router, everything is planned.
        concurrency: steps of a run under way at once, and tool calls too.

    Raises `UsageError` for arguments that cannot be, and, once servers are needed, `ConfigError` for a broken file.
    """

    def __init__(
        self,
        workspace: str | Path = ".",
        servers: Servers = None,
        specialists: Iterable[Specialist] = (),
        tools: Toolset | Iterable[Tool | Toolset] = (),
        web: bool = False,
        approve: Approve = None,
        planner: Planner | None = None,
        router: Router | None = None,
        concurrency: int = 8,
    ) -> None:
        if concurrency < 1:
            raise UsageError(f"concurrency is {concurrency!r}", hint="it takes a number from 1")
        if approve is not None and approve != "all" and not callable(approve):
            raise UsageError(f"approve is {approve!r}", hint='it takes None, "all" or a coroutine function')
        self.workspace = Workspace.at(workspace)
        self.specialists = _staff(tuple(specialists))
        self.notices: tuple[tuple[Level, str], ...] = ()
        """What the last look at tools and servers found worth telling, as (level, text)."""
        self._servers = servers
        self._tools = _flat([tools] if isinstance(tools, Toolset) else tools)
        self._web = web
        self._approve = approve
        self._planner = planner
        self._router = router
        self._concurrency = concurrency
        self._house: tuple[Tool, ...] | None = None
        self._connections: dict[asyncio.AbstractEventLoop, McpServers] = {}
        self._thread: LoopThread | None = None

    def run(self, request: str) -> RunResult:
        """Does a request and waits for the end. The result's `answer` is for people, its `status` for programs.

        Raises `UsageError` for a request that is empty, too long or no text. What goes wrong later is in the result.
        """
        if self._thread is None:
            from .loop import LoopThread

            self._thread = LoopThread()
            weakref.finalize(self, self._thread.close)
        return self._thread.run(self.arun(request))

    async def arun(self, request: str) -> RunResult:
        """`run` for async code."""
        return await self._run(request, lambda event: None)

    async def stream(self, request: str) -> AsyncGenerator[Event, None]:
        """Does a request and gives its events as they happen; the last one is `run_finished`.

        Who leaves early cancels the run: with `contextlib.aclosing` at once, else when the iterator is collected.
        """
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        task = asyncio.create_task(self._run(request, events.put_nowait))
        task.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            await task
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def plan(self, request: str) -> Plan:
        """How a request would be done. Nothing is called. Raises `PlanError` when there is no plan."""
        crew = await self._crew(checked(request))
        context = _context(crew)
        if crew.router is not None:
            found = await crew.router.route(request, context)
            context = PlanningContext(context.workspace, context.tools, context.specialists, context.notice, found)
        return (await crew.planner.plan(request, context)).check()

    async def route(self, request: str) -> Route:
        """Who would take a request."""
        crew = await self._crew(checked(request))
        return Route(kind="plan") if crew.router is None else await crew.router.route(request, _context(crew))

    async def catalog(self) -> tuple[Tool, ...]:
        """All tools: your own, the house's, and those of the servers, which are started for it."""
        tools, _ = await self._catalog()
        return tools

    async def find_tools(self, query: str, limit: int = 8) -> tuple[Tool, ...]:
        """The tools that fit `query`, the best first."""
        tools, _ = await self._catalog()
        planner, _ = self._minds()
        if not isinstance(planner, Finder):
            raise UsageError(
                f"the planner {type(planner).__name__} does not search tools", hint="use the house planner"
            )
        return tuple(await planner.find_tools(query, tools, limit))

    async def close(self) -> None:
        """Ends the servers and what still runs. The workshop can be used again; it starts them anew."""
        loop = asyncio.get_running_loop()
        if (servers := self._connections.pop(loop, None)) is not None:
            await servers.__aexit__(None, None, None)
        await asyncio.to_thread(self._close_thread)

    def __enter__(self) -> Bottega:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_thread()

    async def __aenter__(self) -> Bottega:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, request: str, emit: Emit) -> RunResult:
        return await Run(await self._crew(checked(request)), request, emit).go()

    async def _crew(self, request: str) -> Crew:
        tools, remote = await self._catalog()
        planner, router = self._minds()
        return Crew(
            workspace=self.workspace,
            tools=tools,
            specialists=self.specialists,
            planner=planner,
            router=router,
            binder=planner if isinstance(planner, Binder) else None,
            nearness=planner.nearness if isinstance(planner, Comparer) else None,
            policy=Policy(web=self._web, remote=remote),
            approve=self._approve,
            concurrency=self._concurrency,
            notices=self.notices,
        )

    def _minds(self) -> tuple[Planner, Router | None]:
        """Who plans and who routes; the house's are made when they are first needed."""
        if self._planner is None:
            from .agents.planners.house import HousePlanner

            self._planner = HousePlanner(_cache() / "vectors.npz")
            if self._router is None:
                from .agents.router import Router as HouseRouter

                self._router = HouseRouter.open()
        return self._planner, self._router

    async def _catalog(self) -> tuple[tuple[Tool, ...], frozenset[str]]:
        """All tools, and the ids of those that servers run. Of two with one id own goes before house before servers."""
        if self._house is None:
            from .tools.house import house_toolsets

            self._house = tuple(tool for toolset in house_toolsets() for tool in toolset)
        servers = self._connected()
        remote, problems = await servers.tools() if servers else ([], [])
        notices: list[tuple[Level, str]] = [
            ("warning", text if text.startswith("server ") else f"server {name!r}: {text}") for name, text in problems
        ]
        own = [*self._tools, *(tool for specialist in self.specialists for tool in specialist.own_tools)]
        known = {tool.id: tool for tool in reversed([*own, *self._house])}
        for tool in remote:
            if tool.id in known:
                notices.append(
                    ("warning", f"server {tool.server!r} has a tool {tool.id}, which is known already; left out")
                )
        foreign = {tool.id: tool for tool in remote if tool.id not in known}
        self.notices = tuple(notices)
        # Own tools first, as they were given, then the house's: what a person brings along is what it is about.
        ordered = dict.fromkeys([*(t.id for t in own), *(t.id for t in self._house)])
        return (*(known[id] for id in ordered), *foreign.values()), frozenset(foreign)

    def _connected(self) -> McpServers | None:
        """The servers as this event loop has them: a connection lives and dies with the loop that opened it."""
        loop = asyncio.get_running_loop()
        self._connections = {at: servers for at, servers in self._connections.items() if not at.is_closed()}
        if loop not in self._connections:
            configs = self._configs()
            if not configs:
                return None
            from .tools.mcp import McpServers

            self._connections[loop] = McpServers(configs, self.workspace.root)
        return self._connections[loop]

    def _configs(self) -> list[ServerConfig]:
        from .tools.mcp import read_config, read_servers

        root = self.workspace.root
        if isinstance(self._servers, Mapping):
            return read_servers(self._servers, workspace=root)
        found = read_config(root, workspace=root)
        if self._servers is not None:
            found += read_config(self._servers, workspace=root)
        return list({config.name: config for config in found}.values())

    def _close_thread(self) -> None:
        if self._thread is not None:
            self._thread.close()
            self._thread = None


def checked(request: str) -> str:
    """`request` where it can be one. Raises `UsageError` otherwise."""
    if not isinstance(request, str):
        raise UsageError(f"a request is text, not {type(request).__name__}")
    if not request.strip():
        raise UsageError("the request is empty", hint="say in plain words what is to be done")
    try:
        size = len(request.encode("utf-8"))
    except UnicodeEncodeError:
        raise UsageError("the request is not valid text", hint="it has to be UTF-8") from None
    if size > LONGEST_REQUEST:
        raise UsageError(
            f"the request has {size:,} bytes, more than {LONGEST_REQUEST:,}",
            hint="put long texts into a file of the workspace and name it",
        )
    if "\0" in request:
        raise UsageError("the request holds a NUL character", hint="it has to be plain text")
    return request


def _cache() -> Path:
    """Where vectors of tools are kept between runs."""
    from platformdirs import user_cache_path

    return user_cache_path("bottega")


def _context(crew: Crew) -> PlanningContext:
    return PlanningContext(crew.workspace, crew.tools, crew.specialists, lambda level, text: None)


def _staff(own: Sequence[Specialist]) -> tuple[Specialist, ...]:
    """The specialists of a workshop: one's own first, then those of the house whose names are free."""
    names = [specialist.name for specialist in own]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"two specialists are called {twice!r}")
    return (*own, *(specialist for specialist in house_specialists() if specialist.name not in names))


def _flat(parts: Iterable[Tool | Toolset]) -> tuple[Tool, ...]:
    found: list[Tool] = []
    for part in parts:
        if not isinstance(part, Tool | Toolset):
            raise UsageError(f"{part!r} is not a tool", hint="make one of a typed function with @tool")
        found.extend([part] if isinstance(part, Tool) else part)
    return tuple(found)
