"""`bottega tools sync|approve|import|export`: what is known of servers' tools, kept in step, trusted, carried about."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.errors import PermissionNeeded, ServerError, UsageError
from ..settings import Settings
from .options import can_ask, opened, run_async, workshop_options
from .output import print_json
from .text import one_line, plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..tools.catalog import CatalogStatus, Change, HeldBack


@click.command()
@click.argument("servers", nargs=-1, metavar="[SERVER]...")
@workshop_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, one object a server.")
def sync(servers: tuple[str, ...], settings: Settings, as_json: bool) -> int:
    """Start SERVERs, or all servers, ask them for their tools, and show what has changed.

    A tool that is another than was approved is held back: bottega tools approve.
    """

    async def work() -> int:
        async with opened(settings) as bottega:
            catalog = bottega.known_servers()
            asked = [s for s in catalog.status() if s.name in servers or (not servers and s.transport != "import")]
            done: list[CatalogStatus] = []

            def told(server: CatalogStatus) -> None:
                done.append(server)
                what = one_line("; ".join(server.problems)) if server.failed else f"{server.tools} tools"
                print(f"[{len(done)}/{len(asked)}] {server.name}: {what}", file=sys.stderr, flush=True)

            changes = await catalog.refresh(servers or None, every=not servers, told=told)
            held = [one.id for one in catalog.held_back()]
            asked = [s for s in catalog.status() if any(s.name == one.name for one in asked)]
            for server in asked:
                if server.failed and all(server.name != one.name for one in done):
                    told(server)  # what cannot even be started
        if not asked:
            print("no servers are configured; add one: bottega mcp add NAME -- COMMAND", file=sys.stderr)
        if as_json:
            print_json([_as_json(server, changes, held) for server in asked])
        else:
            for line in _lines(changes, held):
                print(line)
            print(_summary(changes, held), file=sys.stderr)
        return ServerError.exit_code if any(server.failed for server in asked) else 0

    return run_async(work())


@click.command()
@click.argument("names", nargs=-1, metavar="[SERVER/TOOL | SERVER]...")
@workshop_options
@click.option("--yes", "sure", is_flag=True, help="Approve without asking.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print what is held back as a JSON array; needs --yes to approve."
)
def approve(names: tuple[str, ...], settings: Settings, sure: bool, as_json: bool) -> int:
    """Show what changed of the tools that are held back, and ask whether to trust them as they are now.

    Without names it is about all of them.
    """

    async def work() -> int:
        async with opened(settings) as bottega:
            catalog = bottega.known_servers()
            held = [h for h in catalog.held_back() if not names or {h.id, h.id.partition("/")[0]} & {*names}]
            if names and not held:
                catalog.approve(names)  # which says what is held back
            if as_json:
                print_json([dataclasses.asdict(one) for one in held])
            wanted = [one for one in held if sure or (not as_json and _agreed(one))]
            approved = catalog.approve(wanted) if wanted else []
        print(_counted(len(approved), "approved", len(held)), file=sys.stderr)
        if held and not approved and not sure and not as_json and not can_ask():
            raise PermissionNeeded(
                "nobody can be asked", hint="look at what changed, then: bottega tools approve --yes"
            )
        return 0

    return run_async(work())


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@workshop_options
@click.option("--server", metavar="NAME", help="Whose tools they are, where the file does not say.")
def import_(files: tuple[str, ...], settings: Settings, server: str | None) -> int:
    """Take in tools from files: what tools/list answered, JSON Lines as export writes them, mcpServers.

    Servers of an mcpServers file go into the folder's .mcp.json. Tools become known without starting anything; to be
    called, they need a server of that name.
    """

    async def work() -> int:
        from ..tools.catalog import read_definitions
        from ..tools.house import HOUSE_TOOLSETS
        from ..tools.mcp import FILE_NAME, add_server

        found = [read_definitions(file, server) for file in files]
        for file, one in zip(files, found, strict=True):
            for problem in one.problems:
                print(one_line(f"{file}: {problem}"), file=sys.stderr)
            for name, entry in one.servers.items():
                replaced = add_server(settings.workspace / FILE_NAME, name, entry)
                print(f"{'replaced' if replaced else 'added'} {name} in {FILE_NAME}", file=sys.stderr)
        definitions = {name: tools for one in found for name, tools in one.definitions.items()}
        for name in [name for name in definitions if name in HOUSE_TOOLSETS]:
            print(f"left out: {name} is a toolset of the house", file=sys.stderr)
            del definitions[name]
        if definitions:
            async with opened(settings) as bottega:
                catalog = bottega.known_servers()
                changes = catalog.add(definitions)
                held = [one.id for one in catalog.held_back()]
            count = sum(map(len, definitions.values()))
            print(f"{count} tools of {len(definitions)} servers; {_summary(changes, held)}", file=sys.stderr)
        return 0

    return run_async(work())


@click.command()
@workshop_options
@click.option("-o", "--output", metavar="FILE", help="Write there instead of to stdout.")
@click.option("--server", "servers", multiple=True, metavar="NAME", help="Only this server's; may be repeated.")
def export(settings: Settings, output: str | None, servers: tuple[str, ...]) -> int:
    """Write the known tools of the servers as JSON Lines, which import takes back."""

    async def work() -> int:
        from ..tools.catalog import export_lines

        async with opened(settings) as bottega:
            catalog = bottega.known_servers()
            await catalog.refresh()
            known = [server.name for server in catalog.status()]
            for name in servers:
                if name not in known:
                    raise UsageError(f"there is no server {name!r}", hint=f"there are: {', '.join(known) or 'none'}")
            lines = export_lines((name, d) for name, d in catalog.definitions() if not servers or name in servers)
            if output is None:
                for line in lines:
                    print(line)
            else:
                _write(output, lines)
        return 0

    return run_async(work())


def _agreed(held: HeldBack) -> bool:
    """Shows what changed, and asks, where there is somebody to ask."""
    print(f"{held.id}: its {held.parts} changed")
    for line in held.difference:
        print(f"  {plain(line)}")
    return can_ask() and click.confirm("trust it as it is now?", default=False, err=True)


def _lines(changes: Iterable[Change], held: list[str]) -> Iterable[str]:
    for change in changes:
        yield from (f"+ {id}" for id in change.added)
        yield from (f"~ {id}{' (held back)' if id in held else ''}" for id in change.changed)
        yield from (f"- {id}" for id in change.removed)


def _summary(changes: list[Change], held: list[str]) -> str:
    added = sum(len(change.added) for change in changes)
    changed = sum(len(change.changed) for change in changes)
    removed = sum(len(change.removed) for change in changes)
    text = f"{added} added, {changed} changed, {removed} removed"
    return f"{text}; {len(held)} held back (bottega tools approve)" if held else text


def _counted(count: int, done: str, of: int) -> str:
    return "nothing is held back" if not of else f"{done} {count} of {of}"


def _as_json(server: CatalogStatus, changes: list[Change], held: list[str]) -> dict[str, Any]:
    mine = [change for change in changes if change.server == server.name]
    return {
        "server": server.name,
        "tools": server.tools,
        "added": [id for change in mine for id in change.added],
        "changed": [id for change in mine for id in change.changed],
        "removed": [id for change in mine for id in change.removed],
        "held_back": [id for id in held if id.partition("/")[0] == server.name],
        "failed": server.failed,
        "problems": list(server.problems),
    }


def _write(output: str, lines: Iterable[str]) -> None:
    """Writes a file whole or not at all."""
    try:
        path = Path(output).expanduser()
        handle, temporary = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.writelines(f"{line}\n" for line in lines)
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
    except (OSError, RuntimeError) as error:
        raise UsageError(f"{output} cannot be written: {getattr(error, 'strerror', None) or error}") from None
