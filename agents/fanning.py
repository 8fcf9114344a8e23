"""Several values for one parameter: a list of names or numbers means a call for each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from ..models.house.slots import words
from ..tools import Tool
from .cues import siblings
from .plan import Each, Json
from .spans import Candidate

RIVAL = 2.0
"""Log-probability by which a further item of a list may be below the best: `doctor Alder and doctor Cedar`."""

_JOINED = re.compile(r"^\s*(?:,|and|or|&|,\s*(?:and|or))\s+(?:(?:the|for|of|in|at)\s+)?(?:\w+\s+)?$", re.I)
_LISTED = re.compile(r"\s*(?:,\s*(?:and|or)?|and|or|&)\s*", re.I)
"""What stands between the items of a list and nothing else."""


PARTS = re.compile(r",\s*(?:(?:and|or)\s+)?|\s+(?:and|or)\s+")
"""What stands between the items of a list in words."""
_AND_ALONE = re.compile(r",?\s+and\s+")
_AND = re.compile(r"\b(?:and|or)\b|&")
_ONE_TEXT = frozenset(
    "title song book movie film album work play query text content message body description subject question "  # noqa: SIM905
    "note".split()
)
"""Words in the names of parameters whose values may have `and` in them: `Pride and Prejudice`."""
_QUOTES = frozenset("'\"\u2018\u201c`")
_RESPECTIVELY = re.compile(r"\brespectively\b", re.I)
_MOST_WORDS = 3
"""Of an item in small letters, in a list of three or more."""


def fanned(
    tool: Tool, chosen: Mapping[str, Candidate], pairs: Sequence[tuple[str, Candidate]], text: str
) -> tuple[dict[str, Json], list[tuple[int, int]]]:
    """The values, several where a list is given for one parameter, and the characters that they were taken from.

    Two lists mean every one with every other, unless one is where the other goes to or they are named in turn
    (`respectively`): these go along together.
    """
    values: dict[str, Json] = {}
    used = [(c.begin, c.end) for c in chosen.values() if c.end]
    for name, candidate in chosen.items():
        values[name] = candidate.value
        if candidate.end:
            rest = _list(candidate, [c for n, c in pairs if n == name], text, used)
            used += [(c.begin, c.end) for c in rest]
            if isinstance(candidate.value, list):
                values[name] = [item for c in sorted([candidate, *rest], key=lambda c: c.begin) for item in c.value]
                continue
            several = [v for c in sorted([candidate, *rest], key=lambda c: c.begin) for v in _items(name, c, text)]
            if len(several) > 1:
                values[name] = Each(each=tuple(several))
    return _crossed(tool, values, text), used


def _crossed(tool: Tool, values: dict[str, Json], text: str) -> dict[str, Json]:
    """Lists that do not go along together, as all their combinations."""
    lists = {n: v.each for n, v in values.items() if isinstance(v, Each) and isinstance(v.each, tuple)}
    is_path = any((tool.parameters.get(n) or {}).get("format") == "path" for n in lists)
    if len(lists) < 2 or is_path or siblings(list(lists)) or _RESPECTIVELY.search(text):
        return values
    rows = list(itertools.product(*lists.values()))
    return values | {n: Each(each=tuple(row[i] for row in rows)) for i, n in enumerate(lists)}


def _items(name: str, candidate: Candidate, text: str) -> list[Json]:
    """`Lantern and Saltmarsh` as two names; anything else as it is."""
    value = candidate.value
    if not isinstance(value, str) or _ONE_TEXT & set(words(name).split()):
        return [value]
    around = text[max(0, candidate.begin - 1) : candidate.begin]
    pairs = _AND_ALONE.split(value)
    places = len(pairs) > 1 and all(p.count(",") == 1 for p in pairs)  # `Paris, France and Lima, Peru`
    parts = [p.strip(" .") for p in (pairs if places else PARTS.split(value)) if p.strip(" .")]
    if len(parts) < 2 or around in _QUOTES or not _AND.search(value):
        return [value]
    named = all(re.match(r"[A-Z0-9'\"]", p) for p in parts)
    short = len(parts) > 2 and all(len(p.split()) <= _MOST_WORDS for p in parts)
    return [p.strip("'\"") for p in parts] if named or short else [value]


def _list(first: Candidate, others: Sequence[Candidate], text: str, used: Sequence[tuple[int, int]]) -> list[Candidate]:
    """Further items of a list that `first` is in: nearly as likely, and joined to it by commas or `and` alone."""
    chosen: list[Candidate] = []
    around = [first]
    while (other := next(_more(first, others, around, text, used), None)) is not None:
        chosen.append(other)
        around.append(other)
    begin, end = min(c.begin for c in around), max(c.end for c in around)
    if not re.search(r"\b(?:and|or)\b|&", text[begin:end]):  # `Oslo, Norway` is one place
        return []
    return sorted(chosen, key=lambda c: c.begin)


def _more(
    first: Candidate,
    others: Sequence[Candidate],
    around: Sequence[Candidate],
    text: str,
    used: Sequence[tuple[int, int]],
) -> Iterator[Candidate]:
    """Candidates that go on the list of those in `around`."""
    taken = [*used, *((c.begin, c.end) for c in around)]
    for other in others:
        if not other.end or any(c.value == other.value for c in around):
            continue
        if any(b < other.end and other.begin < e for b, e in taken):
            continue
        gaps = [text[min(a.end, other.end) : max(a.begin, other.begin)] for a in around]
        listed = other.typed and any(_LISTED.fullmatch(gap) for gap in gaps)
        if listed or (other.score >= first.score - RIVAL and any(_JOINED.match(gap) for gap in gaps)):
            yield other
