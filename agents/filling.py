"""From what the slots model reads to the arguments of a call: a pure function of schema, instruction and scores.

Each parameter has typed candidates (numbers for numbers, paths for paths, options for enums, spans for text); the
model ranks them. Pairs of parameter and candidate are taken greedily, the best first, each piece of the instruction
used once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..models.house.slots import Pointer, Reading, kind_of, words
from ..tools import Tool
from .mentions import Mention, dates, numbers, paths, quoted, times
from .plan import Each, Json, Reference

IMPLAUSIBLE = math.log(0.002)
"""A candidate below this log-probability is no candidate."""

CUE = 1.5
"""Log-probability that a `from` or `to` is worth."""

SAID = 0.97
"""Probability of an option whose very words stand in the instruction."""

RIVAL = 2.0
"""Log-probability by which a further item of a list may be below the best: `doctor Alder and doctor Cedar`."""

_FROM = re.compile(r"\b(?:from|out of|since)\s+(?:the\s+)?(?:\w+\s+)?$", re.I)
_TO = re.compile(r"\b(?:to|into|onto|until|till)\s+(?:the\s+)?(?:\w+\s+)?$", re.I)
_FROM_NAME = re.compile(r"\b(?:from|source|start|origin|begin|old)\b")
_TO_NAME = re.compile(r"\b(?:to|target|end|destination|new|until)\b")
_CAPITALS = re.compile(r"(?<![\w.-])[A-Z]{3,}(?![\w.-])")
_JOINED = re.compile(r"^\s*(?:,|and|or|&|,\s*(?:and|or))\s+(?:(?:the|for|of|in|at)\s+)?(?:\w+\s+)?$", re.I)
_EDGES = " \t\n,;:.!?\"'\u201c\u201d\u2018\u2019`"
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


@dataclass(frozen=True)
class Filled:
    """A tool with its arguments. `confidence` is between 0 and 1."""

    tool: Tool
    fit: float
    arguments: dict[str, Json]
    missing: tuple[str, ...]
    """Required parameters that nothing fills."""
    confidence: float
    unused: int = 0
    """Paths, quotations, numbers, dates and words in capitals that no argument takes up."""

    unknown: int = 0
    """Paths to read that are not in the workspace."""

    surest: float = 1.0
    """Probability of the least sure required argument."""

    used: tuple[tuple[int, int], ...] = ()
    """The characters of the instruction that arguments were taken from."""

    @property
    def quality(self) -> float:
        """What tools are compared by: the fit, less for what is missing, left over, or not there."""
        sure = 0.5 + 0.5 * self.surest
        return self.fit * sure * 0.6 ** len(self.missing) * 0.7**self.unused * 0.4**self.unknown


def fill(
    tool: Tool, reading: Reading, instruction: str, earlier: Sequence[Earlier] = (), files: Sequence[str] = ()
) -> Filled:
    """Fills the tool's arguments from one reading of the instruction. `files` are names in the workspace."""
    pairs: list[tuple[float, str, Candidate]] = []
    for name, pointer in reading.pointers.items():
        schema = tool.parameters.get(name) or {}
        found = _candidates(name, schema, pointer, instruction, files)
        found = [replace(c, score=c.score + _cue(name, instruction, c)) for c in found]
        found += _references(name, schema, pointer, earlier[-2:])
        pairs += [(c.score, name, c) for c in found if c.score > IMPLAUSIBLE]
    absent = {name: pointer.absent for name, pointer in reading.pointers.items()}
    chosen, used = _assign(tool, sorted(pairs, key=lambda pair: -pair[0]), absent, instruction)
    arguments = {
        name: value
        for name, (value, _) in chosen.items()
        if name in tool.required or not _is_default(value, tool.parameters.get(name) or {})
    }
    whole = {n for n, p in tool.parameters.items() if p.get("x-source") == "instruction"}
    missing = tuple(n for n in tool.required if n not in arguments and n not in whole)
    sure = [chosen[n][1] for n in arguments]
    sure += [absent[n] for n in absent if n not in arguments and n not in tool.required]
    confidence = reading.fit * math.exp(min(0.0, min(sure, default=0.0))) * 0.5 ** len(missing)
    unused = _unused(instruction, used, files, takes_all=bool(whole))
    surest = math.exp(min(0.0, *(chosen[n][1] for n in tool.required if n in chosen), 0.0))
    unknown = _unknown(tool, arguments, files)
    return Filled(tool, reading.fit, arguments, missing, confidence, unused, unknown, surest, tuple(used))


def _assign(
    tool: Tool, pairs: Sequence[tuple[float, str, Candidate]], absent: Mapping[str, float], text: str
) -> tuple[dict[str, tuple[Json, float]], list[tuple[int, int]]]:
    """Value and score of each parameter, and the characters that were used; `pairs` come best first."""
    chosen: dict[str, tuple[Json, float]] = {}
    used: list[tuple[int, int]] = []
    for score, name, candidate in pairs:
        schema = tool.parameters.get(name) or {}
        if name in chosen or absent[name] > score + _doubt(candidate, name in tool.required):
            continue
        if candidate.end and any(b < candidate.end and candidate.begin < e for b, e in used):
            continue
        if schema.get("format") == "path" and any(value == candidate.value for value, _ in chosen.values()):
            continue  # nothing is copied onto itself
        value = candidate.value
        if candidate.end:
            used.append((candidate.begin, candidate.end))
            if kind_of(schema)[0] != "array":
                rest = _list(candidate, [c for _, n, c in pairs if n == name], text, used)
                used += [(c.begin, c.end) for c in rest]
                values = [*(_names(value) if tool.annotations.read_only else [value]), *(c.value for c in rest)]
                value = Each(each=tuple(values)) if len(values) > 1 else value
        chosen[name] = (value, score)
    return chosen, used


def _names(value: Json) -> list[Json]:
    """`Lantern and Saltmarsh` as two names; anything else as it is."""
    parts = re.split(r",\s+(?:and\s+)?|\s+and\s+", value) if isinstance(value, str) else [value]
    return parts if len(parts) > 1 and all(re.match(r"[A-Z0-9]", p) for p in parts) else [value]


def _doubt(candidate: Candidate, required: bool) -> float:
    """How much likelier `absent` may be than this value; below zero, how much less likely it has to be."""
    if not required:
        unsaid = not candidate.end and not isinstance(candidate.value, Reference)
        return -0.7 if unsaid else 0.0
    if candidate.typed:
        return 5.0
    return 2.5 if candidate.end else 0.5


def _cue(name: str, text: str, candidate: Candidate) -> float:
    """Log-probability for `from` or `to` before a value where the parameter's name says which of the two it is."""
    if not candidate.end:
        return 0.0
    before = text[: candidate.begin]
    leaves, arrives = bool(_FROM.search(before)), bool(_TO.search(before))
    said = words(name)
    if leaves == arrives or bool(_FROM_NAME.search(said)) == bool(_TO_NAME.search(said)):
        return 0.0
    return CUE if bool(_FROM_NAME.search(said)) == leaves else -CUE


def inherit(filled: Filled, before: Earlier, names: Sequence[str]) -> Filled:
    """What an elliptic instruction leaves out, taken from the call before: `and the same for b.log`."""
    taken = {n: before.arguments[n] for n in names if n in before.arguments and n not in filled.arguments}
    if not taken:
        return filled
    missing = tuple(n for n in filled.missing if n not in taken)
    sure = min(1.0, filled.confidence * 2 ** (len(filled.missing) - len(missing)))
    return replace(filled, arguments={**filled.arguments, **taken}, missing=missing, confidence=sure)


def _unknown(tool: Tool, arguments: Mapping[str, Json], files: Sequence[str]) -> int:
    """How many paths that the tool would read are not there. One that changes something may make them."""
    if not tool.annotations.read_only or not files:
        return 0
    given = [v for n, v in arguments.items() if (tool.parameters.get(n) or {}).get("format") == "path"]
    known = {f.strip("/").lower() for f in files}
    return sum(isinstance(v, str) and v.strip("./").lower() not in known and v.strip("/.") != "" for v in given)


def _unused(text: str, used: Sequence[tuple[int, int]], files: Sequence[str], takes_all: bool) -> int:
    """How many things that were said plainly go nowhere. A tool that takes the whole instruction leaves only paths."""
    said = paths(text, files)
    if not takes_all:
        said += [*quoted(text), *numbers(text), *dates(text), *times(text)]
        said += [Mention(m.start(), m.end(), m[0]) for m in _CAPITALS.finditer(text)]
    left: list[Mention] = []
    for mention in sorted(said, key=lambda m: m.begin - m.end):
        if not any(b < mention.end and mention.begin < e for b, e in [*used, *((m.begin, m.end) for m in left)]):
            left.append(mention)
    return len(left)


def _candidates(
    name: str, schema: Mapping[str, Any], pointer: Pointer, text: str, files: Sequence[str]
) -> list[Candidate]:
    kind, options = kind_of(schema)
    if options:
        return _options(name, schema, options, pointer, text)
    if kind in ("integer", "number"):
        mentions = [m for m in numbers(text) if kind == "number" or m.value == int(m.value)]
        whole = [replace(m, value=int(m.value)) if kind == "integer" else m for m in mentions]
        return _ranked(whole, pointer)
    if kind == "file":
        return _ranked(paths(text, files), pointer) or [c for c in _spans(pointer, text) if " " not in str(c.value)]
    if kind == "array":
        return [Candidate(_items(c.value, schema), c.score, c.begin, c.end) for c in _spans(pointer, text)]
    if kind == "object":
        return []
    wanted = _wanted(name, kind, str(schema.get("description") or ""))
    if wanted is not None and (typed := _ranked(wanted(text), pointer)):
        return typed
    inside = [Candidate(m.value, pointer.span(m.begin, m.end) + 0.5, m.begin, m.end) for m in quoted(text)]
    kind_nouns = {*words(name).split(), *words(str(schema.get("description") or "")).split()}
    spans = [_without_noun(c, kind_nouns) for c in _spans(pointer, text)]
    return sorted([*inside, *spans], key=lambda c: -c.score)


def _ranked(mentions: Sequence[Mention], pointer: Pointer) -> list[Candidate]:
    return sorted(
        (Candidate(m.value, pointer.span(m.begin, m.end), m.begin, m.end, typed=True) for m in mentions),
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
    """Where the text says the words of a boolean's name, and whether it says them to have it or to be without it."""
    said = words(name)
    place = re.search(rf"(?<!\w){re.escape(said)}(?!\w)", text, re.I) if said else None
    if place is None:
        return None
    without = re.search(r"\b(?:no|not|without|never|don't|do not)\s+(?:\w+\s+)?$", text[: place.start()], re.I)
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


def _items(text: str, schema: Mapping[str, Any]) -> list[Json]:
    item = (_branch(schema).get("items") or {}) if isinstance(_branch(schema).get("items"), Mapping) else {}
    parts = [p.strip(_EDGES + "[]()") for p in re.split(r",\s*(?:and\s+)?|\s+and\s+|;", text)]
    parts = [p for p in parts if p]
    if item.get("type") in ("integer", "number"):
        return [m.value for part in parts for m in numbers(part)[:1]]
    return list(parts)


def _references(name: str, schema: Mapping[str, Any], pointer: Pointer, earlier: Sequence[Earlier]) -> list[Candidate]:
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


def _list(first: Candidate, others: Sequence[Candidate], text: str, used: Sequence[tuple[int, int]]) -> list[Candidate]:
    """Further items of a list that `first` is in: nearly as likely, and joined to it by commas or `and` alone."""
    chosen: list[Candidate] = []
    around = [first]
    for other in others:
        if other.value == first.value or not other.end or other.score < first.score - RIVAL:
            continue
        if any(b < other.end and other.begin < e for b, e in [*used, *((c.begin, c.end) for c in chosen)]):
            continue
        if any(_JOINED.match(text[min(a.end, other.end) : max(a.begin, other.begin)]) for a in around):
            chosen.append(other)
            around.append(other)
    return sorted(chosen, key=lambda c: c.begin)


def _is_default(value: Json, schema: Mapping[str, Any]) -> bool:
    return "default" in schema and not isinstance(value, Reference | Each) and value == schema["default"]
