"""What the tests of MCP share: our odd servers, `bottega` as a process, and a look into the process table."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bottega.tools import Tool, ToolContext, ToolResult, Workspace
from bottega.tools.catalog import Catalog
from bottega.tools.mcp import ServerConfig

SERVERS = Path(__file__).parent / "servers"
BOTTEGA = [sys.executable, "-m", "bottega"]


def odd(kind: str, mark: str = "", **more: Any) -> ServerConfig:
    return ServerConfig(kind, sys.executable, (str(SERVERS / "odd.py"), kind, *([mark] if mark else [])), **more)


async def listed(servers: Catalog) -> tuple[list[Tool], list[tuple[str, str]]]:
    """Asks all servers for their tools; gives them, and what is wrong, as (server name, message)."""
    await servers.refresh(every=True)
    return servers.tools(), servers.problems()


async def with_tools(
    configs: Sequence[ServerConfig],
    workspace: Path,
    use: Callable[[dict[str, Tool], list[tuple[str, str]]], Awaitable[Any]],
) -> Any:
    """Starts servers, gives their tools by id and the problems to `use`, and ends them."""
    async with Catalog.open(configs, workspace) as servers:
        tools, problems = await listed(servers)
        return await use({tool.id: tool for tool in tools}, problems)


async def call(tool: Tool, workspace: Path, **arguments: Any) -> ToolResult:
    return await tool(ToolContext(Workspace.at(workspace)), **arguments)


def processes(mark: str) -> list[int]:
    """The processes that have `mark` on their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "cmdline").read_bytes().decode(errors="replace").split("\0"):
                found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]


def until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """Waits until something holds; False when it does not come to that."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            return found
        time.sleep(0.005)
    return found


@contextlib.contextmanager
def served(*arguments: str, workspace: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`bottega serve mcp --http` with these arguments, as a process; gives its URL."""
    command = [*BOTTEGA, "serve", "mcp", *arguments, "--http", "--workspace", str(workspace)]
    if "--port" not in arguments:
        command += ["--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stderr
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("serving"):
                yield line.split()[-1], process
                break
        else:
            raise AssertionError("".join(said))
    finally:
        process.terminate()
        process.communicate(timeout=10)
