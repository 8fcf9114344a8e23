"""The values that a parameter could take: typed ones that the text mentions, options, spans, earlier results.

The slots model ranks them; what the words around them say is added.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..models.house.slots import Pointer, kind_of, words
from .cues import MOST, cue
from .lists import lists
from .mentions import paths, quoted
from .options import described, options_of
from .plan import Json, Reference
from .readable import stem
from .spans import IMPLAUSIBLE, Candidate, ranked, spans
from .wanted import completed, wanted

QUOTING = 1.5
"""Log-probability that a text loses with a quotation inside it: that is another value."""

_QUOTATION = re.compile(r"^[^\w\n]*+\w.* ['\"\u201c\u2018]\w|\w['\"\u201d\u2019] .*\w", re.M)
_OF_CITY = re.compile(r"(?:the )?(?:city|town|state|country) of (?=[A-Z])")
_LAST = re.compile(r"(?<=\w)(?<!\bthe)(?<!\band)(?<!\bor) ([a-z]+)$")
_WHOLE = frozenset(["name", "title", "text", "query", "content", "message", "description", "subject", "question"])
"""Words in the names of parameters that take a text as it stands."""
_FILE_NOUN = re.compile(r"(?<=\.\w{3}) (?:file|document|image)$|(?<=\.\w{4}) (?:file|document|image)$")


@dataclass(frozen=True)
class Earlier:
    """A step before: what it was asked, and with what arguments its tool is called."""

    id: str
    instruction: str
    tool: str = ""
    arguments: Mapping[str, Json] = field(default_factory=dict)


def candidates(
    name: str, schema: Mapping[str, Any], pointer: Pointer, text: str, files: Sequence[str]
) -> list[Candidate]:
    """What stands in the text for a parameter, with log-probabilities; the likeliest first.

    Numbers and their like stay in however unlikely they are: they may go on a list that begins with a likely one.
    """
    found = _found(name, schema, pointer, text, files)
    found = [replace(c, value=completed(schema, c.value)) for c in found if c.score > IMPLAUSIBLE - MOST]
    cues = [cue(name, text, c.begin, c.end) for c in found]
    cued = [replace(c, score=c.score + added, cued=added) for c, added in zip(found, cues, strict=True)]
    return sorted((c for c in cued if c.typed or c.score > IMPLAUSIBLE), key=lambda c: -c.score)


def _found(name: str, schema: Mapping[str, Any], pointer: Pointer, text: str, files: Sequence[str]) -> list[Candidate]:
    kind, options = kind_of(schema)
    if options:
        return options_of(name, schema, options, pointer, text)
    if kind == "file":
        nouns = {*words(str(schema.get("description") or "")).split(), "here", "file", "folder"}
        single = (c for c in spans(pointer, text) if " " not in str(c.value))
        return ranked(paths(text, files), pointer) or [c for c in single if str(c.value).lower() not in nouns]
    if kind == "array":
        return lists(name, schema, pointer, text)
    if kind == "object":
        return []
    finds = wanted(name, kind, schema)
    if finds is not None and ((typed := ranked(finds(text), pointer)) or kind in ("integer", "number")):
        return typed
    inside = [Candidate(m.value, pointer.span(m.begin, m.end) + 0.5, m.begin, m.end) for m in quoted(text)]
    kind_nouns = {*words(name).split(), *words(str(schema.get("description") or "")).split()}
    plain = [_without_last(name, _without_noun(c, kind_nouns)) for c in spans(pointer, text)]
    plain = [replace(c, score=c.score - QUOTING) if _QUOTATION.search(str(c.value)) else c for c in plain]
    return sorted([*described(schema, pointer, text), *inside, *plain], key=lambda c: -c.score)


def _without_last(name: str, candidate: Candidate) -> Candidate:
    """`luxury room` for a `room_type` is `luxury`: the noun that the parameter's name says already goes."""
    said = words(name).split()
    found = _LAST.search(str(candidate.value))
    if not found or stem(found[1]) not in map(stem, said) or _WHOLE & set(said):
        return candidate
    return replace(candidate, value=candidate.value[: found.start()], end=candidate.begin + found.start())


def _without_noun(candidate: Candidate, nouns: set[str]) -> Candidate:
    """`bin A3` for a bin is `A3`: the noun for what the parameter holds goes, where a name or number follows it."""
    if found := _OF_CITY.match(str(candidate.value)):
        return replace(candidate, value=candidate.value[found.end() :], begin=candidate.begin + found.end())
    if found := _FILE_NOUN.search(str(candidate.value)):
        return replace(candidate, value=candidate.value[: found.start()], end=candidate.begin + found.start())
    found = re.match(r"((?:the )?([a-z]+) )[A-Z0-9]", str(candidate.value))
    if not found or found[2] not in nouns:
        return candidate
    return replace(candidate, value=candidate.value[len(found[1]) :], begin=candidate.begin + len(found[1]))


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
