"""What the wording of a question says about its query by the rules of English, whatever the table: no model.

Which end of a scale is wanted, what may be added up, which columns repeat, and how far a column is spoken of.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .slots import words
from .table_sketch import Aggregate, Column
from .table_values import Words


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_HIGH = _set(
    "highest most largest biggest greatest maximum max top longest tallest thickest heaviest widest broadest deepest"
    " farthest furthest strongest richest dearest priciest costliest busiest hottest warmest loudest brightest hardest"
    " steepest fullest descending decreasing"
)
_LOW = _set(
    "lowest least fewest smallest minimum min bottom shortest thinnest lightest narrowest shallowest nearest closest"
    " weakest poorest soonest cheapest coldest coolest quietest rarest tiniest emptiest easiest ascending"
    " increasing"
)
"""Superlatives of the two ends of a scale. Those whose end depends on what is measured (best, fastest) are left out."""
_RARE = frozenset(["rarely", "seldom"])
"""The low end of a number of times, also behind "most"."""
_EARLY, _LATE = frozenset(["oldest", "eldest", "earliest"]), frozenset(["youngest", "newest", "latest", "recent"])
"""Ends of time, for a moment. For an age, or another span of time, they mean the other end."""
YEARS = range(1400, 2101)
"""Whole numbers that are years if a column has no others."""


def is_moment(column: Column) -> bool:
    """Whether a column holds points in time: dates, or years."""
    if column.type == "number" and column.values:
        return all(re.fullmatch(r"\d{4}(\.0)?", v) and int(v[:4]) in YEARS for v in column.values)
    return column.type == "date"


def descending(asked: Words, column: Column | None) -> bool | None:
    """Whether the question wants the high end of `column` (None: of a number of rows); None if it does not say."""
    said: list[bool] = []
    moment = column is not None and is_moment(column)
    for i, word in enumerate(asked.lower):
        after = asked.lower[i + 1] if i + 1 < len(asked.lower) else ""
        if word in _EARLY:
            said.append(word != "earliest" and not moment)
        elif word in _LATE and (word != "recent" or "most" in asked.lower[max(0, i - 1) : i]):
            said.append(moment or word == "latest")
        elif moment and word in ("first", "last") and not said:
            said.append(word == "last")
        elif moment and word in ("longest", "shortest"):
            said.append(word == "shortest")
        elif word in _HIGH and after not in _RARE and not after.startswith("recent"):
            said.append(True)
        elif word in _LOW or word in _RARE:
            said.append(False)
    return said[0] if said and (len(set(said)) == 1 or {"from", "to"} <= set(asked.lower)) else None


_TOTAL = _set("total sum overall combined altogether summed")
_MEAN = _set("average mean avg averaged typical")
_INTENSIVE = _set(
    "age old price rating score grade mark temperature temp degrees speed height width depth thickness pct percent"
    " percentage quality strength density level ratio average avg mean rank"
)
"""Words in the names of columns whose numbers describe each row and make no sense added up."""


def put_together(asked: Words) -> Aggregate | None:
    """Whether the question speaks of sums or of averages; None if of neither or of both."""
    said = set(asked.lower)
    total, mean = bool(said & _TOTAL), bool(said & _MEAN)
    return None if total == mean else "sum" if total else "avg"


def adds_up(column: Column) -> bool:
    """Whether the sum of a column means something, as far as its name tells."""
    return not set(Words.of(words(column.name)).lower) & _INTENSIVE


def repeats(columns: Sequence[Column]) -> list[bool]:
    """For each column whether values stand in several rows: another column shows more different ones."""
    most = max((len(c.values) for c in columns), default=0)
    return [not c.unique and 0 < len(c.values) < most for c in columns]


def named_after(asked: Words, cues: frozenset[str], column: Column) -> bool:
    """Whether the question names a column right behind one of the words `cues`."""
    stems = set(Words.of(words(column.name)).stems)
    return any(word in cues and stems & set(asked.stems[i + 1 : i + 3]) for i, word in enumerate(asked.lower))


COUNTED = frozenset(["most", "fewest", "number"])
"""What stands before the name of the rows where they are counted: the most boats, the number of boats."""


_SPELT_OUT = {
    "kg": "kilos kilograms kilogrammes weight weigh",
    "g": "grams weight",
    "km": "kilometres kilometers distance",
    "m": "metres meters",
    "cm": "centimetres centimeters",
    "min": "minutes",
    "mins": "minutes",
    "sec": "seconds",
    "hrs": "hours",
    "h": "hours",
    "eur": "euros money",
    "usd": "dollars money",
    "chf": "francs money",
    "pct": "percent percentage",
    "qty": "quantity",
    "temp": "temperature degrees",
    "avg": "average",
    "max": "maximum",
    "dob": "birth birthday",
    "abv": "alcohol",
}
"""Units and other short forms in names of columns, and what questions say instead."""
_DIMENSIONS = (
    ("old older oldest young younger youngest eldest", "age old birth born birthday dob"),
    ("heavy heavier heaviest light lighter lightest weigh weighs", "weight kg kilos mass grams"),
    ("tall taller tallest high short shortest", "height tall"),
    ("long longer longest short shorter shortest lasted last lasts", "length duration minutes min time"),
    ("thick thicker thickest thin thinner thinnest", "thickness"),
    ("wide wider widest narrow narrower narrowest", "width"),
    ("deep deeper deepest shallow shallowest", "depth"),
    ("expensive cheap cheaper cheapest dear dearest pricey priciest cost costs", "price cost fee charge"),
    ("earn earns earned paid", "salary wage pay income earnings"),
    ("fast faster fastest slow slower slowest", "speed pace kmh mph"),
    (
        "hot hotter hottest warm warmer warmest cold colder coldest cool coolest mild mildest",
        "temperature temp degrees",
    ),
    ("strong stronger strongest weak weaker weakest", "strength power"),
    ("far farther farthest further furthest near nearest", "distance range reach km miles"),
    ("big bigger biggest large larger largest small smaller smallest", "size area"),
    ("populous inhabitants", "population inhabitants"),
    ("rated", "rating score stars"),
    ("money", "amount revenue total turnover income sales eur usd"),
)
"""Words that ask for a size without its name, and the names of columns that have it."""


def relevance(asked: Words, column: Column) -> float:
    """How far the question speaks of a column: 1 for each word of its name where all are said, less for hints."""
    name = Words.of(words(column.name))
    if not name.lower:
        return 0.0
    said = sum(
        s in asked.stems or (len(w) >= 3 and any(a.startswith(w) for a in asked.lower))
        for s, w in zip(name.stems, name.lower, strict=True)
    )
    if said == len(name.lower):
        return 1.0 + 0.5 * (said - 1)
    short = any(_spoken(asked, _SPELT_OUT.get(w, "")) for w in name.lower)
    return max(0.6 * said / len(name.lower), 0.7 if short or sized(asked, column) else 0.0)


def sized(asked: Words, column: Column) -> bool:
    """Whether the question asks for the size that a column has, without its name: "how old" for an age."""
    name = set(Words.of(words(column.name)).lower)
    return column.type in ("number", "date") and any(
        set(names.split()) & name and _spoken(asked, asking) for asking, names in _DIMENSIONS
    )


def _spoken(asked: Words, forms: str) -> bool:
    return bool(set(forms.split()) & set(asked.lower))


MEASURED = 4
"""How many words behind a superlative or a word like "total" say what is measured."""


def measured(asked: Words) -> Words:
    """The part of the question that says what is ranked, added up or averaged; all of it if nothing tells where."""
    cues = _HIGH | _LOW | _EARLY | _LATE | _TOTAL | _MEAN | {"by"}
    at = [i for i, word in enumerate(asked.lower) if word in cues and word != "top"]
    if not at:
        return asked
    first = next((i for i in at if asked.lower[i] != "by"), at[0])
    last = max((i for i in at if i - first <= 2), default=first)
    begin, end = asked.spans[first][0], asked.spans[min(last + MEASURED, len(asked.spans) - 1)][1]
    return Words.of(asked.text[begin:end])
