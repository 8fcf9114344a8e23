"""Pieces of an instruction that may be values, with the log-probabilities that the slots model gives them."""

from __future__ import annotations

import functools
import math
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from ..models.house.slots import Pointer
from .mentions import Mention
from .plan import Json

IMPLAUSIBLE = math.log(0.002)
"""A candidate below this log-probability is no candidate."""

MEANT = 0.5
"""Probability of a value whose parameter alone makes sense of the words that mean it: `monthly` as 12 times a year."""

EDGES = " \t\n,;:.!?\"'\u201c\u201d\u2018\u2019`"
_ONE_WORD = re.compile(r"[^\W_]++(?:[.@_/&-][^\W_]++)*+")
"""Letters and digits, or several of them joined: `example.com`, `gluten-free`."""
_NAME_GOES_ON = re.compile(r"(?: [A-Z][a-z]+){1,20}")
EMPTY = frozenset(["the", "a", "an", "of", "in", "to", "for", "at", "on", "it", "its", "that", "this"])
"""Words that are no value alone."""


@dataclass(frozen=True)
class Candidate:
    """A value that a parameter could take. `begin` and `end` are the characters it uses up; both 0 if none."""

    value: Json
    score: float
    begin: int = 0
    end: int = 0
    typed: bool = False
    """Found by its type, not by the model alone."""

    cued: float = 0.0
    """What the words around it added to its score."""


def overlap(one: Candidate, other: Candidate) -> bool:
    """Whether two candidates use the same characters."""
    return bool(one.end and other.end) and one.begin < other.end and other.begin < one.end


def ranked(mentions: Sequence[Mention], pointer: Pointer, typed: bool = True) -> list[Candidate]:
    return sorted(
        (Candidate(m.value, _worth(m, pointer), m.begin, m.end, typed) for m in mentions),
        key=lambda c: -c.score,
    )


def _worth(mention: Mention, pointer: Pointer) -> float:
    score = pointer.span(mention.begin, mention.end)
    return max(score, math.log(MEANT)) if mention.meant else score


def spans(pointer: Pointer, text: str, most: int = 8, longest: int = 40) -> list[Candidate]:
    """The best spans, grown to whole words and trimmed of quotes and stops."""
    if not pointer.spans:
        return []
    starts = sorted(range(len(pointer.start)), key=lambda i: -float(pointer.start[i]))[:most]
    found: dict[tuple[int, int], Candidate] = {}
    for i in starts:
        for j in range(i, min(i + longest, len(pointer.spans))):
            score = float(pointer.start[i] + pointer.end[j]) / 2
            if score < IMPLAUSIBLE:
                continue
            begin, end = neat(text, pointer.spans[i][0], pointer.spans[j][1])
            if (
                end > begin
                and text[begin:end].lower() not in EMPTY
                and score > found.get((begin, end), Candidate("", -99.0)).score
            ):
                found[begin, end] = Candidate(text[begin:end], score, begin, end)
    return sorted(found.values(), key=lambda c: -c.score)[:most]


def neat(text: str, begin: int, end: int) -> tuple[int, int]:
    """A span grown to whole words, without the quotes and punctuation around it."""
    begin, end = _one_word(text, begin)[0], _one_word(text, end)[1]
    if text[begin : begin + 1].isupper() and (more := _NAME_GOES_ON.match(text, end)):
        end = more.end()
    while begin < end and text[begin] in EDGES:
        begin += 1
    while end > begin and text[end - 1] in EDGES:
        end -= 1
    return _balanced(text, begin, end)


def _one_word(text: str, at: int) -> tuple[int, int]:
    """The word that text[at - 1] and text[at] are both in; nothing at `at` where a word begins or ends."""
    words = _words(text)
    begin, end = words[max(0, bisect_right(words, (at, -1)) - 1)] if words else (at, at)
    return (begin, end) if begin < at < end else (at, at)


@functools.lru_cache(maxsize=8)
def _words(text: str) -> tuple[tuple[int, int], ...]:
    """Found once for all the spans of a text: a text may be one word of tens of thousands of characters."""
    return tuple(m.span() for m in _ONE_WORD.finditer(text))


def _balanced(text: str, begin: int, end: int) -> tuple[int, int]:
    """A span that closes a bracket it does not open, or the other way round, grown to the bracket's other half."""
    for left, right in ("()", "[]", "{}"):
        inside = text[begin:end]
        if inside.count(right) > inside.count(left) and (at := text.rfind(left, 0, begin)) >= 0:
            begin = at
        elif inside.count(left) > inside.count(right) and (at := text.find(right, end)) >= 0:
            end = at + 1
    return begin, end
