"""What keeps the vectors of an index and compares queries with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Ints = NDArray[np.int64]


class Store(Protocol):
    """Several vectors a tool, by the tool's position in the index. A cosine is the product of two unit vectors."""

    def cosines(self, queries: Array, places: Ints | None = None, also: Ints | None = None) -> Array:
        """Cosines (queries, vectors, tools) of queries (queries, width) with all tools, or with those at `places`.

        Exact for the nearest tools and those at the positions `also`; others may be estimated.
        """

    def vectors(self, places: Ints) -> Array:
        """The vectors (vectors, len(places), width) of some tools."""

    def rearranged(self, names: Sequence[str], sources: Ints, new: Array) -> Store:
        """The store of another list of tools.

        Its tool i is this one's tool `sources[i]`, or `new[:, -1 - sources[i]]` where that is negative; `new` is
        (vectors, new tools, width). `names[i]` names the content of tool i.
        """
