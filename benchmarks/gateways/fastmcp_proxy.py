"""fastmcp's proxy in front of the servers of a file with mcpServers; run by a Python that has fastmcp.

    python fastmcp_proxy.py FILE [--http PORT] [--fresh]

It keeps its connection to the server, which is its fastest way; with --fresh it makes a new one for each request, which
is what `create_proxy` does where nothing else is said.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

import fastmcp
from fastmcp.server import create_proxy


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--http", type=int, metavar="PORT")
    parser.add_argument("--fresh", action="store_true")
    options = parser.parse_args()
    servers = json.loads(options.file.read_text())
    if options.fresh:
        await serve(create_proxy(servers, name="proxy"), options.http)
        return
    async with fastmcp.Client(servers) as client:
        await serve(create_proxy(client, name="proxy"), options.http)


async def serve(proxy: fastmcp.FastMCP, port: int | None) -> None:
    if port is None:
        await proxy.run_async(show_banner=False)
    else:
        await proxy.run_async(transport="http", host="127.0.0.1", port=port, show_banner=False, log_level="error")


asyncio.run(main())
