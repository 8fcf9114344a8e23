"""From what is known of all tools for one query to the best of them, by a small net fitted on labelled requests.

Dense and lexical scores are brought to one scale by min-max over all tools that are searched. `fitting.py` makes the
net, whose weights are in `scoring.json`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .fields import DENSE, LEXICAL
from .order import top

Array = NDArray[np.float32]
Ints = NDArray[np.int64]

WEIGHTS = Path(__file__).parent / "scoring.json"

FEATURES = (
    "dense",  # min-max of the cosine
    *LEXICAL,  # min-max of BM25 by field
    "coverage",
    "name share",
    "description share",
    "best dense",  # of the whole and all parts, the best: min-max of it
    "best words",  # the same of each one's BM25 after min-max
    "best coverage",
)
"""What the net sees of a tool."""

CANDIDATES = 100
"""Tools that are best in one respect and so are looked at closely."""
FITS = 0.6
"""Cosine with a query, or a part of it, from which a tool is taken to be for it; `benchmarks/no_tool.py` says how often
that is wrong."""
SOFT = 8.0
"""How much lower the net's score is of a tool whose score between 0 and 1 is 1/e of the best one's."""


@dataclass(frozen=True)
class Part:
    """What is known of the n tools for a part of a query: cosines, BM25 and coverage of the whole text, each (n,)."""

    dense: Array
    words: Array
    coverage: Array


@dataclass(frozen=True)
class Evidence:
    """What is known of the n tools that are searched (all, or those of `within`) for one query.

    `dense` (vectors, n): cosines of the query with each vector of `fields.DENSE`; in a large index exact where they or
    the words are high, estimated elsewhere. `lexical` (fields, n): BM25 in each field of `fields.LEXICAL`. `coverage`
    (n,): share of the query's words that the tool's whole text has, weighted by their rarity, 0..1; `name_share` and
    `description_share` (n,): the share of that field's words that the query has.
    """

    query: str
    dense: Array
    lexical: Array
    coverage: Array
    name_share: Array
    description_share: Array
    parts: Sequence[Part] = ()


@dataclass(frozen=True)
class Net:
    """Two layers over standardised features; see `fitting.py`."""

    mean: Array
    scale: Array
    inner: Array
    inner_bias: Array
    outer: Array

    def __call__(self, features: Array) -> Array:
        """(n,) scores of features (n, `FEATURES`): log odds, but for a constant of each query."""
        x = ((features - self.mean) / self.scale) @ self.inner + self.inner_bias
        x = x / (1 + np.exp(-1.702 * x))  # GELU (Hendrycks and Gimpel 2016), by its sigmoid
        scores: Array = x @ self.outer
        return scores

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Net:
        return cls(*(np.array(values[name], np.float32) for name in cls.__dataclass_fields__))


@functools.cache
def net() -> Net:
    """The net that Bottega comes with."""
    return Net.of(json.loads(WEIGHTS.read_text("utf-8"))["net"])


def rank(evidence: Evidence, k: int) -> tuple[Ints, Array]:
    """Positions of the `k` best tools, best first, and their scores in 0..1, of which the best's is 1. n is at least 1.

    The net orders those that are among the best in any one respect; all others follow, by cosine and words alone.
    """
    features, some = candidates(evidence)
    scores = net()(features)
    order = np.argsort(-scores, kind="stable")
    best, found = some[order], np.exp((scores[order] - scores.max()) / SOFT)
    if k > len(best):
        base = spread(evidence.dense[0]) + spread(evidence.lexical[0])
        base[some] = -1.0
        others = top(base, k)[: max(0, min(k, len(base)) - len(some))]
        best = np.concatenate([best, others])
        found = np.concatenate([found, found[-1] * base[others] / 2])
    return best[:k], found[:k].astype(np.float32)


def nearness(evidence: Evidence) -> Array:
    """(n,): the cosine of each tool with the query, or with the part that is nearest to it."""
    found: Array = np.max([*evidence.dense, *(part.dense for part in evidence.parts)], axis=0)
    return found


def candidates(evidence: Evidence) -> tuple[Array, Ints]:
    """The features (m, `FEATURES`) of the tools worth looking at, and their positions (m,), rising."""
    dense, words = spread(evidence.dense[DENSE.index("whole")]), spread(evidence.lexical[LEXICAL.index("whole")])
    best_dense, best_words, best_coverage = dense, words, evidence.coverage
    if evidence.parts:
        best_dense = spread(np.max([evidence.dense[0], *(part.dense for part in evidence.parts)], axis=0))
        best_words = np.max([words, *(spread(part.words) for part in evidence.parts)], axis=0)
        best_coverage = np.max([evidence.coverage, *(part.coverage for part in evidence.parts)], axis=0)
    fields = [words, *(spread(one) for one in evidence.lexical[1:])]
    respects = [dense, words, fields[1], *((best_dense, best_words) if evidence.parts else ())]
    some = np.unique(np.concatenate([top(one, CANDIDATES) for one in respects]))
    known = (
        dense,
        *fields,
        evidence.coverage,
        evidence.name_share,
        evidence.description_share,
        best_dense,
        best_words,
        best_coverage,
    )
    return np.stack([one[some] for one in known], axis=1).astype(np.float32), some


def spread(scores: Array) -> Array:
    """Min-max over all tools: the form in which scores of different kinds are comparable."""
    low, high = float(scores.min()), float(scores.max())
    return (scores - low) / (high - low) if high > low else np.zeros_like(scores)
