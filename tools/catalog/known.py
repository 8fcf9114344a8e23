"""What is known of one server: its config, what it told, what is approved of that, and its connection."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ..mcp.config import ServerConfig
from .definition import fingerprint, shown_description, written
from .source import Definition, Source
from .store import Entry, Failure, Listed

Json = Any

RETRY = 20.0
"""A server that could not be listed is left alone for this many times as long as finding that out took."""

_NOT_ABOUT_TOOLS = {"name", "headers", "credentials", "enabled", "startup_timeout", "tool_timeout", "problem", "extra"}


@dataclass(frozen=True)
class Change:
    """What became of a server's tools; ids are `server/name`."""

    server: str
    added: tuple[str, ...] = ()
    """New, or there again, or held back before and approved now."""
    changed: tuple[str, ...] = ()
    """Told otherwise than before. Held back, where that is not what was approved."""
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


class KnownServer:
    """A server. One without a config is known from an import only."""

    def __init__(self, name: str, config: ServerConfig | None) -> None:
        self.name = name
        self.config = config
        self.digest = digest(config) if config is not None else ""
        self.source: Source | None = None
        self.heard = False
        """Whether it has told its tools to this process."""
        self.listed: Listed | None = None
        self.entries: dict[str, Entry] = {}
        """Its tools by name; those that it does not have any more, too, as far as something is approved of them."""

    @property
    def usable(self) -> bool:
        """Whether it can be started."""
        return self.config is not None and self.config.enabled and self.config.problem is None

    @property
    def offers(self) -> bool:
        """Whether its tools are known: listed with the config that it has now, or imported."""
        known = self.listed is not None and self.listed.at is not None and self.listed.digest == self.digest
        return known and (self.usable or self.config is None)

    @property
    def due(self) -> bool:
        """Whether it is to be asked for its tools, and has not just failed at that."""
        if not self.usable or self.offers:
            return False
        failure = self.listed.failure if self.listed and self.listed.digest == self.digest else None
        return failure is None or time.time() - failure.at >= RETRY * failure.took

    @property
    def connected(self) -> bool:
        return self.source is not None and self.source.connected

    @property
    def current(self) -> list[Entry]:
        """The tools that it has, held back or not; none where they are not known."""
        return [entry for entry in self.entries.values() if entry.definition is not None] if self.offers else []

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with it, a sentence each."""
        if self.config is not None and self.config.problem:
            return (self.config.problem,)
        if self.source is not None and self.source.problems:
            return self.source.problems
        if self.listed is None or self.source is not None or (self.config is not None and not self.usable):
            return ()
        if (failure := self.listed.failure) is not None and not self.offers:
            return (f"{failure.message} (tried {_ago(failure.at)} ago; to try again: bottega tools sync {self.name})",)
        return self.listed.problems

    def take(self, definitions: Sequence[Definition], problems: Sequence[str]) -> tuple[Change, bool]:
        """Takes in the whole list of its tools; gives what changed, and whether there is anything new to keep.

        A list of which nothing could be used is no list: what was known stays.
        """
        problems = list(problems)
        fresh: dict[str, Entry] = {}
        for definition in definitions:
            name = definition["name"]
            try:
                fresh[name] = _entry(self.name, definition, self.entries.get(name))
            except RecursionError:
                problems.append(f"tool {name!r} is left out: its definition is nested too deeply")
        if problems and not fresh:
            return Change(self.name), False
        gone = {name: _gone(entry) for name, entry in self.entries.items() if name not in fresh}
        before, was = self.current, (self.listed, self.entries)
        self.listed, self.entries = Listed(self.digest, time.time(), tuple(problems)), fresh | gone
        return change_of(self.name, before, self.current), _stale(was[0], self.listed) or was[1] != self.entries

    def approve(self, names: Iterable[str]) -> Change:
        """Trusts tools as they are now."""
        before = self.current
        for name in names:
            entry = self.entries[name]
            self.entries[name] = replace(entry, approved=entry.hash, approved_definition=None)
        return change_of(self.name, before, self.current)

    def fail(self, failure: Failure) -> None:
        """Notes that it could not be listed."""
        if self.offers and self.listed is not None:
            self.listed = replace(self.listed, failure=failure)
        else:
            self.listed = Listed(self.digest, None, failure=failure)


def change_of(server: str, before: Iterable[Entry], after: Iterable[Entry]) -> Change:
    """The change from one list of a server's tools to another."""
    was, now = {e.id: e for e in before}, {e.id: e for e in after}
    added = tuple(id for id, entry in now.items() if id not in was or (was[id].held and not entry.held))
    changed = tuple(id for id, entry in now.items() if id in was and id not in added and was[id].hash != entry.hash)
    return Change(server, added, changed, tuple(id for id in was if id not in now))


def digest(config: ServerConfig) -> str:
    """SHA-256, in hex, of what decides which tools a server has: how it is reached, and with what variables.

    The names of headers and credentials count and their values do not: those come and go.
    """
    told: dict[str, Json] = {
        field.name: getattr(config, field.name) for field in fields(config) if field.name not in _NOT_ABOUT_TOOLS
    }
    told["headers"], told["credentials"] = sorted(config.headers), sorted(config.credentials)
    plain = {key: dict(value) if isinstance(value, Mapping) else value for key, value in told.items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode("ascii")).hexdigest()


def _entry(server: str, definition: Definition, before: Entry | None) -> Entry:
    """The tool as it is now told. Who sees it for the first time approves it."""
    text = written(definition)
    if before is not None and before.definition == text:
        return before
    now = fingerprint(definition)
    entry = Entry(server, definition["name"], shown_description(definition), text, now, approved=now)
    if before is None or before.approved == now:
        return entry
    approved = before.definition if before.approved_definition is None else before.approved_definition
    return replace(entry, approved=before.approved, approved_definition=approved)


def _gone(entry: Entry) -> Entry:
    if entry.definition is None:
        return entry
    approved = entry.definition if entry.approved_definition is None else entry.approved_definition
    return replace(entry, definition=None, approved_definition=approved)


FRESH = 86_400.0
"""Seconds after which it is worth writing down that a list is still the same."""


def _stale(before: Listed | None, now: Listed) -> bool:
    if before is None or before.at is None or now.at is None or before.failure is not None:
        return True
    return (before.digest, before.problems) != (now.digest, now.problems) or now.at - before.at > FRESH


def _ago(at: float) -> str:
    seconds = max(0.0, time.time() - at)
    return (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 6_000
        else f"{seconds / 3_600:.0f} h"
    )
