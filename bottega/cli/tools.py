"""`bottega tools`: what can be called here, from the house and from the servers that are configured."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from ..core.errors import UsageError
from ..settings import Settings
from .options import opened, run_async, workshop_options
from .output import columns, print_json
from .text import plain

if TYPE_CHECKING:
    from ..tools import Tool


@click.group()
def tools() -> None:
    """List, search and show tools: the house's and those of your servers."""


@tools.command("list")
@workshop_options
@click.option("--server", metavar="NAME", help="Only the tools of one toolset or server.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(settings: Settings, server: str | None, as_json: bool) -> int:
    """List every tool."""

    async def work() -> int:
        async with opened(settings) as bottega:
            found = [tool for tool in await bottega.catalog() if server in (None, tool.server)]
        if server and not found:
            raise UsageError(f"there is no toolset or server {server!r} with tools", hint="bottega tools list")
        _print(found, as_json)
        return 0

    return run_async(work())


@tools.command()
@click.argument("query", nargs=-1, required=True)
@workshop_options
@click.option("-n", "limit", type=click.IntRange(1, 1000), default=8, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def search(query: tuple[str, ...], settings: Settings, limit: int, as_json: bool) -> int:
    """Find tools for QUERY, the best first: what a step would be offered."""

    async def work() -> int:
        async with opened(settings) as bottega:
            found = await bottega.find_tools(" ".join(query), limit)
        _print(found, as_json)
        return 0

    return run_async(work())


@tools.command()
@click.argument("name")
@workshop_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def show(name: str, settings: Settings, as_json: bool) -> int:
    """Show one tool: NAME is `server/tool`, or the tool's name where only one has it."""

    async def work() -> int:
        async with opened(settings) as bottega:
            catalog = list(await bottega.catalog())
        found = [tool for tool in catalog if name in (tool.id, tool.name)]
        if not found:
            from difflib import get_close_matches

            near = get_close_matches(name, [n for tool in catalog for n in (tool.id, tool.name)], n=1)
            hint = f"did you mean {near[0]}?" if near else "bottega tools list"
            raise UsageError(f"there is no tool {name!r}", hint=hint)
        if len(found) > 1:
            hint = f"name one of {', '.join(tool.id for tool in found)}"
            raise UsageError(f"several tools are called {name!r}", hint=hint)
        tool = found[0]
        if as_json:
            print_json(_as_json(tool))
            return 0
        print(f"{tool.id}\n{plain(tool.description)}\n")
        rows = [(n, _kind(n, tool), str(schema.get("description", ""))) for n, schema in tool.parameters.items()]
        for line in columns(rows, 120):
            print(f"  {line}")
        print(f"\n{', '.join(_effects(tool))}")
        return 0

    return run_async(work())


def _print(found: Iterable[Tool], as_json: bool) -> None:
    if as_json:
        print_json([_as_json(tool) for tool in found])
        return
    width = shutil.get_terminal_size((120, 24)).columns
    for line in columns([(tool.id, plain(tool.description)) for tool in found], width):
        print(line)


def _as_json(tool: Tool) -> dict[str, Any]:
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
