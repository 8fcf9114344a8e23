"""One HTTP API as a server of tools: reads its document, tells its tools, calls its operations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ...core.errors import BottegaError, NotSent, ServerError, ToolError
from ..mcp.config import ServerConfig
from ..mcp.definitions import KEYED
from ..tool import ToolContext, ToolResult
from .addresses import NoAddress, base_of, is_loopback, is_url, origin
from .answers import error_of, result_of
from .client import Answer, Client
from .document import LARGEST, Document, parse, read_document
from .operations import Api, Operation, read_api
from .requests import Credentials, Outgoing, make_request

Json = Any
Heard = Callable[[Sequence[Mapping[str, Json]], Sequence[str]], None]
"""Takes the definitions of all tools, as `tools/list` of MCP says them, and what is wrong, a sentence each."""

_SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}
_REPEATABLE = {*_SAFE, "PUT", "DELETE"}
_UNKNOWN_END = {502, 504}
"""Statuses of one who stands between, and does not know what became of the call."""


@dataclass(frozen=True)
class _Placed:
    """An operation, and the URL that its path is put after."""

    operation: Operation
    base: str


class OpenApiServer:
    """The API that a config's `openapi` describes; each operation is a tool.

    Making one reads nothing. A document that is a file is read again when it has changed. `slots` limits how many
    documents are fetched at the same time.
    """

    def __init__(self, config: ServerConfig, workspace: Path, slots: asyncio.Semaphore, heard: Heard) -> None:
        self.config = config
        self._workspace = workspace
        self._slots = slots
        self._heard = heard
        self._client = Client(config)
        self._operations: dict[str, _Placed] = {}
        self._credentials = Credentials({}, {}, {})
        self._problems: tuple[str, ...] = ()
        self._error: ServerError | None = None
        self._version: object = None
        """Of the document that was read last; None where none was."""
        self._reading = asyncio.Lock()
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether its document has been read, and can be used."""
        return self._version is not None and self._error is None and not self._closed

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with it, one sentence each."""
        if self.config.problem:
            return (self.config.problem,)
        return (str(self._error),) if self._error else self._problems

    async def connect(self, *, fresh: bool = False) -> None:
        """Reads the document where it was not read since it changed, or `fresh`, and tells its tools.

        Raises `ServerError` where it cannot be used.
        """
        if self._closed or self.config.problem:
            why = self.config.problem or "it is closed"
            raise ServerError(f"server {self.config.name!r} cannot be used: {why}")
        if not self.config.enabled:
            return
        async with self._reading:
            version = self._present()
            if fresh or version != self._version:
                await self._read_anew(version)
        if self._error:
            raise self._error

    async def call(
        self, name: str, arguments: dict[str, Json], context: ToolContext, check: Callable[[], None] = lambda: None
    ) -> ToolResult:
        """Calls one of its operations; what the server answers with an error is a result too.

        `check` is called right before the request is sent; what it raises is raised instead. Raises `ToolError` for
        arguments that cannot be sent, `NotSent` where the document cannot be read or the server not be connected to,
        `ServerError` where it was and did not answer: whether the call had an effect is then unknown.
        """
        try:
            await self.connect()
        except ServerError as error:
            raise NotSent(error.message, hint=error.hint) from None
        if name not in self._operations:
            raise ToolError(f"server {self.config.name!r} has no operation {name!r}", hint="see bottega mcp tools")
        placed = self._operations[name]
        operation = placed.operation
        outgoing = make_request(operation, placed.base, arguments, self._credentials, context.workspace, context.key)
        check()
        try:
            async with asyncio.timeout(self.config.tool_timeout):
                answer = await self._client.send(outgoing, placed.base)
        except TimeoutError:
            message = f"server {self.config.name!r} did not answer {name!r} within {self.config.tool_timeout:g} s"
            raise ServerError(message, hint="raise its tool_timeout_sec") from None
        return self._result(placed, answer)

    async def close(self) -> None:
        """Ends its connections."""
        self._closed = True
        await self._client.close()

    def _present(self) -> object:
        """Changes when the document's file does."""
        if is_url(self._place):
            return "fetched"
        try:
            found = self._file.stat()
        except OSError:
            return "missing"
        return found.st_mtime_ns, found.st_size, found.st_ino

    async def _read_anew(self, version: object) -> None:
        try:
            document = await self._document()
            self._learn(document, await asyncio.to_thread(read_api, document))
            self._error = None
        except BottegaError as error:
            self._error = ServerError(f"server {self.config.name!r}: {error.message}", hint=error.hint)
            self._operations = {}
        # One that could not be fetched is fetched when it is asked for again.
        self._version = version if self._error is None or not is_url(self._place) else None
        if self._error is None:
            self._heard([_definition(one) for one in self._operations.values()], self._problems)

    @property
    def _place(self) -> str:
        assert self.config.openapi
        return self.config.openapi

    @property
    def _file(self) -> Path:
        return self._workspace / Path(self._place).expanduser()

    async def _document(self) -> Document:
        if not is_url(self._place):
            return await asyncio.to_thread(read_document, self._file)
        wanted = Outgoing("GET", self._place)
        if self.config.base_url is None or origin(self.config.base_url) == origin(self._place):
            wanted.headers |= self.config.headers  # what is secret is for the API, not for who tells about it
        place = self._place.split("?")[0]
        try:
            async with self._slots, asyncio.timeout(self.config.startup_timeout):
                answer = await self._client.send(wanted, place, LARGEST + 1)
        except TimeoutError:
            raise ServerError(
                f"its document did not come within {self.config.startup_timeout:g} s", hint="raise startup_timeout_sec"
            ) from None
        if answer.response.status_code != 200:
            said = error_of(answer.response, answer.body, self._client.secrets)
            raise ServerError(f"its document cannot be fetched: {said}", hint="check the URL after openapi")
        return await asyncio.to_thread(parse, answer.body, place, self._place)

    def _learn(self, document: Document, api: Api) -> None:
        problems = list(api.problems)
        self._credentials = Credentials(self.config.headers, self.config.credentials, api.schemes)
        for name in self.config.credentials.keys() - api.schemes.keys():
            known = ", ".join(api.schemes) or "none"
            problems.append(f"credentials.{name}: the document has no such security scheme; it has: {known}")
        chosen, unused = _chosen(api.operations, self.config.include, self.config.exclude)
        problems += [f"include: {pattern!r} fits no operation" for pattern in unused]
        found: dict[str, _Placed] = {}
        nowhere: list[str] = []
        for operation in chosen:
            try:
                base = base_of(operation.servers, self.config.base_url, document.url)
                found[operation.name] = _Placed(_supplied(operation, self._credentials), base)
            except NoAddress as why:
                nowhere.append(str(why))
        if nowhere and not found:
            raise ServerError(nowhere[0], hint="give the address of the API as base_url")
        if nowhere:
            problems.append(f"{len(nowhere)} operations are left out: {nowhere[0]}; base_url can say where they are")
        self._operations, self._problems = found, tuple(problems)

    def _result(self, placed: _Placed, answer: Answer) -> ToolResult:
        response, name = answer.response, placed.operation.name
        if response.is_error:
            said = f"{name}: {error_of(response, answer.body, self._client.secrets)}"
            if response.status_code in _UNKNOWN_END:
                raise ServerError(said)
            return ToolResult(f"{said}{self._advice(placed, response.status_code)}", is_error=True)
        if response.is_redirect:
            target = origin(str(response.next_request.url))[1] if response.next_request else "nowhere"
            what = f"{name}: the server sends us on to {target}, and only {placed.base} is called"
            return ToolResult(f"{what} (if that is where it is now, give it as base_url)", is_error=True)
        return result_of(response, answer.body, answer.cut)

    def _advice(self, placed: _Placed, status: int) -> str:
        """What to do about an answer that says that the caller is not known."""
        if status not in (401, 403):
            return ""
        if lacking := self._credentials.lacking(placed.operation):
            return f' (the document asks for {lacking[0]!r}: give it in "credentials" of server {self.config.name!r})'
        return f" (check the headers and credentials of server {self.config.name!r})"


def _definition(placed: _Placed) -> dict[str, Json]:
    """A tool of an operation, as MCP says it. What changes something and is no PUT or DELETE may do so twice."""
    operation = placed.operation
    read_only = operation.method in _SAFE
    definition: dict[str, Json] = {
        "name": operation.name,
        "description": operation.description,
        "inputSchema": operation.input_schema,
        "annotations": {
            "readOnlyHint": read_only,
            "destructiveHint": not read_only,
            "idempotentHint": operation.method in _REPEATABLE,
            "openWorldHint": not is_loopback(placed.base),
        },
    }
    if operation.output_schema is not None:
        definition["outputSchema"] = operation.output_schema
    if operation.key_header is not None:
        definition["_meta"] = {KEYED: True}
    return definition


def _chosen(
    operations: Sequence[Operation], include: Sequence[str], exclude: Sequence[str]
) -> tuple[list[Operation], list[str]]:
    """The operations that are wanted, and the patterns of `include` that fit none."""
    unused = [pattern for pattern in include if not any(_fits(one, pattern) for one in operations)]
    wanted = [one for one in operations if not include or any(_fits(one, pattern) for pattern in include)]
    return [one for one in wanted if not any(_fits(one, pattern) for pattern in exclude)], unused


def _fits(operation: Operation, pattern: str) -> bool:
    """Whether a pattern is a tag of it, or fits its name, or its method and path: `orders`, `get*`, `GET /orders/*`."""
    return any(tag.casefold() == pattern.casefold() for tag in operation.tags) or any(
        fnmatchcase(text, pattern) for text in (operation.name, f"{operation.method} {operation.path}")
    )


def _supplied(operation: Operation, credentials: Credentials) -> Operation:
    """`operation` without the parameters that the configuration gives."""
    given = {("header", name.lower()) for name in credentials.headers}
    for name in credentials.secrets:
        if (scheme := credentials.schemes.get(name)) and scheme.name:
            given.add((scheme.kind, scheme.name.lower()))
    hidden = {p.argument for p in operation.parameters if (p.place, p.name.lower()) in given}
    if not hidden:
        return operation
    schema = dict(operation.input_schema)
    schema["properties"] = {name: one for name, one in schema["properties"].items() if name not in hidden}
    if required := [name for name in schema.pop("required", ()) if name not in hidden]:
        schema["required"] = required
    shown = tuple(p for p in operation.parameters if p.argument not in hidden)
    return replace(operation, parameters=shown, input_schema=schema)
