"""`bottega mcp`: the MCP servers that are configured for a folder; lists them, tries them, edits `.mcp.json`."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.errors import ServerError, ToolError, UsageError
from ..settings import Settings
from .options import run_async, workshop_options
from .output import columns, print_json
from .rows import server_row
from .text import plain

if TYPE_CHECKING:
    from ..tools import Tool
    from ..tools.catalog import Catalog
    from ..tools.mcp import ServerConfig


@click.group()
def mcp() -> None:
    """List, try and configure MCP servers.

    They are read from .mcp.json in the folder, and from --mcp-config.
    """


@mcp.command("list")
@workshop_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(settings: Settings, as_json: bool) -> int:
    """Start every server and tell how it is doing."""

    async def work() -> int:
        configs = _configs(settings)
        async with _servers(settings, configs) as servers:
            await servers.refresh(every=True)
            found = [server for server in servers.status() if server.transport != "import"]
            problems = servers.problems()
        if as_json:
            print_json([dataclasses.asdict(server) for server in found])
        else:
            rows: list[tuple[str, ...]] = [(*server_row(server)[:3], server.address) for server in found]
            for line in columns(rows, _width()):
                print(line)
            for name, problem in problems:
                _tell(name, problem)
        if not found:
            print("no servers are configured; add one: bottega mcp add NAME -- COMMAND", file=sys.stderr)
        return ServerError.exit_code if any(server.failed for server in found) else 0

    return run_async(work())


@mcp.command()
@click.argument("server", required=False)
@workshop_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def tools(server: str | None, settings: Settings, as_json: bool) -> int:
    """List the tools of SERVER, or of all servers. Only a server whose tools are not known yet is started."""

    async def work() -> int:
        configs = _configs(settings)
        if server is not None:
            configs = [_named(configs, server)]
        async with _servers(settings, configs) as servers:
            await servers.refresh()
            found, problems = servers.tools(imported=False), servers.problems()
        for name, problem in problems:
            _tell(name, problem)
        if as_json:
            print_json([_described(tool) for tool in found])
        else:
            for line in columns([(tool.id, tool.description) for tool in found], _width()):
                print(line)
        return ServerError.exit_code if problems and not found else 0

    return run_async(work())


@mcp.command()
@click.argument("tool", metavar="SERVER/TOOL")
@workshop_options
@click.option("--args", "arguments", default="{}", metavar="JSON", help="The arguments, as a JSON object.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole result as a JSON object.")
def call(tool: str, settings: Settings, arguments: str, as_json: bool) -> int:
    """Call one tool of a server and print what it gives."""
    name, _, wanted = tool.partition("/")
    if not wanted:
        raise UsageError(f"{tool!r} does not name a tool", hint="it looks like SERVER/TOOL; see bottega mcp tools")
    try:
        given: Any = json.loads(arguments)
    except ValueError as error:
        raise UsageError(f"--args is not JSON: {error}", hint="""it looks like --args '{"name": "value"}'""") from None
    if not isinstance(given, dict):
        raise UsageError("--args has to be a JSON object", hint="""it looks like --args '{"name": "value"}'""")

    async def work() -> int:
        from ..tools import ToolContext, Workspace

        context = ToolContext(Workspace.at(settings.workspace), web=settings.web)
        async with _servers(settings, [_named(_configs(settings), name)]) as servers:
            by_name = {one.name: one for one in servers.tools() if one.server == name}
            if wanted not in by_name:
                await servers.refresh([name])
                by_name = {one.name: one for one in servers.tools() if one.server == name}
            if wanted not in by_name:
                if held := [one for one in servers.held_back() if one.id == tool]:
                    servers.resolve(held[0].id)  # which says why it cannot be called
                if not by_name and (problems := servers.problems()):
                    raise ServerError(problems[0][1])
                near = _near(wanted, list(by_name))
                raise UsageError(f"server {name!r} has no tool {wanted!r}", hint=near or f"bottega mcp tools {name}")
            result = await by_name[wanted](context, **given)
        if as_json:
            print_json(dataclasses.asdict(result))
        elif result.is_error:
            raise ToolError(result.text)
        else:
            print(plain(result.text))
        return 1 if result.is_error else 0

    return run_async(work())


@mcp.command()
@click.argument("name")
@click.argument("command", nargs=-1, metavar="[-- COMMAND [ARG]...]")
@click.option("--env", multiple=True, metavar="KEY=VALUE", help="A variable for the command; may be repeated.")
@click.option("--url", metavar="URL", help="Reach the server over streamable HTTP.")
@click.option("--openapi", metavar="DOCUMENT", help="Make tools of an HTTP API that an OpenAPI file or URL describes.")
@click.option("--base-url", metavar="URL", help="Where that API is, in place of what its document says.")
@click.option("--include", multiple=True, metavar="PATTERN", help="Only these of its operations; may be repeated.")
@click.option("--credential", multiple=True, metavar="SCHEME=VALUE", help="What a security scheme of it is given.")
@click.option("--header", multiple=True, metavar="KEY=VALUE", help="A header for the URL or API; may be repeated.")
@click.option("--workspace", metavar="DIR", default=".", help="The folder whose .mcp.json is written.")
def add(
    name: str,
    command: tuple[str, ...],
    env: tuple[str, ...],
    url: str | None,
    header: tuple[str, ...],
    openapi: str | None,
    base_url: str | None,
    include: tuple[str, ...],
    credential: tuple[str, ...],
    workspace: str,
) -> int:
    """Write a server into .mcp.json: bottega mcp add time -- python -m mcp_server_time

    Write secrets as ${VARIABLE}: they are then taken from the environment, and not kept in the file.
    """
    from ..tools.mcp import FILE_NAME, add_server

    if (bool(command), bool(url), bool(openapi)).count(True) != 1:
        raise UsageError(
            "a server needs either a command, a --url or an --openapi document",
            hint="bottega mcp add NAME -- COMMAND [ARG]...",
        )
    if (env and not command) or (header and command):
        raise UsageError("--env goes with a command, --header with a --url or --openapi")
    if (base_url or include or credential) and not openapi:
        raise UsageError("--base-url, --include and --credential go with --openapi")
    entry: dict[str, Any]
    if openapi:
        entry = {"openapi": _document(openapi, Path(workspace)), "base_url": base_url, "include": list(include)}
        entry |= {"headers": _pairs(header, "--header"), "credentials": _pairs(credential, "--credential")}
        entry = {key: value for key, value in entry.items() if value}
    elif url:
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"{url!r} is no http address", hint="it looks like https://host/mcp")
        entry = {"type": "http", "url": url} | ({"headers": _pairs(header, "--header")} if header else {})
    else:
        entry = {"command": command[0], "args": list(command[1:])} | ({"env": _pairs(env, "--env")} if env else {})
    folder = Path(workspace).expanduser()
    if not folder.is_dir():
        raise UsageError(
            f"the workspace folder {workspace!r} does not exist", hint="make it first, or name another folder"
        )
    if openapi:
        _check_api(name, entry, folder)
    replaced = add_server(folder / FILE_NAME, name, entry)
    print(f"{'replaced' if replaced else 'added'} {name} in {folder / FILE_NAME}", file=sys.stderr)
    return 0


@mcp.command()
@click.argument("name")
@click.option("--workspace", metavar="DIR", default=".", help="The folder whose .mcp.json is written.")
def remove(name: str, workspace: str) -> int:
    """Take a server out of .mcp.json."""
    from ..tools.mcp import FILE_NAME, remove_server

    file = Path(workspace).expanduser() / FILE_NAME
    remove_server(file, name)
    print(f"removed {name} from {file}", file=sys.stderr)
    return 0


def _document(named: str, workspace: Path) -> str:
    """The document as the configuration is to name it: a file of the folder relative to it, another one in full."""
    if named.startswith(("http://", "https://")) or "${" in named:
        return named
    file, folder = Path(named).expanduser(), workspace.expanduser().resolve()
    if not file.is_file():
        return named  # perhaps relative to the folder
    file = file.resolve()
    return str(file.relative_to(folder) if file.is_relative_to(folder) else file)


def _check_api(name: str, entry: dict[str, Any], folder: Path) -> None:
    """Tells what the entry makes tools of. Raises `UsageError` where it can make none."""
    from ..tools.catalog import Catalog
    from ..tools.mcp import read_servers

    (config,) = read_servers({name: entry}, workspace=folder)
    if config.problem and "is not set" in config.problem:
        return  # a secret that will be in the environment where it is used

    async def work() -> int:
        async with Catalog.open([config], folder) as catalog:
            try:
                await catalog.connect(name)
            except ServerError as error:
                raise UsageError(error.message, hint=error.hint) from None
            if not catalog.tools():
                raise UsageError("; ".join(problem for _, problem in catalog.problems()), hint="see the document")
            for server, problem in catalog.problems():
                _tell(server, problem)
            print(f"{len(catalog.tools())} operations of {name} are tools", file=sys.stderr)
        return 0

    run_async(work())


def _configs(settings: Settings) -> list[ServerConfig]:
    """The servers of the folder and of `--mcp-config`, which wins where both name one."""
    from ..tools.mcp import read_config

    found = {config.name: config for config in read_config(settings.workspace)}
    if settings.mcp_config is not None:
        found |= {c.name: c for c in read_config(settings.mcp_config, workspace=settings.workspace)}
    return list(found.values())


@asynccontextmanager
async def _servers(settings: Settings, configs: Sequence[ServerConfig]) -> AsyncIterator[Catalog]:
    from ..keeping import catalog_folder
    from ..tools import Workspace
    from ..tools.catalog import Catalog

    workspace = Workspace.at(settings.workspace)
    folder = catalog_folder(workspace) if configs else None
    async with Catalog.open(configs, workspace.root, folder) as servers:
        yield servers


def _tell(name: str, problem: str) -> None:
    print(f"{name}: {plain(problem)}" if name else plain(problem), file=sys.stderr)


def _named(configs: Sequence[ServerConfig], name: str) -> ServerConfig:
    for config in configs:
        if config.name == name:
            return config
    near = _near(name, [config.name for config in configs])
    raise UsageError(f"there is no server {name!r}", hint=near or "bottega mcp list shows what is configured")


def _near(name: str, known: Sequence[str]) -> str | None:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else None


def _described(tool: Tool) -> dict[str, Any]:
    return {
        "id": tool.id,
        "description": tool.description,
        "input_schema": tool.input_schema,
        "annotations": dataclasses.asdict(tool.annotations),
    }


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f"{option} {text!r} is not KEY=VALUE")
        pairs[key] = value
    return pairs


def _width() -> int:
    return shutil.get_terminal_size((120, 24)).columns
