"""A `Tool`: a name, a description, a JSON schema, annotations and a call. `@tool` makes one of a typed Python function."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, overload

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo

from ..core.errors import ToolError
from .workspace import Workspace

Json = Any
"""A JSON value: None, bool, int, float, str, list or dict of such."""


@dataclass(frozen=True)
class ToolAnnotations:
    """What a call does to the world (MCP's tool annotations). Unannotated means unsafe."""

    read_only: bool = False
    destructive: bool = True
    idempotent: bool = False
    open_world: bool = True
    """Reaches beyond this machine: the web, a remote service."""


@dataclass(frozen=True)
class ToolContext:
    """What a call may use: the workspace folder and what was permitted."""

    workspace: Workspace
    web: bool = False
    """Whether tools may reach the network."""


@dataclass(frozen=True)
class ToolResult:
    """What a call gave. `data` is the JSON value where there is one; `files` are the workspace paths it wrote."""

    text: str
    data: Json = None
    is_error: bool = False
    files: tuple[str, ...] = ()


Call = Callable[[dict[str, Json], ToolContext], Awaitable[ToolResult]]


@dataclass(frozen=True)
class Tool:
    """Something an agent can call.

    `server` is the toolset or MCP server it belongs to; `id` is `server/name`. `input_schema` is a JSON Schema object. Two
    extensions of it are understood: a string with `"format": "path"` is a path inside the workspace, and a property with
    `"x-source": "instruction"` takes the whole instruction of the step.
    """

    name: str
    description: str
    input_schema: dict[str, Json]
    call: Call = field(repr=False, compare=False)
    annotations: ToolAnnotations = ToolAnnotations()
    server: str = ""
    output_schema: dict[str, Json] | None = None

    @property
    def id(self) -> str:
        return f"{self.server}/{self.name}" if self.server else self.name

    @property
    def parameters(self) -> dict[str, dict[str, Json]]:
        """Name -> schema of each parameter."""
        return self.input_schema.get("properties") or {}

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(self.input_schema.get("required") or ())

    async def __call__(self, context: ToolContext, /, **arguments: Json) -> ToolResult:
        """Calls the tool. Never raises for a failing tool: the error is the result."""
        try:
            return await self.call(arguments, context)
        except ToolError as error:
            return ToolResult(str(error), is_error=True)


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *, name: str | None = None, read_only: bool = False, destructive: bool = False, idempotent: bool = False, open_world: bool = False
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Makes a `Tool` of a typed Python function, sync or async.

    The schema comes from the signature, the descriptions from the docstring (its first paragraph, and a Google-style `Args:`
    section). A parameter annotated with `ToolContext` or `Workspace` is filled by Bottega and not shown. The function returns
    a `ToolResult`, text, or any value that pydantic can turn into JSON; it raises `ToolError` to say what went wrong.

        @tool(read_only=True)
        def room_of(person: str) -> str:
            \"\"\"Tell in which room a person works.

            Args:
                person: full name of the person
            \"\"\"
            return ROOMS[person]
    """
    if function is None:
        return lambda f: _from_function(f, **options)
    return _from_function(function)


def _from_function(
    function: Callable[..., Any],
    name: str | None = None,
    read_only: bool = False,
    destructive: bool = False,
    idempotent: bool = False,
    open_world: bool = False,
) -> Tool:
    hints = typing.get_type_hints(function, include_extras=True)
    summary, described = _docstring(function)
    fields: dict[str, Any] = {}
    injected: dict[str, type] = {}
    for parameter in inspect.signature(function).parameters.values():
        hint = hints.get(parameter.name, str)
        if hint in (ToolContext, Workspace):
            injected[parameter.name] = hint
            continue
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        info = FieldInfo.from_annotation(hint)
        if default is not ...:
            info.default = default
        if parameter.name in described and info.description is None:
            info.description = described[parameter.name]
        fields[parameter.name] = (hint, info)
    model: type[BaseModel] = create_model(
        f"{function.__name__}_arguments", __config__=ConfigDict(extra="forbid", protected_namespaces=()), **fields
    )

    async def call(arguments: dict[str, Json], context: ToolContext) -> ToolResult:
        try:
            checked = model.model_validate(arguments)
        except ValidationError as error:
            raise ToolError(f"{function.__name__}: {_one_line(error)}") from None
        values: dict[str, Any] = {key: getattr(checked, key) for key in fields}
        for key, kind in injected.items():
            values[key] = context if kind is ToolContext else context.workspace
        if inspect.iscoroutinefunction(function):
            return as_result(await function(**values))
        return as_result(await asyncio.to_thread(function, **values))

    schema = model.model_json_schema()
    schema.pop("title", None)
    for prop in schema.get("properties", {}).values():
        prop.pop("title", None)
    return Tool(
        name=name or function.__name__,
        description=summary,
        input_schema=schema,
        call=call,
        annotations=ToolAnnotations(
            read_only=read_only, destructive=destructive and not read_only, idempotent=idempotent or read_only, open_world=open_world
        ),
    )


def as_result(value: Any) -> ToolResult:
    """A `ToolResult` of what a function returned."""
    if isinstance(value, ToolResult):
        return value
    if isinstance(value, str):
        return ToolResult(value)
    data = TypeAdapter(Any).dump_python(value, mode="json")
    return ToolResult(json.dumps(data, ensure_ascii=False), data=data)


def _docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The first paragraph, and the lines of the `Args:` section by name."""
    text = inspect.getdoc(function) or ""
    summary = " ".join(re.split(r"\n\s*\n", text, maxsplit=1)[0].split())
    section = re.search(r"^(?:Args|Arguments|Parameters):\s*\n((?:[ \t]+.*\n?|\s*\n)+)", text, re.M)
    found: dict[str, str] = {}
    if section:
        for entry in re.finditer(r"^[ \t]+\*{0,2}(\w+)(?:\s*\([^)]*\))?:\s*((?:.*)(?:\n[ \t]{6,}.*)*)", section[1], re.M):
            found[entry[1]] = " ".join(entry[2].split())
    return summary or function.__name__.replace("_", " "), found


def _one_line(error: ValidationError) -> str:
    parts = []
    for e in error.errors():
        where = ".".join(str(x) for x in e["loc"]) or "arguments"
        parts.append(f"{where}: {e['msg'].lower()}" + ("" if e["type"] == "missing" else f", got {e['input']!r}"))
    return "; ".join(parts)[:500]
