"""The database under the ledger: opened by URL, written in transactions, one connection for all of a process's work.

A killed process loses nothing; power loss may take the last moments, except for what is written with `sync`: SQLite
runs in WAL mode with `synchronous=NORMAL`, PostgreSQL with `synchronous_commit=off`. SQLite's calls take a fraction of
a millisecond and are made where they are asked for; those to a server are made in a thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from ...core.errors import LedgerError, MissingExtra
from ...core.redaction import redact
from .tables import migrate

T = TypeVar("T")

BUSY = 10.0
"""Seconds that another process's writing is waited for."""

AWAY = 10.0
"""Seconds that a server is waited for that was there, and is being restarted."""


class Store:
    """A database with the ledger's tables. Raises `LedgerError` wherever the database does not do what it is told."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self.url = self._engine.url.render_as_string(hide_password=True)
        self._local = self._engine.dialect.name == "sqlite"
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._connection: Connection | None = None
        self._thread = None if self._local else ThreadPoolExecutor(1, thread_name_prefix="ledger")

    async def run(self, work: Callable[[Connection], T], *, sync: bool = False) -> T:
        """What `work` gives, done in one transaction. With `sync` it is on the disk before this returns."""
        if self._thread is None:
            return self.do(work, sync=sync)
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: self.do(work, sync=sync))

    def do(self, work: Callable[[Connection], T], *, sync: bool = False) -> T:
        """`run` for code that may wait."""
        with self._lock:
            until = time.monotonic() + (AWAY if self._connection is not None and not self._local else 0.0)
            while True:
                try:
                    return self._do(work, sync)
                except SQLAlchemyError as error:
                    # Nothing of a broken transaction was kept, so that it can be done anew.
                    lost = isinstance(error, DBAPIError) and error.connection_invalidated
                    if lost or self._connection is None:
                        self._let_go()
                        if time.monotonic() < until and not self._closing.wait(0.1):
                            continue
                    raise self._error(error) from None

    def now(self, connection: Connection) -> float:
        """Seconds since the epoch by the database's clock, the one that all who share it agree on."""
        local, server = "(julianday('now') - 2440587.5) * 86400.0", "extract(epoch from clock_timestamp())"
        return float(connection.exec_driver_sql(f"SELECT {local if self._local else server}").scalar_one())

    async def compact(self) -> None:
        """Gives room that is free in an SQLite file back to the disk; a server does that itself."""
        if self._local:
            with self._lock:
                try:
                    connection = self._connection or self._connect()
                    raw: Any = connection.connection.dbapi_connection
                    raw.execute("VACUUM")
                    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                except (SQLAlchemyError, sqlite3.Error) as error:
                    raise self._error(error) from None

    def close(self) -> None:
        """Lets the database go."""
        self._closing.set()
        with self._lock:
            self._let_go()
        if self._thread is not None:
            self._thread.shutdown()
        self._engine.dispose()

    def _do(self, work: Callable[[Connection], T], sync: bool) -> T:
        connection = self._connection or self._connect()
        if not (self._local and sync):
            with connection.begin():
                if sync:
                    connection.exec_driver_sql("SET LOCAL synchronous_commit TO ON")
                return work(connection)
        # Cannot be changed in a transaction, which SQLAlchemy would begin.
        raw: Any = connection.connection.dbapi_connection
        raw.execute("PRAGMA synchronous=FULL")
        try:
            with connection.begin():
                return work(connection)
        finally:
            raw.execute("PRAGMA synchronous=NORMAL")

    def _connect(self) -> Connection:
        connection = self._engine.connect()
        try:
            with connection.begin():
                if not self._local:
                    connection.exec_driver_sql("SET synchronous_commit TO OFF")
                    # Two processes that make the tables at once.
                    connection.execute(select(func.pg_advisory_xact_lock(7310274)))
                migrate(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _error(self, error: SQLAlchemyError | sqlite3.Error) -> LedgerError:
        reason = str(error.orig if isinstance(error, DBAPIError) else error).strip().splitlines()[0]
        full = "full" in reason or "No space" in reason
        hint = "make room and resume the run" if full else "`bottega doctor` checks it; finished work is kept"
        return LedgerError(f"the ledger {self.url} cannot be used: {redact(reason)}", hint=hint)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise LedgerError(f"{redact(url)!r} is no database URL", hint="sqlite:///FILE or postgresql://...") from None
    if parsed.drivername == "sqlite":
        if parsed.database not in (None, "", ":memory:"):
            try:
                Path(parsed.database or "").parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                why = error.strerror or str(error)
                raise LedgerError(f"the ledger {url} cannot be used: {why.lower()}", hint="name another") from None
        engine = create_engine(
            parsed,
            poolclass=StaticPool,
            connect_args={"check_same_thread": False, "timeout": BUSY, "isolation_level": None},
        )
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        return engine
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise MissingExtra("a ledger in PostgreSQL", "postgres") from None
        return create_engine(parsed.set(drivername="postgresql+psycopg"), poolclass=StaticPool)
    raise LedgerError(f"a ledger cannot be kept in {parsed.drivername!r}", hint="sqlite:///FILE or postgresql://...")


def _prepare(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
