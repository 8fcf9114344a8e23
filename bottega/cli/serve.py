"""`bottega serve`: offers tools and the workshop over MCP, and task models over HTTP."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import click

from ..settings import Settings
from .options import opened, run_async, workshop_options

if TYPE_CHECKING:
    from ..agents.plan import RunResult
    from ..tools import Tool
    from ..workshop import Bottega


class ServeGroup(click.Group):
    """Imports `serve models` only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["mcp", "models"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != "models":
            return super().get_command(ctx, cmd_name)
        found = import_module(".serve_models", __package__).models
        assert isinstance(found, click.Command)
        return found


@click.group(cls=ServeGroup)
def serve() -> None:
    """Serve tools and the workshop over MCP, or task models over HTTP."""


@serve.command()
@click.argument("file", required=False, metavar="[FILE.py]")
@workshop_options
@click.option("--toolset", "toolsets", multiple=True, metavar="NAME", help="Serve this house toolset; may be repeated.")
@click.option("--workshop", is_flag=True, help="Serve the workshop itself, as the tool run_task.")
@click.option("--yes", is_flag=True, help="Let run_task do what it would have to ask for.")
@click.option("--http", is_flag=True, help="Serve over streamable HTTP instead of stdin and stdout.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes any free one.")
def mcp(
    settings: Settings, file: str | None, toolsets: tuple[str, ...], workshop: bool, http: bool, host: str, port: int
) -> int:
    """Serve tools over MCP.

    Serves what is named: house toolsets, the @tool functions of FILE.py, the workshop. Where nothing is named, it
    serves every house toolset and the workshop.
    """
    everything = not (file or toolsets or workshop)
    found = _house(toolsets, everything)
    if file:
        from ..servers.mcp import tools_from_file

        found += tools_from_file(file)
    return run_async(_serve(settings, found, workshop or everything, (host, port) if http else None))


def _house(names: tuple[str, ...], everything: bool) -> list[Tool]:
    if not names and not everything:
        return []
    from ..tools.house import HOUSE_TOOLSETS, house_toolset

    return [tool for name in (HOUSE_TOOLSETS if everything else names) for tool in house_toolset(name)]


async def _serve(settings: Settings, tools: list[Tool], workshop: bool, address: tuple[str, int] | None) -> int:
    from .. import __version__
    from ..servers.mcp import mcp_server, run_task_tool, serve_http, serve_stdio
    from ..tools import ToolContext, Workspace

    context = ToolContext(Workspace.at(settings.workspace), web=settings.web)
    async with AsyncExitStack() as stack:
        if workshop:
            bottega = await stack.enter_async_context(opened(settings))
            tools = [*tools, run_task_tool(partial(_run, bottega))]
        server = mcp_server(tools, context, version=__version__)
        if address is None:
            if sys.stdin.isatty():
                _tell(f"serving {len(tools)} tools on stdin and stdout, for an MCP client to start; Ctrl-C ends it")
            await serve_stdio(server)
        else:
            host, port = address
            if host not in ("127.0.0.1", "localhost", "::1"):
                _tell(f"warning: whoever can reach {host} can call these tools")
            await serve_http(
                server, host=host, port=port, started=lambda url: _tell(f"serving {len(tools)} tools at {url}")
            )
    return 0


async def _run(bottega: Bottega, request: str) -> RunResult:
    """Does a request, telling the client of each step that is done."""
    from ..servers.mcp import report_progress

    done, total = 0, None
    async for event in bottega.stream(request):
        if event.type == "planned":
            total = len(event.plan.steps)
            await report_progress(done, total, f"planned {total} steps")
        elif event.type == "step_finished":
            done += 1
            await report_progress(done, total, f"{event.result.step}: {event.result.status}")
        elif event.type == "run_finished":
            return event.result
    raise AssertionError("a run ends with run_finished")


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
