"""`bottega serve`: offers tools and the workshop over MCP, and task models over HTTP."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.errors import UsageError
from ..settings import Settings
from .gateway import GatewayOptions, serve_gateway
from .options import opened, run_async, workshop_options
from .serving import serve_at

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
@click.option("--gateway", is_flag=True, help="Serve the tools of all configured servers behind find_tools.")
@click.option("--all-tools", is_flag=True, help="With --gateway: list every tool as well, as server__tool.")
@click.option(
    "--audit",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --gateway: log calls there, not in .bottega/audit.jsonl.",
)
@click.option(
    "--longest",
    metavar="SECONDS",
    type=click.FloatRange(0, min_open=True),
    help="With --gateway: what a call may take, progress or not. [default: 600]",
)
@click.option(
    "--idle",
    metavar="SECONDS",
    type=click.FloatRange(0, min_open=True),
    help="With --gateway: end servers that nobody calls for so long. [default: never]",
)
@click.option("--yes", is_flag=True, help="Let run_task and the gateway do what they would have to ask for.")
@click.option("--http", is_flag=True, help="Serve over streamable HTTP instead of stdin and stdout.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes any free one.")
def mcp(
    settings: Settings,
    file: str | None,
    toolsets: tuple[str, ...],
    workshop: bool,
    gateway: bool,
    http: bool,
    host: str,
    port: int,
    **of_gateway: Any,
) -> int:
    """Serve tools over MCP.

    Serves what is named: house toolsets, the @tool functions of FILE.py, the workshop. Where nothing is named, it
    serves every house toolset and the workshop. With --gateway it serves the tools of all configured MCP servers
    instead, however many there are: a client sees find_tools, describe_tool and call_tool.
    """
    options = GatewayOptions(**of_gateway)
    if gateway:
        if file or toolsets or workshop:
            raise UsageError("a gateway serves the configured servers and nothing else", hint="leave --gateway out")
        return run_async(serve_gateway(settings, options, (host, port) if http else None))
    if options.given:
        raise UsageError(f"{options.given} is for a gateway", hint="add --gateway")
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
        await serve_at(address, f"{len(tools)} tools", partial(serve_stdio, server), partial(serve_http, server))
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
