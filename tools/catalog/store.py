"""Where the catalog keeps what servers have: one SQLite file in a folder, or nothing but memory.

A file that cannot be used stops nobody: what is damaged is put aside, where nothing can be written nothing is kept, and
`Store.problem` says so.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

FILE_NAME = "catalog.db"
VERSION = 1
WAIT = 2.0
"""Seconds to wait for another process that writes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A tool as it is kept."""

    server: str
    name: str
    description: str
    """As it is shown."""
    definition: str | None
    """As the server said it last, in JSON; None where it does not have the tool any more."""
    hash: str
    """The fingerprint of what the server said last."""
    approved: str
    """The fingerprint that is trusted: of what was seen first, or approved since."""
    approved_definition: str | None = None
    """What is trusted, in JSON, where the server now says something else."""

    @property
    def id(self) -> str:
        return f"{self.server}/{self.name}"

    @property
    def held(self) -> bool:
        """Whether it is another tool than was approved."""
        return self.definition is not None and self.hash != self.approved


@dataclass(frozen=True, slots=True)
class Failure:
    """The last time a server could not be listed."""

    at: float
    """Seconds since the epoch."""
    took: float
    """Seconds until that was known."""
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """What is known of a server."""

    digest: str
    """Of the config that it was listed with; empty for what was imported."""
    at: float | None
    """When its tools were heard last, in seconds since the epoch."""
    problems: tuple[str, ...] = ()
    """What was wrong with the list."""
    failure: Failure | None = None


class Store:
    """The file, open. Not to be used by two threads at once."""

    def __init__(self, folder: Path | None) -> None:
        self.problem: str | None = None
        """Why something is not kept, or was lost; None where all is well."""
        self._file = folder / FILE_NAME if folder else None
        self._unmade = self._file is not None and not os.path.lexists(self._file)
        """Whether the file is to be made when there is something to write: who only looks leaves no trace."""
        self._db = self._prepared(":memory:") if self._file is None or self._unmade else self._opened(self._file)
        self._version = self._data_version()

    def read(self) -> tuple[dict[str, Listed], list[Entry], dict[tuple[str, str], float]] | None:
        """Servers by name, all entries in the order of their lists, and when tools were called last.

        None where another process keeps the file to itself just now.
        """
        import sqlite3

        try:
            return self._read()
        except (sqlite3.Error, ValueError, TypeError) as error:
            if _is_busy(error):
                self.problem = f"what servers have cannot be read: {error}"
                return None
            self._put_aside(error)
            return self._read()

    def write(self, servers: Mapping[str, tuple[Listed, Sequence[Entry] | None]]) -> None:
        """Keeps servers, and where there are entries those in place of all it had, all of it or nothing."""
        with self._writing() as db:
            for name, (listed, entries) in servers.items():
                failure = json.dumps(astuple(listed.failure)) if listed.failure else None
                db.execute(
                    "INSERT OR REPLACE INTO servers VALUES (?, ?, ?, ?, ?)",
                    (name, listed.digest, listed.at, json.dumps(listed.problems), failure),
                )
                if entries is not None:
                    db.execute("DELETE FROM tools WHERE server = ?", (name,))
                    db.executemany("INSERT INTO tools VALUES (?, ?, ?, ?, ?, ?, ?, ?)", map(_row, entries))

    def write_calls(self, called: Mapping[tuple[str, str], float]) -> None:
        """Keeps when tools were called last."""
        with self._writing() as db:
            rows = [(server, name, at) for (server, name), at in called.items()]
            db.executemany("INSERT OR REPLACE INTO calls VALUES (?, ?, ?)", rows)

    def changed_elsewhere(self) -> bool:
        """Whether another process, or another store, has written since this was last asked."""
        if self._unmade and self._file is not None and self._file.exists():
            self._make()
            return True
        import sqlite3

        before = self._version
        with suppress(sqlite3.Error):  # another process keeps it to itself: there is another time
            self._version = self._data_version()
        return before != self._version

    def close(self) -> None:
        self._db.close()

    def _read(self) -> tuple[dict[str, Listed], list[Entry], dict[tuple[str, str], float]]:
        servers = {
            name: Listed(digest, at, tuple(json.loads(problems)), Failure(*json.loads(failure)) if failure else None)
            for name, digest, at, problems, failure in self._db.execute("SELECT * FROM servers")
        }
        entries = []
        for *parts, check in self._db.execute("SELECT * FROM tools ORDER BY rowid"):
            if _check_sum(parts) != check:
                raise ValueError(f"what it has about {parts[0]}/{parts[1]} is not what was written")
            entries.append(Entry(*parts))
        calls = {(server, name): at for server, name, at in self._db.execute("SELECT * FROM calls")}
        return servers, entries, calls

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction. Where it fails nothing of it is kept, and `problem` says so."""
        import sqlite3

        if self._unmade:
            self._make()
        try:
            with self._db:
                yield self._db
        except (sqlite3.Error, UnicodeEncodeError) as error:
            self.problem = f"what servers have is not kept: {error}"

    def _make(self) -> None:
        assert self._file
        self._unmade = False
        self._db.close()
        self._db = self._opened(self._file)
        self._version = self._data_version()

    def _opened(self, file: Path) -> sqlite3.Connection:
        import sqlite3

        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if link := next((place for place in (file, file.parent) if place.is_symlink()), None):
                self.problem = f"what servers have is not kept: {link} is a link"
                return self._prepared(":memory:")
            if not (ignored := file.parent / ".gitignore").exists():
                ignored.write_text("*\n")
            return self._prepared(str(file))
        except sqlite3.OperationalError as error:
            why = str(error)
        except sqlite3.DatabaseError as error:
            return self._put_aside(error)
        except OSError as error:
            why = error.strerror or str(error)
        self.problem = f"what servers have is not kept: {why}"
        try:
            found = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
            found.execute("SELECT count(*) FROM servers")
            return found
        except sqlite3.Error:
            return self._prepared(":memory:")

    def _prepared(self, place: str) -> sqlite3.Connection:
        """The database with its tables. Raises `sqlite3.DatabaseError` for what is none."""
        import sqlite3

        db = sqlite3.connect(place, timeout=WAIT, check_same_thread=False)
        try:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise sqlite3.OperationalError("the file is of a newer version of Bottega")
            if version < VERSION:
                db.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        except sqlite3.Error:
            db.close()
            raise
        return db

    def _put_aside(self, error: Exception) -> sqlite3.Connection:
        """Starts anew beside a file that is damaged. Everything that servers say is then seen for the first time."""
        with suppress(AttributeError):  # not where the file could not even be opened
            self._db.close()
        assert self._file
        aside = self._file.with_name(f"{FILE_NAME}.damaged")
        self.problem = f"what was known of servers is lost, and what they say now is trusted: {error} ({aside})"
        try:
            self._file.replace(aside)
            self._db = self._prepared(str(self._file))
        except OSError:
            self._db = self._prepared(":memory:")
        return self._db

    def _data_version(self) -> int:
        version: int = self._db.execute("PRAGMA data_version").fetchone()[0]
        return version


def _is_busy(error: Exception) -> bool:
    import sqlite3

    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


_TABLES = """
CREATE TABLE IF NOT EXISTS servers (name TEXT PRIMARY KEY, digest TEXT, at REAL, problems TEXT, failure TEXT);
CREATE TABLE IF NOT EXISTS tools (server TEXT, name TEXT, description TEXT, definition TEXT, hash TEXT, approved TEXT,
    approved_definition TEXT, check_sum INTEGER, UNIQUE (server, name));
CREATE TABLE IF NOT EXISTS calls (server TEXT, name TEXT, at REAL, PRIMARY KEY (server, name));
"""


def _row(entry: Entry) -> tuple[str | int | None, ...]:
    parts = (
        entry.server,
        entry.name,
        entry.description,
        entry.definition,
        entry.hash,
        entry.approved,
        entry.approved_definition,
    )
    return (*parts, _check_sum(parts))


def _check_sum(parts: Iterable[str | None]) -> int:
    """SQLite does not see bits that flip."""
    return zlib.crc32("\0".join([part or "" for part in parts]).encode())
