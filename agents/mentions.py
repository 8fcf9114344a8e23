"""Typed things that a text mentions: numbers, dates, times, paths, quoted strings. Deterministic, without a model.

Every pattern takes time in proportion to the text: a text may be tens of thousands of characters of anything.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any


@dataclass(frozen=True)
class Mention:
    """`value` stands at text[begin:end]."""

    begin: int
    end: int
    value: Any
    meant: bool = False
    """Not the value itself but words that mean it stand there: `monthly` for 12."""


_UNITS = (
    r"[kcmµun]?m[²³23]?|[kmµ]?g|[mcd]?l|ft|feet|in|mi|yd|lbs?|oz|sq|[kmgt]b|h|hrs?|mins?|[mµn]?s|yrs?|px|x|mph|k?cal|mol|rpm|atm|bar"
    r"|(?-i:[kMG]?Hz|[kMm]?[JNVW](?:/\w+)?|[kM]?Wh|[kM]?Pa|[mµunp]F|[mµ]H|m?A[h]?|[kM]?Ω|[CFK]|eV)"
)
"""What may follow the digits of a number without a blank."""
_UNIT_WORDS = (
    "years?|months?|weeks?|days?|hours?|minutes?|seconds?|nights?|miles?|met(?:er|re)s?|foot|feet|inch|pounds?|grams?|points?|stars?"
    "|bed(?:room)?s?|persons?|people|pages?|letters?|digits?|degrees?|volts?|watts?"
)
"""What a number may be joined to by a hyphen: `a 7-year-old`, `an 8-hour day`."""
_DIGITS = re.compile(
    r"(?<![\w.,:/^-])(?P<sign>[-+\u2212])?(?P<currency>[$€£¥])?(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:e[-+]?\d+)?|\.\d+)"
    r"(?P<scale>\s?(?:thousand|million|billion|bn)\b|(?-i:k)\b|(?-i:M)\b|(?(currency)[mk]\b|(?!)))?(?:st|nd|rd|th)?"
    rf"(?:(?=(?:{_UNITS})(?!\w)|-(?:{_UNIT_WORDS})\b)|(?![\w:/]|[.,-]\w))",
    re.I,
)
_SCALE = {"k": 10**3, "thousand": 10**3, "m": 10**6, "million": 10**6, "bn": 10**9, "billion": 10**9}

_ONES = "one two three four five six seven eight nine".split()  # noqa: SIM905
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()  # noqa: SIM905
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905
_SMALL = {word: n for n, word in enumerate(["zero", *_ONES, *_TEENS])} | {w: 10 * n for n, w in enumerate(_TENS, 2)}
_LARGE = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9}
_TO_99 = rf"(?:(?:{'|'.join(_TENS)})(?:[\s-](?:{'|'.join(_ONES)}))?|{'|'.join([*_TEENS, *_ONES])}|zero)"
_TO_999 = rf"(?:(?:{_TO_99}|an?)\shundred(?:(?:\sand)?\s{_TO_99})?|{_TO_99})"
_GROUP = rf"(?:{_TO_999}|an?)\s(?:thousand|million|billion)"
_IN_WORDS = re.compile(
    rf"\b(?:{_GROUP}(?:,?\s(?:and\s)?{_GROUP})*(?:,?\s(?:and\s)?{_TO_999})?"
    rf"|(?:{_TO_99}\s|an?\s)?dozen|{_TO_999}|hundred|thousand|million|billion)\b",
    re.I,
)
_SPECIAL = {
    "half a dozen": 6,
    "a couple of": 2,
    "a quarter": 0.25,
    "quarter": 0.25,
    "a third": 1 / 3,
    "a tenth": 0.1,
    "a half": 0.5,
    "half": 0.5,
    "double": 2,
    "twice": 2,
    "once": 1,
    "triple": 3,
    "thrice": 3,
}
_SPECIALS = re.compile(rf"\b(?:{'|'.join(_SPECIAL)})\b", re.I)

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?"
    r"|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_NTH = r"\d{1,2}(?:st|nd|rd|th)?"
_DATE = re.compile(
    rf"(?<![\w./-])(?:\d{{4}}-\d{{1,2}}-\d{{1,2}}|\d{{4}}/\d{{1,2}}/\d{{1,2}}|\d{{1,2}}[/.]\d{{1,2}}[/.]\d{{2,4}}"
    rf"|{_NTH}(?: of)? {_MONTH}(?:\.?,? ?\d{{4}})?|(?:\d{{4}} )?{_MONTH}\.? ?{_NTH}(?:,? ?\d{{4}})?"
    r"|(?:the day after )?tomorrow|today|yesterday|(?:(?:next|last|this) )?(?:mon|tues|wednes|thurs|fri|satur|sun)day)"
    r"(?!(?!T\d)\w|[./:-]\d)",
    re.I,
)
_YEAR = re.compile(r"\d{4}")
_TIME = re.compile(
    r"(?:(?<=\dT)|(?<![\w.:])(?<![a-z]-))(?:([01]?\d|2[0-3])[:.h]([0-5]\d)(?::[0-5]\d)?(?:\s?([ap])\.?m\b)?(?![.:]?\w)"
    r"|(1[0-2]|0?[1-9])\s?([ap])\.?m\b|(noon|midday|midnight)\b)",
    re.I,
)
_QUOTED = re.compile(
    r"\"([^\"]+)\"|(?<!\w)'([^'\s](?:[^']|(?<=\w)'(?=\w))*)'(?!\w)|“([^“”]+)”|‘([^‘’]+)’|`([^`]+)`"  # noqa: RUF001
)
_WEB = re.compile(r"\b\w++://\S+|(?<![\w.+-])[\w.+-]++@[\w-]+\.[\w.-]+")
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]+(?:\.[\w-]+)+")
MOST_DATES = 200
"""Dates that are read of one text."""

_BETWEEN = re.compile(r"[T\s,]*(?:at|on|from|by)?\s*", re.I)
"""What stands between a date and a time that go together."""
_WORD = re.compile(r"(?<![\w@.~*?/-])[\w.~*?/-]++")
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,7}$")
_ABBREVIATION = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]")
_NO_PATHS = frozenset(["and/or", "he/she", "n/a", "km/h", "m/s"])
_FOLDER = re.compile(r"\b(?:sub)?(?:folder|directory|repo(?:sitory)?)\b", re.I)
_BEFORE = re.compile(
    r"(?<![\w./-])(?:(the|my|our|your|this|that|an?|in|into|to|from|of|inside|under|within) )?([\w./-]+) $", re.I
)
_BEFORE_TWO = re.compile(r"(?<![\w./-])([\w./-]+ [\w-]+) $")
_AFTER = re.compile(
    r"\s+(?:(?P<called>called|named)\s+)?"
    r"(?:[\"'“‘`](?P<quoted>[^\"'“”‘’`\n]{1,80})[\"'”’`]|(?P<one>[\w./~-]*[\w/]))",  # noqa: RUF001
    re.I,
)
_DETERMINERS = frozenset("the a an this that these those my our your its which what each every any".split())  # noqa: SIM905
_NO_NAMES = _DETERMINERS | frozenset(
    "it same new other another current whole entire git root parent working home local in on into to from of inside"  # noqa: SIM905
    " under within at for with and or then is are has have contains holds where there as so if by up".split()
)


def numbers(text: str) -> list[Mention]:
    """Numbers in digits and words, with thousands, currency signs and scales: `$1,250.50`, `3 million`, `twenty-five`.

    Digits in names (`L-204`), dates, times and what is too large for a float are none; `10.30` may be both a number
    and a time.
    """
    return list(_numbers(text))


@functools.lru_cache(maxsize=8)
def _numbers(text: str) -> tuple[Mention, ...]:
    """Kept for a moment: each parameter of each tool that is read for a text asks for them."""
    taken = bytearray(len(text))
    found = []

    def take(begin: int, end: int) -> bool:
        if any(taken[begin:end]):
            return False
        taken[begin:end] = b"\1" * (end - begin)
        return True

    for m in (*_DATE.finditer(text), *_TIME.finditer(text)):
        if not re.fullmatch(r"\d+\.\d+", m[0]):
            take(*m.span())
    for m in _DIGITS.finditer(text):
        value = float(m["number"].replace(",", "")) * (_SCALE[m["scale"].strip().lower()] if m["scale"] else 1)
        if math.isfinite(value) and take(m.start("number"), m.end()):
            begin = m.start("sign") if m["sign"] else m.start("number")
            found.append(Mention(begin, m.end(), _whole(-value if m["sign"] in ("-", "\u2212") else value)))
    for pattern, read in ((_SPECIALS, _special), (_IN_WORDS, _in_words)):
        found += [Mention(*m.span(), read(m[0])) for m in pattern.finditer(text) if take(*m.span())]
    return tuple(sorted(found, key=lambda f: f.begin))


def _whole(value: float) -> int | float:
    return int(value) if abs(value) < 1e15 and value == int(value) else value


def _special(words: str) -> float:
    return _SPECIAL[words.lower()]


def _in_words(words: str) -> int:
    total = current = 0
    for word in re.findall(r"[a-z]+", words.lower()):
        if word in _SMALL:
            current += _SMALL[word]
        elif word in ("hundred", "dozen"):
            current = max(1, current) * _LARGE[word]
        elif word in _LARGE:
            total += max(1, current) * _LARGE[word]
            current = 0
    return total + current


def dates(text: str) -> list[Mention]:
    """Dates as ISO text, `YYYY-MM-DD`. `next Friday` and `3 May` count from today; `3/5/2026` is the third of May.

    A day and month without a year have the year of the date before them: `from 3 May 2025 to 8 June`. Of very many the
    first are read, for each takes milliseconds.
    """
    found: list[Mention] = []
    for m in itertools.islice(_DATE.finditer(text), MOST_DATES):
        year = found[-1].value[:4] if found and re.search(_MONTH, m[0], re.I) and not _YEAR.search(m[0]) else ""
        said = f"{m[0]} {year}".strip()
        if (value := _iso(said, date.today())) is not None:
            found.append(Mention(*m.span(), value))
    return found


@functools.lru_cache(maxsize=1024)
def _iso(text: str, today: date) -> str | None:
    if m := re.fullmatch(r"(\d{4})[-/](\d+)[-/](\d+)", text):
        try:
            return date(*map(int, m.groups())).isoformat()
        except ValueError:
            return None
    import dateparser

    settings: Any = {"PREFER_DATES_FROM": "future", "DATE_ORDER": "DMY"}
    parsed = dateparser.parse(re.sub(r"^this ", "", text, flags=re.I), languages=["en"], settings=settings)
    return parsed.date().isoformat() if parsed else None


def times(text: str) -> list[Mention]:
    """Times of day as `HH:MM`, of 24 hours; seconds are dropped."""
    found = []
    for m in _TIME.finditer(text):
        hour, minute, half, hour12, half12, word = m.groups()
        if word:
            value = "00:00" if word.lower() == "midnight" else "12:00"
        else:
            h, of = int(hour or hour12), (half or half12 or "").lower()
            if of and h <= 12:
                h = h % 12 + (12 if of == "p" else 0)
            value = f"{h:02d}:{minute or '00'}"
        found.append(Mention(*m.span(), value))
    return found


def datetimes(text: str) -> list[Mention]:
    """A date and the time of day beside it, as ISO text without a zone: `2027-03-14T20:00:00`."""
    found, at = [], times(text)
    for day in dates(text):
        near = (t for t in at if _BETWEEN.fullmatch(text, min(day.end, t.end), max(day.begin, t.begin)))
        if (time := next(near, None)) is not None:
            begin, end = min(day.begin, time.begin), max(day.end, time.end)
            found.append(Mention(begin, end, f"{day.value}T{time.value}:00"))
    return found


def mails(text: str) -> list[Mention]:
    """Mail addresses."""
    return [Mention(*m.span(), m[0]) for m in _MAIL.finditer(text)]


def quoted(text: str) -> list[Mention]:
    """What stands in quotation marks, without them."""
    return [Mention(*m.span(m.lastindex or 0), m[m.lastindex or 0]) for m in _QUOTED.finditer(text)]


def paths(text: str, known: Sequence[str] = ()) -> list[Mention]:
    """File and folder names: with an ending or a slash, `the X folder`, and `known` ones, spelled as they are there."""
    names = {k.rstrip("/").lower(): k for k in known}
    spans = [*_words(text, names), *_folders(text, names), *_spaced(text, names)]
    found = [Mention(b, e, names.get(text[b:e].rstrip("/").lower(), text[b:e])) for b, e in spans]
    return list(_outermost(sorted(found, key=lambda f: (f.begin, -f.end))))


def _words(text: str, names: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """Words that look like a path or are known as one; web and mail addresses are none."""
    hidden = _WEB.sub(lambda m: " " * len(m[0]), text)
    for m in _WORD.finditer(hidden):
        word = m[0].rstrip(".?")
        if word.lower().rstrip("/") not in names:
            if not re.search(r"[^\W\d_]|\*", word) or word.lower() in _NO_PATHS or _ABBREVIATION.fullmatch(word):
                continue
            if "/" not in word and not _EXTENSION.search(word):
                continue
        yield m.start(), m.start() + len(word)


def _spaced(text: str, names: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """Paths with blanks: known ones, and in quotation marks those with an ending."""
    for m in quoted(text):
        if " " in m.value and len(m.value) < 120 and not _WEB.search(m.value) and _EXTENSION.search(m.value):
            yield m.begin, m.end
    for name in (n for n in names if " " in n):
        for place in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.I):
            yield place.span()


def _folders(text: str, names: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """What folders are called: `the archive folder`, `a folder called archive`, `in folder archive`."""
    for m in _FOLDER.finditer(text):
        since = max(0, m.start() - 80)
        one, two = (p.search(text[since : m.start()]) for p in (_BEFORE, _BEFORE_TWO))
        after = _AFTER.match(text, m.end())
        left = _shifted(one.span(2), since) if one else None
        right = after.span(after.lastgroup or 0) if after else None
        choices = [right] if after and (after["called"] or after["quoted"]) else []
        for span in (_shifted(two.span(1), since) if two else None, left, right):
            if span and text[slice(*span)].rstrip("/").lower() in names:
                choices.append(span)
        if one and one[1]:
            choices.append(left)
        if not one or one[2].lower() not in _DETERMINERS:
            choices.append(right)
        for span in (*choices, left):
            if span and text[slice(*span)].lower() not in _NO_NAMES:
                yield span
                break


def _shifted(span: tuple[int, int], by: int) -> tuple[int, int]:
    return span[0] + by, span[1] + by


def _outermost(found: Sequence[Mention]) -> Iterator[Mention]:
    end = 0
    for mention in found:
        if mention.begin >= end:
            yield mention
            end = mention.end
