"""The process of a stdio server: spawned with little environment, heard on stderr, and gone when we are.

Knows nothing of MCP and imports nothing heavy, so that a server starts up while the SDK is still being imported.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from ...core.errors import ServerError
from .config import ServerConfig

MAX_LINE = 32 * 1024 * 1024
"""Bytes in one message of a server; more ends it."""
_GRACE = 1.0
"""Seconds a server gets to leave by itself, and again after SIGTERM."""
_TAIL = 4000
_INHERITED = (
    "HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    "SYSTEMROOT", "APPDATA", "LOCALAPPDATA", "PATHEXT", "TEMP", "USERPROFILE",
)  # fmt: skip
"""What a server sees of our environment. Everything else, keys above all, it must be given by name."""


class ServerProcess:
    """A running server. `stdin` and `stdout` carry its messages."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self.stdin, self.stdout = process.stdin, process.stdout
        self._process = process
        self._tail = bytearray()
        self._listening = asyncio.create_task(self._listen(process.stderr))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    async def end(self) -> str:
        """How it ended, once it has closed its output: exit code or signal, and its last words on stderr."""
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._process.wait()
                await self._listening
        code = self.exit_code
        if code is None:
            how = "closed its output"
        elif code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        else:
            how = f"ended with exit code {code}"
        words = self.last_words
        return f"{how}: {words}" if words else how

    @property
    def last_words(self) -> str:
        """The end of what it wrote to stderr, as one line; the error alone where that is a Python traceback."""
        lines = [line.strip() for line in self._tail.decode("utf-8", "replace").splitlines() if line.strip()]
        kept = lines[-1:] if any(line.startswith("Traceback") for line in lines) else lines[-3:]
        return " / ".join(kept)[-400:]

    def kill(self) -> None:
        """Ends it and its children at once."""
        with suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.pid, signal.SIGKILL)
            else:
                self._process.kill()

    async def stop(self) -> None:
        """Ends it and its children: by closing its input, then SIGTERM, then SIGKILL. Takes at most two seconds."""
        try:
            self.stdin.close()
            if await self._gone_within(_GRACE):
                return
            with suppress(ProcessLookupError, PermissionError):
                if hasattr(os, "killpg"):
                    os.killpg(self.pid, signal.SIGTERM)
                else:
                    self._process.terminate()
            await self._gone_within(_GRACE)
        finally:
            # Children that outlived it are in its process group, and so is a server that would not go.
            self.kill()
            self._listening.cancel()
            self._close_pipes()

    async def _gone_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                # Not wait(): that also waits for pipes which a surviving child may hold open.
                while self.exit_code is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        return self.exit_code is not None

    def _close_pipes(self) -> None:
        transport = getattr(self._process, "_transport", None)
        if transport is not None:
            with suppress(PermissionError, ProcessLookupError):
                transport.close()

    async def _listen(self, stderr: asyncio.StreamReader) -> None:
        while chunk := await stderr.read(4096):
            self._tail += chunk
            del self._tail[:-_TAIL]


@asynccontextmanager
async def spawn(config: ServerConfig, workspace: Path) -> AsyncIterator[ServerProcess]:
    """Runs the server's command for as long as the block lasts; no process of it is left afterwards.

    Raises `ServerError` where it cannot be started.
    """
    folder = workspace / _home(config.cwd or ".")
    environment = {k: os.environ[k] for k in _INHERITED if k in os.environ} | dict(config.env)
    command = _command(config, folder, environment.get("PATH"))
    try:
        process = ServerProcess(
            await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=folder,
                env=environment,
                limit=MAX_LINE,
                start_new_session=True,
            )
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ServerError(f"server {config.name!r} cannot be started: {config.command}: {reason}") from None
    try:
        yield process
    finally:
        await _unhurried(asyncio.create_task(process.stop()))


def _command(config: ServerConfig, folder: Path, path: str | None) -> list[str]:
    """The command line. On Linux the kernel ends the server when this process is killed and cannot do so itself."""
    assert config.command
    if not folder.is_dir():
        raise ServerError(
            f"server {config.name!r} cannot be started: there is no folder {str(folder)!r}", hint="see its cwd"
        )
    # A command with a slash is found from the folder it runs in, as a shell would.
    found = shutil.which(folder / _home(config.command) if "/" in config.command else config.command, path=path)
    if found is None:
        raise ServerError(
            f"server {config.name!r} cannot be started: there is no command {config.command!r}",
            hint="install it, or give its full path in the configuration",
        )
    guard = shutil.which("setpriv") if sys.platform == "linux" else None
    return [*([guard, "--pdeathsig", "KILL", "--"] if guard else []), found, *config.args]


def _home(name: str) -> Path:
    return Path(name).expanduser()


async def _unhurried(task: asyncio.Task[None]) -> None:
    """Waits for the task to the end, however often the waiter is cancelled, and only then lets the cancel through."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
            if task.cancelled():
                break
    if cancelled:
        raise asyncio.CancelledError
