"""The options of a parameter: which of them the instruction says, in which words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..models.house.slots import Pointer, branch, words
from .readable import stem
from .spans import EMPTY, Candidate

SAID = 0.97
"""Probability of an option whose very words stand in the instruction."""

NAMED = 0.6
"""Probability of a value that the description names and the text says."""

_SWITCHES = frozenset(
    "include includes including with is has have use uses show get return returns enable enabled add do want "  # noqa: SIM905
    "wants only should need needs required details detail info consider considers account accounting allow "
    "allows apply assume assuming avoid calculate free check send make set specific".split()
)
"""Words in the names of booleans that say nothing of what they switch."""


_QUOTED = re.compile(r"(?<!\w)['\"`\u2018\u201c]([^'\"`\u2018\u2019\u201c\u201d]{2,40})['\"`\u2019\u201d](?!\w)")


def options_of(
    name: str, schema: Mapping[str, Any], options: Sequence[str], pointer: Pointer, text: str
) -> list[Candidate]:
    """Each option with the model's score; one that stands in the text, with the characters it stands at."""
    values: list[Any] = list(schema.get("enum") or branch(schema).get("enum") or (True, False))
    values = [v for v in values if v is not None]
    found = []
    places = [_said(option, text) for option in options]
    for option, value, place, score in zip(options, values, places, pointer.options, strict=False):
        if isinstance(value, bool):
            place = _switched(name, value, text)
        elif place and any(
            p and p.start() <= place.start() and p.end() >= place.end() and p[0] != place[0] for p in places
        ):
            place = None  # `comedy` in `comedy-drama`
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
        pattern = r"[\s_-]?".join(map(re.escape, spelling.split()))
        if pattern and (place := re.search(rf"(?<!\w){pattern}s?(?!\w)", text, re.I)):
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
    return len(option) < 3 or option.lower() in EMPTY


def described(schema: Mapping[str, Any], pointer: Pointer, text: str) -> list[Candidate]:
    """Options that only the description names, in quotation marks, and that the text says: `either 'mean' or 'sum'`."""
    named = dict.fromkeys(m[1] for m in _QUOTED.finditer(str(schema.get("description") or "")))
    places = [(option, place) for option in named if not _ambiguous(option) and (place := _said(option, text))]
    return [Candidate(o, max(pointer.span(*p.span()), math.log(NAMED)), *p.span(), typed=True) for o, p in places]


def several(options: Sequence[str], text: str) -> list[tuple[str, int, int]]:
    """The options of a list that the text says, each with the first of its words: `opening hours and the price`."""
    said = [(m, stem(m[0].lower())) for m in re.finditer(r"[^\W_]+", text)]
    found = []
    for option in options:
        wanted = [stem(w) for w in words(option).split() if w not in EMPTY]
        places = [next((m for m, one in said if _alike(one, w)), None) for w in wanted]
        if wanted and all(places):
            found.append((option, places[0].start(), places[0].end()))  # type: ignore[union-attr]
    return sorted(found, key=lambda f: f[1])


def _alike(one: str, other: str) -> bool:
    """Whether two stems are one word, or one the short form of the other: `carb` and `carbohydr`."""
    short, long = sorted((one, other), key=len)
    return one == other or (len(short) >= 4 and long.startswith(short))
