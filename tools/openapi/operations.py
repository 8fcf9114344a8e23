"""The operations of a document: what each takes and gives as JSON Schema, and how its arguments are to be sent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from ..mcp.definitions import clean
from . import swagger
from .bodies import Body, read_body
from .document import Document, Unreadable
from .media import is_json
from .schemas import Drawing, Schema, unused, without_null
from .styles import STYLES, Style

Json = Any
Place = Literal["path", "query", "header", "cookie"]

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_PLACES: tuple[Place, ...] = ("path", "query", "header", "cookie")
_NOT_OURS = {"accept", "content-type", "authorization"}
"""Header parameters that OpenAPI says to ignore."""
_LONGEST_NAME = 64
_DESCRIPTION = 20_000
_TOLD = 20
"""Problems that are told one by one."""


@dataclass(frozen=True)
class Parameter:
    """A value that stands in the path, the query, a header or a cookie."""

    argument: str
    """What the tool calls it."""
    name: str
    """What the server calls it."""
    place: Place
    style: Style
    explode: bool
    reserved: bool = False
    """Whether what has a meaning in URLs is left as it is."""
    as_json: bool = False
    """Sent as JSON, whatever the style."""
    required: bool = False


@dataclass(frozen=True)
class Operation:
    """One operation of a document."""

    name: str
    """For a tool: letters, digits, `_` and `-`, at most 64; another for every operation of the document."""
    method: str
    """In capitals."""
    path: str
    """With `{name}` where parameters stand."""
    description: str
    parameters: tuple[Parameter, ...]
    body: Body | None
    input_schema: Schema
    output_schema: Schema | None = None
    tags: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    """Where the document says it is, best first; perhaps without host."""
    security: tuple[frozenset[str], ...] | None = None
    """Names of security schemes: all of one of these sets are needed. Empty where none is, None if nothing is said."""
    key_header: str | None = None
    """The header by which the server knows a call again that it has already done."""


@dataclass(frozen=True)
class Scheme:
    """How a credential is sent."""

    kind: Literal["header", "query", "cookie", "bearer", "basic"]
    name: str = ""


@dataclass(frozen=True)
class Api:
    """What a document describes. `problems` says what of it cannot be used, one sentence each."""

    operations: tuple[Operation, ...]
    schemes: Mapping[str, Scheme] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def read_api(document: Document) -> Api:
    """All operations of a document. One that cannot be used is left out and told; never raises."""
    operations: list[Operation] = []
    problems: list[str] = []
    left_out = 0
    names: set[str] = set()
    for path, method, item, raw in _entries(document, problems):
        try:
            operation = _Reader(document, path, method, item, raw).operation(names)
        except (Unreadable, RecursionError) as error:
            left_out += 1
            if left_out <= _TOLD:
                why = error if isinstance(error, Unreadable) else Unreadable("it is nested too deeply")
                problems.append(_problem(document, why, f"operation {method.upper()} {path}", ["paths", path, method]))
            continue
        names.add(operation.name)
        operations.append(operation)
    if left_out > _TOLD:
        problems.append(f"{left_out - _TOLD} more operations are left out")
    if not operations and not problems:
        problems.append("the document describes no operations")
    return Api(tuple(operations), _schemes(document), tuple(problems))


def _entries(document: Document, problems: list[str]) -> Iterator[tuple[str, str, dict[str, Json], Json]]:
    """Path, method, path item and operation of each."""
    for path, raw in (document.value.get("paths") or {}).items():
        try:
            if path.startswith("x-"):
                continue
            item, _ = document.resolve(raw)
            if not path.startswith("/") or not isinstance(item, dict):
                raise Unreadable("its name has to begin with /" if isinstance(item, dict) else "it has to be an object")
        except Unreadable as why:
            problems.append(_problem(document, why, f"path {path}", ["paths", path]))
            continue
        yield from ((path, method, item, item[method]) for method in METHODS if method in item)


def _problem(document: Document, why: Unreadable, what: str, keys: list[str | int]) -> str:
    place = document.place(why, keys)
    return clean(f"{what[:120]}{f' ({place})' if place else ''} is left out: {why.what}")


def _schemes(document: Document) -> dict[str, Scheme]:
    found: Json
    if document.is_swagger:
        found = swagger.security_schemes(document)
    else:
        components = document.value.get("components")
        found = components.get("securitySchemes") if isinstance(components, dict) else {}
    schemes: dict[str, Scheme] = {}
    for name, raw in (found if isinstance(found, dict) else {}).items():
        try:
            value, _ = document.resolve(raw)
        except Unreadable:
            continue
        if (scheme := _scheme(value)) is not None:
            schemes[name] = scheme
    return schemes


def _scheme(raw: Json) -> Scheme | None:
    """How it is sent; None for a way that is not known here."""
    if not isinstance(raw, dict):
        return None
    match raw.get("type"):
        case "apiKey" if raw.get("in") in ("header", "query", "cookie") and isinstance(raw.get("name"), str):
            return Scheme(raw["in"], raw["name"])
        case "http" if str(raw.get("scheme")).lower() == "basic":
            return Scheme("basic")
        case "http" | "oauth2" | "openIdConnect":
            return Scheme("bearer")
    return None


class _Reader:
    """Reads one operation."""

    def __init__(self, document: Document, path: str, method: str, item: dict[str, Json], raw: Json) -> None:
        if not isinstance(raw, dict):
            raise Unreadable("it has to be an object")
        self._document = document
        self._path, self._method, self._item = path.split("#")[0], method, item
        self._parameters = self._merged(item, raw)
        if document.is_swagger:
            raw = swagger.modern_operation(document, raw, self._parameters)
            self._parameters = raw["parameters"]
        self._raw = raw
        self._drawing = Drawing(document)
        self._properties: dict[str, Schema] = {}
        self._required: list[str] = []

    def operation(self, taken: set[str]) -> Operation:
        parameters = tuple(self._parameter(raw) for raw in self._described())
        key_header = next((p.name for p in parameters if _is_key(p)), None)
        shown = tuple(p for p in parameters if not _is_key(p))
        for one in parameters:
            if _is_key(one):
                del self._properties[one.argument]
        self._required = [p.argument for p in shown if p.required]
        body = self._body()
        schema: Schema = {"type": "object", "properties": self._properties}
        if self._required:
            schema["required"] = self._required
        schema["additionalProperties"] = body.more if body and body.more is not None else False
        tags = self._raw.get("tags")
        return Operation(
            name=self._name(taken),
            method=self._method.upper(),
            path=self._path,
            description=self._description(),
            parameters=shown,
            body=body,
            input_schema=self._drawing.whole(schema),
            output_schema=self._output(),
            tags=tuple(t for t in tags if isinstance(t, str)) if isinstance(tags, list) else (),
            servers=self._servers(),
            security=self._security(),
            key_header=key_header,
        )

    def _merged(self, item: dict[str, Json], raw: dict[str, Json]) -> list[dict[str, Json]]:
        """The parameters of path and operation, of which the latter take the place of the former."""
        found: dict[tuple[str, str], dict[str, Json]] = {}
        for keys, entries in (((), item.get("parameters")), ((self._method,), raw.get("parameters"))):
            where = ["paths", self._path, *keys, "parameters"]
            if entries is not None and not isinstance(entries, list):
                raise Unreadable("its parameters have to be a list", where)
            for i, entry in enumerate(entries or []):
                parameter, _ = self._document.resolve(entry)
                if not isinstance(parameter, dict):
                    raise Unreadable(f"parameter {i + 1} has to be an object", [*where, i])
                name, place = parameter.get("name"), parameter.get("in")
                if not isinstance(name, str) or not name:
                    raise Unreadable(f"parameter {i + 1} has no name", [*where, i])
                if place not in (*_PLACES, *(("body", "formData") if self._document.is_swagger else ())):
                    raise Unreadable(f"parameter {name!r} is in {str(place)[:40]!r}", [*where, i])
                found[name, str(place)] = parameter
        return list(found.values())

    def _described(self) -> list[dict[str, Json]]:
        """The parameters to send, in the order of their places, with those that only the path names."""
        named = re.findall(r"\{([^{}]+)\}", self._path)
        described = {p["name"]: p for p in self._parameters if p["in"] == "path"}
        in_path = [
            described.get(n, {"name": n, "in": "path", "schema": {"type": "string"}}) for n in dict.fromkeys(named)
        ]
        others = [
            p
            for place in ("query", "header", "cookie")
            for p in self._parameters
            if p["in"] == place and not (place == "header" and p["name"].lower() in _NOT_OURS)
        ]
        return [*in_path, *others]

    def _parameter(self, raw: dict[str, Json]) -> Parameter:
        name, place = raw["name"], cast(Place, raw["in"])
        content = raw.get("content")
        media, entry = next(iter(content.items()), ("", {})) if isinstance(content, dict) else ("", raw)
        schema = entry.get("schema", {}) if isinstance(entry, dict) else {}
        drawn = without_null(self._drawing.draw(schema))
        if isinstance(text := raw.get("description"), str) and text.strip():
            drawn["description"] = clean(text).strip()
        if "examples" not in drawn and isinstance(raw.get("example"), str | int | float):
            drawn["examples"] = [raw["example"]]
        style = raw.get("style", STYLES[place][0])
        if style not in STYLES[place]:
            raise Unreadable(f"parameter {name!r}: a parameter in the {place} has no style {str(style)[:40]!r}")
        explode = raw.get("explode", style == "form")
        parameter = Parameter(
            argument=free_name(name, self._properties, place),
            name=name,
            place=place,
            style=style,
            explode=explode is True,
            reserved=raw.get("allowReserved") is True,
            as_json=bool(media) and is_json(media),
            required=place == "path" or raw.get("required") is True,
        )
        self._properties[parameter.argument] = drawn
        return parameter

    def _body(self) -> Body | None:
        raw = self._raw.get("requestBody")
        if raw is None:
            return None
        found, _ = self._document.resolve(raw)
        if not isinstance(found, dict) or not isinstance(found.get("content"), dict):
            raise Unreadable("its request body has no content", ["paths", self._path, self._method, "requestBody"])
        body, properties, required = read_body(found, self._drawing, self._properties)
        self._properties.update(properties)
        self._required += required
        return body

    def _output(self) -> Schema | None:
        """The schema of the answer where all went well, if that is JSON."""
        responses = self._raw.get("responses")
        if not isinstance(responses, dict):
            return None
        codes = sorted(c for c in responses if re.fullmatch("2[0-9Xx]{2}", c)) or [
            c for c in responses if c == "default"
        ]
        for code in codes:
            try:
                response, _ = self._document.resolve(responses[code])
                content = response.get("content") if isinstance(response, dict) else None
                for media, entry in content.items() if isinstance(content, dict) else ():
                    if is_json(media) and isinstance(entry, dict) and "schema" in entry:
                        drawing = Drawing(self._document, answer=True)
                        return drawing.whole(drawing.draw(entry["schema"]))
            except (Unreadable, RecursionError):
                return None  # the operation works all the same
        return None

    def _name(self, taken: set[str]) -> str:
        given = self._raw.get("operationId")
        if not isinstance(given, str) or not re.search("[A-Za-z0-9]", given):
            path = re.sub(r"\{([^{}]*)\}", r"by_\1", self._path)
            given = f"{self._method}_{path if path.strip('/') else 'root'}"
        name = re.sub(r"_{2,}", "_", re.sub(r"[^A-Za-z0-9_-]+", "_", given)).strip("_-")
        return unused(name[:_LONGEST_NAME].rstrip("_-"), taken, _LONGEST_NAME)

    def _description(self) -> str:
        summary, text = (
            clean(said).strip() if isinstance(said, str) else ""
            for said in (self._raw.get("summary") or self._item.get("summary"), self._raw.get("description"))
        )
        if text.startswith(summary.rstrip(".")):
            summary = ""
        said = f"{summary.rstrip('.')}. {text}" if summary and text else summary or text
        deprecated = "Deprecated. " if self._raw.get("deprecated") is True else ""
        return (deprecated + (said or f"{self._method.upper()} {self._path}"))[:_DESCRIPTION]

    def _servers(self) -> tuple[str, ...]:
        if self._document.is_swagger:
            return tuple(server["url"] for server in swagger.servers(self._document))
        for owner in (self._raw, self._item, self._document.value):
            if isinstance(found := owner.get("servers"), list) and found:
                return tuple(_filled(one) for one in found if isinstance(one, dict) and isinstance(one.get("url"), str))
        return ("/",)

    def _security(self) -> tuple[frozenset[str], ...] | None:
        found = self._raw.get("security", self._document.value.get("security"))
        return tuple(frozenset(one) for one in found if isinstance(one, dict)) if isinstance(found, list) else None


def free_name(name: str, taken: Mapping[str, Json], place: str) -> str:
    """What a tool calls a parameter: its name, in the letters that every language model's tools may have."""
    plain = re.sub(r"_{2,}", "_", re.sub(r"[^A-Za-z0-9_.-]+", "_", name)).strip("_") or place
    plain = name if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) else plain[:_LONGEST_NAME]
    return plain if plain not in taken else unused(f"{plain[:50]}_{place}", taken, _LONGEST_NAME)


def _is_key(parameter: Parameter) -> bool:
    """Whether it is the header of the IETF draft by which a server does a request once, however often it comes."""
    return parameter.place == "header" and parameter.name.lower() == "idempotency-key"


def _filled(server: dict[str, Json]) -> str:
    """The URL of a server, with the defaults of its variables."""
    variables = server.get("variables")

    def default(match: re.Match[str]) -> str:
        one = variables.get(match[1]) if isinstance(variables, dict) else None
        return str(one["default"]) if isinstance(one, dict) and "default" in one else match[0]

    return re.sub(r"\{([^{}]+)\}", default, server["url"])
