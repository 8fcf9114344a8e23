"""Vectors as one matrix, in memory or memory-mapped: exact, with nothing to build and any filter for free.

The best of what was measured up to about 100,000 tools on one machine; `benchmarks/tool_search_speed.py` has figures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .protocol import Array, Ints

LARGE = 30_000
"""Vectors from which one query is first compared with their beginnings only."""
NARROW = 128
"""Dimensions of that first pass."""
EXACT = 2_000
"""About so many of the nearest of the first pass, for each kind of vector, have exact cosines in the end. With vectors
not trained for it, these have 99.5% of the exact ten nearest; 600 have 97%."""
STRIDE = 16
"""Of every how many products one is looked at to find where those begin."""
SAMPLE = 512
"""Vectors by which the first pass's products are brought to the scale of the cosines."""


class MatrixStore:
    """`matrix` is (vectors, tools, width) of unit vectors, or zeros; `narrow` the first `NARROW` of their dimensions,
    lying together, needed when there are `LARGE` or more."""

    def __init__(self, matrix: Array, narrow: Array | None = None) -> None:
        self.matrix = matrix
        if narrow is None and matrix.shape[0] * matrix.shape[1] >= LARGE:
            narrow = np.ascontiguousarray(matrix[:, :, :NARROW])
        self.narrow = narrow

    def cosines(self, queries: Array, places: Ints | None = None, also: Ints | None = None) -> Array:
        """`Store.cosines`; estimated only for one query in a large index, and then by regression on the first pass."""
        if places is not None:
            return np.stack([queries @ one[places].T for one in self.matrix], axis=1)
        if len(queries) == 1 and self.narrow is not None:
            none = np.zeros(0, np.int64)
            return np.stack(
                [self._estimated(n, queries[0], none if also is None else also) for n in range(self._kinds)]
            )[None]
        if len(queries) == 1:  # a matrix by a vector is read once, in order
            return np.stack([one @ queries[0] for one in self.matrix])[None]
        return np.stack([queries @ one.T for one in self.matrix], axis=1)

    def vectors(self, places: Ints) -> Array:
        return self.matrix[:, places]

    def rearranged(self, names: Sequence[str], sources: Ints, new: Array) -> MatrixStore:
        matrix = np.empty((new.shape[0], len(sources), new.shape[2]), np.float32)
        old = sources >= 0
        if old.any():
            matrix[:, old] = self.matrix[:, sources[old]]
        matrix[:, ~old] = new[:, -1 - sources[~old]]
        return MatrixStore(matrix)

    @property
    def _kinds(self) -> int:
        return len(self.matrix)

    def _estimated(self, kind: int, query: Array, also: Ints) -> Array:
        assert self.narrow is not None
        full = self.matrix[kind]
        products: Array = self.narrow[kind] @ query[:NARROW]
        looked_at = np.sort(products[::STRIDE])
        near = np.flatnonzero(products >= looked_at[-min(len(looked_at), EXACT // STRIDE)])
        sample = np.arange(0, len(products), max(1, len(products) // SAMPLE))
        exact = full[sample] @ query
        x, y = products[sample], exact
        slope = float(((x - x.mean()) * (y - y.mean())).sum() / max(float(((x - x.mean()) ** 2).sum()), 1e-9))
        found: Array = products * np.float32(slope) + np.float32(y.mean() - slope * x.mean())
        for some in (near, also):
            found[some] = full[some] @ query
        return found
