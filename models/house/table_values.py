"""Values that stand in a question: numbers, periods of time, the cell values that it mentions. No model, no table."""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FILE = re.compile(r"(?<![\w./\\-])[\w./\\-]+\.(?:csv|tsv|json|jsonl|parquet|xlsx?|db|sqlite3?|txt)\b", re.I)
_WORD = re.compile(r"\w+", re.UNICODE)
_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES = {
    "hundred": 100,
    "thousand": 1000,
    "k": 1000,
    "million": 1_000_000,
    "m": 1_000_000,
    "billion": 10**9,
    "bn": 10**9,
    "dozen": 12,
}
_IN_WORDS = {**{w: i for i, w in enumerate(_UNITS)}, **{w: 20 + 10 * i for i, w in enumerate(_TENS)}}
_DIGITS = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})+(?:\.\d+)?|(?<![\w.])-?\d+(?:\.\d+)?|(?<=[A-Z])\d+")
_SCALE = re.compile(r"\s?(k|m|bn)\b|\s(hundred|thousand|million|billion|dozen)\b", re.I)
_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_MONTH = r"(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec|" + "|".join(_MONTHS) + r")\.?"
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>(?:1[5-9]|20|21)\d\d)"
_PERIODS = [
    re.compile(rf"\b{form}(?!\w)", re.I)
    for form in (
        r"(?P<year>\d{4})-(?P<number>\d\d)-(?P<day>\d\d)",
        rf"{_DAY}(?:\s+of)?\s+{_MONTH},?\s+{_YEAR}",
        rf"{_MONTH}\s+{_DAY},?\s+{_YEAR}",
        rf"{_MONTH}(?:\s+of)?,?\s+{_YEAR}",
        r"(?P<year>\d{4})-(?P<number>\d\d)",
        rf"(?:the\s+)?{_DAY}(?:\s+of)?\s+{_MONTH}",
        rf"{_MONTH}\s+(?:the\s+)?{_DAY}",
        _MONTH,
        _YEAR,
    )
]


@dataclass(frozen=True)
class Found:
    """A value and the characters [start, end) of the question that say it. `quality` is 1 for the very same words."""

    value: Any
    start: int
    end: int
    quality: float = 1.0


def without_files(question: str) -> str:
    """`question` with the names of files blanked out; every character stays where it is."""
    return FILE.sub(lambda m: " " * len(m[0]), question)


def numbers(text: str) -> list[Found]:
    """The numbers in digits or English words: `1,200`, `2.5k`, `a dozen`, `twenty-five`, `3 million`."""
    found = []
    for m in _DIGITS.finditer(text):
        value, end = float(m[0].replace(",", "")), m.end()
        if scale := _SCALE.match(text, end):
            value, end = value * _SCALES[(scale[1] or scale[2]).lower()], scale.end()
        if math.isfinite(value):
            found.append(Found(value, m.start(), end))
    words = list(_WORD.finditer(text))
    i = 0
    while i < len(words):
        joined = [words[i][0].lower()]
        for a, b in zip(words[i : i + 6], words[i + 1 : i + 7], strict=False):
            if text[a.end() : b.start()].strip(" -"):
                break
            joined.append(b[0].lower())
        j, value = _number_in_words(joined)
        if j:
            found.append(Found(float(value), words[i].start(), words[i + j - 1].end()))
        i += max(j, 1)
    return sorted(found, key=lambda f: f.start)


def _number_in_words(words: Sequence[str]) -> tuple[int, float]:
    """How many of the first `words` are a number, and which."""
    used, total, part = 0, 0.0, 0.0
    for start, first in ((("half", "a"), 0.5), (("half",), 0.5), (("a",), 1.0)):
        if (
            tuple(words[: len(start)]) == start
            and words[len(start) : len(start) + 1]
            and len(words[len(start)]) > 2
            and words[len(start)] in _SCALES
        ):
            used, part = len(start), first
            break
    while used < len(words):
        word = words[used]
        if word in _IN_WORDS:
            part += _IN_WORDS[word]
        elif word in _SCALES and len(word) > 2 and used:
            part *= _SCALES[word]
            if _SCALES[word] >= 1000:
                total, part = total + part, 0.0
        elif not (
            word == "and"
            and used
            and words[used - 1] in _SCALES
            and words[used + 1 : used + 2]
            and words[used + 1] in _IN_WORDS
        ):
            break
        used += 1
    return used, total + part


def periods(text: str, years: Sequence[int] = ()) -> list[Found]:
    """Days, months and years, in the notation of `Condition`. A date without a year is in the only one of `years`."""
    found: list[Found] = []
    taken = bytearray(len(text))
    for form in _PERIODS:
        for m in form.finditer(text):
            if any(taken[m.start() : m.end()]) or (m[0] == "may" and not _after_preposition(text, m.start())):
                continue
            parts = m.groupdict()
            month = int(parts["number"]) if parts.get("number") else _month_number(parts.get("month"))
            year = parts.get("year") or (str(years[0]) if len(years) == 1 else None)
            if month > 12 or int(parts.get("day") or 1) > 31:
                continue
            if parts.get("day") and year and not _is_day(int(year), month, int(parts["day"])):
                continue
            value = (year or "-") + (f"-{month:02}" if month else "")
            if parts.get("day"):
                if not year:
                    continue
                value += f"-{int(parts['day']):02}"
            taken[m.start() : m.end()] = b"\1" * (m.end() - m.start())
            found.append(Found(value, m.start(), m.end()))
    return sorted(found, key=lambda f: f.start)


def _month_number(word: str | None) -> int:
    return next((i + 1 for i, m in enumerate(_MONTHS) if word and m.startswith(word.lower()[:3])), 0)


def _is_day(year: int, month: int, day: int) -> bool:
    import datetime

    try:
        datetime.date(year, month, day)
    except ValueError:
        return False
    return True


def _after_preposition(text: str, at: int) -> bool:
    return (
        re.search(
            r"\b(?:in|of|after|before|since|until|till|from|during|for|last|this|by|and|to)\s$",
            text[max(0, at - 8) : at],
            re.I,
        )
        is not None
    )


@functools.lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """The stem of an English word, in lower case."""
    return str(_stemmer().stemWord(word.lower()))


@functools.cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


@dataclass(frozen=True)
class Words:
    """A text cut into words without case and accents, with their stems and where they stand."""

    text: str
    lower: tuple[str, ...]
    stems: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    heads: frozenset[str]
    """The first three letters of each word."""

    @classmethod
    @functools.lru_cache(maxsize=20_000)
    def of(cls, text: str) -> Words:
        found = list(_WORD.finditer(text))
        lower = tuple(_folded(m[0]) for m in found)
        return cls(
            text, lower, tuple(stem(w) for w in lower), tuple(m.span() for m in found), frozenset(w[:3] for w in lower)
        )


def _folded(word: str) -> str:
    """A word in lower case and without accents, as the backbone's vocabulary has it."""
    if word.isascii():
        return word.lower()
    return "".join(c for c in unicodedata.normalize("NFKD", word.lower()) if not unicodedata.combining(c))


def mentions(question: Words, value: str) -> list[Found]:
    """Where the question says a cell value: in its words (1.0), in other forms of them (0.9), or nearly (0.7)."""
    cell = Words.of(value)
    size = len(cell.lower)
    if not size or cell.lower[0][:3] not in question.heads or (size == 1 and len(value) < 2 and not value.isupper()):
        return []
    found = []
    for i in range(len(question.lower) - size + 1):
        start, end = question.spans[i][0], question.spans[i + size - 1][1]
        if question.lower[i : i + size] == cell.lower:
            if size == 1 and len(cell.lower[0]) == 1 and (question.text[start:end] != value or start == 0):
                continue  # "a" is no mention of the class A
            found.append(Found(value, start, end))
        elif question.stems[i : i + size] == cell.stems and len(value) > 2:
            found.append(Found(value, start, end, 0.9))
        elif size == 1 and _kin(question.lower[i], cell.lower[0]):
            found.append(Found(value, start, end, 0.7))
    return found


def _kin(a: str, b: str) -> bool:
    """Whether one word is the other with a short ending: north, northern; vegetarian, veg is too far."""
    short, long = sorted((a, b), key=len)
    return (
        len(short) >= 4
        and len(long) - len(short) <= 3
        and long.startswith(short)
        and short.isalpha()
        and long.isalpha()
    )


def partial(text: str, values: Sequence[str]) -> list[str]:
    """The values that share a telling word with `text`: `Anna Smith` for `Smith`. Only those that match best."""
    asked = Words.of(text)
    scored = []
    for value in values:
        cell = Words.of(value)
        shared = {w for w in set(asked.stems) & set(cell.stems) if len(w) > 2 or w.isdigit()}
        if shared:
            scored.append((len(shared) / len(set(asked.stems)), len(shared) / len(set(cell.stems)), value))
    if not scored:
        return []
    best = max(s[:2] for s in scored)
    return [value for a, b, value in scored if (a, b) == best]
