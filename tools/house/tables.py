"""Table files (CSV, TSV, Parquet, JSON) through DuckDB: read where they lie, never changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ...core.errors import ToolError
from ..tool import ToolResult, tool
from ..workspace import Workspace
from . import questions
from .parameters import Instruction, PathName
from .values import clean, counted, grid

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_READERS = {
    ".csv": "read_csv",
    ".tsv": "read_csv",
    ".tab": "read_csv",
    ".parquet": "read_parquet",
    ".json": "read_json",
    ".jsonl": "read_json",
    ".ndjson": "read_json",
}
_TABLE = "data"


@tool(read_only=True)
def table_columns(workspace: Workspace, path: PathName) -> ToolResult:
    """Show the names and types of the columns (headers) of a CSV, TSV, Parquet or JSON table file.

    Args:
        path: table file to look at
    """
    with _opened(workspace, path) as connection:
        types = questions.column_types(connection, _TABLE)
    columns = [{"name": name, "type": questions.simple_type(kind)} for name, kind in types.items()]
    text = "\n".join(f"{c['name']} ({c['type']})" for c in columns)
    return ToolResult(text, data={"columns": columns})


@tool(read_only=True)
def table_rows(workspace: Workspace, path: PathName, limit: Annotated[int, Field(ge=1, le=1000)] = 10) -> ToolResult:
    """Show the first rows of a CSV, TSV, Parquet or JSON table file.

    Args:
        path: table file to look at
        limit: how many rows
    """
    with _opened(workspace, path) as connection:
        names, rows = questions.run(connection, f"SELECT * FROM {_TABLE} LIMIT {limit}", limit)
    if not rows:
        return ToolResult(f"{path} has {counted(len(names), 'column')} and no rows.", data={"rows": []})
    data = [dict(zip(names, clean(row), strict=True)) for row in rows]
    return ToolResult(grid(names, rows), data={"rows": data})


@tool(read_only=True)
def ask_table(workspace: Workspace, path: PathName, question: Instruction) -> ToolResult:
    """Work out an answer from the rows of a CSV, TSV, Parquet or JSON table file: a total, average, count, highest or
    lowest, the rows with some value, a figure for each group, a ranking.

    Args:
        path: table file to ask
        question: what is asked about the table
    """
    with _opened(workspace, path) as connection:
        return questions.ask(connection, _TABLE, question, path)


@contextmanager
def _opened(workspace: Workspace, name: str) -> Iterator[DuckDBPyConnection]:
    """A sealed connection that sees one file, as the table `data`."""
    import duckdb

    path = workspace.file(name)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ToolError(f"{name} is not a table file", hint=f"it should end in one of {', '.join(_READERS)}")
    try:
        if path.stat().st_size == 0:
            raise ToolError(f"{name} is empty")
    except OSError as error:
        raise ToolError(f"{name} cannot be read: {error.strerror or error}") from None
    if reader == "read_csv" and not workspace.is_text(name):
        raise ToolError(f"{name} is not a text file", hint="is it a spreadsheet under another name?")
    file = str(path)
    # DuckDB reads a name with wildcards as many files, so such a file is copied in before the connection is sealed.
    kind = "TABLE" if any(c in file for c in "*?[") else "VIEW"
    source = _literal("".join(f"[{c}]" if c in "*?[" else c for c in file))
    connection = questions.open_sealed()
    try:
        connection.execute(f"SET allowed_paths = [{_literal(file)}]")
        with questions.deadline(connection):
            connection.execute(f"CREATE {kind} {_TABLE} AS {_reading(connection, reader, source)}")
        questions.seal(connection)
        yield connection
    except duckdb.InterruptException:
        raise ToolError(f"{name} is too large to be read in time") from None
    except duckdb.Error as error:
        raise ToolError(f"{name} cannot be read as a table: {questions.first_line(error)}") from None
    finally:
        connection.close()


def _reading(connection: DuckDBPyConnection, reader: str, source: str) -> str:
    """The SELECT that reads a file: its encoding and its decimal sign as they are."""
    import duckdb

    plain = f"SELECT * FROM {reader}({source})"
    if reader != "read_csv":
        return plain
    candidates = [plain, f"SELECT * FROM read_csv({source}, encoding = 'latin-1')"]
    for select in candidates:
        try:
            described = connection.execute(f"DESCRIBE {select}").fetchall()
            connection.execute(f"SELECT count(*) FROM ({select})").fetchall()
        except duckdb.Error:
            if select is candidates[-1]:
                raise
            continue
        comma = select.replace(f"({source}", f"({source}, decimal_separator = ','")
        return comma if _numbers_with_comma(connection, described, comma) else select
    raise AssertionError("unreachable")


def _numbers_with_comma(connection: DuckDBPyConnection, described: list[tuple[str, ...]], comma: str) -> bool:
    """Whether a table has text columns that are numbers once the comma is read as the decimal sign."""
    import duckdb

    try:
        again = connection.execute(f"DESCRIBE {comma}").fetchall()
        if not any(old[1] == "VARCHAR" and new[1] == "DOUBLE" for old, new in zip(described, again, strict=True)):
            return False
        connection.execute(f"SELECT count(*) FROM ({comma})").fetchall()
    except (duckdb.Error, ValueError):
        return False
    return True


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


TOOLS = (table_columns, table_rows, ask_table)
