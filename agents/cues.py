"""What the words around a value say about the parameter it is for: its name beside it, `from`, `to`, a percent sign."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..models.house.slots import words
from .readable import stem

BESIDE = 2.0
"""Log-probability that a parameter's name beside a value is worth."""

DIRECTION = 2.0
"""Log-probability that a `from` or `to` before a value is worth."""

MOST = BESIDE + DIRECTION + BESIDE / 2
"""Log-probability that all the words around a value are worth together."""

RUN_ON = 1.0
"""Log-probability that a value loses with each word in it that begins something else: `Oslo with stops at Bergen`."""

COMPOUND = 2.0
"""Log-probability that a number loses as a part of a word: `a two-sample test`."""

NEAR = 60
"""Characters before a value that are looked at: more would make a long request of many numbers take its square."""

_FROM = re.compile(r"\b(?:from|out of|since)\s+(?:the\s+)?(?:\w+\s+)?$|\d\s+(?:(?:am|pm|o'clock)\s+)?(?:in\s+)?$", re.I)
"""What is given with a number is what is converted: `how many pounds are 12 kilograms`, `when it is 9:00 in Paris`."""
_TO = re.compile(r"\b(?:to|into|onto|until|till)\s+(?:the\s+)?(?:\w+\s+)?$", re.I)
_FROM_NAME = re.compile(r"\b(?:from|source|start|origin|begin|old)\b")
_TO_NAME = re.compile(r"\b(?:to|target|end|destination|new|until)\b")
_LETTERS = re.compile(r"[^\W\d_]+")
_BREAK = re.compile(r"[^\w'\u2019 \t=:-]")
_WORDS_BEFORE = 4
"""Words before a value among which its parameter's name is looked for, in the same part of the sentence."""
_AFTER = re.compile(r"[ \t]*(?:[\w'’-]+[ \t]*){0,2}")
_BEGINS_ELSE = re.compile(r"(?<=\s)(?:with|which|that|who|where|when|while|using|including|so)(?=\s)")
_IN_WORD = re.compile(r"-(?:sample|way|tail|tailed|sided|dimensional|factor|level|step|stage|party|bit|d)\b", re.I)
_ENDS_ORDER = {"start": 0, "from": 0, "begin": 0, "min": 0, "lower": 0, "first": 0, "initial": 0} | {
    "end": 1,
    "to": 1,
    "stop": 1,
    "max": 1,
    "upper": 1,
    "second": 1,
    "final": 1,
}
_ENDS = re.compile(rf"\b(?:{'|'.join(_ENDS_ORDER)})\b")
_MONEY = re.compile(
    r"\b(?:price|cost|amount|revenue|budget|salary|investment|principal|deposit|loan|income|fee|balance)"
)
_EMPTY = frozenset(["id", "name", "value", "number", "num", "of", "the", "a", "an", "list", "type", "string", "input"])
_PERCENT = re.compile(r"\s?(?:%|per ?cent\b)")
_FRACTION = re.compile(
    r"\b(?:rate|ratio|fraction|probability|decimal|yield|growth|return|alpha|significance|share)\b", re.I
)

_DECIMAL = re.compile(
    r"\bas (?:a )?(?:decimal|fraction)\b|\bdecimal (?:form|format)\b|% (?:is|=|as|means) 0?\.\d", re.I
)


def cue(name: str, text: str, begin: int, end: int) -> float:
    """What the words around text[begin:end] add to its log-probability as the value of the parameter `name`."""
    if not end:
        return 0.0
    run_on = RUN_ON * len(_BEGINS_ELSE.findall(text[begin:end]))
    in_word = COMPOUND * bool(_IN_WORD.match(text, end))
    return (
        _beside(name, text, begin, end)
        + _direction(name, text[max(0, begin - NEAR) : begin])
        + _kind(name, text, begin, end)
        - run_on
        - in_word
    )


def _beside(name: str, text: str, begin: int, end: int) -> float:
    """Whether the name's words stand just before the value, or just after it as what is counted: `100 trees`."""
    wanted = [stem(w) for w in words(name).split() if w not in _EMPTY and not w.isdigit() and len(w) > 1]
    if not wanted:
        return 0.0
    before = _LETTERS.findall(_BREAK.split(text[max(0, begin - NEAR) : begin])[-1])[-_WORDS_BEFORE:]
    after = _AFTER.match(text, end, end + 40)
    said = {stem(w.lower()) for w in (*before, *(_LETTERS.findall(after[0]) if after else ()))}
    found = sum(w in said for w in wanted)
    return BESIDE * (found / len(wanted) if wanted[-1] in said else 0.4 * found / len(wanted))


def _kind(name: str, text: str, begin: int, end: int) -> float:
    """Sums of money go to prices and their like, `1999` and `2024` to years."""
    value, said = text[begin:end], words(name)
    if text[max(0, begin - 1) : begin] in ("$", "€", "£", "¥") or value[:1] in ("$", "€", "£", "¥"):
        return BESIDE / 2 if _MONEY.search(said) else -BESIDE / 2
    if re.fullmatch(r"(?:19|20)\d\d", value):
        return BESIDE / 2 if re.search(r"\b(?:year|date|season)", said) else -BESIDE / 2
    return 0.0


def _direction(name: str, before: str) -> float:
    leaves, arrives = bool(_FROM.search(before)), bool(_TO.search(before))
    said = words(name)
    if leaves == arrives or bool(_FROM_NAME.search(said)) == bool(_TO_NAME.search(said)):
        return 0.0
    return DIRECTION if bool(_FROM_NAME.search(said)) == leaves else -DIRECTION


def siblings(names: Sequence[str]) -> list[list[str]]:
    """Names that differ in a number, a letter or in start and end alone, in their order: `num1, num2`; `a, b, c`."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in names:
        said = words(name)
        if found := _ENDS.search(said):
            groups.setdefault(said.replace(found[0], "*", 1), []).append((str(_ENDS_ORDER[found[0]]), name))
        elif found := re.search(r"\d+|(?<![a-z])[a-z](?![a-z])", said):
            groups.setdefault(said.replace(found[0], "#", 1), []).append((found[0].zfill(4), name))
    return [[name for _, name in sorted(group)] for group in groups.values() if len(group) > 1]


def as_fraction(name: str, schema: Mapping[str, Any], text: str, end: int) -> bool:
    """Whether a number before a percent sign is wanted as a fraction: 8% as 0.08, for a rate and its like."""
    if not _PERCENT.match(text, end):
        return False
    said = f"{words(name)} {schema.get('description') or ''}"
    if _DECIMAL.search(said):
        return True
    return bool(_FRACTION.search(said)) and not re.search(r"\bper ?cent(?:age)?\b|%", said, re.I)
