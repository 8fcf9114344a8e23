"""Questions in words over one table: the table model sketches the SQL, DuckDB runs it in a sealed connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from ...core.errors import ToolError
from ..tool import ToolResult
from .values import clean, grid, shown

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from ...models.house.table import Column

ColumnType = Literal["text", "number", "date", "boolean"]

_SECONDS = 30.0
_MEMORY = "1GB"
_SAMPLES = 50
_MOST_ROWS = 1000
_LONGEST_SAMPLE = 200


def ask(connection: DuckDBPyConnection, table: str, question: str, source: str) -> ToolResult:
    """The answer to a question over the table `table` of a connection; `source` names it to the person."""
    from ...models.house.table import TableModel

    if not question.strip():
        raise ToolError("there is no question")
    columns = [
        _column(connection, table, name, kind, question) for name, kind in column_types(connection, table).items()
    ]
    tried = []
    for sketch in TableModel.open().candidates(question, columns):
        sql = sketch.sql(table, columns)
        names, rows = run(connection, sql, limit=_MOST_ROWS + 1)
        tried.append((sketch, sql, names, rows))
        # A reading of the question that finds nothing is less likely than one that finds something.
        if _says_something(rows):
            break
    if not tried:
        raise ToolError(f"that is not understood as a question about {source}")
    sketch, sql, names, rows = tried[-1] if _says_something(tried[-1][3]) else tried[0]
    data = {
        "answer": _answer(names, rows[:_MOST_ROWS]),
        "columns": names,
        "rows": [clean(row) for row in rows[:_MOST_ROWS]],
        "sql": sql,
        "confidence": round(sketch.confidence, 3),
    }
    more = f"\n… only the first {_MOST_ROWS} rows" if len(rows) > _MOST_ROWS else ""
    return ToolResult(f"{_text(names, rows[:_MOST_ROWS], source)}{more}\n[{sql}]", data=data)


def open_sealed() -> DuckDBPyConnection:
    """A connection in memory, with bounded memory and threads, that loads no extension and sees no Python variable."""
    import duckdb

    return duckdb.connect(
        ":memory:",
        config={
            "threads": 2,
            "memory_limit": _MEMORY,
            "temp_directory": "",
            "python_enable_replacements": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )


def seal(connection: DuckDBPyConnection) -> None:
    """From here on the connection reaches no file but those it was allowed, and no setting can be changed."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def run(connection: DuckDBPyConnection, sql: str, limit: int) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and at most `limit` rows. Raises `ToolError` for SQL that fails or takes too long."""
    import duckdb

    try:
        with deadline(connection):
            cursor = connection.execute(sql)
            rows = cursor.fetchmany(limit)
            return [str(d[0]) for d in cursor.description or ()], rows
    except duckdb.InterruptException:
        raise ToolError(f"the query took longer than {_SECONDS:g} seconds: {sql}") from None
    except duckdb.OutOfMemoryException:
        raise ToolError(f"the query needs more than {_MEMORY} of memory: {sql}") from None
    except duckdb.Error as error:
        raise ToolError(f"the query failed: {first_line(error)} in {sql}") from None


@contextmanager
def deadline(connection: DuckDBPyConnection) -> Iterator[None]:
    """Interrupts what the connection does when its time is up."""
    timer = threading.Timer(_SECONDS, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def column_types(connection: DuckDBPyConnection, table: str) -> dict[str, str]:
    """Name -> DuckDB type of the columns."""
    _, rows = run(connection, f"DESCRIBE {quoted(table)}", limit=10_000)
    return {row[0]: row[1] for row in rows}


def simple_type(kind: str) -> ColumnType:
    """What a DuckDB type is to a person."""
    base = kind.upper().split("(")[0]
    if kind.endswith("]") or base.startswith(("STRUCT", "MAP", "UNION")):
        return "text"
    if base == "BOOLEAN":
        return "boolean"
    if base in ("DATE", "TIME") or base.startswith("TIMESTAMP"):
        return "date"
    if (
        base in ("DOUBLE", "FLOAT", "REAL", "DECIMAL", "BIGNUM")
        or base.endswith("INT")
        or base == "INTEGER"
        or base == "UINTEGER"
    ):
        return "number"
    return "text"


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _says_something(rows: Sequence[tuple[Any, ...]]) -> bool:
    return any(value is not None for row in rows for value in row)


def _column(connection: DuckDBPyConnection, table: str, column: str, kind: str, question: str) -> Column:
    """A column as the model sees it: with those of its values that the question names, then the most frequent."""
    import duckdb

    from ...models.house.table import Column

    name = quoted(column)
    try:
        with deadline(connection):
            rows = connection.execute(
                f"SELECT v FROM (SELECT {name}::VARCHAR AS v, count(*) AS n FROM {quoted(table)}"
                f" WHERE {name} IS NOT NULL GROUP BY v)"
                " WHERE length(v) <= ? ORDER BY v <> '' AND contains(lower(?), lower(v)) DESC, n DESC, v LIMIT ?",
                [_LONGEST_SAMPLE, question, _SAMPLES],
            ).fetchall()
            repeated = connection.execute(
                f"SELECT count({name}) > count(DISTINCT {name}) FROM {quoted(table)}"
            ).fetchone()
    except duckdb.Error as error:
        raise ToolError(f"the column {column} cannot be read: {first_line(error)}") from None
    return Column(column, simple_type(kind), tuple(row[0] for row in rows), unique=repeated == (False,))


def _answer(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Any:
    """The value that a further step would use: of one row its first cell, of one column its values, else the rows."""
    if not rows:
        return None
    if len(rows) == 1:
        return clean(rows[0][0])
    if len(names) == 1:
        return [clean(row[0]) for row in rows]
    return [dict(zip(names, clean(row), strict=False)) for row in rows]


def _text(names: Sequence[str], rows: Sequence[tuple[Any, ...]], source: str) -> str:
    if not rows or (len(rows) == 1 and all(v is None for v in rows[0])):
        return f"No row of {source} fits that."
    if len(rows) == 1 and len(rows[0]) == 1:
        return shown(rows[0][0])
    if len(rows) == 1:
        first, *rest = rows[0]
        more = ", ".join(f"{n}: {shown(v)}" for n, v in zip(names[1:], rest, strict=True))
        return f"{shown(first)} ({more})"
    if len(names) == 1:
        return "\n".join(shown(row[0]) for row in rows)
    return grid(names, rows)
