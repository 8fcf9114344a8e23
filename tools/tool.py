"""A `Tool`: name, description, JSON schema, annotations and a call. `@tool` makes one of a typed Python function."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, overload

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError

from ..core.errors import BottegaError, ModelError, ToolError, UsageError
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
    keyed: bool = False
    """Takes `ToolContext.key`, and does nothing a second time for a key that it has seen."""


@dataclass(frozen=True)
class ToolContext:
    """What a call may use: the workspace folder and what was permitted."""

    workspace: Workspace
    web: bool = False
    """Whether tools may reach the network."""
    key: str = ""
    """The same for the same call of the same step, also after a crash; another for every other call."""


@dataclass(frozen=True)
class ToolResult:
    """What a call gave. `data` is the JSON value where there is one; `files` are the workspace paths it wrote."""

    text: str
    data: Json = None
    is_error: bool = False
    files: tuple[str, ...] = ()


Call = Callable[[dict[str, Json], ToolContext], Awaitable[ToolResult]]

Check = Callable[[str], object]
"""Raises `ToolError` for a text that a parameter cannot take."""


@dataclass(frozen=True)
class Tool:
    """Something an agent can call.

    `server` is the toolset or MCP server it belongs to; `id` is `server/name`. `input_schema` is a JSON Schema object.
    Two extensions of it are understood: a string with `"format": "path"` is a path inside the workspace, and a property
    with `"x-source": "instruction"` takes the whole instruction of the step. `checks` say of some text parameters what
    a schema cannot: that something is a unit or a time zone. Planners ask them before they choose the tool.
    """

    name: str
    description: str
    input_schema: dict[str, Json]
    call: Call = field(repr=False, compare=False)
    annotations: ToolAnnotations = ToolAnnotations()
    server: str = ""
    output_schema: dict[str, Json] | None = None
    checks: Mapping[str, Check] = field(default_factory=dict, repr=False, compare=False)
    remote: bool = False
    """Run by a server that somebody configured, not here."""

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

    def accepts(self, arguments: Mapping[str, Json]) -> bool:
        """Whether the checks let these arguments pass; what is not a text is not checked."""
        try:
            for name, check in self.checks.items():
                if isinstance(value := arguments.get(name), str):
                    check(value)
        except ToolError:
            return False
        return True

    async def __call__(self, context: ToolContext, /, **arguments: Json) -> ToolResult:
        """Calls the tool. A tool that fails does not raise: the error is the result.

        Raises only what is not the tool's failure: `PermissionNeeded`, `BudgetExceeded`, `ServerError` and their like.
        """
        try:
            return await self.call(arguments, context)
        except (ToolError, ModelError) as error:
            return ToolResult(str(error), is_error=True)
        except BottegaError:
            raise
        except Exception as error:
            return ToolResult(f"{self.name} failed: {_shortened(str(error) or type(error).__name__)}", is_error=True)


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    read_only: bool = False,
    destructive: bool = True,
    idempotent: bool = False,
    open_world: bool = False,
    keyed: bool = False,
    checks: Mapping[str, Check] | None = None,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Makes a `Tool` of a typed Python function, sync or async.

    The schema comes from the signature, the descriptions from the docstring (its first paragraph, and a Google-style
    `Args:` section). A parameter annotated with `ToolContext` or `Workspace` is filled by Bottega and not shown. The
    function returns a `ToolResult`, text, or any value that pydantic can turn into JSON; it raises `ToolError` to say
    what went wrong. One that says nothing else counts as one that may destroy: write `read_only=True` where it is true.
    One that takes a `ToolContext` and does nothing a second time for the same `context.key` is `keyed=True`: after a
    crash it is called again, where any other tool that changes something is asked about.

    Raises `UsageError` for a function that cannot be a tool: with `*args`, `**kwargs` or types without a JSON schema.

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
    destructive: bool = True,
    idempotent: bool = False,
    open_world: bool = False,
    keyed: bool = False,
    checks: Mapping[str, Check] | None = None,
) -> Tool:
    own_name = name or function.__name__
    summary, described = _docstring(function)
    injected, fields = _parameters(function, described)
    try:
        model: type[BaseModel] = create_model(
            own_name,
            __config__=ConfigDict(extra="forbid", coerce_numbers_to_str=True, populate_by_name=False),
            **{f"p{i}": spec for i, spec in enumerate(fields.values())},
        )
        schema = model.model_json_schema(by_alias=True)
    except PydanticUserError as error:
        raise UsageError(f"{own_name!r} cannot be a tool: {str(error).splitlines()[0]}") from None

    async def call(arguments: dict[str, Json], context: ToolContext) -> ToolResult:
        try:
            checked = model.model_validate(arguments)
        except ValidationError as error:
            raise ToolError(f"{own_name}: {_one_line(error)}") from None
        values: dict[str, Any] = {key: getattr(checked, f"p{i}") for i, key in enumerate(fields)}
        for key, kind in injected.items():
            values[key] = context if kind is ToolContext else context.workspace
        if inspect.iscoroutinefunction(function):
            return as_result(await function(**values))
        return as_result(await asyncio.to_thread(function, **values))

    return Tool(
        name=own_name,
        description=summary,
        input_schema=_plain(schema),
        call=call,
        annotations=ToolAnnotations(
            read_only=read_only,
            destructive=destructive and not read_only,
            idempotent=idempotent or read_only,
            open_world=open_world,
            keyed=keyed,
        ),
        checks=checks or {},
    )


def _parameters(function: Callable[..., Any], described: dict[str, str]) -> tuple[dict[str, type], dict[str, Any]]:
    """The parameters that Bottega fills, and those that a caller fills as pydantic fields."""
    hints = typing.get_type_hints(function, include_extras=True)
    injected: dict[str, type] = {}
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UsageError(
                f"{function.__name__!r} cannot be a tool: it has {parameter}", hint="name and type each parameter"
            )
        hint = hints.get(parameter.name, str)
        if hint in (ToolContext, Workspace):
            injected[parameter.name] = hint
            continue
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        info = FieldInfo.from_annotated_attribute(hint, default)
        if info.description is None:
            info.description = described.get(parameter.name)
        # Under an alias any name will do: `schema` and `copy` are methods of pydantic's models.
        info.alias = info.validation_alias = info.serialization_alias = parameter.name
        fields[parameter.name] = (info.annotation, info)
    return injected, fields


def as_result(value: Any) -> ToolResult:
    """A `ToolResult` of what a function returned."""
    if isinstance(value, ToolResult):
        return value
    if isinstance(value, str):
        return ToolResult(value)
    if value is None:
        return ToolResult("Done.")
    try:
        data = json.loads(_ANYTHING.dump_json(value))
    except PydanticSerializationError:
        raise ToolError(
            f"a {type(value).__name__} came back, which is not JSON", hint="return text, numbers, lists, dicts"
        ) from None
    return ToolResult(json.dumps(data, ensure_ascii=False), data=data)


_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


def _plain(schema: dict[str, Json]) -> dict[str, Json]:
    """A schema as a person would write it: no titles, and an optional parameter is simply not required."""
    schema.pop("title", None)
    for prop in schema.get("properties", {}).values():
        prop.pop("title", None)
        options = [o for o in prop.get("anyOf", ()) if o != {"type": "null"}]
        if len(options) == 1 and len(prop["anyOf"]) == 2:
            del prop["anyOf"]
            prop.update({key: value for key, value in options[0].items() if key not in prop})
            if prop.get("default", ...) is None:
                del prop["default"]
    return schema


def _docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The first paragraph, and the lines of the `Args:` section by name."""
    text = inspect.getdoc(function) or ""
    summary = " ".join(re.split(r"\n\s*\n", text, maxsplit=1)[0].split())
    section = re.search(r"^(?:Args|Arguments|Parameters):\s*\n((?:[ \t]+.*\n?|\s*\n)+)", text, re.M)
    found: dict[str, str] = {}
    if section:
        for entry in re.finditer(
            r"^[ \t]+\*{0,2}(\w+)(?:\s*\([^)]*\))?:\s*((?:.*)(?:\n[ \t]{6,}.*)*)", section[1], re.M
        ):
            found[entry[1]] = " ".join(entry[2].split())
    return summary or function.__name__.replace("_", " "), found


def _one_line(error: ValidationError) -> str:
    parts = []
    for e in error.errors():
        where = ".".join(str(x) for x in e["loc"]) or "arguments"
        message = e["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        got = "" if e["type"] in ("missing", "value_error") else f", got {_shortened(repr(e['input']))}"
        parts.append(f"{where}: {message}{got}")
    return _shortened("; ".join(parts), 500)


def _shortened(text: str, limit: int = 200) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 3] + "..."
