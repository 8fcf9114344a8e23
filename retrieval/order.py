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
    some: NDArray[np.int64] = np.arange(len(scores))
    sample = scores[::STRIDE]
    if k < len(sample):
        some = np.flatnonzero(scores >= np.partition(sample, -k)[-k])
    if k < len(some):
        among = scores[some]
        some = some[among >= np.partition(among, -k)[-k]]
    return some[np.argsort(-scores[some], kind="stable")[:k]]
