"""How values of tables and sums are given back: as clean JSON values, and as text that a person reads."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

_LARGEST_EXACT = 10**15
_NOISE = 1e-13


def clean(value: Any) -> Any:
    """A JSON value without noise: 36 for 36.0, 0.3 for 0.30000000000000004, dates in ISO form, bytes counted."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            if not math.isfinite(value):
                return None
            return _without_noise(value)
        case Decimal():
            return clean(Fraction(value)) if value.is_finite() else None
        case Fraction():
            return value.numerator if value.denominator == 1 else _decimal(value)
        case dt.datetime():
            return value.isoformat(sep=" ")
        case dt.date() | dt.time():
            return value.isoformat()
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"
        case dict():
            return {str(k): clean(v) for k, v in value.items()}
        case list() | tuple() | set():
            return [clean(v) for v in value]
        case _:
            return str(value)


def shown(value: Any) -> str:
    """A value as a person reads it: thousands unseparated, yes and no, an empty cell as nothing."""
    match clean(value):
        case None:
            return ""
        case bool() as truth:
            return "yes" if truth else "no"
        case float() as number:
            return f"{number:.15g}" if 1e-4 <= abs(number) < 1e15 else f"{number:g}"
        case list() as items:
            return ", ".join(shown(v) for v in items)
        case dict() as items:
            return ", ".join(f"{k}: {shown(v)}" for k, v in items.items())
        case other:
            return str(other)


def grid(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows under their column names, aligned; numbers to the right."""
    rows = [list(row) for row in rows]
    cells = [[" ".join(shown(v).split()) for v in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    right = [bool(rows) and all(v is None or _is_number(v) for v in column) for column in zip(*rows, strict=True)] or [
        False for _ in columns
    ]
    lines = []
    for line in [list(columns), *cells]:
        parts = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 line`, `2 lines`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _without_noise(value: float) -> int | float:
    """The shortest number that is the same but for what sums of floats leave behind."""
    for digits in range(1, 16):
        rounded = float(f"{value:.{digits}g}")
        if abs(rounded - value) <= abs(value) * _NOISE:
            break
    return int(rounded) if rounded.is_integer() and abs(rounded) < _LARGEST_EXACT else rounded


def _decimal(value: Fraction) -> int | float:
    try:
        return _without_noise(float(value))
    except OverflowError:
        return int(value)
