"""The best of many scores, without sorting all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STRIDE = 16


def top(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Positions of the `k` highest scores, highest first, of equals the first; all where there are no more than `k`.

    The k-th best of every sixteenth score is no higher than the k-th best of all: only what reaches it is looked at.
    """
    if k < 1:
        return np.zeros(0, np.int64)
    sample = scores[::STRIDE]
    if k >= len(sample):
        return np.argsort(-scores, kind="stable")[:k]
    least = np.partition(sample, -k)[-k]
    above = np.flatnonzero(scores > least)
    if len(above) < k:  # then `least` is the k-th best, as where most scores are 0: partitions of those are slow
        level = np.flatnonzero(scores == least)[: k - len(above)]
        return np.concatenate([above[np.argsort(-scores[above], kind="stable")], level])
    return above[np.argsort(-scores[above], kind="stable")[:k]]
