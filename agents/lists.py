"""The lists that an array parameter could take: in brackets or quotes, joined by commas and `and`, of named options."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..models.house.slots import Pointer, branch, words
from .mentions import Mention, numbers, quoted
from .options import SAID, several
from .plan import Json
from .spans import EDGES, Candidate, neat, ranked, spans

BRACKETED = 2.0
"""Log-probability that brackets around a list are worth."""

GROWN = 0.3
"""Log-probability that a list is worth more than the item of it that the model points at."""

ITEM = 0.2
"""Log-probability that a list is worth less than the likeliest of its items."""

_SPLIT = re.compile(r"[\"'\u2019\u201d`]?(?:,\s*(?:(?:and|or)\s+)?|\s+and\s+|;)\s*[\"'\u2018\u201c`]?")
_ROUND = re.compile(r"\(([^()]{1,500})\)")
_SQUARE = re.compile(r"\[([^\[\]]{1,500})\]")
_NESTED = re.compile(r"\[\s*(?:\[[^\[\]]{0,300}\]\s*,?\s*){1,50}\]")
_BETWEEN = re.compile(r"[\"'\u2019\u201d`]?\s*(?:,\s*(?:and\s+|or\s+)?|\s+and\s+|\s+or\s+|\s+)[\"'\u2018\u201c`]?")
_JOINT = re.compile(r",\s*(?:(?:and|or|&)\s+)?|\s+(?:and|or|&)\s+")
_JOINT_BEFORE = re.compile(r"(?:,\s*(?:(?:and|or|&)\s+)?|\s+(?:and|or|&)\s+)$")
_WORD = re.compile(r"\s*([^\s,;:.?!()\[\]]+)")
_WORD_BEFORE = re.compile(r"([^\s,;:?!()\[\]]+)\s*$")
_ENDS_LIST = frozenset(
    "in at of for from to with on by near given under over that which is are was were as about into without within "  # noqa: SIM905
    "using please and or buy get find show give me us i want need is it has have than when where who also including "
    "include like such between".split()
)
_ARTICLES = re.compile(r"^(?:also\s+)?(?:the|an?|some|its|their)\s+|^also\s+", re.I)
_RANGE = re.compile(r"\b(?:range|interval|limits?|bounds?)\b")
_UP_TO = re.compile(r"\s*(?:to|and|until|-|\u2013)\s*(?:\w\s*=\s*)?", re.I)
_LONGEST_ITEM = 4


def lists(name: str, schema: Mapping[str, Any], pointer: Pointer, text: str) -> list[Candidate]:
    """What stands in the text for an array parameter, with log-probabilities."""
    items = branch(schema).get("items")
    items = items if isinstance(items, Mapping) else {}
    kind = str(items.get("type") or "string")
    if isinstance(items.get("enum"), list):
        return _options(items["enum"], text)
    if kind == "array":
        return [replace(c, score=c.score + BRACKETED) for c in ranked(list(_nested(text)), pointer)]
    numeric = kind in ("integer", "number")
    brackets = [Mention(m.start(1), m.end(1), m[1]) for m in _SQUARE.finditer(text)]
    if numeric:
        brackets += [Mention(m.start(1), m.end(1), m[1]) for m in _ROUND.finditer(text) if "," in m[1]]
        inside = [(m.begin, m.end) for m in brackets]
        said = [m for m in numbers(text) if not any(b <= m.begin and m.end <= e for b, e in inside)]
        whole = [*_runs(said, text), *(_ranges(said, text) if _RANGE.search(words(name)) else ())]
        found: list[Candidate] = []
    else:
        whole = _runs(quoted(text), text)
        found = [c for one in spans(pointer, text) for c in _grown(one, pointer, text)]
    read = [replace(c, value=_items(text[c.begin : c.end], kind)) for c in found]
    runs = [_list(m, kind, 0.0, pointer, text, read) for m in whole]
    bracketed = [_list(m, kind, BRACKETED, pointer, text, read) for m in brackets]
    return sorted((c for c in (*read, *runs, *bracketed) if c.value), key=lambda c: -c.score)


def _list(
    place: Mention, kind: str, bonus: float, pointer: Pointer, text: str, others: Sequence[Candidate]
) -> Candidate:
    """A list that commas, quotes or brackets mark: as likely as the likeliest of its items, for which it stands."""
    within = [c.score + GROWN for c in others if place.begin <= c.begin and c.end <= place.end]
    value = _items(text[place.begin : place.end], kind)
    score = max([pointer.span(place.begin, place.end), *within])
    candidate = Candidate(value, score, place.begin, place.end, typed=kind in ("integer", "number"))
    scored = _by_items(candidate, pointer, text)
    return replace(scored, score=scored.score + bonus)


def _by_items(candidate: Candidate, pointer: Pointer, text: str) -> Candidate:
    """The list with the score of its likeliest item, if that is better: the model may point at one of them alone."""
    if len(candidate.value) < 2:
        return candidate
    begin, scores = candidate.begin, [candidate.score]
    for m in (*_SPLIT.finditer(text, candidate.begin, candidate.end), None):
        end = m.start() if m else candidate.end
        scores.append(pointer.span(begin, end) - ITEM)
        begin = m.end() if m else end
    return replace(candidate, score=max(scores))


def _options(options: Sequence[Any], text: str) -> list[Candidate]:
    """All the options that the text says, as one list."""
    found = several([str(o) for o in options if o is not None], text)
    if not found:
        return []
    said = {option for option, _, _ in found}
    _, begin, end = found[0]
    return [Candidate([o for o in options if str(o) in said], math.log(SAID), begin, end, typed=True)]


def _nested(text: str) -> Iterator[Mention]:
    """Lists of lists, as JSON writes them."""
    for m in _NESTED.finditer(text):
        try:
            yield Mention(*m.span(), json.loads(m[0].replace("'", '"')))
        except ValueError:
            continue


def _runs(mentions: Sequence[Mention], text: str) -> list[Mention]:
    """Neighbours with nothing but commas and `and` between them, as one; one alone stands for itself."""
    found: list[Mention] = []
    for m in sorted(mentions, key=lambda m: m.begin):
        if found and _BETWEEN.fullmatch(text[found[-1].end : m.begin]):
            found[-1] = Mention(found[-1].begin, m.end, None)
        else:
            found.append(m)
    return found


def _ranges(mentions: Sequence[Mention], text: str) -> Iterator[Mention]:
    """`from 3 to 8` as two numbers."""
    for one, other in itertools.pairwise(mentions):
        if _UP_TO.fullmatch(text[one.end : other.begin]):
            yield Mention(one.begin, other.end, None)


def _grown(candidate: Candidate, pointer: Pointer, text: str) -> Iterator[Candidate]:
    """What the model points at, and the whole list that it is an item of."""
    yield candidate
    begin, end = candidate.begin, candidate.end
    while joint := _JOINT.match(text, end):
        places = list(_item_ends(text, joint.end()))
        if not places:
            break
        end = max(places, key=lambda place: pointer.span(candidate.begin, place))
        if not _JOINT.match(text, places[-1]):
            break
        end = places[-1]
    while joint := _JOINT_BEFORE.search(text, max(0, begin - 8), begin):
        places = list(_item_begins(text, joint.start()))
        if not places:
            break
        begin = max(places, key=lambda place: pointer.span(place, end))
        if not _JOINT_BEFORE.search(text, max(0, places[-1] - 8), places[-1]):
            break
        begin = places[-1]
    if (begin, end) != (candidate.begin, candidate.end):
        begin, end = neat(text, begin, end)
        yield replace(candidate, score=candidate.score + GROWN, begin=begin, end=end)


def _item_ends(text: str, at: int) -> Iterator[int]:
    """Where an item that begins at `at` may end: after each of its first words."""
    for _ in range(_LONGEST_ITEM):
        word = _WORD.match(text, at)
        if not word or word[1].lower() in _ENDS_LIST:
            return
        at = word.end()
        yield at


def _item_begins(text: str, at: int) -> Iterator[int]:
    """Where an item that ends at `at` may begin: before each of its last words."""
    for _ in range(_LONGEST_ITEM):
        word = _WORD_BEFORE.search(text, max(0, at - 40), at)
        if not word or word[1].lower() in _ENDS_LIST:
            return
        at = word.start()
        yield at


def _items(text: str, kind: str) -> list[Json]:
    parts = [p.strip(EDGES + "[]()") for p in re.split(r",\s*(?:(?:and|or)\s+)?|\s+and\s+|;", text)]
    parts = [_ARTICLES.sub("", p) for p in parts if p]
    if kind in ("integer", "number"):
        return [m.value for part in (parts if "," in text else [text]) for m in numbers(part)]
    return list(parts)
