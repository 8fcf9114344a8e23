"""SQLite databases, opened read-only: what is in them, queries with limits, questions in words."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ...core.errors import ToolError
from ..tool import ToolResult, tool
from ..workspace import Workspace
from . import questions
from .parameters import Instruction, PathName
from .values import clean, grid

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SECONDS = 20.0
_MOST_ROWS = 1000
_MOST_BYTES = 10_000_000
_BATCH = 5000
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


@tool(read_only=True)
def list_tables(workspace: Workspace, database: PathName) -> ToolResult:
    """Show which tables an SQLite database file has.

    Args:
        database: SQLite file, such as library.db
    """
    with _opened(workspace, database) as connection:
        names = _tables(connection)
    return ToolResult("\n".join(names) or f"{database} has no tables.", data={"tables": names})


@tool(read_only=True)
def table_schema(workspace: Workspace, database: PathName, table: str) -> ToolResult:
    """Show the columns and their types of one table in an SQLite database file.

    Args:
        database: SQLite file, such as library.db
        table: name of the table
    """
    with _opened(workspace, database) as connection:
        found = _columns(connection, _table(connection, table))
    columns = [{"name": name, "type": kind or "any"} for name, kind in found]
    return ToolResult("\n".join(f"{c['name']} ({c['type']})" for c in columns), data={"columns": columns})


@tool(read_only=True)
def query_database(workspace: Workspace, database: PathName, sql: str) -> ToolResult:
    """Run an SQL query (SELECT) that only reads an SQLite database file.

    Args:
        database: SQLite file, such as library.db
        sql: the SELECT statement
    """
    with _opened(workspace, database) as connection:
        names, rows = _query(connection, sql, limit=_MOST_ROWS + 1)
    if not names:
        raise ToolError("that statement gives no rows", hint="write a SELECT")
    cut = len(rows) > _MOST_ROWS
    rows = rows[:_MOST_ROWS]
    data: dict[str, Any] = {"rows": [dict(zip(names, clean(row), strict=False)) for row in rows], "count": len(rows)}
    if len(rows) == 1 and len(names) == 1:
        data = {"value": clean(rows[0][0]), **data}
    text = grid(names, rows) if rows else "No rows."
    return ToolResult(text + (f"\n… only the first {_MOST_ROWS} rows" if cut else ""), data=data)


@tool(read_only=True)
def ask_database(
    workspace: Workspace, database: PathName, question: Instruction, table: str | None = None
) -> ToolResult:
    """Work out an answer from the rows of a table in an SQLite database file: a total, average, count, highest or
    lowest, the rows with some value, a figure for each group, a ranking.

    Args:
        database: SQLite file, such as library.db
        question: what is asked about the table
        table: name of the table, where the database has several
    """
    with _opened(workspace, database) as connection, closing(questions.open_sealed()) as copy:
        name = _table(connection, table) if table else _meant(connection, question, database)
        _copy(connection, name, copy)
        questions.seal(copy)
        return questions.ask(copy, name, question, f"{name} in {database}")


@contextmanager
def _opened(workspace: Workspace, name: str) -> Iterator[sqlite3.Connection]:
    """A connection that can only read, and stops when its time is up."""
    path = workspace.file(name)
    try:
        with path.open("rb") as f:
            if f.read(16) != b"SQLite format 3\0":
                raise ToolError(f"{name} is not an SQLite database")
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5.0)
    except (OSError, sqlite3.Error) as error:
        raise ToolError(f"{name} cannot be opened: {error}") from None
    until = time.monotonic() + _SECONDS
    with closing(connection):
        connection.text_factory = lambda raw: raw.decode("utf-8", errors="replace")
        connection.set_progress_handler(lambda: int(time.monotonic() > until), 10_000)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_authorizer(_authorize)
        yield connection


def _authorize(action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
    if action in _ALLOWED and not (action == sqlite3.SQLITE_FUNCTION and second == "load_extension"):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _query(
    connection: sqlite3.Connection, sql: str, limit: int, parameters: tuple[Any, ...] = ()
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and at most `limit` rows. Raises `ToolError` for SQL that fails, writes or takes too long."""
    try:
        with closing(connection.execute(sql, parameters)) as cursor:
            rows = cursor.fetchmany(limit)
            return [d[0] for d in cursor.description or ()], rows
    except (sqlite3.Error, sqlite3.Warning, ValueError, UnicodeError) as error:
        raise _failed(error) from None


def _failed(error: Exception) -> ToolError:
    message = str(error)
    if "interrupted" in message:
        return ToolError(f"the query took longer than {_SECONDS:g} seconds")
    if "not authorized" in message or "prohibited" in message:
        return ToolError("that statement does more than read", hint="only SELECT is run")
    if "malformed" in message or "not a database" in message:
        return ToolError(f"the database is damaged: {message}")
    return ToolError(f"the query failed: {message}")


def _tables(connection: sqlite3.Connection) -> list[str]:
    sql = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
    return [row[0] for row in _query(connection, sql, limit=10_000)[1] if not row[0].startswith("sqlite_")]


def _table(connection: sqlite3.Connection, table: str) -> str:
    """The table of that name, whatever its capitals."""
    names = _tables(connection)
    for name in names:
        if name.casefold() == table.strip().strip("\"'`").casefold():
            return name
    raise ToolError(f"there is no table {table!r}", hint=f"it has {', '.join(names) or 'no tables'}")


def _columns(connection: sqlite3.Connection, table: str) -> list[tuple[str, str]]:
    """Name and declared type of each column."""
    connection.set_authorizer(None)
    try:
        _, rows = _query(connection, "SELECT name, type FROM pragma_table_info(?)", 10_000, (table,))
    finally:
        connection.set_authorizer(_authorize)
    return [(name, str(kind).lower()) for name, kind in rows]


def _meant(connection: sqlite3.Connection, question: str, database: str) -> str:
    """The table that a question is about: the one whose name and columns share most words with it."""
    from .prose import stems

    names = _tables(connection)
    if not names:
        raise ToolError(f"{database} has no tables")
    asked = set(stems(question))

    def shared(name: str) -> tuple[int, int]:
        own = set(stems(_spaced(name)))
        columns = {stem for column, _ in _columns(connection, name) for stem in stems(_spaced(column))}
        return len(own & asked), len(columns & asked)

    ranked = sorted(names, key=shared, reverse=True)
    if len(ranked) > 1 and shared(ranked[0]) == shared(ranked[1]):
        raise ToolError(f"{database} has several tables: {', '.join(names)}", hint="say which one is meant")
    return ranked[0]


def _spaced(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name)


def _copy(connection: sqlite3.Connection, table: str, copy: DuckDBPyConnection) -> None:
    """Copies a table into DuckDB, which has one type a column where SQLite has one a value."""
    import duckdb

    names = [name for name, _ in _columns(connection, table)]
    source = questions.quoted(table)
    kinds = [_kind(connection, source, questions.quoted(name)) for name in names]
    defined = ", ".join(f"{questions.quoted(n)} {k}" for n, k in zip(names, kinds, strict=True))
    unnested = ", ".join(f"unnest(?::{k}[])" for k in kinds)
    casts = {"VARCHAR": "CAST({0} AS TEXT)", "BIGINT": "{0}", "DOUBLE": "{0}"}
    selected = ", ".join(casts[k].format(questions.quoted(n)) for n, k in zip(names, kinds, strict=True))
    try:
        copy.execute(f"CREATE TABLE {source} ({defined})")
        with closing(connection.execute(f"SELECT {selected} FROM {source}")) as cursor:
            while rows := cursor.fetchmany(_BATCH):
                copy.execute(f"INSERT INTO {source} SELECT {unnested}", [list(c) for c in zip(*rows, strict=True)])
        for name, kind in zip(names, kinds, strict=True):
            if kind == "VARCHAR":
                _as_date(copy, source, questions.quoted(name))
    except sqlite3.Error as error:
        raise _failed(error) from None
    except duckdb.Error as error:
        raise ToolError(f"the table {table} cannot be read: {questions.first_line(error)}") from None


def _kind(connection: sqlite3.Connection, table: str, column: str) -> str:
    sql = f"SELECT DISTINCT typeof({column}) FROM {table} WHERE {column} IS NOT NULL"
    kinds = {row[0] for row in _query(connection, sql, limit=10)[1]}
    if kinds == {"integer"}:
        return "BIGINT"
    return "DOUBLE" if kinds and kinds <= {"integer", "real"} else "VARCHAR"


def _as_date(copy: DuckDBPyConnection, table: str, column: str) -> None:
    """Makes a text column a date where all that stands in it are dates."""
    for kind, pattern in (("DATE", "____-__-__"), ("TIMESTAMP", "____-__-__ %")):
        dates = f"CASE WHEN {column} LIKE '{pattern}' THEN TRY_CAST({column} AS {kind}) END"
        row = copy.execute(f"SELECT count({column}), count({dates}) FROM {table}").fetchone()
        if row and row[0] and row[0] == row[1]:
            copy.execute(f"ALTER TABLE {table} ALTER {column} TYPE {kind}")
            return


TOOLS = (list_tables, table_schema, query_database, ask_database)
