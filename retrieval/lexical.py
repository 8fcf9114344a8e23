"""BM25 over short texts (Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework"), in numpy."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"[^\W\d_]+|\d+")
_STOP = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by for from has have how i in is it its me my of on or our please tell that "
        "the their them then there this to us was we what when where which who will with you your ",
    )
)


def terms(text: str) -> list[str]:
    """Stems of the words of a text: names split at case and underscores, stop words left out."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return [_stem(w.lower()) for w in _WORD.findall(split) if w.lower() not in _STOP]


@functools.lru_cache(maxsize=65536)
def _stem(word: str) -> str:
    return str(_stemmer().stemWord(word))


@functools.cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


class Bm25:
    """An inverted index over texts; `scores` gives one number a text."""

    def __init__(self, texts: Sequence[str], k1: float = 1.5, b: float = 0.75) -> None:
        counts = [Counter(terms(t)) for t in texts]
        self.size = len(texts)
        lengths = np.array([sum(c.values()) for c in counts], np.float32)
        norm = k1 * (1 - b + b * lengths / max(float(lengths.mean()) if self.size else 1.0, 1e-6))
        postings: dict[str, tuple[list[int], list[int]]] = {}
        for n, count in enumerate(counts):
            for term, times in count.items():
                places, often = postings.setdefault(term, ([], []))
                places.append(n)
                often.append(times)
        self._postings: dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]] = {}
        for term, (places, often) in postings.items():
            where, tf = np.array(places, np.int32), np.array(often, np.float32)
            weight = np.log(1 + (self.size - len(where) + 0.5) / (len(where) + 0.5))
            self._postings[term] = (where, (weight * tf * (k1 + 1) / (tf + norm[where])).astype(np.float32))

    def scores(self, query: str) -> NDArray[np.float32]:
        """BM25 of every text, (number of texts,)."""
        out = np.zeros(self.size, np.float32)
        for term in set(terms(query)):
            if found := self._postings.get(term):
                out[found[0]] += found[1]
        return out
