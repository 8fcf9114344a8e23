"""Which candidate each parameter takes: the likeliest choice for all of them together, each piece of text used once.

A beam search over the parameters (Lowerre 1976): taking the best value for one parameter first, and then the best that
is left for the next, gives `Oslo and Bergen` to `start` and nothing to `end`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .cues import BESIDE, siblings
from .plan import Reference
from .spans import IMPLAUSIBLE, Candidate, overlap

WIDTH, MOST = 24, 10
"""Choices kept after each parameter, and candidates looked at for each."""

IN_ORDER = 2.0
"""Log-probability that siblings (`num1, num2`) in the order of the text are worth."""

AS_LISTED = 0.25
"""Log-probability that any two values of one type are worth when they stand in the order of their parameters."""

HALF = 1.0
"""Log-probability that one half of `Oslo and Bergen` is less likely than both."""

NAMED = 2.5
"""How much likelier `absent` may be for an optional number that stands beside its parameter's name."""

_AND = re.compile(r",?\s+(?:and|or|to|vs\.?|versus)\s+|,\s+")


@dataclass(frozen=True)
class _State:
    score: float
    taken: tuple[tuple[str, Candidate], ...] = ()


def assign(
    found: Mapping[str, Sequence[Candidate]],
    absent: Mapping[str, float],
    schemas: Mapping[str, Mapping[str, Any]],
    required: Sequence[str],
) -> dict[str, Candidate]:
    """One candidate for each parameter that has one. `absent` is the log-probability that a parameter has no value."""
    order = list(found)
    pairs = {frozenset(pair) for group in siblings(order) for pair in itertools.pairwise(group)}
    states = [_State(0.0)]
    for name in order:
        is_path = (schemas.get(name) or {}).get("format") == "path"
        choices = _choices(found[name], absent[name], name in required)
        states = [
            _State(state.score + gain, (*state.taken, (name, candidate)))
            if candidate
            else replace(state, score=state.score + gain)
            for state in states
            for gain, candidate in choices
            if candidate is None or not _clashes(candidate, state.taken, is_path)
        ]
        states = [_ordered(state, name, pairs) for state in states]
        states.sort(key=lambda s: -s.score)
        states = states[:WIDTH]
    return dict(states[0].taken)


def _choices(found: Sequence[Candidate], absent: float, required: bool) -> list[tuple[float, Candidate | None]]:
    """What each choice adds to the score; that the parameter is left out is the last."""
    worth = [(c.score + doubt(c, required), c) for c in found[:MOST] if c.score > IMPLAUSIBLE]
    return [*((gain, c) for gain, c in worth if gain >= absent), (absent, None)]


def doubt(candidate: Candidate, required: bool) -> float:
    """How much likelier `absent` may be than this value; below zero, how much less likely it has to be."""
    if not required:
        if candidate.typed and candidate.cued >= BESIDE:
            return NAMED
        unsaid = not candidate.end and not isinstance(candidate.value, Reference)
        return -0.7 if unsaid else 0.0
    if candidate.typed:
        return 5.0
    return 2.5 if candidate.end else 0.5


def _clashes(candidate: Candidate, taken: Sequence[tuple[str, Candidate]], is_path: bool) -> bool:
    """Whether a piece of text would be used twice, or one path be both what is copied and where it goes."""
    return any(overlap(candidate, other) or (is_path and other.value == candidate.value) for _, other in taken)


def _ordered(state: _State, name: str, pairs: set[frozenset[str]]) -> _State:
    """The state with what the order of its last value and those before it is worth."""
    if not state.taken or state.taken[-1][0] != name:
        return state
    last = state.taken[-1][1]
    added = 0.0
    for other, candidate in state.taken[:-1]:
        if not (last.end and candidate.end and last.typed == candidate.typed):
            continue
        if frozenset((other, name)) in pairs:
            added += IN_ORDER if candidate.begin < last.begin else -IN_ORDER
        elif last.typed and type(last.value) is type(candidate.value):
            added += AS_LISTED if candidate.begin < last.begin else -AS_LISTED
    return replace(state, score=state.score + added) if added else state


def halves(candidates: Sequence[Candidate], text: str) -> list[Candidate]:
    """The parts of texts that are joined by a comma, `and` or `to`: `Oslo and Bergen` may be two values."""
    found: dict[tuple[int, int], Candidate] = {}
    for c in candidates:
        if not c.end or not isinstance(c.value, str):
            continue
        begin = c.begin
        for m in [*_AND.finditer(text, c.begin, c.end), None]:
            end = m.start() if m else c.end
            if end > begin and (begin, end) != (c.begin, c.end):
                part = replace(c, value=text[begin:end], score=c.score - HALF, begin=begin, end=end)
                if part.score > found.get((begin, end), replace(c, score=-99.0)).score:
                    found[begin, end] = part
            begin = m.end() if m else begin
    known = {(c.begin, c.end) for c in candidates}
    return [part for place, part in found.items() if place not in known]
