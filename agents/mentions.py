"""Typed things that a text mentions: numbers, dates, times, paths, quoted strings. Deterministic, without a model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Mention:
    """`value` stands at text[begin:end]."""

    begin: int
    end: int
    value: Any


_DIGITS = re.compile(
    r"(?<![\w.,:/-])(?P<sign>[-+−])?(?P<currency>[$€£¥])?(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"(?P<unit>\s?(?:thousand|million|billion|k|m|bn)\b)?(?:st|nd|rd|th)?(?![\w:/]|[.,-]\w)",
    re.I,
)
_UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SMALL = {word: n for n, word in enumerate(_UNITS)} | {word: 10 * (n + 2) for n, word in enumerate(_TENS)}
_LARGE = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "dozen": 12}
_SPECIAL = {"half": 0.5, "a half": 0.5, "double": 2, "twice": 2, "triple": 3, "thrice": 3, "quarter": 0.25, "a quarter": 0.25, "a third": 1 / 3, "a tenth": 0.1, "once": 1, "a couple of": 2, "a dozen": 12}  # fmt: skip
_WORD_NUMBER = "|".join([*_SMALL, *_LARGE])
_IN_WORDS = re.compile(
    rf"\b(?:an? (?=hundred|thousand|million|dozen))?(?:{_WORD_NUMBER})(?:(?:[ -]|\s+and\s+)(?:{_WORD_NUMBER}))*\b", re.I
)
_SCALE = {"k": 10**3, "thousand": 10**3, "m": 10**6, "million": 10**6, "bn": 10**9, "billion": 10**9}

_MONTH = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_DATE = re.compile(
    rf"\b\d{{4}}-\d{{1,2}}-\d{{1,2}}\b|\b\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH}(?:,? \d{{4}})?\b|\b{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?\b"
    rf"|\b\d{{1,2}}[/.]\d{{1,2}}[/.]\d{{2,4}}\b|\b(?:today|tomorrow|yesterday|the day after tomorrow)\b|\b(?:(?:next|last|this|on) )?{_WEEKDAY}\b",
    re.I,
)
_TIME = re.compile(
    r"\b([01]?\d|2[0-3])[:.h]([0-5]\d)(?::[0-5]\d)?\s?([ap])?\.?(?:m\b)?|\b(1[0-2]|0?[1-9])\s?([ap])\.?m\b|\b(noon|midday|midnight)\b",
    re.I,
)
_QUOTED = re.compile(r"\"([^\"]+)\"|(?<!\w)'([^']+(?:'\w[^']*)*)'(?!\w)|“([^”]+)”|‘([^’]+)’|`([^`]+)`")
_PATH = re.compile(r"(?<![\w@/:])(?:\.{0,2}/)?[\w*?-][\w.*?-]*(?:/[\w.*?-]+)*/?(?<!\.)(?<!-)")
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,7}$")
_FOLDER = re.compile(
    r"\b(?:the )?([\w./-]+(?: [\w-]+)?) (?:folder|directory|subfolder|repo(?:sitory)?)\b|\b(?:folder|directory|subfolder|repo(?:sitory)?)(?: called| named)? ([\w./-]+)",
    re.I,
)


def numbers(text: str) -> list[Mention]:
    """Numbers in digits and in words, with thousands, currency signs and scales: `$1,250.50`, `3 million`, `twenty-five`."""
    taken = [m.span() for pattern in (_DATE, _TIME) for m in pattern.finditer(text)]
    found = []
    for m in _DIGITS.finditer(text):
        if any(b <= m.start() and m.end() <= e and e - b > m.end() - m.start() for b, e in taken):
            continue
        value = float(m["number"].replace(",", ""))
        if m["unit"]:
            value *= _SCALE[m["unit"].strip().lower()]
        found.append(Mention(m.start("number"), m.end(), _whole(-value if m["sign"] in ("-", "−") else value)))
    digits = list(found)
    for m in _IN_WORDS.finditer(text):
        if not any(d.begin < m.end() and m.start() < d.end for d in digits):
            found.append(Mention(m.start(), m.end(), _in_words(m[0])))
    lowered = text.lower()
    for word, value in _SPECIAL.items():
        for m in re.finditer(rf"\b{word}\b", lowered):
            if not any(f.begin < m.end() and m.start() < f.end for f in found):
                found.append(Mention(m.start(), m.end(), value))
    return sorted(found, key=lambda f: f.begin)


def _whole(value: float) -> int | float:
    return int(value) if value == int(value) and abs(value) < 1e15 else value


def _in_words(text: str) -> int:
    total = current = 0
    for word in re.split(r"[\s-]+", text.lower()):
        if word in _SMALL:
            current += _SMALL[word]
        elif word in ("hundred", "dozen"):
            current = max(1, current) * _LARGE[word]
        elif word in _LARGE:
            total += max(1, current) * _LARGE[word]
            current = 0
    return total + current


def dates(text: str) -> list[Mention]:
    """Dates as ISO text, `YYYY-MM-DD`; relative ones from today."""
    found = []
    for m in _DATE.finditer(text):
        if value := _iso(m[0]):
            found.append(Mention(m.start(), m.end(), value))
    return found


def _iso(text: str) -> str | None:
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return text
    import dateparser

    settings: Any = {"PREFER_DATES_FROM": "future", "DATE_ORDER": "DMY"}
    parsed = dateparser.parse(re.sub(r"^(?:on|this) ", "", text, flags=re.I), languages=["en"], settings=settings)
    return parsed.date().isoformat() if parsed else None


def times(text: str) -> list[Mention]:
    """Times of day as `HH:MM`."""
    found = []
    for m in _TIME.finditer(text):
        hour, minute, half, hour12, half12, word = m.groups()
        if word:
            value = "00:00" if word.lower() == "midnight" else "12:00"
        else:
            h, ap = int(hour or hour12), (half or half12 or "").lower()
            if ap and h <= 12:
                h = h % 12 + (12 if ap == "p" else 0)
            value = f"{h:02d}:{minute or '00'}"
        found.append(Mention(m.start(), m.end(), value))
    return found


def quoted(text: str) -> list[Mention]:
    """What stands in quotation marks, without them."""
    found = []
    for m in _QUOTED.finditer(text):
        group = next(i for i in range(1, 6) if m[i] is not None)
        found.append(Mention(m.start(group), m.end(group), m[group]))
    return found


def paths(text: str, known: Sequence[str] = ()) -> list[Mention]:
    """File and folder names: with an ending or a slash, known ones, and `the X folder`."""
    names = {k.rstrip("/").lower(): k for k in known}
    found: dict[tuple[int, int], Mention] = {}
    for m in _PATH.finditer(text):
        word = m[0].rstrip(".")
        if not word or re.fullmatch(r"[\d.,/-]+", word):
            continue
        if _EXTENSION.search(word) or ("/" in word and len(word) > 1) or word.lower().rstrip("/") in names:
            found[m.start(), m.start() + len(word)] = Mention(
                m.start(), m.start() + len(word), names.get(word.lower(), word)
            )
    for m in _FOLDER.finditer(text):
        group = 1 if m[1] else 2
        words = m[group].split()
        for count in (len(words), 1):
            name = " ".join(words[-count:])
            begin = m.end(group) - len(name)
            if count == 1 or name.lower() in names:
                if name.lower() not in {
                    "the",
                    "a",
                    "this",
                    "current",
                    "which",
                    "what",
                    "my",
                    "that",
                    "new",
                    "same",
                    "git",
                }:
                    found[begin, begin + len(name)] = Mention(begin, begin + len(name), names.get(name.lower(), name))
                break
    return list(_outermost(sorted(found.values(), key=lambda f: (f.begin, -f.end))))


def _outermost(found: Sequence[Mention]) -> Iterator[Mention]:
    end = -1
    for mention in found:
        if mention.end > end:
            yield mention
            end = mention.end
