"""Serves tools over MCP: any list of `Tool`s, those of a Python file, and the workshop itself as `run_task`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..agents.plan import RunResult
from ..core.errors import BottegaError, UsageError
from ..tools import Tool, ToolAnnotations, ToolContext, ToolResult, Toolset
from .listener import listen

if TYPE_CHECKING:
    import anyio
    from mcp.server.lowlevel import Server
    from mcp.server.transport_security import TransportSecuritySettings
    from mcp.types import CallToolResult
    from mcp.types import Tool as Definition
    from starlette.types import ASGIApp

Json = Any
_LOCAL = ("127.0.0.1", "localhost", "[::1]")
_log = logging.getLogger(__name__)
_progress: ContextVar[Callable[[float, float | None, str], Awaitable[None]] | None] = ContextVar(
    "progress", default=None
)


async def report_progress(done: float, total: float | None, message: str) -> None:
    """Tells the client whose call is being answered how far it is, where the client has asked to be told."""
    if (report := _progress.get()) is not None:
        await report(done, total, message)


def run_task_tool(run: Callable[[str], Awaitable[RunResult]]) -> Tool:
    """The workshop as a tool: takes a request in plain words, gives the answer as text and the whole run as data."""

    async def call(arguments: dict[str, Json], context: ToolContext) -> ToolResult:
        result = await run(arguments["request"])
        failed = result.status in ("failed", "cannot", "refused", "cancelled")
        return ToolResult(result.answer, data=result.to_json(), is_error=failed)

    return Tool(
        name="run_task",
        description=(
            "Do a task that is described in plain words, also one of several parts: it is planned, done with the "
            "tools at hand (files, tables, dates, units and what else there is), and answered."
        ),
        input_schema={
            "type": "object",
            "properties": {"request": {"type": "string", "minLength": 1, "description": "what to do, in plain words"}},
            "required": ["request"],
            "additionalProperties": False,
        },
        call=call,
        annotations=ToolAnnotations(),
        server="bottega",
    )


def tools_from_file(path: str | Path) -> list[Tool]:
    """Runs a Python file and collects its `@tool` functions, in the order they stand in it.

    Raises `UsageError`, one line with the file and the line in it, where the file is missing or fails, or has no tools.
    """
    import importlib.util
    import traceback

    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise UsageError(f"there is no file {str(path)!r}", hint="name a Python file with @tool functions")
    spec = importlib.util.spec_from_file_location(f"bottega_tools_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file", hint="its name has to end with .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    try:
        # Whatever the file prints belongs on stderr: stdout may be the wire.
        with contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
        line = error.lineno if isinstance(error, SyntaxError) else frames[-1].lineno if frames else None
        kind = "" if isinstance(error, BottegaError) else f"{type(error).__name__}: "
        what = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
        raise UsageError(f"{path}{f':{line}' if line else ''}: {kind}{what}"[:500]) from None
    found: dict[int, Tool] = {}
    for value in vars(module).values():
        for one in value if isinstance(value, Toolset) else [value] if isinstance(value, Tool) else []:
            found[id(one)] = one
    if not found:
        raise UsageError(f"{path} has no tools", hint="mark its functions with @tool (from bottega import tool)")
    return list(found.values())


def mcp_server(tools: Sequence[Tool], context: ToolContext, *, name: str = "bottega", version: str = "") -> Server[Any]:
    """An MCP server that has these tools; `context` is what their calls may use.

    A tool keeps its name where no other has it, and is called `toolset__name` where another does. Schemas and
    annotations are passed on as they are. Arguments are checked against the schema; whatever goes wrong is a result,
    never a protocol error.
    """
    from mcp.server.lowlevel import Server
    from mcp.types import CallToolRequestParams, ListToolsResult, PaginatedRequestParams

    named = _named(tools)
    definitions = [_definition(shown, one) for shown, one in named.items()]
    check = _Arguments()

    async def list_tools(ctx: Any, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=definitions, ttl_ms=0, cache_scope="private")

    async def call_tool(ctx: Any, params: CallToolRequestParams) -> CallToolResult:
        asked = _progress.set(ctx.session.report_progress)
        try:
            return await answer(params)
        finally:
            _progress.reset(asked)

    async def answer(params: CallToolRequestParams) -> CallToolResult:
        arguments = params.arguments or {}
        found = named.get(params.name)
        problem = _unknown(params.name, named) if found is None else check.problem(found, arguments)
        if found is None or problem:
            return _result(ToolResult(f"{params.name}: {problem}", is_error=True))
        try:
            return _result(await found(context, **arguments))
        except BottegaError as error:
            return _result(ToolResult(str(error), is_error=True))
        except Exception as error:
            _log.warning("tool %s failed: %r", found.id, error)
            return _result(ToolResult(f"{params.name} failed: {type(error).__name__}: {error}", is_error=True))

    return Server(name, version=version, on_list_tools=list_tools, on_call_tool=call_tool)


async def serve_stdio(server: Server[Any]) -> None:
    """Serves over this process's stdin and stdout until stdin ends. What tools print goes to stderr meanwhile."""
    from mcp.server.stdio import stdio_server

    stdin = cast("anyio.AsyncFile[str]", _Stdin())
    async with stdio_server(stdin=stdin) as (read, write):
        await server.run(read, write, server.create_initialization_options())


async def serve_http(
    server: Server[Any],
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    started: Callable[[str], None] | None = None,
    front: Callable[[ASGIApp, TransportSecuritySettings], ASGIApp] = lambda app, security: app,
) -> None:
    """Serves over streamable HTTP at `http://host:port/mcp` until it is cancelled; port 0 takes any that is free.

    Requests that name another host, or come from a page of another origin, are refused: a web page must not reach it.
    Raises `UsageError` where the address cannot be had. `started` is given the URL once it can be used; `front` may put
    something before the server's application.
    """
    import socket

    import uvicorn
    from mcp.server.transport_security import TransportSecuritySettings

    listener = listen(host, port)
    port = listener.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    hosts = list(dict.fromkeys([*_LOCAL, shown, socket.gethostname()]))
    security = TransportSecuritySettings(
        allowed_hosts=[f"{h}:*" for h in hosts],
        allowed_origins=[f"{scheme}://{h}:*" for h in hosts for scheme in ("http", "https")],
    )
    app = front(server.streamable_http_app(transport_security=security), security)

    class Uvicorn(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # signals belong to the caller, who cancels

    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=2)
    running = Uvicorn(config)
    serving = asyncio.create_task(running.serve([listener]))
    try:
        while not running.started and not serving.done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if started and running.started:
            started(f"http://{shown}:{port}/mcp")
        await asyncio.shield(serving)
    finally:
        running.should_exit = True
        await asyncio.wait([serving])
        listener.close()


class _Stdin:
    """The lines of stdin, read by a thread that nobody waits for: a read cannot be cancelled, and Ctrl-C must not hang.

    File descriptor 0 itself becomes empty, so that no tool and no child process reads what is meant for the server.
    """

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        wire = os.dup(0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        threading.Thread(target=self._read, args=(wire,), daemon=True).start()

    def __aiter__(self) -> _Stdin:
        return self

    async def __anext__(self) -> str:
        line = await self._lines.get()
        if line is None:
            raise StopAsyncIteration
        return line

    def _read(self, wire: int) -> None:
        try:
            with os.fdopen(wire, encoding="utf-8", errors="replace") as file:
                for line in file:
                    self._loop.call_soon_threadsafe(self._lines.put_nowait, line)
            self._loop.call_soon_threadsafe(self._lines.put_nowait, None)
        except RuntimeError:
            pass  # the loop is closed: nobody listens any more


class _Arguments:
    """Checks arguments against the schemas of tools; each schema is compiled once."""

    def __init__(self) -> None:
        self._validators: dict[int, Any] = {}

    def problem(self, tool: Tool, arguments: dict[str, Json]) -> str | None:
        """What is wrong with the arguments, or None."""
        from jsonschema import SchemaError
        from jsonschema.exceptions import best_match
        from jsonschema.validators import Draft202012Validator, validator_for
        from referencing import Registry
        from referencing.exceptions import Unresolvable

        try:
            if (validator := self._validators.get(id(tool))) is None:
                kind = validator_for(tool.input_schema, default=Draft202012Validator)
                kind.check_schema(tool.input_schema)
                # With an empty registry nothing that a schema refers to is ever fetched.
                validator = self._validators[id(tool)] = kind(tool.input_schema, registry=Registry())
            error = best_match(validator.iter_errors(arguments))
        except (SchemaError, Unresolvable) as broken:
            return f"its input schema cannot be used: {str(broken).splitlines()[0]}"
        if error is None:
            return None
        where = ".".join(str(part) for part in error.absolute_path)
        return f"{where + ': ' if where else ''}{error.message}"[:500]


def _named(tools: Sequence[Tool]) -> dict[str, Tool]:
    count = Counter(tool.name for tool in tools)
    named: dict[str, Tool] = {}
    for one in tools:
        shown = one.name if count[one.name] == 1 else f"{one.server}__{one.name}"
        if shown in named:
            raise UsageError(f"two tools are called {one.id!r}", hint="rename one of them")
        named[shown] = one
    return named


def _definition(shown: str, tool: Tool) -> Definition:
    from mcp.types import Tool as Definition
    from mcp.types import ToolAnnotations as Hints

    # Clients of the older protocol take no output schema but that of an object.
    output = tool.output_schema if tool.output_schema and tool.output_schema.get("type") == "object" else None
    return Definition(
        name=shown,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=output,
        annotations=Hints(
            read_only_hint=tool.annotations.read_only,
            destructive_hint=tool.annotations.destructive,
            idempotent_hint=tool.annotations.idempotent,
            open_world_hint=tool.annotations.open_world,
        ),
    )


def _result(result: ToolResult) -> CallToolResult:
    from mcp.types import CallToolResult, TextContent

    data = result.data if isinstance(result.data, dict) or result.data is None else {"result": result.data}
    return CallToolResult(
        content=[TextContent(type="text", text=result.text)], structured_content=data, is_error=result.is_error
    )


def _unknown(name: str, named: dict[str, Tool]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, named, n=1)
    return f"there is no such tool{f', did you mean {near[0]}?' if near else ''}"
