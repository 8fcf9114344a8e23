"""Serves what speaks MCP, over pipes or over HTTP, and tells a person where."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Protocol

from .output import tell


class OverHttp(Protocol):
    """Serves over streamable HTTP until it is cancelled; `started` is called with the URL."""

    def __call__(self, *, host: str, port: int, started: Callable[[str], None]) -> Awaitable[None]: ...


async def serve_at(
    address: tuple[str, int] | None, what: str, over_pipes: Callable[[], Awaitable[None]], over_http: OverHttp
) -> None:
    """Serves `what` at an address, or on stdin and stdout where there is none."""
    if address is None:
        if sys.stdin.isatty():
            tell(f"serving {what} on stdin and stdout, for an MCP client to start; Ctrl-C ends it")
        await over_pipes()
        return
    host, port = address
    if host not in ("127.0.0.1", "localhost", "::1"):
        tell(f"warning: whoever can reach {host} can call these tools")
    await over_http(host=host, port=port, started=lambda url: tell(f"serving {what} at {url}"))
