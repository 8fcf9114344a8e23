"""Reads and edits the `mcpServers` JSON that people already have. Starts nothing: `connections.py` does."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...core.errors import ConfigError

Json = Any
FILE_NAME = ".mcp.json"
"""The file looked for in a folder."""

_ROOTS = ("mcpServers", "servers")
_HTTP = {"http", "streamable-http", "streamable_http", "streamablehttp"}
_KNOWN = {
    "command", "args", "env", "cwd", "url", "headers", "type", "transport",
    "enabled", "disabled", "startup_timeout_sec", "tool_timeout_sec",
}  # fmt: skip
_OF_OPENAPI = {"openapi", "base_url", "credentials", "include", "exclude"}
"""Keys that mean something in an entry with `openapi`."""


@dataclass(frozen=True)
class ServerConfig:
    """How to reach one server of tools: a `command` to run or a `url` to talk to, which are MCP servers, or an HTTP API
    that the document `openapi` describes.

    A config that cannot be used (a variable that is not set, a field of the wrong type) has a `problem`, which names
    the field; it harms no other server.
    """

    name: str
    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    """Where the command runs; relative to the workspace, which is the default."""
    url: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    openapi: str | None = field(default=None, repr=False)
    """An OpenAPI document: a file, relative to the workspace, or a URL."""
    base_url: str | None = field(default=None, repr=False)
    """Where the API is, in place of what its document says."""
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Name of a security scheme of the document -> token, key, or `name:password`."""
    include: tuple[str, ...] = ()
    """The operations that are wanted, all where it is empty: tags, and patterns of names or of `GET /path`."""
    exclude: tuple[str, ...] = ()
    """The operations that are not wanted, in the same way."""
    enabled: bool = True
    startup_timeout: float = 15.0
    """Seconds until the server must have been started, shaken hands with and asked for its tools; or until a
    connection, or the document, is there."""
    tool_timeout: float = 60.0
    """Seconds a call may take."""
    problem: str | None = None
    extra: Mapping[str, Json] = field(default_factory=dict, repr=False)
    """Keys of the file that mean nothing here."""

    @property
    def transport(self) -> Literal["stdio", "http", "openapi"]:
        return "openapi" if self.openapi is not None else "http" if self.url is not None else "stdio"

    @property
    def address(self) -> str:
        """The command line, or the URL without what may be secret in it, or the document. For people."""
        if (url := self.url or self.base_url or self.openapi) is not None:
            return re.sub(r"//[^/@]*@", "//", url.split("?")[0])
        return " ".join([self.command or "", *self.args]).strip()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must not be shown: those of `env`, `headers` and `credentials`."""
        values = [*self.env.values(), *self.headers.values(), *self.credentials.values()]
        return tuple(v for v in values if len(v) >= 8)


def read_config(
    source: str | Path, *, workspace: str | Path | None = None, environment: Mapping[str, str] | None = None
) -> list[ServerConfig]:
    """The servers that a file names, or the `.mcp.json` of a folder (none where a folder has no such file).

    `${VAR}`, `${env:VAR}` and `${VAR:-default}` are taken from `environment` (the process's own by default),
    `${workspaceFolder}` is `workspace` (the file's folder by default). Raises `ConfigError` for a file that is missing
    or broken, with line and column.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        path /= FILE_NAME
        if not os.path.lexists(path):  # a link that leads nowhere is a broken file
            return []
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path} is not a file", hint="remove it or put the file there")
    folder = Path(workspace).expanduser() if workspace is not None else path.parent
    variables = os.environ if environment is None else environment
    return [_server(name, entry, variables, folder.resolve()) for name, entry in _entries(_parse(path), path).items()]


def read_servers(
    entries: Mapping[str, Json], *, workspace: str | Path, environment: Mapping[str, str] | None = None
) -> list[ServerConfig]:
    """The servers of a mapping in the form of `mcpServers`: name -> entry. Variables as in `read_config`."""
    variables = os.environ if environment is None else environment
    folder = Path(workspace).expanduser().resolve()
    return [_server(name, entry, variables, folder) for name, entry in entries.items()]


def add_server(path: Path, name: str, entry: dict[str, Json]) -> bool:
    """Writes a server into the file, which is made where there is none. Returns whether it took the place of another.

    Raises `ConfigError` for a broken file. Comments do not outlive the edit; everything else does.
    """
    if not name.strip() or "/" in name:
        raise ConfigError(f"{name!r} cannot be the name of a server", hint="use letters, digits, - and _")
    document = _parse(path) if path.exists() else {}
    _entries(document, path)
    root = next(
        (r for r in _ROOTS if name in document.get(r, {})), next((r for r in _ROOTS if r in document), _ROOTS[0])
    )
    replaced = name in document.get(root, {})
    document.setdefault(root, {})[name] = entry
    _write(path, document)
    return replaced


def remove_server(path: Path, name: str) -> None:
    """Takes a server out of the file. Raises `ConfigError` where it is not there."""
    document = _parse(path)
    entries = _entries(document, path)
    if name not in entries:
        known = ", ".join(entries) or "none"
        raise ConfigError(f"{path} has no server {name!r}", hint=f"it has: {known}")
    for root in _ROOTS:
        document.get(root, {}).pop(name, None)
    _write(path, document)


def _parse(path: Path) -> dict[str, Json]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not a text file", hint="it has to be JSON in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        document = json.loads(_without_comments(text))
    except json.JSONDecodeError as error:
        what = error.msg[0].lower() + error.msg[1:]
        raise ConfigError(f"{path}:{error.lineno}:{error.colno}: broken JSON: {what}") from None
    except (RecursionError, ValueError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else "a number with too many digits"
        raise ConfigError(f"{path}:1:1: broken JSON: {what}") from None
    if not isinstance(document, dict):
        raise ConfigError(
            f"{path}:1:1: not a JSON object", hint='it looks like {"mcpServers": {"name": {"command": …}}}'
        )
    return document


def _without_comments(text: str) -> str:
    """JSON as `text` with comments and trailing commas blanked out, so that line and column stay what they are."""
    string = r'"(?:\\.|[^"\\\n])*"?'

    def blank(match: re.Match[str]) -> str:
        return match[0] if match[0].startswith('"') else re.sub(r"[^\n]", " ", match[0])

    text = re.sub(rf"{string}|//[^\n]*|/\*.*?\*/", blank, text, flags=re.S)
    return re.sub(rf"{string}|,(?=\s*[}}\]])", blank, text)


def _entries(document: dict[str, Json], path: Path) -> dict[str, Json]:
    if document and not any(root in document for root in _ROOTS):
        raise ConfigError(f"{path} names no servers", hint='the servers belong under "mcpServers"')
    found: dict[str, Json] = {}
    for root in _ROOTS:
        entries = document.get(root, {})
        if not isinstance(entries, dict):
            raise ConfigError(f"{path}: {root} has to be an object, not {_kind(entries)}")
        found = entries | found
    return found


class _Unusable(Exception):
    """Why one server's entry cannot be used; names the field."""


def _server(name: str, entry: Json, variables: Mapping[str, str], workspace: Path) -> ServerConfig:
    raw = entry if isinstance(entry, dict) else {}
    known = _KNOWN | (_OF_OPENAPI if "openapi" in raw else set())
    extra = {key: value for key, value in raw.items() if key not in known}
    try:
        if not name.strip() or "/" in name:
            raise _Unusable(f"{name!r} cannot be the name of a server: use letters, digits, - and _")
        if not isinstance(entry, dict):
            raise _Unusable(f"has to be an object, not {_kind(entry)}")
        enabled = _boolean(raw, "enabled", True) and not _boolean(raw, "disabled", False)
        if not enabled:
            return ServerConfig(name, enabled=False, extra=extra)
        text = _Reader(raw, variables, workspace)
        if "openapi" in raw:
            return _api(name, raw, text, extra)
        http = _is_http(raw)
        return ServerConfig(
            name,
            command=None if http else text.one("command", needed=True),
            args=() if http else text.many("args"),
            env={} if http else text.table("env"),
            cwd=None if http else text.one("cwd"),
            url=text.one("url", needed=True) if http else None,
            headers=text.table("headers") if http else {},
            startup_timeout=_seconds(raw, "startup_timeout_sec", 15.0),
            tool_timeout=_seconds(raw, "tool_timeout_sec", 60.0),
            extra=extra,
        )
    except _Unusable as why:
        return ServerConfig(name, problem=str(why), extra=extra)


def _api(name: str, raw: dict[str, Json], text: _Reader, extra: dict[str, Json]) -> ServerConfig:
    if other := next((key for key in ("command", "url") if key in raw), None):
        raise _Unusable(f"has both openapi and a {other}: the address of an API is its base_url")
    base_url = text.one("base_url")
    if base_url is not None and not base_url.lower().startswith(("http://", "https://")):
        raise _Unusable("base_url: has to begin with http:// or https://")
    return ServerConfig(
        name,
        openapi=text.one("openapi", needed=True),
        base_url=base_url,
        headers=text.table("headers"),
        credentials=text.table("credentials"),
        include=text.many("include"),
        exclude=text.many("exclude"),
        startup_timeout=_seconds(raw, "startup_timeout_sec", 15.0),
        tool_timeout=_seconds(raw, "tool_timeout_sec", 60.0),
        extra=extra,
    )


def _is_http(raw: dict[str, Json]) -> bool:
    kind = raw.get("type", raw.get("transport"))
    if kind is not None:
        if not isinstance(kind, str) or kind.lower() not in _HTTP | {"stdio"}:
            raise _Unusable(f"type: {kind!r} is not supported, use 'stdio' or 'http'")
        return kind.lower() in _HTTP
    if "command" in raw and "url" in raw:
        raise _Unusable("has both a command and a url: say which with type 'stdio' or 'http'")
    if "command" not in raw and "url" not in raw:
        raise _Unusable("has neither a command nor a url")
    return "url" in raw


@dataclass(frozen=True)
class _Reader:
    """Takes texts out of an entry, with their variables filled in."""

    raw: dict[str, Json]
    variables: Mapping[str, str]
    workspace: Path

    def one(self, key: str, *, needed: bool = False) -> str | None:
        value = self.raw.get(key)
        if value is None and not needed:
            return None
        if not isinstance(value, str) or not value.strip():
            raise _Unusable(f"{key}: has to be text, not {_kind(value)}")
        return self._expanded(value, key)

    def many(self, key: str) -> tuple[str, ...]:
        value = self.raw.get(key) or []
        if not isinstance(value, list):
            raise _Unusable(f"{key}: has to be a list, not {_kind(value)}")
        return tuple(self._scalar(v, f"{key}[{i}]") for i, v in enumerate(value))

    def table(self, key: str) -> dict[str, str]:
        value = self.raw.get(key) or {}
        if not isinstance(value, dict):
            raise _Unusable(f"{key}: has to be an object, not {_kind(value)}")
        return {k: self._scalar(v, f"{key}.{k}") for k, v in value.items()}

    def _scalar(self, value: Json, where: str) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)
        if not isinstance(value, str):
            raise _Unusable(f"{where}: has to be text, not {_kind(value)}")
        return self._expanded(value, where)

    def _expanded(self, text: str, where: str) -> str:
        def value_of(match: re.Match[str]) -> str:
            if match["ask"]:
                raise _Unusable(f"{where}: {match[0]} asks a person, write ${{VARIABLE}} instead")
            if match["name"] == "workspaceFolder":
                return str(self.workspace)
            value = self.variables.get(match["name"], "")
            if value or (match["name"] in self.variables and match["default"] is None):
                return value
            if match["default"] is None:
                raise _Unusable(f"{where}: the variable {match['name']} is not set")
            return match["default"]

        found = re.sub(
            r"\$\{(?:(?P<ask>input:[^}]*)|(?:env:)?(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?)\}", value_of, text
        )
        if "\0" in found:
            raise _Unusable(f"{where}: holds a NUL character")
        return found


def _boolean(raw: dict[str, Json], key: str, default: bool) -> bool:
    value = raw.get(key, default)
    if not isinstance(value, bool):
        raise _Unusable(f"{key}: has to be true or false, not {_kind(value)}")
    return value


def _seconds(raw: dict[str, Json], key: str, default: float) -> float:
    value = raw.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        raise _Unusable(f"{key}: has to be a number of seconds above 0, not {value!r}")
    return float(value)


def _kind(value: Json) -> str:
    if value is None:
        return "nothing"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return f"{names[type(value)]} ({str(value)[:40]!r})" if not isinstance(value, list | dict) else names[type(value)]


def _write(path: Path, document: dict[str, Json]) -> None:
    """Whole or not at all, with the mode the file had (0600 for a new one: it may hold secrets)."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        handle, temporary = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as f:
            json.dump(document, f, indent=2, ensure_ascii=False)
            f.write("\n")
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from None
