"""`bottega tools`: what can be called here, from the house and from the servers that are configured.

What keeps the servers' tools in step - sync, approve, import, export - is in `tools_kept.py`; the index and
the search of it in `tools_index.py`.
"""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from ..core.errors import UsageError
from ..settings import Settings
from .options import opened, run_async, workshop_options
from .output import columns, print_json
from .rows import ago
from .text import plain
from .tools_index import index, search
from .tools_kept import approve, export, import_, sync

if TYPE_CHECKING:
    from ..tools import Tool
    from ..tools.catalog import Catalog, HeldBack, ToolStatus
    from ..workshop import Bottega


@click.group()
def tools() -> None:
    """List, search and show tools: the house's and those of your servers."""


for command in (search, index, sync, approve, import_, export):
    tools.add_command(command)


@tools.command("list")
@workshop_options
@click.option("--server", metavar="NAME", help="Only the tools of one toolset or server.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(settings: Settings, server: str | None, as_json: bool) -> int:
    """List every tool, and how far it has come.

    local: runs here. listed: known of a server. called: has been called. held back: another than was approved; see
    bottega tools approve.
    """

    async def work() -> int:
        async with opened(settings) as bottega:
            found, catalog = await everything(bottega)
            rows = [(tool, _status(tool, catalog)) for tool in found if server in (None, tool.server)]
            held = [one for one in catalog.held_back() if server in (None, one.id.partition("/")[0])]
        for _, notice in bottega.notices:
            print(plain(notice), file=sys.stderr)
        if server and not rows and not held:
            raise UsageError(f"there is no toolset or server {server!r} with tools", hint="bottega tools list")
        if as_json:
            print_json([as_json_of(tool) | _told(status) for tool, status in rows])
            return 0
        width = shutil.get_terminal_size((120, 24)).columns
        lines = [(tool.id, status.state if status else "local", plain(tool.description)) for tool, status in rows]
        for line in columns([*lines, *((one.id, "held back", f"changed: {one.parts}") for one in held)], width):
            print(line)
        return 0

    return run_async(work())


@tools.command()
@click.argument("name")
@workshop_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def show(name: str, settings: Settings, as_json: bool) -> int:
    """Show one tool: NAME is `server/tool`, or the tool's name where only one has it."""

    async def work() -> int:
        from ..tools.catalog import named

        async with opened(settings) as bottega:
            found, catalog = await everything(bottega)
            for held in catalog.held_back():
                if name in (held.id, held.id.partition("/")[2]):
                    return _show_held(held, as_json)
            tool = named(name, found)
            status = _status(tool, catalog)
        if as_json:
            print_json(as_json_of(tool) | _told(status))
            return 0
        print(f"{tool.id}\n{plain(tool.description)}\n")
        rows = [(n, _kind(n, tool), str(schema.get("description", ""))) for n, schema in tool.parameters.items()]
        for line in columns(rows, 120):
            print(f"  {line}")
        print(f"\n{', '.join(_effects(tool))}")
        if status is not None:
            print(_progress(status))
        return 0

    return run_async(work())


async def everything(bottega: Bottega) -> tuple[list[Tool], Catalog]:
    """All tools that are known, also those that were imported and cannot be called, and the catalog of the servers."""
    found = list(await bottega.catalog())
    catalog = bottega.known_servers()
    known = {tool.id for tool in found}
    return [*found, *(tool for tool in catalog.tools() if tool.id not in known)], catalog


def _status(tool: Tool, catalog: Catalog) -> ToolStatus | None:
    """How far a server's tool has come; None for one that runs here."""
    return catalog.tool_status(tool.id) if catalog.get(tool.id) is tool else None


def _told(status: ToolStatus | None) -> dict[str, Any]:
    return {"state": status.state if status else "local", "called": status.called if status else None}


def _progress(status: ToolStatus) -> str:
    if not status.callable:
        return "imported: there is no server to call it"
    return f"last called {ago(status.called)}" if status.called is not None else "never called"


def _show_held(held: HeldBack, as_json: bool) -> int:
    """Shows a tool that is held back: what changed."""
    if as_json:
        print_json({"id": held.id, "state": "held back", "changed": held.parts, "difference": list(held.difference)})
        return 0
    print(f"{held.id}\nheld back: its {held.parts} changed since it was approved (bottega tools approve {held.id})\n")
    print("\n".join(plain(line) for line in held.difference))
    return 0


def as_json_of(tool: Tool) -> dict[str, Any]:
    """A tool as JSON output shows it."""
    a = tool.annotations
    return {
        "id": tool.id,
        "server": tool.server,
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.input_schema,
        "output_schema": tool.output_schema,
        "annotations": {
            "read_only": a.read_only,
            "destructive": a.destructive,
            "idempotent": a.idempotent,
            "open_world": a.open_world,
        },
    }


def _kind(name: str, tool: Tool) -> str:
    schema = tool.parameters[name]
    kind = str(schema.get("format") or schema.get("type") or "any")
    if "enum" in schema:
        kind = "|".join(map(str, schema["enum"]))
    if name in tool.required:
        return kind
    return f"{kind} = {json.dumps(schema['default'])}" if schema.get("default") is not None else f"{kind}, optional"


def _effects(tool: Tool) -> list[str]:
    a = tool.annotations
    effects = ["only reads" if a.read_only else "may destroy" if a.destructive else "changes something"]
    if a.idempotent and not a.read_only:
        effects.append("the same when done twice")
    if a.open_world:
        effects.append("reaches beyond this machine")
    return effects
