"""`Bottega`, the workshop as Python sees it: takes requests, gives results, events and plans."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .agents.network import Network
from .agents.plan import Answer, Budget, Plan, Question, Route, RunResult
from .agents.planning import Planner, PlanningContext, Router
from .agents.specialist import Specialist, generalist, house_specialists
from .agents.weights import Weights
from .core.errors import LedgerError, ModelError, PlanError, UsageError
from .graphs.approvals import Approve
from .graphs.events import Emit, Event, Level
from .graphs.run import Crew, Run
from .heeding import Heedful, heed
from .keeping import catalog_folder, keep_rule, open_ledger, own_retriever, read_rules
from .minds import Minds, PlannerName, minds_of
from .tools import Tool, Toolset, Workspace
from .tools.policy import Policy, Rule

if TYPE_CHECKING:
    from .graphs.ledger import AskedQuestion, Ledger, RunRecord, RunSummary
    from .loop import LoopThread
    from .models.chat import ChatClient
    from .recalling import Recalling
    from .tools.catalog import Catalog
    from .tools.mcp import ServerConfig

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
        without: names of specialists that are not wanted.
        tools: your own, beside those of the house.
        web: whether tools may reach the network.
        approve: who is asked about side effects: `"all"` approves each, `"later"` lets runs wait for `answer`, a
            coroutine function decides, None refuses.
        approve_plan: whether a plan is asked about before it is done.
        rules: decisions for some tools, before those that a person has written down; the first that fits counts.
        model: a language model, as `open_chat` takes it (`"gpt-5-mini"`, `"litellm/anthropic/..."`) or a `ChatClient`.
        planner: `"house"` plans with the house models, and with `model` where those are not sure; `"llm"` with `model`
            alone; `"none"` lets the specialists share the work among themselves; or a planner of your own.
        router: in place of the house's. With a planner of your own and no router, everything is planned.
        budget: what each run may spend.
        ledger: where runs are kept: a file, a database URL, `":memory:"`; by default in the folder's `.bottega`.
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
        approve_plan: bool = False,
        rules: Iterable[Rule] = (),
        model: str | ChatClient | None = None,
        planner: Planner | PlannerName = "house",
        router: Router | None = None,
        budget: Budget | None = None,
        ledger: str | Path | None = None,
        concurrency: int = 8,
        without: Iterable[str] = (),
    ) -> None:
        if concurrency < 1:
            raise UsageError(f"concurrency is {concurrency!r}", hint="it takes a number from 1")
        if approve not in (None, "all", "later") and not callable(approve):
            raise UsageError(f"approve is {approve!r}", hint='it takes None, "all", "later" or a coroutine function')
        if isinstance(planner, str) and planner not in ("house", "llm", "none"):
            raise UsageError(f"planner is {planner!r}", hint='it takes "house", "llm", "none" or a planner')
        if planner == "llm" and model is None:
            raise UsageError("the planner 'llm' needs a language model", hint="name one: model=...")
        self.workspace = Workspace.at(workspace)
        self._without = frozenset(without)
        self.specialists = tuple(s for s in _with_house(tuple(specialists)) if s.name not in self._without)
        self.notices: tuple[tuple[Level, str], ...] = ()
        """What the last look at tools and servers found worth telling, as (level, text)."""
        self._servers = servers
        self._tools = _flat([tools] if isinstance(tools, Toolset) else tools)
        self._web = web
        self._approve = approve
        self._approve_plan = approve_plan
        self._rules = tuple(rules)
        self._model = model
        self._planner = planner
        self._router = router
        self._budget = budget or Budget()
        self._place = ledger
        self._ledger: Ledger | None = None
        self._unkept: tuple[tuple[Level, str], ...] = ()
        self._minds: Minds | None = None
        self._unused: tuple[tuple[Level, str], ...] = ()
        self._recall: Recalling | None = None
        self._heeds = False
        self._concurrency = concurrency
        self._house: tuple[Tool, ...] | None = None
        self._catalogs: dict[asyncio.AbstractEventLoop, Catalog] = {}
        self._thread: LoopThread | None = None

    def run(self, request: str, plan: Plan | None = None) -> RunResult:
        """Does a request and waits for the end. The result's `answer` is for people, its `status` for programs.

        With `plan` that plan is done, and none is made. Raises `UsageError` for a request that is empty, too long or no
        text, `LedgerError` where the run cannot be kept. What else goes wrong is in the result.
        """
        return self._wait(self.arun(request, plan))

    async def arun(self, request: str, plan: Plan | None = None) -> RunResult:
        """`run` for async code."""
        return await self._run(checked(request), lambda event: None, plan=plan)

    def resume(self, run: str = "last") -> RunResult:
        """Goes on with a run that was broken off, that waits, or whose steps failed in part; waits for the end.

        `run` is its id, or an end of it. What is finished is not done again. Raises `UsageError` for a run that is not
        here or has succeeded, `RunBusy` while another process works on it.
        """
        return self._wait(self.aresume(run))

    async def aresume(self, run: str = "last") -> RunResult:
        """`resume` for async code."""
        return await self._run("", lambda event: None, resume=run)

    async def stream(
        self, request: str = "", plan: Plan | None = None, resume: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """Does a request, or goes on with the run `resume`, and gives events as they happen.

        The last one is `run_finished`. Replies of language models come piece by piece. Who leaves early cancels the
        run: with `contextlib.aclosing` at once, else when the iterator is collected.
        """
        request = checked(request) if resume is None else request
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        task = asyncio.create_task(self._run(request, events.put_nowait, plan=plan, resume=resume, stream=True))
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
        if crew.planner is None:
            raise PlanError("there is no planner", hint="leave planner='none' out")
        context = _context(crew)
        if crew.router is not None:
            found = await crew.router.route(request, context)
            context = replace(context, route=found)
        return (await crew.planner.plan(request, context)).check(s.name for s in crew.specialists)

    async def route(self, request: str) -> Route:
        """Who would take a request."""
        crew = await self._crew(checked(request))
        return Route(kind="plan") if crew.router is None else await crew.router.route(request, _context(crew))

    async def runs(self, limit: int = 20) -> list[RunSummary]:
        """The runs that are kept, the newest first."""
        return await self._kept().runs(limit)

    async def record(self, run: str = "last") -> RunRecord:
        """All that is known of a run. Raises `UsageError` for one that is not here."""
        ledger = self._kept()
        return await ledger.load(await ledger.resolve(run))

    async def cancel(self, run: str, step: str | None = None) -> bool:
        """Asks for a run, or one step of it, to be cancelled, whatever process works on it.

        Within a second or so it is. False where there is nothing to cancel any more.
        """
        ledger = self._kept()
        return await ledger.cancel(await ledger.resolve(run), step)

    async def questions(self, run: str | None = None) -> list[AskedQuestion]:
        """What runs wait for, the oldest first."""
        return await self._kept().questions(run)

    async def answer(self, question: str, answer: Answer | bool | str) -> Question:
        """Answers a question by its id: with yes or no, a text, or an `Answer`.

        The run goes on with `resume`. Raises `UsageError` for a question that is not there or takes another answer.
        """
        if not isinstance(answer, Answer):
            decision: Any = "text" if isinstance(answer, str) else "once" if answer else "deny"
            answer = Answer(decision=decision, text=answer if isinstance(answer, str) else "")
        asked = await self._kept().answer(question, answer)
        if answer.decision == "always" and asked.question.tool:
            keep_rule(self.workspace, Rule(asked.question.tool, "allow"))
        return asked.question

    async def prune(self, older_than: float, keep: int = 0, *, dry_run: bool = False) -> list[str]:
        """Removes ended runs not touched for `older_than` seconds, but for the newest `keep`; gives their ids."""
        return await self._kept().prune(older_than, keep, dry_run=dry_run)

    async def catalog(self) -> tuple[Tool, ...]:
        """All tools that can be called: your own, the house's, and those of the servers.

        A server is started where its tools are not known yet, or where its configuration has changed; else when one of
        its tools is called.
        """
        tools, _ = await self._catalog()
        return tools

    def known_servers(self) -> Catalog:
        """The catalog of the servers for this event loop. It starts nothing by itself, and is closed with the workshop.

        Raises `ConfigError` for a broken file.
        """
        loop = asyncio.get_running_loop()
        # A connection lives and dies with the loop that opened it.
        self._catalogs = {at: catalog for at, catalog in self._catalogs.items() if not at.is_closed()}
        if loop not in self._catalogs:
            from .tools.catalog import Catalog

            self._catalogs[loop] = Catalog.open(self._configs(), self.workspace.root, catalog_folder(self.workspace))
        return self._catalogs[loop]

    async def find_tools(self, query: str, limit: int = 8) -> tuple[Tool, ...]:
        """The tools that fit `query`, the best first."""
        tools, _ = await self._catalog()
        finder = self._thinking().finder
        if finder is None:
            raise UsageError("the planner that was given does not search tools", hint="use the house planner")
        return tuple(await finder.find_tools(query, tools, limit))

    async def close(self) -> None:
        """Ends the servers and what still runs. The workshop can be used again; it starts them anew."""
        await self._close_catalog()
        if self._minds is not None and self._minds.chat is not None:
            chat, self._minds = self._minds.chat, None
            await chat.close()
        await asyncio.to_thread(self._close_thread)
        self._close_ledger()

    def __enter__(self) -> Bottega:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_thread()
        self._close_ledger()

    async def __aenter__(self) -> Bottega:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(
        self, request: str, emit: Emit, *, plan: Plan | None = None, resume: str | None = None, stream: bool = False
    ) -> RunResult:
        crew = replace(await self._crew(request), stream=stream)
        return await Run(crew, request, emit, plan=plan, resume=resume).go()

    async def _crew(self, request: str) -> Crew:
        tools, remote = await self._catalog()
        minds = self._thinking()
        ledger = self._kept()
        await self._heed(minds, ledger)
        return Crew(
            workspace=self.workspace,
            tools=tools,
            specialists=self._staff(minds.chat),
            planner=minds.planner,
            router=minds.router,
            binder=minds.binder,
            nearness=minds.nearness,
            finder=minds.finder,
            chat=minds.chat,
            tell=minds.tell,
            recall=self._recalling(ledger) if minds.chat is not None else None,
            network=await self._network(ledger),
            policy=Policy((*self._rules, *read_rules(self.workspace)), web=self._web, remote=remote),
            approve=self._approve,
            approve_plan=self._approve_plan,
            remember=self._remember,
            budget=self._budget,
            ledger=ledger,
            concurrency=self._concurrency,
            notices=(*self._unkept, *self._unused, *self.notices),
        )

    async def _heed(self, minds: Minds, ledger: Ledger) -> None:
        """Lets past runs move tools in searches, once a workshop; it works as well, only not as aptly, without."""
        if self._heeds or not isinstance(minds.finder, Heedful):
            return
        self._heeds = True
        try:
            await heed(minds.finder, ledger)
        except (LedgerError, ModelError) as error:
            self._unkept = (*self._unkept, ("warning", f"what past runs say of tools is not heeded: {error}"))

    def _remember(self, rule: Rule) -> None:
        keep_rule(self.workspace, rule)

    def _staff(self, chat: ChatClient | None) -> tuple[Specialist, ...]:
        """The specialists; with a language model, one more who does by it what nobody could bind to a tool."""
        if chat is None or "generalist" in {*self._without, *(s.name for s in self.specialists)}:
            return self.specialists
        return (*self.specialists, generalist(asks=self._approve is not None))

    def _recalling(self, ledger: Ledger) -> Recalling:
        """What earlier runs show a language model that plans; the house models need no demonstrations."""
        if self._recall is None:
            from .recalling import Recalling

            self._recall = Recalling(ledger)
        return self._recall

    async def _network(self, ledger: Ledger) -> Network:
        """The specialists as they pass work on among themselves, with what the ledger knows of how that went."""
        return Network(Weights(await ledger.edges()))

    def _thinking(self) -> Minds:
        """Who plans, routes, binds and searches; made when first needed."""
        if self._minds is None:
            retriever, problem = own_retriever(self.workspace)
            self._unused = (("warning", problem),) if problem is not None else ()
            self._minds = minds_of(self._planner, self._router, self._model, self.workspace.root, retriever)
        return self._minds

    def _kept(self) -> Ledger:
        """The ledger, opened when first needed."""
        if self._ledger is None:
            self._ledger, problem = open_ledger(self.workspace, self._place)
            if problem is not None:
                self._unkept = (("warning", problem),)
        return self._ledger

    def _close_ledger(self) -> None:
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = self._recall = None

    async def _catalog(self) -> tuple[tuple[Tool, ...], frozenset[str]]:
        """All tools, and the ids of those that servers run. Of two with one id own goes before house before servers."""
        if self._house is None:
            from .tools.house import house_toolsets

            self._house = tuple(tool for toolset in house_toolsets() for tool in toolset)
        remote: list[Tool] = []
        problems: list[tuple[str, str]] = []
        if self._has_servers():
            catalog = self.known_servers()
            await catalog.refresh()
            remote, problems = catalog.tools(imported=False), catalog.problems()
        notices: list[tuple[Level, str]] = [
            ("warning", text if not name or text.startswith("server ") else f"server {name!r}: {text}")
            for name, text in problems
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

    def _has_servers(self) -> bool:
        """Whether there is anything to open a catalog for."""
        return any(not at.is_closed() for at in self._catalogs) or bool(self._configs())

    def _configs(self) -> list[ServerConfig]:
        from .tools.mcp import read_config, read_servers

        root = self.workspace.root
        if isinstance(self._servers, Mapping):
            return read_servers(self._servers, workspace=root)
        found = read_config(root, workspace=root)
        if self._servers is not None:
            found += read_config(self._servers, workspace=root)
        return list({config.name: config for config in found}.values())

    def _wait(self, work: Coroutine[Any, Any, RunResult]) -> RunResult:
        if self._thread is None:
            from .loop import LoopThread

            self._thread = LoopThread()
            weakref.finalize(self, self._thread.close)
        return self._thread.run(work)

    async def _close_catalog(self) -> None:
        if (catalog := self._catalogs.pop(asyncio.get_running_loop(), None)) is not None:
            await catalog.close()

    def _close_thread(self) -> None:
        if self._thread is not None:
            self._thread.run(self._close_catalog())
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


def _context(crew: Crew) -> PlanningContext:
    return PlanningContext(crew.workspace, crew.tools, crew.specialists, lambda level, text: None)


def _with_house(own: Sequence[Specialist]) -> tuple[Specialist, ...]:
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
