"""Makes the HTTP request of a call: path, query, headers, cookies and body, and what proves who calls."""

from __future__ import annotations

import base64
import json
import mimetypes
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any
from urllib.parse import quote

from ...core.errors import ToolError
from ..workspace import Workspace
from .bodies import Body, Encoding
from .operations import Operation, Parameter, Scheme
from .styles import Pairs, encoded, in_header, in_path, in_query, written

Json = Any
LARGEST_FILE = 50_000_000
"""Bytes of a file that is sent."""
_NOT_IN_HEADERS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_KEYS = uuid.UUID("6f1f6d0e-5d0b-4ad4-9a53-1c7d7a3c9d57")


@dataclass
class Outgoing:
    """A request, ready to be sent. Of `content` and `parts` at most one is there."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None
    parts: list[tuple[str, tuple[str | None, bytes, str]]] | None = None
    """Those of a multipart body: name, and file name, content, media type."""


@dataclass(frozen=True)
class Credentials:
    """What proves to an API who calls."""

    headers: Mapping[str, str]
    """Sent with every call."""
    secrets: Mapping[str, str]
    """Name of a security scheme -> its value; `name:password` for basic."""
    schemes: Mapping[str, Scheme]

    def wanted(self, operation: Operation) -> list[str]:
        """The security schemes by which an operation is called."""
        if operation.security is None:  # the document says nothing about it
            return [name for name in self.secrets if name in self.schemes]
        sets = [one for one in operation.security if one and one <= self.secrets.keys() & self.schemes.keys()]
        return sorted(sets[0]) if sets else []

    def lacking(self, operation: Operation) -> list[str]:
        """The security schemes that an operation asks for and that nothing was given for."""
        named = [name for one in operation.security or () for name in sorted(one)]
        return [] if self.wanted(operation) else list(dict.fromkeys(named))


def make_request(
    operation: Operation,
    base: str,
    arguments: Mapping[str, Json],
    credentials: Credentials,
    workspace: Workspace,
    key: str = "",
) -> Outgoing:
    """The request for a call of `operation` at the API that is at `base`.

    `key` is the same for the same call, for servers that mind one. What the server can judge better (ranges, patterns,
    options) is left to it. Raises `ToolError` for arguments that cannot be sent: missing, unknown, of an empty path.
    """
    given = _given(operation, arguments)
    path, query, headers, cookies = operation.path, Pairs(), dict[str, str](), Pairs()
    for parameter in operation.parameters:
        if parameter.argument not in given:
            continue
        value = given[parameter.argument]
        match parameter.place:
            case "path":
                path = path.replace(f"{{{parameter.name}}}", _in_path(operation, parameter, value))
            case "query":
                query += _pairs(parameter, value)
            case "header":
                headers[parameter.name] = written(value) if parameter.as_json else in_header(value, parameter.explode)
            case "cookie":
                cookies += _pairs(parameter, value)
    if operation.key_header is not None:
        headers[operation.key_header] = str(uuid.uuid5(_KEYS, key) if key else uuid.uuid4())
    _prove(operation, credentials, query, headers, cookies)
    headers |= credentials.headers
    if cookies:
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies)
    for name, value in headers.items():
        if _NOT_IN_HEADERS.search(value):
            raise ToolError(
                f"{operation.name}: what is given for the header {name} has line breaks or control characters"
            )
    url = f"{base}{_path(operation, path)}"
    if query:
        url += f"?{'&'.join(f'{name}={value}' for name, value in query)}"
    outgoing = Outgoing(operation.method, url, headers)
    if operation.body is not None:
        _fill(outgoing, operation.body, given, workspace, operation)
    return outgoing


def _given(operation: Operation, arguments: Mapping[str, Json]) -> dict[str, Json]:
    """The arguments, without those that are null and might as well have been left out."""
    known = operation.input_schema["properties"]
    body = operation.body
    if not (body and body.more is not None) and (unknown := next((n for n in arguments if n not in known), None)):
        near = get_close_matches(unknown, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known) or 'none'}"[:300]
        raise ToolError(f"{operation.name} has no argument {unknown!r}", hint=hint)
    nullable = {*body.nullable, body.argument} if body else set()
    given = {name: value for name, value in arguments.items() if value is not None or name in nullable}
    for name in operation.input_schema.get("required", ()):
        if name not in given:
            raise ToolError(f"{operation.name} needs the argument {name!r}")
    return given


def _pairs(parameter: Parameter, value: Json) -> Pairs:
    if parameter.as_json:
        return [(encoded(parameter.name), encoded(_as_json(value)))]
    return in_query(parameter.name, _whole(value), parameter.style, parameter.explode, reserved=parameter.reserved)


def _in_path(operation: Operation, parameter: Parameter, value: Json) -> str:
    if value in ("", [], {}):
        raise ToolError(f"{operation.name}: {parameter.argument!r} cannot be empty")
    if parameter.as_json:
        return encoded(_as_json(value))
    return in_path(parameter.name, _whole(value), parameter.style, parameter.explode)


def _path(operation: Operation, path: str) -> str:
    path = quote(path, safe="/:@!$&'()*+,;=%~")
    if any(segment in (".", "..") for segment in path.split("/")):
        raise ToolError(f"{operation.name}: a part of its path cannot be '.' or '..'")
    return path


def _prove(
    operation: Operation, credentials: Credentials, query: Pairs, headers: dict[str, str], cookies: Pairs
) -> None:
    for name in credentials.wanted(operation):
        scheme, secret = credentials.schemes[name], credentials.secrets[name]
        match scheme.kind:
            case "header":
                headers[scheme.name] = secret
            case "query":
                query.append((encoded(scheme.name), encoded(secret)))
            case "cookie":
                cookies.append((encoded(scheme.name), encoded(secret)))
            case "bearer":
                headers["Authorization"] = f"Bearer {secret}"
            case "basic":
                headers["Authorization"] = f"Basic {base64.b64encode(secret.encode()).decode()}"


def _fill(
    outgoing: Outgoing, body: Body, given: Mapping[str, Json], workspace: Workspace, operation: Operation
) -> None:
    """Adds the body, where any argument belongs to it or there has to be one."""
    if body.argument is not None:
        if body.argument not in given:
            return
        value = given[body.argument]
    else:
        apart = {parameter.argument for parameter in operation.parameters}
        value = {body.properties.get(name, name): v for name, v in given.items() if name not in apart}
        if not value and not body.required:
            return
    media = body.media
    match body.kind:
        case "json":
            outgoing.content = _as_json(value).encode("utf-8", "replace")
        case "form":
            outgoing.content = _form(value, body.encodings).encode()
        case "text":
            outgoing.content = written(value).encode("utf-8", "replace")
        case "bytes":
            _, outgoing.content, guessed = _file(value, workspace)
            media = guessed if "*" in media else media
        case "multipart":
            outgoing.parts = [part for name, v in _object(value).items() for part in _parts(name, v, body, workspace)]
            return
    if not any(name.lower() == "content-type" for name in outgoing.headers):
        outgoing.headers["Content-Type"] = media


def _form(value: Json, encodings: Mapping[str, Encoding]) -> str:
    pairs: Pairs = []
    for name, one in _object(value).items():
        how = encodings.get(name, Encoding())
        if how.style is not None:
            pairs += in_query(name, _whole(one), how.style, how.explode, reserved=how.reserved)  # type: ignore[arg-type]
        elif isinstance(one, list) and not any(isinstance(item, list | dict) for item in one):
            pairs += in_query(name, one, "form", True)
        elif one is not None:
            pairs.append((encoded(name), encoded(one)))
    return "&".join(f"{name}={one}" for name, one in pairs)


def _parts(name: str, value: Json, body: Body, workspace: Workspace) -> list[tuple[str, tuple[str | None, bytes, str]]]:
    media = body.encodings.get(name, Encoding()).media
    items = value if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value) else [value]
    found: list[tuple[str, tuple[str | None, bytes, str]]] = []
    for item in items:
        if name in body.files:
            file, content, guessed = _file(item, workspace)
            found.append((name, (file, content, guessed if media is None or "*" in media else media)))
        elif item is not None:
            plain = "application/json" if isinstance(item, list | dict) else "text/plain"
            found.append((name, (None, written(item).encode("utf-8", "replace"), media or plain)))
    return found


def _file(value: Json, workspace: Workspace) -> tuple[str, bytes, str]:
    """Name, content and media type of a file of the workspace."""
    if not isinstance(value, str):
        raise ToolError("a file is given as its path in the workspace")
    path = workspace.file(value)
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ToolError(f"{value} is larger than the {LARGEST_FILE // 1_000_000} MB that are sent")
        content = path.read_bytes()
    except OSError as error:
        raise ToolError(f"{value} cannot be read: {error.strerror or error}") from None
    return path.name, content, mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def _object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise ToolError("the body has to be an object")
    return value


def _whole(value: Json) -> Json:
    """`value` without the fields of an object that are null: nothing can stand for them."""
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


def _as_json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
