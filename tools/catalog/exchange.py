"""Definitions from files and into them: what `tools/list` answers, JSON Lines of tools, and `mcpServers`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.errors import UsageError
from ..mcp.definitions import Listing
from .source import Definition

Json = Any

MAX_BYTES = 1_000_000_000
"""A file that is larger is not read."""

_WIRE = {"input_schema": "inputSchema", "output_schema": "outputSchema", "parameters": "inputSchema"}


@dataclass
class Imported:
    """What a file held."""

    definitions: dict[str, list[Definition]] = field(default_factory=dict)
    """By server."""
    servers: dict[str, Json] = field(default_factory=dict)
    """Entries of `mcpServers`, by name."""
    problems: list[str] = field(default_factory=list)
    """What was left out, a sentence each."""


def read_definitions(path: str | Path, server: str | None = None) -> Imported:
    """What a file holds: a JSON document or JSON Lines of any of these, in any mixture.

    - what a server answers to `tools/list`: `{"tools": [...]}`, or the whole JSON-RPC reply; several pages too
    - tools as `export_lines` writes them: `{"id", "server", "name", "description", "input_schema"}`
    - definitions as such, and lists of all these
    - `{"mcpServers": {...}}`, or `servers`

    A tool belongs to the server that it names; where it names none, to `server`, or else to one that is called like
    the file. A tool without a schema takes no arguments that anybody knows. What cannot be used is left out, and told.

    Raises `UsageError` for a file that cannot be read, or holds none of these.
    """
    path = Path(path)
    collected = _Collected(server, server or path.name.split(".")[0] or "imported")
    for line, value in _values(path):
        collected.take(value, f"line {line}: " if line else "")
    found = collected.found()
    if not found.definitions and not found.servers:
        why = found.problems[0] if found.problems else "no tools and no servers are in it"
        raise UsageError(f"{path} cannot be imported: {why}", hint="it takes tools/list dumps, JSON Lines, mcpServers")
    return found


def export_lines(definitions: Iterable[tuple[str, Definition]]) -> Iterator[str]:
    """Each (server, definition) as a line of JSON, which `read_definitions` takes back without loss."""
    for server, definition in definitions:
        row: dict[str, Json] = {"id": f"{server}/{definition['name']}", "server": server, "name": definition["name"]}
        row["description"] = definition.get("description") or ""
        row["input_schema"] = definition.get("inputSchema", {"type": "object"})
        for key, name in (
            ("title", "title"), ("outputSchema", "output_schema"), ("annotations", "annotations"), ("_meta", "_meta"),
        ):  # fmt: skip
            if definition.get(key) is not None:
                row[name] = definition[key]
        yield json.dumps(row)


class _Collected:
    """Sorts what a file holds by server, and drops what cannot be used."""

    def __init__(self, server: str | None, fallback: str) -> None:
        self._only = server
        self._fallback = fallback
        self._listings: dict[str, Listing] = {}
        self._servers: dict[str, Json] = {}
        self._problems: list[str] = []

    def take(self, value: Json, where: str) -> None:
        if isinstance(value, list):
            for part in value:
                self.take(part, where)
        elif not isinstance(value, dict):
            self._problems.append(f"{where}{str(value)[:40]!r} is not an object")
        elif isinstance(entries := value.get("mcpServers", value.get("servers")), dict):
            self._servers.update(entries)
        elif isinstance(value.get("result"), dict):
            self.take(value["result"], where)
        elif isinstance(value.get("tools"), list):
            for tool in value["tools"]:
                self._tool(tool, where)
        else:
            self._tool(value, where)

    def found(self) -> Imported:
        problems = [f"{server}: {text}" for server, listing in self._listings.items() for text in listing.problems]
        definitions: dict[str, list[Definition]] = {
            name: [*one.definitions.values()] for name, one in self._listings.items() if one.definitions
        }
        return Imported(definitions, self._servers, self._problems + problems)

    def _tool(self, value: Json, where: str) -> None:
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            self._problems.append(f"{where}{str(value)[:40]!r} is no tool: it has no name")
            return
        server = self._only or value.get("server") or self._server_of_id(value) or self._fallback
        if not isinstance(server, str) or not server.strip() or "/" in server:
            self._problems.append(f"{where}{str(server)[:40]!r} cannot be the name of a server")
            return
        definition = {_WIRE.get(key, key): part for key, part in value.items() if key not in ("id", "server")}
        schema = definition.get("inputSchema")
        if schema is None:
            definition["inputSchema"] = {"type": "object"}
        elif isinstance(schema, dict) and "type" not in schema:
            definition["inputSchema"] = {"type": "object", **schema}
        if definition.get("description") == "":
            del definition["description"]
        self._listings.setdefault(server, Listing()).add({"tools": [definition]})

    @staticmethod
    def _server_of_id(value: Mapping[str, Json]) -> str | None:
        """The server in an id of the form `server/name`."""
        id, name = value.get("id"), value["name"]
        return id[: -len(name) - 1] or None if isinstance(id, str) and id.endswith(f"/{name}") else None


def _values(path: Path) -> Iterator[tuple[int, Json]]:
    """The document of a file, or the values of its lines with their numbers."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} is larger than {MAX_BYTES // 1_000_000:,} MB")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not text", hint="it has to be JSON in UTF-8") from None
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    try:
        yield 0, json.loads(text)
        return
    except (ValueError, RecursionError) as error:
        whole = error
    for number, line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            if number != lines[0][0]:
                raise UsageError(f"{path}:{number}: broken JSON", hint="mend the line, or take it out") from None
            if isinstance(whole, json.JSONDecodeError):
                where = f"{path}:{whole.lineno}:{whole.colno}"
                raise UsageError(f"{where}: broken JSON: {whole.msg[:1].lower()}{whole.msg[1:]}") from None
            raise UsageError(f"{path} cannot be read as JSON: {whole or 'it is nested too deeply'}") from None
        yield number, value
