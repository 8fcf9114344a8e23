"""What the catalog needs of a server, whatever it is: an MCP server, or the document of an HTTP interface."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..mcp.config import ServerConfig
from ..tool import ToolContext, ToolResult

Json = Any

Definition = Mapping[str, Json]
"""A tool as `tools/list` of MCP says it: `name`, and where there are any `title`, `description`, `inputSchema`,
`outputSchema`, `annotations` (`readOnlyHint` and its like)."""

Heard = Callable[[Sequence[Definition], Sequence[str]], None]
"""Takes the whole list of a server's tools, each time it is heard, and what is wrong with the list, a sentence each.

Called in the source's event loop; it does not wait, and it does not raise."""

Check = Callable[[], None]
"""Raises `ToolError` where a call must not be sent any more."""


class Source(Protocol):
    """One server that has tools. Making one starts nothing.

    It is told at its making whom to tell (`Heard`), and does so before `connect` returns, each time it has connected,
    and whenever its tools change while it is connected.
    """

    @property
    def connected(self) -> bool:
        """Whether it can be called at once."""
        ...

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with it, a sentence each, without secrets; empty where it works or was never tried."""
        ...

    async def connect(self, *, fresh: bool = False) -> None:
        """Makes it ready, where it is not, and has its tools told; with `fresh`, also where it is connected already.

        Raises `ServerError` where that cannot be done.
        """
        ...

    async def call(self, name: str, arguments: dict[str, Json], context: ToolContext, check: Check) -> ToolResult:
        """Calls a tool, connecting first where that is needed.

        `check` is called when it is connected, right before the call is sent, each time it is sent: the tool may turn
        out to be another than was thought. Raises `ToolError` for what the server refuses, `NotSent` where the call
        has certainly not been made, `ServerError` where nobody knows.
        """
        ...

    async def close(self) -> None:
        """Ends it. It can be connected again only by another source."""
        ...


def open_source(config: ServerConfig, workspace: Path, slots: asyncio.Semaphore, heard: Heard) -> Source:
    """The source that a config is about; a further kind of server gets its line here. Starts nothing.

    `slots` limits how many servers start at the same time: a source that starts a process holds one meanwhile.
    """
    if config.transport == "openapi":
        from ..openapi import OpenApiServer

        return OpenApiServer(config, workspace, slots, heard)
    from ..mcp.connections import Connection

    return Connection(config, workspace, slots, heard)
