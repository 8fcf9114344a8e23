"""WikiSQL (Zhong et al. 2017, arXiv 1709.00103; BSD-3) as questions over tables. Its rows are invented here."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..house.table import Column, Condition, Selected, Sketch
from ..house.table_sketch import Aggregate, Operator
from .table_grammar import Example

AGGREGATES: dict[str, Aggregate] = {
    "": "none",
    "COUNT": "count",
    "SUM": "sum",
    "AVG": "avg",
    "MAX": "max",
    "MIN": "min",
}
ROWS = 14


SIGNS = {
    "MAX": r"\b(max\w*|most|highest|last|latest|best|top|recent|more|greatest|high|\w{3,}est)\b",
    "MIN": r"\b(min\w*|least|lowest|first|fewest|earliest|worst|low|smallest|\w{3,}est)\b",
    "COUNT": r"\b(how many|number|count|total|amount)\b",
    "SUM": r"\b(sum|total|how many|how much|combined|altogether|all)\b",
    "AVG": r"\b(average|mean|avg)\b",
}
"""What a question with an aggregate says, if the aggregate is no slip of the annotators."""


def read(path: Path, seed: int = 0, *, clean: bool = False) -> list[Example]:
    """The questions of a file, in its order, over tables with some columns of other tables mixed in.

    Left out: questions whose conditions the file does not have (those of its second phase that have none), and
    questions that do not say the value of a condition; if `clean`, also those that do not ask for their aggregate.
    """
    with gzip.open(path, "rt", encoding="utf-8") as f:
        entries = [json.loads(line) for line in f]
    entries = [e for e in entries if e["phase"] == 1 or e["sql"]["conds"]]
    known = _Known(entries)
    if clean:
        entries = [e for e in entries if re.search(SIGNS.get(e["sql"]["agg"], ""), e["question"], re.I)]
    rng = random.Random(seed)
    return [example for e in entries if (example := _example(e, known, rng)) is not None]


class _Known:
    """What the questions of a file tell about its tables: columns, types, values."""

    def __init__(self, entries: Sequence[Any]) -> None:
        self.columns: dict[str, set[str]] = defaultdict(set)
        self.values: dict[str, list[str]] = defaultdict(list)
        self.numeric: dict[tuple[str, str], bool] = {}
        words: set[str] = set()
        for e in entries:
            table, sql = e["table_id"], e["sql"]
            self.columns[table].add(sql["sel"])
            if sql["agg"] in ("SUM", "AVG", "MAX", "MIN"):
                self.numeric[table, sql["sel"]] = True
            for name, op, value in sql["conds"]:
                self.columns[table].add(name)
                self.values[name.lower()].append(_said(value))
                number = op != "=" or _is_number(value)
                self.numeric[table, name] = self.numeric.get((table, name), True) and number
                if not _is_number(value):
                    words.add(_said(value))
        self.words = sorted(words)
        self.tables = sorted(self.columns)

    def is_number(self, table: str, name: str) -> bool:
        return self.numeric.get(
            (table, name), bool(re.search(r"\b(points|goals|number|year|wins|total|score|age|#)\b|#", name.lower()))
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or re.fullmatch(r"-?\d+(\.\d+)?", str(value)) is not None


def _said(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _example(entry: Any, known: _Known, rng: random.Random) -> Example | None:
    table, question, sql = entry["table_id"], entry["question"].strip(), entry["sql"]
    if not question:
        return None
    spans = {}
    conditions = []
    for name, op, value in sql["conds"]:
        number = known.is_number(table, name)
        found = _find(question, _said(value))
        if found is None or name in spans or (number and not _is_number(value)):
            return None
        spans[name] = found
        conditions.append(Condition(name, _operator(op, number), float(value) if number else _said(value)))
    names = sorted(known.columns[table])
    others = [n for t in rng.sample(known.tables, 4) for n in sorted(known.columns[t])]
    taken = {n.lower() for n in names}
    for other in others:
        if len(names) >= max(4, min(8, len(known.columns[table]) + 3)):
            break
        if other.lower() not in taken:
            names.append(other)
            taken.add(other.lower())
    rng.shuffle(names)
    rows = list(zip(*(_cells(table, n, known, conditions, rng) for n in names), strict=True))
    rng.shuffle(rows)
    columns = []
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        shown = tuple(dict.fromkeys(f"{v:g}" if isinstance(v, float) else v for v in values))
        columns.append(Column(name, "number" if known.is_number(table, name) else "text", shown))
    aggregate = AGGREGATES[sql["agg"]]
    selected = Selected(None, "count") if aggregate == "count" else Selected(sql["sel"], aggregate)
    shape = "list" if aggregate == "none" else "aggregate"
    return Example(question, tuple(columns), shape, Sketch((selected,), tuple(conditions)), spans, tuple(rows))


def _operator(op: str, number: bool) -> Operator:
    return ">" if op == ">" and number else "<" if op == "<" and number else "="


def _find(question: str, value: str) -> tuple[int, int] | None:
    forms = [value]
    if re.fullmatch(r"\d{4,}(\.0)?", value):
        forms.append(f"{int(float(value)):,}")
    for form in forms:
        match = re.search(rf"(?<!\w){re.escape(form)}(?!\w)", question, re.I)
        if match:
            return match.span()
    return None


def _cells(table: str, name: str, known: _Known, conditions: Sequence[Condition], rng: random.Random) -> list[Any]:
    """Values of a column: some meet its condition, those of the first two rows all do."""
    wanted = next((c for c in conditions if c.column == name), None)
    pool = known.values.get(name.lower(), [])
    if known.is_number(table, name):
        around = float(wanted.value) if wanted and isinstance(wanted.value, float) else None
        drawn = [float(v) for v in pool if _is_number(v)] or [float(rng.randint(1, 60)) for _ in range(6)]
        values: list[Any] = [rng.choice(drawn) for _ in range(ROWS)]
        if around is not None and wanted is not None:
            step = {">": 1.0, "<": -1.0}.get(wanted.op, 0.0)
            values = [around + step * (1 + i) if i < 2 or rng.random() < 0.2 else v for i, v in enumerate(values)]
            values[-1], values[-2] = around, around - step
        return values
    texts = list(dict.fromkeys(v for v in pool))
    if len(texts) < 4:
        texts += rng.sample(known.words, min(5, len(known.words)))
    values = [rng.choice(texts) for _ in range(ROWS)]
    return [str(wanted.value) if wanted and (i < 2 or rng.random() < 0.3) else v for i, v in enumerate(values)]
