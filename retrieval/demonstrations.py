"""What was done for requests like this one: past requests with what came of them, found by meaning.

Knows nothing of what it keeps: any value goes with a request, and `shape` says whether two values show the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from .vectors import Vectors

T = TypeVar("T")

MOST = 2_000
"""Demonstrations that are kept; the oldest give way."""


@dataclass(frozen=True)
class Demonstration(Generic[T]):
    """A past request and what came of it. `nearness` is the cosine with what was asked."""

    id: str
    request: str
    value: T
    nearness: float = 1.0


class Demonstrations(Generic[T]):
    """An exact index in memory, safe to use from several threads.

    `encode` gives unit vectors (len(texts), width) of requests, such as `RetrieverModel.encode_requests`; it is called
    when something is first looked for, and with the new requests only. Of two demonstrations with the same request and
    shape the later one is kept, and of those found with the same shape the nearest.
    """

    def __init__(
        self,
        encode: Callable[[Sequence[str]], Vectors],
        shape: Callable[[T], Hashable],
        most: int = MOST,
    ) -> None:
        self._encode = encode
        self._shape = shape
        self._most = most
        self._kept: dict[tuple[str, Hashable], Demonstration[T]] = {}
        self._vectors: dict[str, Vectors] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, id: str, request: str, value: T) -> None:
        """Keeps what came of `request`. `id` is where it is from, such as a run."""
        key = (" ".join(request.split()), self._shape(value))
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = Demonstration(id, request, value)
            while len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]

    def nearest(self, request: str, k: int = 3, at_least: float = 0.5) -> list[Demonstration[T]]:
        """At most `k` demonstrations of different shapes, the nearest first, none with a cosine below `at_least`."""
        with self._lock:
            kept = list(self._kept.items())
            if not kept or k < 1:
                return []
            texts = dict.fromkeys(text for (text, _), _ in kept)
            new = [text for text in texts if text not in self._vectors]
            asked, *encoded = self._encode([request, *new])
            known = self._vectors | dict(zip(new, encoded, strict=True))
            self._vectors = {text: known[text] for text in texts}
        cosines = np.stack([known[text] for (text, _), _ in kept]) @ asked
        found: dict[Hashable, Demonstration[T]] = {}
        for i in np.argsort(-cosines[::-1], kind="stable"):  # of equally near ones the latest
            at = len(kept) - 1 - int(i)
            if cosines[at] < at_least or len(found) == k:
                break
            (_, shape), one = kept[at]
            found.setdefault(shape, Demonstration(one.id, one.request, one.value, float(cosines[at])))
        return list(found.values())
