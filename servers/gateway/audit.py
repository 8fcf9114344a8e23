"""The audit log: a line of JSON for each call that a gateway passed on or refused. No argument's value is in it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...core.errors import ConfigError
from ...tools.mcp.wire import encoded

Json = Any
_LOOKED = 64
"""Lines after which is looked how much other processes have written."""


class AuditLog:
    """A file of JSON Lines that only its owner can read. It is parted by size: the older parts are FILE.1, FILE.2 …

    Several gateways may write to one file. Where writing fails the calls go on, and `problem` says why.
    """

    def __init__(self, path: Path, *, largest: int = 16 * 2**20, parts: int = 5) -> None:
        """`largest` is the size of a part in bytes, `parts` how many older ones are kept.

        Raises `ConfigError` where the file cannot be opened.
        """
        self.path = path
        self.problem: str | None = None
        """Why the last line could not be written."""
        self._largest = largest
        self._parts = parts
        self._lines = self._size = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._opened()
            self._size = os.fstat(self._file).st_size
        except OSError as error:
            raise ConfigError(
                f"the audit log {path} cannot be written: {error.strerror}", hint="name another file with --audit"
            ) from None

    def write(self, entry: Mapping[str, Json]) -> None:
        """Adds a line; the time is put in front."""
        line = encoded({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **entry}) + b"\n"
        try:
            if self._size + len(line) > self._largest or self._lines >= _LOOKED:
                self._lines, self._size = 0, os.fstat(self._file).st_size
                if self._size + len(line) > self._largest:
                    self._part()
            os.write(self._file, line)
            self._lines, self._size = self._lines + 1, self._size + len(line)
            self.problem = None
        except OSError as error:
            self.problem = f"the audit log {self.path} cannot be written: {error.strerror}"

    def close(self) -> None:
        os.close(self._file)

    def _opened(self) -> int:
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        if hasattr(os, "fchmod"):
            os.fchmod(file, 0o600)
        return file

    def _part(self) -> None:
        """Starts a new file, unless another process has just done so."""
        mine = os.fstat(self._file)
        if self.path.exists() and self.path.stat().st_ino == mine.st_ino:
            for number in range(self._parts, 0, -1):
                older = self._numbered(number)
                if older.exists():
                    if number == self._parts:
                        older.unlink()
                    else:
                        older.rename(self._numbered(number + 1))
            self.path.rename(self._numbered(1))
        new = self._opened()
        os.close(self._file)
        self._file = new
        self._size = os.fstat(new).st_size

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def measured(text: bytes) -> dict[str, Json]:
    """What the log says of arguments and results: how many bytes of JSON, and their SHA-256."""
    return {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
