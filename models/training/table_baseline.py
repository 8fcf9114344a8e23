"""What the untrained backbone can do with questions over tables: columns by cosine, all else by keywords."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ..encoder import Encoder
from ..house.slots import words
from ..house.table_sketch import Aggregate, Column, Condition, Operator, Order, Selected, Sketch
from ..house.table_values import Words, mentions, numbers

_AGGREGATES: list[tuple[Aggregate, str]] = [
    ("avg", r"\b(average|mean|avg)\b"),
    ("sum", r"\b(total|sum|altogether|overall|combined)\b"),
    ("count", r"\b(how many|number of|count)\b"),
    ("max", r"\b(highest|largest|maximum|max|biggest|latest|most)\b"),
    ("min", r"\b(lowest|smallest|minimum|min|earliest|least|fewest)\b"),
]


class Baseline:
    """Reads questions with an encoder that was not trained for it."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def sketch(self, question: str, columns: Sequence[Column]) -> Sketch:
        text = question.lower()
        vectors = self.encoder.embed([question, *(words(c.name) or c.name for c in columns)])
        near = vectors[1:] @ vectors[0]
        where = self._conditions(question, text, columns, near)
        fixed = {c.column for c in where}
        aggregate = next((a for a, form in _AGGREGATES if re.search(form, text)), None)
        column = self._nearest(columns, near, lambda c: c.name not in fixed) or columns[0]
        number = self._nearest(columns, near, lambda c: c.type == "number" and c.name not in fixed)
        label = self._nearest(columns, near, lambda c: c.type == "text" and c.name not in fixed)
        down = not re.search(r"\b(lowest|least|smallest|fewest|cheapest|youngest|shortest|earliest|first)\b", text)
        top = re.search(r"^(who|which|what) .*\b(most|least|highest|lowest|\w{3,}est)\b|\btop\b|\bsort|\brank", text)
        measure = (
            Selected(None, "count")
            if aggregate == "count" or number is None
            else Selected(number.name, aggregate if aggregate in ("avg", "min", "max") else "sum")
        )
        if label and re.search(r"\b(by|per|each|every)\b", text):
            return Sketch((Selected(label.name), measure), where, group=label.name)
        if top and label and number:
            limit = next((int(n.value) for n in numbers(question) if 1 < n.value <= 50), 1)
            if aggregate in ("sum", "avg", "count"):
                return Sketch(
                    (Selected(label.name), measure), where, label.name, order=Order(measure, down), limit=limit
                )
            by = Selected(number.name)
            return Sketch((Selected(label.name), by), where, order=Order(by, down), limit=limit)
        if aggregate == "count":
            distinct = re.search(r"\b(different|distinct|unique)\b", text)
            return Sketch((Selected(column.name, "count", True) if distinct else Selected(None, "count"),), where)
        if aggregate and number:
            return Sketch((Selected(number.name, aggregate),), where)
        return Sketch(
            (Selected(column.name, distinct=bool(re.search(r"\b(different|distinct|unique)\b", text))),), where
        )

    def _nearest(
        self, columns: Sequence[Column], near: np.typing.NDArray[np.float32], allowed: object
    ) -> Column | None:
        assert callable(allowed)
        found = [(float(s), i) for i, (c, s) in enumerate(zip(columns, near, strict=True)) if allowed(c)]
        return columns[max(found)[1]] if found else None

    def _conditions(
        self, question: str, text: str, columns: Sequence[Column], near: np.typing.NDArray[np.float32]
    ) -> tuple[Condition, ...]:
        asked = Words.of(question)
        found = []
        for column in columns:
            if column.type == "text":
                said = [m for v in column.values for m in mentions(asked, v)]
                if said:
                    found.append(
                        Condition(column.name, "=", str(max(said, key=lambda m: (m.quality, m.end - m.start)).value))
                    )
        for op, form in (
            (">", r"\b(?:over|above|more than|greater than|after|larger than)\s"),
            ("<", r"\b(?:under|below|less than|fewer than|before|lower than)\s"),
        ):
            for match in re.finditer(form, text):
                value = next(
                    (n.value for n in numbers(question) if n.start >= match.end() and n.start < match.end() + 4), None
                )
                column_ = self._nearest(columns, near, lambda c: c.type == "number")
                if value is not None and column_ is not None:
                    sign: Operator = ">" if op == ">" else "<"
                    found.append(Condition(column_.name, sign, value))
        return tuple(found)
