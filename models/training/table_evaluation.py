"""Measures the table model: exact sketches and executed answers on held-out tables and on WikiSQL's dev questions."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..adapters import Adapter
from ..encoder import Encoder
from ..house.table import Column, Sketch, TableModel
from . import table_wikisql as wikisql
from .table_grammar import Example, questions
from .table_schemas import read_yaml

GRAMMAR, WIKISQL, CALIBRATION = 1000, 1000, 400
"""How many questions are measured on, and how many others the confidence is fitted on."""
_KINDS = {"text": "VARCHAR", "number": "DOUBLE", "date": "DATE", "boolean": "BOOLEAN"}


def held_out(count: int = GRAMMAR, seed: int = 7) -> list[Example]:
    """Questions over tables that no model was trained on."""
    return list(itertools.islice(questions(random.Random(seed), held_out=True), count))


def executed(
    columns: Sequence[Column], rows: Sequence[Sequence[Any]], sqls: Sequence[str]
) -> list[list[tuple[Any, ...]] | None]:
    """The results of queries over a table `t`; None for one that cannot run."""
    import duckdb

    found: list[list[tuple[Any, ...]] | None] = []
    with duckdb.connect() as db:
        names = ", ".join('"' + c.name.replace('"', '""') + f'" {_KINDS[c.type]}' for c in columns)
        db.execute(f"CREATE TABLE t ({names})")
        db.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(columns))})", [list(r) for r in rows])
        for sql in sqls:
            try:
                found.append(db.execute(sql).fetchall())
            except duckdb.Error:
                found.append(None)
    return found


def same_sketch(a: Sketch, b: Sketch) -> bool:
    """Whether two sketches are the same up to the order of columns and conditions, and the case of texts."""
    return _normal(a) == _normal(b)


def _normal(s: Sketch) -> tuple[Any, ...]:
    where = frozenset((c.column, c.op, _normal_value(c.value)) for c in s.where)
    return (s.select[0], frozenset(s.select), where, s.group, s.part, s.order, s.limit)


def _normal_value(value: Any) -> Any:
    return (
        frozenset(v.lower() for v in value)
        if isinstance(value, tuple)
        else value.lower()
        if isinstance(value, str)
        else float(value)
    )


@dataclass
class Outcome:
    """One question, what was made of it, and whether that is right."""

    example: Example
    sketch: Sketch
    exact: bool
    answer: bool


def outcomes(examples: Iterable[Example], sketch: Callable[[str, Sequence[Column]], Sketch]) -> list[Outcome]:
    found = []
    for example in examples:
        guess = sketch(example.question, example.columns)
        exact = same_sketch(guess, example.sketch)
        right = exact
        if not exact:
            sqls = [s.sql("t", example.columns) for s in (example.sketch, guess)]
            gold, given = executed(example.columns, example.rows, sqls)
            right = gold is not None and given is not None and _bag(gold) == _bag(given)
        found.append(Outcome(example, guess, exact, right))
    return found


def _bag(rows: Sequence[tuple[Any, ...]]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(round(v, 6) if isinstance(v, float) else v for v in row) for row in rows)


def summary(found: Sequence[Outcome]) -> dict[str, Any]:
    """Shares of exact sketches and of right answers, together and by shape."""
    shapes = defaultdict(list)
    for o in found:
        shapes[o.example.shape].append(o)
    return {
        "questions": len(found),
        "sketch": _percent([o.exact for o in found]),
        "answer": _percent([o.answer for o in found]),
        "answer_by_shape": {shape: _percent([o.answer for o in part]) for shape, part in sorted(shapes.items())},
    }


def _percent(right: Sequence[bool]) -> float:
    return round(100 * sum(right) / max(1, len(right)), 1)


@dataclass(frozen=True)
class Written:
    """A question that a person wrote, over a table, with SQL for the answers that are right."""

    question: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    sql: tuple[str, ...]

    def answered(self, sketch: Sketch) -> bool:
        """Whether the first columns of the result have the right values."""
        given, *right = executed(self.columns, self.rows, [sketch.sql("t", self.columns), *self.sql])
        return given is not None and any(
            gold and _bag([r[: len(gold[0])] for r in given]) == _bag(gold) for gold in right
        )


def written() -> list[Written]:
    """The questions of `corpus/tables/handwritten.yaml`."""
    found = []
    for table in read_yaml("handwritten.yaml")["tables"].values():
        columns = []
        for i, (name, kind) in enumerate(table["columns"].items()):
            values = [str(row[i]) for row in table["rows"]]
            columns.append(Column(name, kind, tuple(dict.fromkeys(values)), len(set(values)) == len(values)))
        rows = tuple(tuple(row) for row in table["rows"])
        found += [
            Written(q["q"], tuple(columns), rows, tuple(q[k] for k in ("sql", "or") if k in q))
            for q in table["questions"]
        ]
    return found


def handwritten(sketch: Callable[[str, Sequence[Column]], Sketch]) -> dict[str, Any]:
    """The share of handwritten questions that are answered rightly."""
    right = [w.answered(sketch(w.question, w.columns)) for w in written()]
    return {"questions": len(right), "answer": _percent(right)}


def calibrated(encoder: Encoder, adapter: Adapter, data: Path | None) -> Adapter:
    """`adapter` with the scale and shift that make its confidence a probability; fitted on other questions."""
    plain = replace(adapter, settings={**adapter.settings, "scale": 1.0, "shift": 0.0})
    examples = list(itertools.islice(questions(random.Random(11)), CALIBRATION))
    if data and (dev := data / "wikisql" / "dev.jsonl.gz").exists():
        examples += wikisql.read(dev)[:CALIBRATION]
    found = outcomes(examples, TableModel(encoder, plain).sketch)
    scores = [
        math.log(o.sketch.confidence / (1 - o.sketch.confidence)) if 0 < o.sketch.confidence < 1 else -40.0
        for o in found
    ]
    scale, shift = _fit(scores, [float(o.answer) for o in found])
    return replace(adapter, settings={**adapter.settings, "scale": scale, "shift": shift})


def _fit(scores: Sequence[float], right: Sequence[float]) -> tuple[float, float]:
    """Logistic regression of one variable, by gradient descent."""
    a, b = 1.0, 0.0
    for _ in range(4000):
        p = [1 / (1 + math.exp(-max(-30.0, min(30.0, a * s + b)))) for s in scores]
        n = len(scores)
        a -= 0.05 * sum((q - y) * s for q, y, s in zip(p, right, scores, strict=True)) / n
        b -= 0.05 * sum(q - y for q, y in zip(p, right, strict=True)) / n
    return round(a, 4), round(b, 4)


def figures(sketch: Callable[[str, Sequence[Column]], Sketch], data: Path | None) -> dict[str, Any]:
    """What something that makes sketches reaches on each set, in percent."""
    found: dict[str, Any] = {
        "held_out_tables": summary(outcomes(held_out(), sketch)),
        "handwritten": handwritten(sketch),
    }
    if data and (dev := data / "wikisql" / "dev.jsonl.gz").exists():
        examples = wikisql.read(dev)[CALIBRATION : CALIBRATION + WIKISQL]
        found["wikisql_dev"] = summary(outcomes(examples, sketch))
    return found
