"""From what is known of all tools for one query to the best of them: the fusion of dense and lexical scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .fields import LEXICAL
from .order import top

Array = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Evidence:
    """What is known of the n tools that are searched (all, or those of `within`) for one query.

    `dense` (vectors, n): cosines of the query with each vector of `fields.DENSE`; in a large index exact where they or
    the words are high, estimated elsewhere. `lexical` (fields, n): BM25 in each field of `fields.LEXICAL`. `coverage`
    (n,): share of the query's words that the tool's whole text has, weighted by their rarity, 0..1. `servers` (n,): a
    number for each server.
    """

    query: str
    dense: Array
    lexical: Array
    coverage: Array
    servers: NDArray[np.int32]


def rank(evidence: Evidence, k: int) -> tuple[Ints, Array]:
    """Positions of the `k` best tools, best first (of equals the first), and their scores in 0..1. n is at least 1."""
    whole = evidence.lexical[LEXICAL.index("whole")]
    scores = 0.5 * spread(evidence.dense[0]) + 0.5 * spread(whole)
    best = top(scores, k)
    return best, scores[best]


def spread(scores: Array) -> Array:
    """Min-max over all tools: the form in which scores of different kinds are comparable."""
    low, high = float(scores.min()), float(scores.max())
    return (scores - low) / (high - low) if high > low else np.zeros_like(scores)
