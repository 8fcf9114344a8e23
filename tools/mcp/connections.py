"""Connections to MCP servers: each has one task that owns it, starts on first use, and is started again after a death.

Who calls a tool hands the work to the owner and waits for the answer, because a connection must be opened and closed in
one task, and because a failing connection takes down the task it lives in.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import BottegaError, NotSent, ServerError, ToolError
from ...core.redaction import redact
from ..tool import ToolContext, ToolResult
from .config import ServerConfig
from .definitions import Closed, Listing, SessionLost, clean
from .process import ServerProcess, spawn

if TYPE_CHECKING:
    from .link import Link

Json = Any
Heard = Callable[[Sequence[Mapping[str, Json]], Sequence[str]], None]
"""Takes a server's tool definitions whenever they are heard, and what is wrong with the list, a sentence each."""
Work = Callable[["Link"], Awaitable[ToolResult]]

LONGEST_PAUSE = 30.0
"""Seconds, at most, in which a server that keeps failing is not tried again."""
LIST_PAUSE = 1.0
"""Seconds, at least, between two looks at the tools of a server that says they changed."""


class Connection:
    """One server: its owner task, the queue to it, and what is known about it."""

    def __init__(self, config: ServerConfig, workspace: Path, slots: asyncio.Semaphore, heard: Heard) -> None:
        self.config = config
        self.asks: Callable[[], Collection[str]] = tuple
        """What a server of the older protocol is told that it may ask of us, each time it starts."""
        self._told: frozenset[str] = frozenset()
        self._urgent = False
        self._link: Link | None = None
        self._resting: asyncio.Task[None] | None = None
        self._heard = heard
        self._workspace = workspace
        self._slots = slots
        self._process: ServerProcess | None = None
        self._queue: asyncio.Queue[tuple[Work, asyncio.Future[ToolResult]]] = asyncio.Queue()
        self._owner: asyncio.Task[None] | None = None
        self._started: asyncio.Future[None] | None = None
        self._waiting: set[asyncio.Future[ToolResult]] = set()
        self._dropped: tuple[str, ...] = ()
        self._error: ServerError | None = None
        self._failures = 0
        self._not_before = 0.0
        self._modern = True
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether a call can be sent at once."""
        return not self._closed and self._error is None and self._started is not None and self._started.done()

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with it, one sentence each."""
        if self.config.problem:
            return (self.config.problem,)
        return ((str(self._error),) if self._error else ()) + self._dropped

    async def connect(self, *, fresh: bool = False) -> None:
        """Starts it where it is not running, and waits until it has told its tools.

        With `fresh`, one that is running is asked for its tools again. Raises `ServerError` where it cannot be used.
        """
        if not (fresh and self.connected):
            await self._start()
            return
        try:
            await self._do(self._look, self.config.startup_timeout, "the request for its tools")
        except ToolError as error:
            raise ServerError(f"server {self.config.name!r} {error.message}") from None

    async def call(
        self, name: str, arguments: dict[str, Json], context: ToolContext, check: Callable[[], None] = lambda: None
    ) -> ToolResult:
        """Calls one of its tools. `check` is called right before the call is sent; what it raises is raised instead.

        Raises `NotSent` when the server cannot be started, and `ServerError` when it dies or does not answer in time:
        whether the call had an effect is then unknown. Raises `ToolError` when the server refuses the call.
        """

        async def work(link: Link) -> ToolResult:
            check()
            return await link.call(name, arguments, context.key)

        return await self._do(work, self.config.tool_timeout, repr(name), hint="raise its tool_timeout_sec")

    async def _do(self, work: Work, seconds: float, what: str, hint: str | None = None) -> ToolResult:
        """Has the owner do something on the open connection; a server that forgot its session is asked once more."""
        for last in (False, True):
            try:
                await self._start()
            except ServerError as error:
                raise NotSent(error.message, hint=error.hint) from None
            answer: asyncio.Future[ToolResult] = asyncio.get_running_loop().create_future()
            self._waiting.add(answer)
            self._queue.put_nowait((work, answer))
            try:
                async with asyncio.timeout(seconds):
                    result = await answer
            except TimeoutError:
                message = f"server {self.config.name!r} did not answer {what} within {seconds:g} s"
                raise ServerError(message, hint=hint) from None
            except SessionLost:
                if last:
                    raise ServerError(f"server {self.config.name!r} keeps forgetting the session") from None
                await self._gone()
                continue
            finally:
                self._waiting.discard(answer)
            self._failures = 0
            return result
        raise AssertionError("unreachable")

    async def link(self) -> Link:
        """The open connection, for requests that are only passed on; it is started where it is not.

        Raises `NotSent` where it cannot be used.
        """
        if self._link is None or self._error or self._resting:
            self._urgent = True
            try:
                await self._start()
            except ServerError as error:
                raise NotSent(error.message, hint=error.hint) from None
        if self._link is None:
            raise NotSent(f"server {self.config.name!r} is switched off", hint="see 'enabled' in its configuration")
        return self._link

    async def lost(self, why: Exception) -> ServerError:
        """What to say where a request that was passed on has failed with `why`, once the connection is cleaned up.

        Ends a connection that is no longer good: where the server has forgotten the session or cannot be reached.
        """
        if isinstance(why, SessionLost | NotSent) and self._link is not None:

            async def work(link: Link) -> ToolResult:
                raise SessionLost from (why if isinstance(why, NotSent) else None)

            self._queue.put_nowait((work, asyncio.get_running_loop().create_future()))
        await self._gone()
        return self._error or ServerError(f"server {self.config.name!r} is closed")

    def worked(self) -> None:
        """Notes that a request was answered: after its next death it is started at once again."""
        self._failures = 0

    @property
    def told(self) -> frozenset[str]:
        """What the server was told that it may ask of us, when it was started."""
        return self._told

    async def rest(self) -> None:
        """Ends the server until it is needed again."""
        if self._resting is None and self.connected:
            self._resting = asyncio.create_task(self._end())
            await asyncio.shield(self._resting)

    async def _end(self) -> None:
        assert self._owner
        self._owner.cancel()
        await asyncio.wait([self._owner])
        self._owner = self._started = self._resting = None

    async def _look(self, link: Link) -> ToolResult:
        self._learn(await link.list_tools())
        return ToolResult("")

    async def close(self) -> None:
        """Ends the server. Waits until it is gone, even when cancelled meanwhile."""
        self._closed = True
        if self._resting is not None:
            await asyncio.shield(self._resting)
        cancelled = False
        while self._owner is not None and not self._owner.done():
            self._owner.cancel()
            try:
                await asyncio.wait([self._owner])
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    async def _start(self) -> None:
        if self._closed:
            raise ServerError(f"server {self.config.name!r} is closed")
        if self.config.problem:
            raise ServerError(f"server {self.config.name!r} cannot be used: {self.config.problem}")
        if not self.config.enabled:
            raise ServerError(f"server {self.config.name!r} cannot be used: it is not enabled")
        if self._resting is not None:
            await asyncio.shield(self._resting)
        while self._owner is not None:
            assert self._started
            if not (self._started.done() and self._error):
                await asyncio.shield(self._started)
                return
            if (wait := self._not_before - time.monotonic()) > 0:
                hint = f"it is tried again in {wait:.0f} s" if wait >= 1 else self._error.hint
                raise ServerError(self._error.message, hint=hint)
            if self._owner.done():
                break
            await self._gone()
        self._error = None
        self._started = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._own(self._started), name=f"mcp {self.config.name}")
        await asyncio.shield(self._started)

    async def _gone(self) -> None:
        """Waits until a dying owner has cleaned up."""
        if self._owner is not None and not self._owner.done():
            await asyncio.wait([self._owner])

    async def _own(self, started: asyncio.Future[None]) -> None:
        """The owner: opens the connection, answers what is asked over it, closes it. Raises nothing but its cancel."""
        why = ServerError(f"server {self.config.name!r} is closed")
        try:
            async with AsyncExitStack() as stack:
                link = await self._open(stack)
                self._learn(link.listing)
                self._link = link
                started.set_result(None)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._watch(link))
                    group.create_task(self._follow(link))
                    while True:
                        work, answer = await self._queue.get()
                        group.create_task(self._answer(link, work, answer))
        except Exception as error:
            why = self._error = await self._explained(error)
            self._failures += 1
            # The first time it is tried again at once, then after 1, 2, 4 … seconds.
            pause = 0 if self._failures == 1 else min(LONGEST_PAUSE, 2.0 ** (self._failures - 2))
            self._not_before = time.monotonic() + pause
        finally:
            self._link = None
            self._fail(why, started)

    async def _open(self, stack: AsyncExitStack) -> Link:
        """A connection that has shaken hands and told its tools, within the startup timeout."""
        link: Link | None = None
        # Who calls does not wait behind servers that are only being listed, some of which may be mute.
        async with nullcontext() if self._urgent else self._slots:
            if self.config.transport == "stdio":
                self._process = await stack.enter_async_context(spawn(self.config, self._workspace))
            # The SDK is imported while the server starts up; how long that takes is none of its time.
            await asyncio.to_thread(importlib.import_module, f"{__package__}.link")
            try:
                async with asyncio.timeout(self.config.startup_timeout):
                    link = await (self._open_process(stack) if self._process else self._open_url(stack))
                    await link.list_tools()
            except TimeoutError:
                if link is None or not link.listing.definitions:
                    raise self._mute() from None
                link.listing.problems.append(f"its list of tools was cut after {self.config.startup_timeout:g} s")
            return link

    def _mute(self) -> ServerError:
        said = ""
        if self._process:
            said = f": {self._process.last_words}" if self._process.last_words else ""
            self._process.kill()
        return ServerError(
            f"server {self.config.name!r} did not answer within {self.config.startup_timeout:g} s of its start{said}",
            hint="if it is only slow, raise its startup_timeout_sec",
        )

    async def _open_url(self, stack: AsyncExitStack) -> Link:
        from .link import over_http

        return await stack.enter_async_context(over_http(self.config, self._asks()))

    async def _open_process(self, stack: AsyncExitStack) -> Link:
        from .link import over_pipes

        assert self._process
        try:
            return await stack.enter_async_context(over_pipes(self._process, modern=self._modern, asks=self._asks()))
        except Closed:
            # Some older servers end themselves at a first message that they do not know.
            self._modern = not self._modern
            if self._modern:
                raise
        self._process = await stack.enter_async_context(spawn(self.config, self._workspace))
        return await self._open_process(stack)

    def _asks(self) -> frozenset[str]:
        self._told = frozenset(self.asks())
        return self._told

    def _learn(self, listing: Listing) -> None:
        self._dropped = tuple(listing.problems)
        self._heard(list(listing.definitions.values()), self._dropped)

    async def _follow(self, link: Link) -> None:
        """Looks at the tools again whenever the server says that they changed; what it had is kept where that fails.

        One that says so again and again is looked at ever less often: to take a long list in holds up all others.
        """
        pause = LIST_PAUSE
        while True:
            try:
                async with asyncio.timeout(pause):
                    await link.changed.wait()
                pause = min(LONGEST_PAUSE, 2 * pause)
            except TimeoutError:
                pause = LIST_PAUSE
                await link.changed.wait()
            link.changed.clear()
            try:
                async with asyncio.timeout(self.config.startup_timeout):
                    self._learn(await link.list_tools())
            except TimeoutError:
                self._dropped = (
                    f"said that its tools changed, and did not tell them within {self.config.startup_timeout:g} s",
                )
            except ToolError as error:
                self._dropped = (error.message,)
            await asyncio.sleep(pause)

    async def _watch(self, link: Link) -> None:
        """Ends the owner when the server has closed the connection."""
        await link.closed.wait()
        raise Closed

    async def _answer(self, link: Link, work: Work, answer: asyncio.Future[ToolResult]) -> None:
        """Does one piece of work; cancels it when its asker goes away. A closed connection is the owner's matter."""
        if answer.done():
            return
        doing = asyncio.ensure_future(work(link))
        answer.add_done_callback(lambda asked: doing.cancel() if asked.cancelled() else None)
        try:
            result = await doing
        except Closed:
            pass
        except SessionLost as lost:
            if not answer.done():
                answer.set_exception(lost)
            raise
        except Exception as error:
            if not answer.done():
                answer.set_exception(error)
        except asyncio.CancelledError:
            if not answer.cancelled():
                raise
        else:
            if not answer.done():
                answer.set_result(result)

    def _fail(self, why: ServerError, started: asyncio.Future[None]) -> None:
        """Tells everybody who waits."""
        if not started.done():
            started.set_exception(why)
            started.exception()  # perhaps nobody waits any more
        while not self._queue.empty():
            self._queue.get_nowait()
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(why)

    async def _explained(self, error: BaseException) -> ServerError:
        """What went wrong, as one line that names the server and holds no secret."""
        while isinstance(error, BaseExceptionGroup):
            error = next((e for e in error.exceptions if isinstance(e, BottegaError | Closed)), error.exceptions[0])
        hint = error.hint if isinstance(error, BottegaError) else None
        if isinstance(error, ServerError):
            message = error.message
        elif isinstance(error, Closed):
            how = await self._process.end() if self._process else "has closed the connection"
            message = f"server {self.config.name!r} {how}"
        elif isinstance(error, SessionLost):
            why = error.__cause__
            message = f"server {self.config.name!r} {why or 'has forgotten the session'}"
        elif isinstance(error, BottegaError):
            message = f"server {self.config.name!r} {error.message}"
        elif self.config.transport == "http":
            reason = str(error) or type(error).__name__
            message = f"server {self.config.name!r} cannot be reached at {self.config.address}: {reason}"
        else:
            message = f"server {self.config.name!r} cannot be used: {error or type(error).__name__}"
        line = " ".join(clean(message).split())
        return ServerError(redact(line, self.config.secrets), hint=hint)
