"""One request after the other, on one workshop. The prompt is there before the models are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from ..cli.asking import Asker
from ..cli.options import opened
from ..cli.output import columns, print_plan
from ..cli.progress import Progress
from ..cli.record import Record
from ..cli.rows import run_row
from ..cli.text import checked, one_line, plain
from ..core.errors import BottegaError
from ..settings import Settings
from ..tools.workspace import Workspace

if TYPE_CHECKING:
    from ..graphs.events import Event
    from ..workshop import Bottega

IMPATIENCE = 2.0
"""Seconds within which a second Ctrl-C means: do not wait for the run to stop."""

COMMANDS = {
    "/help": "what can be typed here",
    "/tools": "tools, all or the best for some words",
    "/plan": "how a request would be done",
    "/runs": "the runs of this folder",
    "/resume": "go on with the last run, or another: /resume RUN",
    "/mcp": "the MCP servers that are configured",
    "/models": "the task models of this installation",
    "/quit": "leave",
}

HELP = """Type what is to be done. Files of the folder can be named with @.
{commands}
Enter sends, Alt-Enter starts a new line. Ctrl-C clears the line, or stops what is running. Ctrl-D leaves."""


class Console:
    """Reads requests and runs them, until Ctrl-D."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._workspace = Workspace.at(settings.workspace)
        self._progress = Progress(sys.stdout)
        self._bottega: Bottega | None = None
        self._abandoned = False
        self._loader = threading.Thread(target=self._load, daemon=True)
        self._commands: dict[str, Callable[[str], Awaitable[None]]] = {
            "/help": self._help,
            "/tools": self._tools,
            "/plan": self._plan,
            "/runs": self._runs,
            "/resume": self._resume,
            "/mcp": self._mcp,
            "/models": self._models,
        }

    def run(self) -> int:
        """Until the person leaves; gives the exit code."""
        with asyncio.Runner() as runner:
            code = runner.run(self._run())
            # A tool that would not stop for Ctrl-C would not stop now either, and native code that is still loading in
            # its thread must not see the interpreter go.
            if self._abandoned or self._loader.is_alive():
                sys.stdout.flush()
                os._exit(code)
            return code

    async def _run(self) -> int:
        from .keyboard import input_line

        line = input_line(COMMANDS, self._workspace.files, self._status)
        print(f"Bottega in {self._workspace.root}; /help says what can be typed")
        try:
            while True:
                try:
                    text = await line.prompt_async(pre_run=self._begin_loading)
                except (EOFError, KeyboardInterrupt):
                    return 0
                if text.strip() in ("/quit", "/exit"):
                    return 0
                if text.strip():
                    await self._take(text.strip())
        finally:
            if self._bottega is not None:
                await self._bottega.close()

    async def _take(self, text: str) -> None:
        """Does one line, and survives whatever comes of it."""
        name, rest = (*text.split(maxsplit=1), "")[:2]
        command = self._commands.get(name)
        if text.startswith("/") and command is None and "/" not in name[1:]:
            self._progress.line(f"there is no {name}; /help lists what there is", "yellow")
            return
        try:
            await self._interruptible(command(rest.strip()) if command else self._do(text))
        except BottegaError as error:
            self._progress.line(f"error: {one_line(error.message)}", "red")
            if error.hint:
                self._progress.line(f"hint: {one_line(error.hint)}", "dim")
        except Exception as error:
            self._progress.line(f"error: unexpected {type(error).__name__}: {one_line(str(error))}", "red")
        finally:
            self._progress.pause()

    async def _interruptible(self, work: Awaitable[None]) -> None:
        """Awaits `work`. Ctrl-C cancels it and waits for its end; another one soon after does not wait."""
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work)
        abandoned = asyncio.Event()
        first = 0.0

        def interrupt() -> None:
            nonlocal first
            now = time.monotonic()
            if first and now - first <= IMPATIENCE:
                abandoned.set()
            else:
                first = now
                self._progress.pause()
                self._progress.line("stopping; Ctrl-C again does not wait", "yellow")
                task.cancel()

        loop.add_signal_handler(signal.SIGINT, interrupt)
        waiter = asyncio.ensure_future(abandoned.wait())
        try:
            await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            waiter.cancel()
        if not task.done():
            self._progress.line("abandoned; what it had written stays", "yellow")
            await self._abandon()
            return
        if not task.cancelled():
            task.result()

    async def _abandon(self) -> None:
        """Ends the servers of a workshop whose state is not known any more; the next request opens another."""
        self._abandoned = True
        bottega, self._bottega = self._bottega, None
        if bottega is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(bottega.close(), IMPATIENCE)

    async def _do(self, text: str) -> None:
        from .keyboard import without_marks

        request = without_marks(checked(text), self._workspace.root)
        bottega = await self._opened()
        await self._follow(bottega.stream(request), request)

    async def _resume(self, rest: str) -> None:
        bottega = await self._opened()
        await self._follow(bottega.stream(resume=rest or "last"), "")

    async def _runs(self, rest: str) -> None:
        bottega = await self._opened()
        self._print([run_row(run) for run in await bottega.runs()] or [("none", "nothing was done here yet")])

    async def _follow(self, events: AsyncIterator[Event], request: str) -> None:
        record = Record(request)
        try:
            async for event in events:
                record(event)
                self._progress(event)
        except asyncio.CancelledError:
            self._progress.pause()
            self._progress.line(record.cancelled().answer, "yellow")
            self._progress.line("/resume goes on from there", "dim")
            raise
        self._progress.pause()
        if record.result is not None:
            print(f"\n{plain(record.result.answer)}\n", flush=True)

    async def _read(self, prompt: str) -> str | None:
        from prompt_toolkit import PromptSession

        try:
            answer: str = await PromptSession[str]().prompt_async(prompt, handle_sigint=False)
        except (EOFError, KeyboardInterrupt):
            return None
        return answer

    async def _opened(self) -> Bottega:
        if self._bottega is None:
            self._bottega = opened(self._settings, Asker(self._read, self._progress.pause))
        return self._bottega

    def _load(self) -> None:
        """Imports and opens, beside the prompt, what the first request will need; that request tells what is wrong."""
        try:
            from ..models.encoder import open_encoder

            open_encoder()
        except Exception:
            pass

    def _begin_loading(self) -> None:
        if self._loader.ident is None:
            self._loader.start()

    def _status(self) -> str:
        approvals = "side effects are approved" if self._settings.yes else "asks before side effects"
        return f" {'loading models …' if self._loader.is_alive() else 'ready'} · {approvals} · /help"

    async def _help(self, rest: str) -> None:
        rows = [(f"  {name}", line) for name, line in COMMANDS.items()]
        print(HELP.format(commands="\n".join(columns(rows, 100))))

    async def _tools(self, rest: str) -> None:
        bottega = await self._opened()
        found = await bottega.find_tools(rest, 8) if rest else await bottega.catalog()
        self._print([(tool.id, tool.description) for tool in found])

    async def _plan(self, rest: str) -> None:
        from .keyboard import without_marks

        if not rest:
            self._progress.line("say what is to be planned: /plan REQUEST", "yellow")
            return
        bottega = await self._opened()
        print_plan(await bottega.plan(without_marks(checked(rest), self._workspace.root)))

    async def _mcp(self, rest: str) -> None:
        from ..cli.rows import server_row

        bottega = await self._opened()
        rows = [server_row(server) for server in bottega.known_servers().status()]
        self._print(rows or [("none", "put an .mcp.json into the folder")])

    async def _models(self, rest: str) -> None:
        from ..models.registry import list_models

        rows = [(entry.name, str(entry.version), entry.problem or entry.task) for entry in list_models()]
        self._print(rows or [("none", "", "install Bottega again")])

    def _print(self, rows: Sequence[tuple[str, ...]]) -> None:
        import shutil

        for line in columns(rows, shutil.get_terminal_size().columns):
            print(line)
