"""What a question over a table asks for, as data: columns, conditions, the `Sketch` itself, and its DuckDB SQL."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from ...core.errors import ModelError

Type = Literal["text", "number", "date", "boolean"]
Aggregate = Literal["none", "count", "sum", "avg", "min", "max"]
Operator = Literal["=", "!=", ">", "<", ">=", "<=", "contains"]
Part = Literal["none", "day", "weekday", "month", "year"]
Value = str | float | bool | tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """A column as the model sees it: up to about fifty distinct sample `values` as text (dates as ISO)."""

    name: str
    type: Type
    values: tuple[str, ...] = ()
    unique: bool = False
    """Whether no value stands in two rows. Helps to tell a row from a group of rows; False where it is not known."""


@dataclass(frozen=True)
class Selected:
    """A column of the result. Without a column: `count` counts rows, `none` is all columns."""

    column: str | None
    aggregate: Aggregate = "none"
    distinct: bool = False


@dataclass(frozen=True)
class Condition:
    """A condition on one column.

    The value of a date column is a period: `2024-05-03`, `2024-05`, `2024`, or `--05`, May of any year. Several texts
    in a tuple mean any of them (none of them with `!=`). Texts are compared without regard to case.
    """

    column: str
    op: Operator
    value: Value


@dataclass(frozen=True)
class Order:
    """What the rows or groups are sorted by."""

    by: Selected
    desc: bool


@dataclass(frozen=True)
class Sketch:
    """A query over one table. The first of `select` is what was asked for; what it was chosen by stands behind it."""

    select: tuple[Selected, ...]
    where: tuple[Condition, ...] = ()
    group: str | None = None
    part: Part = "none"
    """The part of the date that groups are made by, if `group` is a date."""
    order: Order | None = None
    limit: int | None = None
    confidence: float = 1.0
    """Calibrated probability that this is what the question asks."""

    def sql(self, table: str, columns: Sequence[Column]) -> str:
        """DuckDB SQL over `table`, a name that is quoted here. Raises `ModelError` for a column not in `columns`."""
        types = {c.name: c.type for c in columns}
        for name in self._names():
            if name not in types:
                raise ModelError(
                    f"the sketch uses a column {name!r} that the table does not have", hint=f"it has {', '.join(types)}"
                )
        distinct = (
            "DISTINCT " if not self.group and any(s.distinct and s.aggregate == "none" for s in self.select) else ""
        )
        sql = f"SELECT {distinct}{', '.join(self._expression(s) for s in self.select)} FROM {_name(table)}"
        if self.where:
            sql += " WHERE " + " AND ".join(_condition(c, types[c.column]) for c in self.where)
        if self.group:
            sql += f" GROUP BY {_part(self.group, self.part)}"
        if self.order:
            sql += f" ORDER BY {self._expression(self.order.by)} {'DESC' if self.order.desc else 'ASC'} NULLS LAST"
        elif self.group:
            sql += f" ORDER BY {f'min({_name(self.group)})' if self.part in ('weekday', 'month') else '1'}"
        return sql if self.limit is None else f"{sql} LIMIT {int(self.limit)}"

    def _names(self) -> list[str]:
        found = [s.column for s in self.select] + [c.column for c in self.where] + [self.group]
        return [n for n in [*found, self.order.by.column if self.order else None] if n is not None]

    def _expression(self, s: Selected) -> str:
        if s.column is None:
            return "count(*)" if s.aggregate == "count" else "*"
        if s.aggregate == "none":
            return _part(s.column, self.part) if s.column == self.group else _name(s.column)
        return f"{s.aggregate}({'DISTINCT ' if s.distinct else ''}{_name(s.column)})"


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _part(column: str, part: Part) -> str:
    name = _name(column)
    match part:
        case "none":
            return name
        case "day":
            return f"CAST({name} AS DATE)"
        case "weekday":
            return f"dayname({name})"
        case "month":
            return f"strftime({name}, '%Y-%m')"
        case "year":
            return f"year({name})"
        case _:
            assert_never(part)


def _condition(c: Condition, kind: Type) -> str:
    name = _name(c.column)
    if kind == "date" and isinstance(c.value, str):
        return _during(name, c.op, c.value)
    if kind == "number" and isinstance(c.value, (int, float)):
        return f"{name} {'<>' if c.op == '!=' else c.op} {_number(c.value)}"
    if kind == "boolean":
        return f"{name} IS {'NOT ' if (c.op == '!=') == bool(c.value) else ''}TRUE"
    lowered = f"lower(CAST({name} AS VARCHAR))"
    values = c.value if isinstance(c.value, tuple) else (str(c.value),)
    if c.op == "contains":
        return "(" + " OR ".join(f"contains({lowered}, {_lower(v)})" for v in values) + ")"
    if len(values) > 1:
        return f"{lowered} {'NOT IN' if c.op == '!=' else 'IN'} ({', '.join(_lower(v) for v in values)})"
    if c.op == "!=":
        return f"{lowered} IS DISTINCT FROM {_lower(values[0])}"
    return f"{lowered} {c.op} {_lower(values[0])}"


def _lower(text: str) -> str:
    """Left to DuckDB, which must treat both sides of a comparison alike: Python has other rules for some letters."""
    return f"lower({_text(text)})"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _during(name: str, op: Operator, period: str) -> str:
    if recurring := re.fullmatch(r"--(\d\d)", period):
        return f"month({name}) {'<>' if op == '!=' else '=' if op == 'contains' else op} {int(recurring[1])}"
    first, after = (f"DATE '{d.isoformat()}'" for d in bounds(period))
    match op:
        case "=" | "contains":
            return f"({name} >= {first} AND {name} < {after})"
        case "!=":
            return f"({name} < {first} OR {name} >= {after})"
        case ">":
            return f"{name} >= {after}"
        case ">=":
            return f"{name} >= {first}"
        case "<":
            return f"{name} < {first}"
        case "<=":
            return f"{name} < {after}"
        case _:
            assert_never(op)


def bounds(period: str) -> tuple[datetime.date, datetime.date]:
    """The first day of a period (`2024`, `2024-05`, `2024-05-03`) and the day after its last. Raises `ModelError`."""
    try:
        numbers = [int(x) for x in period.split("-")]
        if len(numbers) == 1:
            return datetime.date(numbers[0], 1, 1), datetime.date(numbers[0] + 1, 1, 1)
        if len(numbers) == 2:
            year, month = numbers
            return datetime.date(year, month, 1), datetime.date(year + month // 12, month % 12 + 1, 1)
        day = datetime.date(*numbers)
        return day, day + datetime.timedelta(days=1)
    except (ValueError, TypeError):
        raise ModelError(f"{period!r} is no period of time", hint="write it as 2024, 2024-05 or 2024-05-03") from None
