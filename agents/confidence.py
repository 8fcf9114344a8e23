"""How likely is it that all arguments of a call are right? A logistic regression on what the choice left in doubt.

Its weights were fitted on requests for the corpus's held-out servers by `benchmarks/confidence.py`, which prints them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .spans import Candidate, overlap

FAR = 4.0
"""Log-probability from which one value is out of the question beside another."""

WEIGHTS: Mapping[str, float] = {"score": 1.84, "rival": 0.5, "unsaid": 1.02, "missing": -1.63, "bias": -3.3}


def features(
    found: Mapping[str, Sequence[Candidate]],
    absent: Mapping[str, float],
    chosen: Mapping[str, Candidate],
    missing: int,
) -> dict[str, float]:
    """What speaks for and against a choice of arguments.

    `score`: the mean log-probability of the values; `rival`: by how much the closest other value is less likely;
    `unsaid`: by how much the likeliest value of a parameter that was left out is less likely than that it has none;
    `missing`: required parameters without a value.
    """
    scores = [min(0.0, c.score) for c in chosen.values()]
    rivals = [FAR]
    for name, candidate in chosen.items():
        others = [c for n, c in chosen.items() if n != name]
        free = (c.score for c in found[name] if c.value != candidate.value and not any(overlap(c, o) for o in others))
        rivals.append(candidate.score - max(free, default=-math.inf))
    unsaid = [FAR]
    for name in found.keys() - chosen.keys():
        free = (c.score for c in found[name] if not any(overlap(c, o) for o in chosen.values()))
        unsaid.append(absent[name] - max(free, default=-math.inf))
    return {
        "score": sum(scores) / len(scores) if scores else 0.0,
        "rival": max(-FAR, min(rivals)),
        "unsaid": max(-FAR, min(unsaid)),
        "missing": float(missing),
    }


def probability(doubts: Mapping[str, float]) -> float:
    """The probability, between 0 and 1, that the arguments with these features are right."""
    return 1 / (1 + math.exp(-WEIGHTS["bias"] - sum(WEIGHTS[name] * value for name, value in doubts.items())))
