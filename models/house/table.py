"""Table: reads a question over a table's columns and says which query it asks for, as a `Sketch`.

One pass of the backbone sees the question and all columns with some of their values together. Heads on it score the
parts of a sketch; decoding takes the most likely combination that makes sense: sums only of numbers, no grouping by a
column that is held fixed, every number of the question used once. (Sketches as in Xu et al. 2017, arXiv 1711.04436,
here with groups and orders.)
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..adapters import Adapter, Array
from ..encoder import Encoder, open_encoder
from .slots import words
from .table_cues import COUNTED, adds_up, descending, measured, named_after, put_together, relevance, repeats, sized
from .table_sketch import Aggregate, Column, Condition, Operator, Order, Part, Selected, Sketch, Type, Value
from .table_values import Found, Words, mentions, numbers, partial, periods, without_files

__all__ = ["Column", "Condition", "Order", "Selected", "Sketch", "TableModel"]

CLS, SEP = 101, 102
COLUMN, VALUE, NAMED = 1, 2, 3
"""Unused words of the vocabulary, as markers: a column, a value that the question mentions, a column that it names."""

SHAPES = ("list", "distinct", "aggregate", "groups", "top groups", "top rows")
LIMITS = ("all", "one", "number")
AGGREGATES: tuple[Aggregate, ...] = ("count", "sum", "avg", "min", "max")
OPERATORS = ("=", "!=", ">", "<", ">=", "<=", "between", "contains")
ROLES = ("select", "where", "group", "order", "descending")
COLUMN_HEAD = len(ROLES) + len(OPERATORS) + len(AGGREGATES)
ROWS_HEAD = ("select", "count", "descending")
"""The roles of the rows as a whole: all columns, their number, the direction in which groups are sorted by it."""

ALLOWED: dict[Type, tuple[str, ...]] = {
    "text": ("=", "!=", "contains"),
    "number": ("=", "!=", ">", "<", ">=", "<=", "between"),
    "date": ("=", "!=", ">", "<", ">=", "<=", "between"),
    "boolean": ("=", "!="),
}
SUMMABLE: dict[Type, tuple[Aggregate, ...]] = {
    "text": ("count",),
    "number": AGGREGATES,
    "date": ("count", "min", "max"),
    "boolean": (),
}
LIKELY_IF_SAID = 0.3
"""A condition is made from this probability on if the question has a value for it, else from one half."""
LIKELY_FLAG = 0.8
"""The same for a yes or no, which the question has no value to bear out."""
SAID = 4.0
"""Added where the wording speaks for a part of the query: about as much as the heads are sure by."""
REPEATED = -2.0
"""Added to a list of the top rows by a column that is the same in several rows."""
RANKED, TOLD, SIZED = 3.0, 1.5, 2.0
"""Added for a column that the wording names: to be ranked by, put together in groups, or shown ("how old")."""
MAX_QUESTION, MAX_TOKENS, MAX_NAME, MAX_VALUE, SHOWN = 64, 384, 8, 6, 3
_JOINT = re.compile(r"""["'\s]*(?:,|,?\s*(?:or|and|nor)(?: in| from| the| for)*)["'\s]*""")
"""What stands between values of which any is meant."""
_QUOTES = " \"'\u201c\u201d\u2018\u2019.,;:?!()"
PATH = Path(__file__).parent / "table.safetensors"


@dataclass(frozen=True)
class Layout:
    """A question and columns as one token sequence, and where everything stands in it."""

    ids: list[int]
    types: list[int]
    columns: list[int]
    """Position of each column's marker. Columns that did not fit are missing at the end."""
    spans: list[tuple[int, int]]
    """Characters of each token of the question; the first stands at position 1."""


def lay_out(encoder: Encoder, question: str, columns: Sequence[Column]) -> Layout:
    """Builds the sequence; values that the question mentions come first, marked. Wide tables show fewer values."""
    question = without_files(question)
    tokens = encoder.tokenize(question)
    spans = tokens.spans[:MAX_QUESTION]
    asked = Words.of(question)
    head = [CLS, *tokens.ids[:MAX_QUESTION], SEP]
    for shown in range(SHOWN, -1, -1):
        pieces = [_piece(encoder, asked, c, shown) for c in columns]
        if len(head) + sum(map(len, pieces)) < MAX_TOKENS:
            break
    ids, at = list(head), []
    for piece in pieces:
        if len(ids) + len(piece) >= MAX_TOKENS:
            break
        at.append(len(ids))
        ids += piece
    ids.append(SEP)
    return Layout(ids, [0] * len(head) + [1] * (len(ids) - len(head)), at, spans)


def _piece(encoder: Encoder, asked: Words, column: Column, shown: int) -> list[int]:
    name = words(column.name) or column.name
    ids = [COLUMN, *_ids(encoder, name)[:MAX_NAME]]
    if set(Words.of(name).stems) & set(asked.stems):
        ids.append(NAMED)
    ids += _ids(
        encoder, f"({'unique ' if column.unique else ''}{'yes or no' if column.type == 'boolean' else column.type}"
    )
    if column.type == "text":
        mentioned = [v for v in column.values if any(f.quality >= 0.7 for f in mentions(asked, v))][:2]
        for value in mentioned:
            ids += [VALUE, *_ids(encoder, value)[:MAX_VALUE]]
        for value in [v for v in column.values if v not in mentioned][: max(0, shown - len(mentioned))]:
            ids += [*_ids(encoder, ","), *_ids(encoder, value)[:MAX_VALUE]]
    elif column.type in ("number", "date"):
        for value in column.values[: min(shown, 2 if column.type == "number" else 1)]:
            ids += [*_ids(encoder, ","), *_ids(encoder, value)[:MAX_VALUE]]
    return [*ids, *_ids(encoder, ")")]


@functools.lru_cache(maxsize=8192)
def _ids(encoder: Encoder, text: str) -> tuple[int, ...]:
    return tuple(encoder.tokenize(text).ids)


class TableModel:
    """Reads questions over tables."""

    def __init__(self, encoder: Encoder, adapter: Adapter) -> None:
        self.encoder = encoder
        self.adapter = adapter

    @classmethod
    def open(cls, path: Path = PATH, weights: Path | None = None) -> TableModel:
        return cls(open_encoder(weights), Adapter.load(path))

    def sketch(self, question: str, columns: Sequence[Column]) -> Sketch:
        """The query that `question` most likely asks for."""
        return self.candidates(question, columns)[0]

    def candidates(self, question: str, columns: Sequence[Column]) -> list[Sketch]:
        """The best query of each shape, the most likely first. The next is worth a try where one finds nothing."""
        layout = lay_out(self.encoder, question, columns)
        hidden, _ = self.encoder.hidden([layout.ids], [layout.types], self.adapter)
        scores = Scores.of(hidden[0], layout, self.adapter)
        return decode(question, columns, scores, self.adapter)


@dataclass(frozen=True)
class Scores:
    """Log-probabilities of the parts of a sketch, for one question. Arrays over columns have a row for each column."""

    shape: Array
    limit: Array
    roles: Array
    """(columns, ROLES), logits."""
    operators: Array
    """(columns, OPERATORS), logits."""
    measures: Array
    """(columns * AGGREGATES + 1): what is aggregated and how; the last is the number of rows."""
    rows: Array
    """(ROWS_HEAD), logits."""
    start: Array
    """(columns, tokens of the question): where the value of a condition begins."""
    end: Array
    spans: list[tuple[int, int]]

    @classmethod
    def of(cls, hidden: Array, layout: Layout, adapter: Adapter) -> Scores:
        heads = adapter.heads
        first, columns = hidden[0], hidden[layout.columns]
        question = hidden[1 : 1 + len(layout.spans)]
        rows = first @ heads["rows.weight"] + heads["rows.bias"]
        each = columns @ heads["column.weight"] + heads["column.bias"]
        r, o = len(ROLES), len(ROLES) + len(OPERATORS)
        scale = heads["start.key"].shape[1] ** -0.5
        return cls(
            _log_softmax(first @ heads["shape.weight"] + heads["shape.bias"]),
            _log_softmax(first @ heads["limit.weight"] + heads["limit.bias"]),
            each[:, :r],
            each[:, r:o],
            _log_softmax(np.append(each[:, o:].reshape(-1), rows[1])),
            rows,
            _log_softmax((columns @ heads["start.query"]) @ (question @ heads["start.key"]).T * scale),
            _log_softmax((columns @ heads["end.query"]) @ (question @ heads["end.key"]).T * scale),
            layout.spans,
        )

    def span(self, column: int, begin: int, end: int) -> float:
        """Log-probability that the characters [begin, end) are the value for a column: the mean of start and end."""
        inside = [i for i, (b, e) in enumerate(self.spans) if b < end and e > begin]
        return float(self.start[column, inside[0]] + self.end[column, inside[-1]]) / 2 if inside else -30.0

    def best_span(self, column: int, longest: int = 12) -> tuple[int, int]:
        """The characters that are most likely the value for a column."""
        tokens = range(len(self.spans))
        pairs = [(i, j) for i in tokens for j in tokens[i : i + longest]]
        i, j = max(pairs, key=lambda p: self.start[column, p[0]] + self.end[column, p[1]], default=(0, 0))
        return (self.spans[i][0], self.spans[j][1]) if pairs else (0, 0)


def decode(question: str, columns: Sequence[Column], scores: Scores, adapter: Adapter) -> list[Sketch]:
    """The best sketch of each shape, the most likely first."""
    columns = columns[: len(scores.roles)]
    return _Decoder(question, columns, scores, adapter).sketches()


class _Decoder:
    def __init__(self, question: str, columns: Sequence[Column], scores: Scores, adapter: Adapter) -> None:
        self.question = without_files(question)
        self.columns = columns
        self.scores = scores
        self.settings = adapter.settings
        self.asked = Words.of(self.question)
        self.taken: list[tuple[int, int]] = []
        self.repeats = repeats(columns)

    def sketches(self) -> list[Sketch]:
        where, sure = self._where()
        spent = {c.column for c in where}
        self.named = np.array(
            [0.0 if c.name in spent else relevance(measured(self.asked), c) for c in self.columns], np.float32
        )
        self.sized = np.array([c.name not in spent and sized(self.asked, c) for c in self.columns], float)
        self.fixed = {c.column for c in where if c.op == "=" and not isinstance(c.value, tuple)}
        found = []
        for i, shape in enumerate(SHAPES):
            made = self._shape(shape)
            if made is not None:
                sketch, score = made
                total = sure + score + float(self.scores.shape[i])
                found.append(
                    (
                        total,
                        Sketch(
                            sketch.select,
                            where,
                            sketch.group,
                            sketch.part,
                            sketch.order,
                            sketch.limit,
                            self._confidence(total),
                        ),
                    )
                )
        found.sort(key=lambda f: -f[0])
        return [sketch for _, sketch in found]

    def _confidence(self, score: float) -> float:
        return 1 / (1 + math.exp(-(self.settings.get("scale", 1.0) * score + self.settings.get("shift", 0.0))))

    # Conditions

    def _where(self) -> tuple[tuple[Condition, ...], float]:
        found: list[Condition] = []
        total = 0.0
        chances = _sigmoid(self.scores.roles[:, ROLES.index("where")]) if self.columns else np.zeros(0)
        for i in sorted(range(len(self.columns)), key=lambda i: -chances[i]):
            chance = min(max(float(chances[i]), 1e-6), 1 - 1e-6)
            said = self._said(i)
            enough = LIKELY_FLAG if self.columns[i].type == "boolean" else LIKELY_IF_SAID if said else 0.5
            made = self._condition(i) if chance > enough else None
            if made is None:
                total += math.log(1 - chance)
            else:
                found += made[0]
                total += math.log(max(chance, 0.5)) + made[1]
        return tuple(found), total

    def _said(self, i: int) -> bool:
        """Whether the question has a value for a column that nothing else explains."""
        match self.columns[i].type:
            case "text":
                return bool(self._mentions(i, 0.9))
            case "number":
                return LIMITS[int(self.scores.limit.argmax())] != "number" and any(map(self._free, self._amounts(i)))
            case "date":
                return any(map(self._free, self._amounts(i)))
            case "boolean":
                return False

    def _condition(self, i: int) -> tuple[list[Condition], float] | None:
        column = self.columns[i]
        logits = np.array(
            [
                x if o in ALLOWED[column.type] else -30.0
                for o, x in zip(OPERATORS, self.scores.operators[i], strict=True)
            ]
        )
        log = _log_softmax(logits.astype(np.float32))
        if column.type == "boolean":
            k = int(log.argmax())
            return [Condition(column.name, "=" if k == 0 else "!=", True)], float(log[k])
        for k in np.argsort(-log):
            op, score = OPERATORS[k], float(log[k])
            if score < -4:
                break
            if column.type == "text":
                made = self._text(i, op)
            elif op == "between":
                made = self._between(i)
            else:
                made = self._typed(i, op)
            if made:
                return made, score
        return None

    def _typed(self, i: int, op: str) -> list[Condition]:
        candidates = [f for f in self._amounts(i) if self._free(f)]
        if not candidates:
            return []
        best = max(candidates, key=lambda f: self.scores.span(i, f.start, f.end))
        self.taken.append((best.start, best.end))
        return [_make(self.columns[i].name, op, best.value)]

    def _between(self, i: int) -> list[Condition]:
        candidates = [f for f in self._amounts(i) if self._free(f)]
        pairs = [
            (a, b) for a, b in itertools.pairwise(candidates)
            if re.fullmatch(r"\W*(?:and|to|until|till|through|up to|-|–)\W*", self.question[a.end : b.start].lower())
        ]  # fmt: skip
        if not pairs:
            return []
        a, b = max(pairs, key=lambda p: self.scores.span(i, p[0].start, p[1].end))
        self.taken.append((a.start, b.end))
        return [_make(self.columns[i].name, ">=", a.value), _make(self.columns[i].name, "<=", b.value)]

    def _amounts(self, i: int) -> list[Found]:
        column = self.columns[i]
        if column.type == "number":
            return numbers(self.question)
        return periods(self.question, sorted({int(v[:4]) for v in column.values if v[:4].isdigit()}))

    def _free(self, f: Found) -> bool:
        return not any(f.start < end and begin < f.end for begin, end in self.taken)

    def _mentions(self, i: int, quality: float) -> list[Found]:
        return [
            f for v in self.columns[i].values for f in mentions(self.asked, v) if f.quality >= quality and self._free(f)
        ]

    def _text(self, i: int, op: str) -> list[Condition]:
        column = self.columns[i]
        begin, end = self.scores.best_span(i)
        said = self._mentions(i, 0.7) if op != "contains" else []
        scored = sorted(
            ((self.scores.span(i, f.start, f.end) + math.log(f.quality), f) for f in said),
            key=lambda x: (-x[0], x[1].start - x[1].end),
        )
        if scored and scored[0][0] > self.scores.span(i, begin, end) - 6:
            chosen = scored[0][1]
            chosen = max(
                (f for f in said if f.start <= chosen.start and f.end >= chosen.end),
                key=lambda f: (f.end - f.start, f.quality),
            )
            row = self._listed(chosen, said)
            self.taken.append((row[0].start, row[-1].end))
            values = tuple(dict.fromkeys(str(f.value) for f in row))
            return [_make(column.name, op, values if len(values) > 1 else values[0])]
        if not self._free(Found("", begin, end)):
            return []
        begin, end = _whole_words(self.question, begin, end)
        text = self.question[begin:end].strip(_QUOTES)
        if not text:
            return []
        self.taken.append((begin, end))
        return [_linked(column, op, text)]

    def _listed(self, chosen: Found, said: Sequence[Found]) -> list[Found]:
        """`chosen` with the values that are joined to it by "or", "and" or a comma."""
        row = [chosen]
        for f in sorted(said, key=lambda f: (f.start, -f.end)):
            if f.start >= row[-1].end and _JOINT.fullmatch(self.question[row[-1].end : f.start].lower()):
                row.append(f)
        for f in sorted(said, key=lambda f: (-f.end, f.start)):
            if f.end <= row[0].start and _JOINT.fullmatch(self.question[f.end : row[0].start].lower()):
                row.insert(0, f)
        return row

    # Shapes

    def _shape(self, shape: str) -> tuple[Sketch, float] | None:
        match shape:
            case "list":
                select, score = self._selected(SIZED * self.sized)
                return Sketch(select), score
            case "distinct":
                return self._distinct()
            case "aggregate":
                measures, score, _ = self._measures()
                return (Sketch(measures), score)
            case "groups" | "top groups":
                return self._groups(shape == "top groups")
            case _:
                return self._top_rows()

    def _selected(self, said: np.typing.NDArray[np.float64] | float = 0.0) -> tuple[tuple[Selected, ...], float]:
        """The columns shown for each row, or all of them. `said` is added to the columns' logits."""
        logits = self.scores.roles[:, ROLES.index("select")].astype(float) + said
        for i, column in enumerate(self.columns):
            if column.name in self.fixed:
                logits[i] -= 4.0
        everything = float(self.scores.rows[0])
        score = float(np.sum(_log_sigmoid(np.abs(logits)))) + float(_log_sigmoid(np.array(abs(everything))))
        chosen = [i for i in range(len(self.columns)) if logits[i] > 0]
        if chosen and (everything <= 0 or max(logits[chosen]) > everything):
            chosen.sort(key=lambda i: self._place(i))
            return tuple(Selected(self.columns[i].name) for i in chosen), score
        if everything > 0 or not self.columns:
            return (Selected(None),), score
        best = int(logits.argmax())
        if logits[best] < everything:
            return (Selected(None),), score + everything
        return (Selected(self.columns[best].name),), score + float(logits[best])

    def _place(self, i: int) -> int:
        """Where the question names a column; those it does not name come last."""
        stems = set(Words.of(words(self.columns[i].name)).stems)
        return next((k for k, s in enumerate(self.asked.stems) if s in stems), len(self.asked.stems))

    def _distinct(self) -> tuple[Sketch, float] | None:
        found = self._one("select", [c.name not in self.fixed for c in self.columns])
        if found is None:
            return None
        i, score = found
        return Sketch((Selected(self.columns[i].name, distinct=True),)), score

    def _one(self, role: str, allowed: Sequence[bool]) -> tuple[int, float] | None:
        """The most likely of the columns for a role that just one has."""
        if not any(allowed):
            return None
        named = RANKED * self.named if role == "order" else 0.0
        log = _log_softmax(self.scores.roles[:, ROLES.index(role)] + named)
        i = max((i for i, ok in enumerate(allowed) if ok), key=lambda i: float(log[i]))
        return i, float(log[i])

    def _measures(self, group: int | None = None) -> tuple[tuple[Selected, ...], float, float]:
        """What is aggregated, its log-probability, and the logit of descending order by it."""
        rows = float(self.scores.measures[-1]) + (SAID if group is not None and self._counts_rows() else 0.0)
        scored = [(rows, Selected(None, "count"), self._direction(None, float(self.scores.rows[2])))]
        for i, column in enumerate(self.columns):
            for k, aggregate in enumerate(AGGREGATES):
                if (
                    aggregate in SUMMABLE[column.type]
                    and i != group
                    and not (aggregate == "count" and column.name in self.fixed)
                ):
                    selected = Selected(column.name, aggregate, aggregate == "count")
                    score = self._measure(i, k, grouped=group is not None)
                    down = float(self.scores.roles[i, ROLES.index("descending")])
                    scored.append((score, selected, self._direction(column, down)))
        norm = math.log(sum(math.exp(s[0]) for s in scored))
        scored = sorted(((score - norm, chosen, down) for score, chosen, down in scored), key=lambda s: -s[0])
        best = scored[0]
        both = [s for s in scored[1:2] if s[0] > math.log(0.3) and s[1].column == best[1].column]
        return (best[1], *(s[1] for s in both)), math.log(sum(math.exp(s[0]) for s in [best, *both])), best[2]

    def _direction(self, column: Column | None, score: float) -> float:
        """The logit of descending order, with what the question says of it."""
        down = descending(self.asked, column)
        return score if down is None else score + (2 * SAID if down else -2 * SAID)

    def _measure(self, i: int, k: int, *, grouped: bool) -> float:
        """The score of an aggregate of a column. Sums and averages of groups are what the wording says they are."""
        at, named = i * len(AGGREGATES), TOLD * float(self.named[i]) if grouped else 0.0
        if grouped and AGGREGATES[k] in ("sum", "avg"):
            wanted = put_together(self.asked) or (None if adds_up(self.columns[i]) else "avg")
            if wanted is not None:
                both = [float(self.scores.measures[at + AGGREGATES.index(a)]) for a in ("sum", "avg")]
                return named + (max(both) if AGGREGATES[k] == wanted else min(both))
        return named + float(self.scores.measures[at + k])

    def _counts_rows(self) -> bool:
        """Whether the question asks for the number of what each row is named by."""
        return any(
            c.type == "text" and not r and named_after(self.asked, COUNTED, c)
            for c, r in zip(self.columns, self.repeats, strict=True)
        )

    def _groups(self, top: bool) -> tuple[Sketch, float] | None:
        free = [c.name not in self.fixed for c in self.columns]
        again = [f and r and c.type == "text" for f, r, c in zip(free, self.repeats, self.columns, strict=True)]
        if any(again):  # then the names of single rows make no groups
            free = [a or (f and c.type != "text") for a, f, c in zip(again, free, self.columns, strict=True)]
        found = self._one("group", free)
        if found is None:
            return None
        i, score = found
        measures, sure, direction = self._measures(i)
        column = self.columns[i]
        part = self._part() if column.type == "date" else "none"
        if not top:
            return Sketch((Selected(column.name), *measures), group=column.name, part=part), score + sure
        limit, likely = self._limit()
        order = Order(measures[0], direction > 0)
        score += sure + likely + _log_sigmoid_of(abs(direction))
        return Sketch(
            (Selected(column.name), measures[0]), group=column.name, part=part, order=order, limit=limit
        ), score

    def _part(self) -> Part:
        said = set(self.asked.lower)
        if said & {"month", "months", "monthly"}:
            return "month"
        if said & {"year", "years", "yearly", "annual", "annually"}:
            return "year"
        return "weekday" if said & {"weekday", "weekdays", "week"} else "day"

    def _top_rows(self) -> tuple[Sketch, float] | None:
        limit, likely = self._limit()
        found = self._one("order", [c.type in ("number", "date") or limit is None for c in self.columns])
        if found is None:
            return None
        i, score = found
        select, sure = self._selected()
        direction = self._direction(self.columns[i], float(self.scores.roles[i, ROLES.index("descending")]))
        by = Selected(self.columns[i].name)
        if limit not in (None, 1) and any(
            s.column == c.name and r for s in select for c, r in zip(self.columns, self.repeats, strict=True)
        ):
            sure += REPEATED  # the same value could come twice: groups are meant
        if select != (Selected(None),) and by not in select:
            select = (*select, by)
        return Sketch(select, order=Order(by, direction > 0), limit=limit), score + sure + likely + _log_sigmoid_of(
            abs(direction)
        )

    def _limit(self) -> tuple[int | None, float]:
        k = int(self.scores.limit.argmax())
        score = float(self.scores.limit[k])
        if LIMITS[k] == "all":
            return None, score
        if LIMITS[k] == "number":
            for f in numbers(self.question):
                if self._free(f) and f.value == int(f.value) and 1 <= f.value <= 1000:
                    return int(f.value), score
        return 1, score


def _make(name: str, op: str, value: Value) -> Condition:
    known: dict[str, Operator] = {"=": "=", "!=": "!=", ">": ">", "<": "<", ">=": ">=", "<=": "<="}
    return Condition(name, known.get(op, "contains"), value)


def _linked(column: Column, op: str, text: str) -> Condition:
    """A condition with the cell value that `text` means, if one is known, or with `text` itself."""
    if op != "contains":
        asked = Words.of(text)
        meant = [f for v in column.values for f in mentions(asked, v)]
        if meant:
            return _make(column.name, op, str(max(meant, key=lambda f: (f.quality, len(f.value))).value))
        kin = partial(text, column.values)
        if len(kin) == 1:
            return _make(column.name, op, kin[0])
        if op == "=" and any(text.lower() in v.lower() for v in column.values):
            return _make(column.name, "contains", text)
    return _make(column.name, op, text)


def _whole_words(text: str, begin: int, end: int) -> tuple[int, int]:
    while begin > 0 and text[begin - 1].isalnum() and text[begin : begin + 1].isalnum():
        begin -= 1
    while end < len(text) and text[end].isalnum() and text[end - 1 : end].isalnum():
        end += 1
    return begin, end


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)), np.float32)


def _log_sigmoid(x: np.typing.NDArray[np.float64]) -> np.typing.NDArray[np.float64]:
    return np.asarray(-np.log1p(np.exp(-x)))


def _log_sigmoid_of(x: float) -> float:
    return -math.log1p(math.exp(-x))


def _log_softmax(x: Array) -> Array:
    if not x.size:
        return x
    shifted = x - x.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)), np.float32)
