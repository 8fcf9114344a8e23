"""The values that a parameter could take: typed ones that the text mentions, options, spans, earlier results.

The slots model ranks them; what the words around them say is added.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..models.house.slots import Pointer, kind_of, words
from .cues import as_fraction, cue
from .mentions import Mention, dates, numbers, paths, quoted, times
from .plan import Json, Reference
from .readable import stem

IMPLAUSIBLE = math.log(0.002)
"""A candidate below this log-probability is no candidate."""

SAID = 0.97
"""Probability of an option whose very words stand in the instruction."""

_EDGES = " \t\n,;:.!?\"'\u201c\u201d\u2018\u2019`"
_SWITCHES = frozenset(
    "include includes including with is has have use uses show get return returns enable enabled add do want "  # noqa: SIM905
    "wants only should need needs required details detail info".split()
)
"""Words in the names of booleans that say nothing of what they switch."""

BRACKETED = 2.0
"""Log-probability that brackets around a list are worth."""

_NAME_GOES_ON = re.compile(r"(?: [A-Z][a-z]+)+")
_BRACKETS = re.compile(r"\[([^\[\]]{1,500})\]")
_BETWEEN = re.compile(r"[\"'\u2019\u201d`]?\s*(?:,\s*(?:and\s+|or\s+)?|\s+and\s+|\s+or\s+|\s+)[\"'\u2018\u201c`]?")
_EMPTY = frozenset(["the", "a", "an", "of", "in", "to", "for", "at", "on", "it", "its", "that", "this"])


@dataclass(frozen=True)
class Earlier:
    """A step before: what it was asked, and with what arguments its tool is called."""

    id: str
    instruction: str
    tool: str = ""
    arguments: Mapping[str, Json] = field(default_factory=dict)


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


def candidates(
    name: str, schema: Mapping[str, Any], pointer: Pointer, text: str, files: Sequence[str]
) -> list[Candidate]:
    """What stands in the text for a parameter, with log-probabilities; the likeliest first."""
    found = _found(name, schema, pointer, text, files)
    cues = [cue(name, text, c.begin, c.end) for c in found]
    cued = [replace(c, score=c.score + added, cued=added) for c, added in zip(found, cues, strict=True)]
    return sorted((c for c in cued if c.score > IMPLAUSIBLE), key=lambda c: -c.score)


def _found(name: str, schema: Mapping[str, Any], pointer: Pointer, text: str, files: Sequence[str]) -> list[Candidate]:
    kind, options = kind_of(schema)
    if options:
        return _options(name, schema, options, pointer, text)
    if kind in ("integer", "number"):
        return _ranked([m for m in map(_wanted_number(name, kind, schema, text), numbers(text)) if m], pointer)
    if kind == "file":
        return _ranked(paths(text, files), pointer) or [c for c in _spans(pointer, text) if " " not in str(c.value)]
    if kind == "array":
        return _arrays(schema, pointer, text)
    if kind == "object":
        return []
    wanted = _wanted(name, kind, str(schema.get("description") or ""))
    if wanted is not None and (typed := _ranked(wanted(text), pointer)):
        return typed
    inside = [Candidate(m.value, pointer.span(m.begin, m.end) + 0.5, m.begin, m.end) for m in quoted(text)]
    kind_nouns = {*words(name).split(), *words(str(schema.get("description") or "")).split()}
    spans = [_without_noun(c, kind_nouns) for c in _spans(pointer, text)]
    return sorted([*inside, *spans], key=lambda c: -c.score)


def _wanted_number(name: str, kind: str, schema: Mapping[str, Any], text: str) -> Callable[[Mention], Mention | None]:
    """Makes of a number what the parameter wants of it, or nothing of one that it cannot take."""

    def wanted(m: Mention) -> Mention | None:
        if kind == "number":
            return replace(m, value=m.value / 100) if as_fraction(name, schema, text, m.end) else m
        return replace(m, value=int(m.value)) if m.value == int(m.value) else None

    return wanted


def _arrays(schema: Mapping[str, Any], pointer: Pointer, text: str) -> list[Candidate]:
    """Lists in brackets and runs of items joined by commas and `and`; of texts also what the model points at."""
    item = _item(schema)
    numeric = item in ("integer", "number")
    brackets = [Mention(m.start(1), m.end(1), m[1]) for m in _BRACKETS.finditer(text)]
    runs = _runs(numbers(text) if numeric else quoted(text), text)
    spans = [] if numeric else [Mention(c.begin, c.end, c.value) for c in _spans(pointer, text)]
    listed = [replace(m, value=_items(text[m.begin : m.end], item)) for m in (*brackets, *runs, *spans)]
    found = _ranked([m for m in listed if m.value], pointer, typed=numeric)
    bracketed = {(m.begin, m.end) for m in brackets}
    return [replace(c, score=c.score + BRACKETED) if (c.begin, c.end) in bracketed else c for c in found]


def _runs(mentions: Sequence[Mention], text: str) -> list[Mention]:
    """Neighbours with nothing but commas and `and` between them, as one; one alone stands for itself."""
    found: list[Mention] = []
    for m in sorted(mentions, key=lambda m: m.begin):
        if found and _BETWEEN.fullmatch(text[found[-1].end : m.begin]):
            found[-1] = Mention(found[-1].begin, m.end, None)
        else:
            found.append(m)
    return found


def _ranked(mentions: Sequence[Mention], pointer: Pointer, typed: bool = True) -> list[Candidate]:
    return sorted(
        (Candidate(m.value, pointer.span(m.begin, m.end), m.begin, m.end, typed) for m in mentions),
        key=lambda c: -c.score,
    )


def _wanted(name: str, kind: str, description: str) -> Callable[[str], list[Mention]] | None:
    """The mentions that a text parameter takes when its name, format or description asks for a date or time."""
    if kind == "date" or re.search(r"YYYY-MM-DD|\bISO (?:8601 )?date\b", description, re.I):
        return dates
    if kind == "time" or re.search(r"\bHH:MM\b", description):
        return times
    return None


def _options(
    name: str, schema: Mapping[str, Any], options: Sequence[str], pointer: Pointer, text: str
) -> list[Candidate]:
    """Each option with the model's score; one that stands in the text, with the characters it stands at."""
    values: list[Any] = list(schema.get("enum") or _branch(schema).get("enum") or (True, False))
    values = [v for v in values if v is not None]
    found = []
    for option, value, score in zip(options, values, pointer.options, strict=False):
        place = _switched(name, value, text) if isinstance(value, bool) else _said(option, text)
        if place:
            sure = -9.0 if _ambiguous(option) else math.log(SAID)
            score = max(score, pointer.span(*place.span()), sure)
            found.append(Candidate(value, score, *place.span()))
        else:
            found.append(Candidate(value, score))
    return sorted(found, key=lambda c: -c.score)


def _said(option: str, text: str) -> re.Match[str] | None:
    """Where an option stands in the text: itself, its words, or the English name of a currency's code."""
    for spelling in dict.fromkeys([option, words(option), *_currency(option)]):
        if spelling and (place := re.search(rf"(?<!\w){re.escape(spelling)}s?(?!\w)", text, re.I)):
            return place
    return None


def _currency(code: str) -> list[str]:
    """`USD` -> US Dollar, dollar."""
    if not re.fullmatch(r"[A-Z]{3}", code):
        return []
    from babel.numbers import get_currency_name, is_currency

    if not is_currency(code):
        return []
    name = get_currency_name(code, locale="en")
    return [name, name.split()[-1]]


def _switched(name: str, value: bool, text: str) -> re.Match[str] | None:
    """Where the text says what a boolean is about, and whether it says it to have it or to be without it."""
    wanted = [stem(w) for w in words(name).split() if w not in _SWITCHES]
    places = [m for m in re.finditer(r"[^\W\d_]+", text) if stem(m[0].lower()) in wanted]
    if not wanted or len({stem(m[0].lower()) for m in places}) < len(set(wanted)):
        return None
    place = places[0]
    without = re.search(
        r"\b(?:no|not|without|never|exclud\w+|skip\w*|don't|do not)\s+(?:\w+\s+)?$", text[: place.start()], re.I
    )
    return place if (without is None) == value else None


def _ambiguous(option: str) -> bool:
    return len(option) < 3 or option.lower() in _EMPTY


def _branch(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    for key in ("anyOf", "oneOf"):
        for choice in schema.get(key) or ():
            if isinstance(choice, Mapping) and choice.get("type") != "null":
                return choice
    return schema


def _spans(pointer: Pointer, text: str, most: int = 8, longest: int = 40) -> list[Candidate]:
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
            begin, end = _neat(text, pointer.spans[i][0], pointer.spans[j][1])
            if (
                end > begin
                and text[begin:end].lower() not in _EMPTY
                and score > found.get((begin, end), Candidate("", -99.0)).score
            ):
                found[begin, end] = Candidate(text[begin:end], score, begin, end)
    return sorted(found.values(), key=lambda c: -c.score)[:most]


def _without_noun(candidate: Candidate, nouns: set[str]) -> Candidate:
    """`bin A3` for a bin is `A3`: the noun for what the parameter holds goes, where a name or number follows it."""
    found = re.match(r"((?:the )?([a-z]+) )[A-Z0-9]", str(candidate.value))
    if not found or found[2] not in nouns:
        return candidate
    return replace(candidate, value=candidate.value[len(found[1]) :], begin=candidate.begin + len(found[1]))


def _neat(text: str, begin: int, end: int) -> tuple[int, int]:
    """A span grown to whole words, without the quotes and punctuation around it."""
    while begin > 0 and text[begin].isalnum() and text[begin - 1].isalnum():
        begin -= 1
    while end < len(text) and text[end - 1].isalnum() and text[end].isalnum():
        end += 1
    if text[begin : begin + 1].isupper() and (more := _NAME_GOES_ON.match(text, end)):
        end = more.end()
    while begin < end and text[begin] in _EDGES:
        begin += 1
    while end > begin and text[end - 1] in _EDGES:
        end -= 1
    return _balanced(text, begin, end)


def _balanced(text: str, begin: int, end: int) -> tuple[int, int]:
    """A span that closes a bracket it does not open, or the other way round, grown to the bracket's other half."""
    for left, right in ("()", "[]", "{}"):
        inside = text[begin:end]
        if inside.count(right) > inside.count(left) and (at := text.rfind(left, 0, begin)) >= 0:
            begin = at
        elif inside.count(left) > inside.count(right) and (at := text.find(right, end)) >= 0:
            end = at + 1
    return begin, end


def _item(schema: Mapping[str, Any]) -> str:
    items = _branch(schema).get("items")
    return str(items.get("type") or "string") if isinstance(items, Mapping) else "string"


def _items(text: str, item: str) -> list[Json]:
    parts = [p.strip(_EDGES + "[]()") for p in re.split(r",\s*(?:and\s+)?|\s+and\s+|;", text)]
    parts = [p for p in parts if p]
    if item in ("integer", "number"):
        return [m.value for part in parts for m in numbers(part)[:1]]
    return list(parts)


def references(name: str, schema: Mapping[str, Any], pointer: Pointer, earlier: Sequence[Earlier]) -> list[Candidate]:
    """The results of earlier steps; for a path, the path that the earlier step works on."""
    found = []
    for step, score in zip(earlier, pointer.earlier, strict=False):
        value: Json = Reference(**{"from": step.id})
        if schema.get("format") == "path":
            worked_on = [
                v
                for k, v in step.arguments.items()
                if isinstance(v, str) and k in ("path", "destination", "source", "database")
            ]
            if not worked_on:
                continue
            value = (
                step.arguments["destination"] if "destination" in step.arguments and name != "source" else worked_on[0]
            )
        found.append(Candidate(value, score))
    return found
