"""BM25 over the fields of short texts (Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework").

An inverted index in numpy arrays, which can be memory-mapped, with one list of postings for each term and field.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"[^\W\d_]+|\d+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_STOP = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by for from has have how i in is it its me my of on or our please tell that "
        "the their them then there this to us was we what when where which who will with you your ",
    )
)
K1, B = 1.5, 0.75
"""How soon a term's repetitions stop counting, and how much a long text loses."""


def terms(text: str) -> list[str]:
    """Stems of the words of a text: names split at case and underscores, stop words left out."""
    return [stem for word in _WORD.findall(text) for stem in _stems(word)]


@functools.lru_cache(maxsize=131_072)
def _stems(word: str) -> tuple[str, ...]:
    """Of a word as it is written; each distinct one is stemmed once."""
    parts = [part.lower() for part in _HUMP.split(word)]
    return tuple(str(_stemmer().stemWord(part)) for part in parts if part not in _STOP)


@functools.cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


@dataclass(frozen=True)
class _Counts:
    """How often terms are where: one row a text, field and term that are together."""

    terms: Sequence[str]
    numbers: NDArray[np.int64]
    fields: NDArray[np.int64]
    places: NDArray[np.int64]
    times: NDArray[np.int64]
    lengths: NDArray[np.int32]


class Postings:
    """BM25 of many texts that have several fields each.

    `terms` are sorted. The postings of term t in field f begin at `arrays["starts"][t * fields + f]` and end where the
    next ones begin: `places` (positions of texts, rising), `times` (how often it is there), `weights` (its BM25).
    `lengths` (fields, texts) are in terms, `totals` (fields, texts) the rarities of a text's terms together.
    """

    def __init__(self, terms: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> None:
        self.terms = terms
        self.arrays = arrays
        self.fields, self.size = arrays["lengths"].shape
        self._number = {term: n for n, term in enumerate(terms)}

    @classmethod
    def of(cls, texts: Iterable[Sequence[str]], fields: int) -> Postings:
        """The index of texts, each given as its `fields` parts."""
        return _made(_counted(texts, fields))

    def rearranged(self, sources: Sequence[int], new: Sequence[Sequence[str]]) -> Postings:
        """Another index that takes over what this one knows: as if made `of` the texts anew.

        Its text i is this one's text `sources[i]`, or `new[-1 - sources[i]]` if that is negative. Each is named once.
        """
        source = np.asarray(sources, np.int64)
        added = _counted(new, self.fields)
        moved = np.full(self.size, -1, np.int64)
        moved[source[source >= 0]] = np.flatnonzero(source >= 0)
        arrived = np.zeros(len(new), np.int64)
        arrived[-1 - source[source < 0]] = np.flatnonzero(source < 0)
        keys = np.repeat(np.arange(len(self.terms) * self.fields), np.diff(self.arrays["starts"]))
        places = moved[self.arrays["places"]]
        kept = places >= 0
        lengths = np.zeros((self.fields, len(source)), np.int32)
        lengths[:, source >= 0] = self.arrays["lengths"][:, source[source >= 0]]
        lengths[:, source < 0] = added.lengths[:, -1 - source[source < 0]]
        return _made(
            _Counts(
                [*self.terms, *added.terms],
                np.concatenate([keys[kept] // self.fields, added.numbers + len(self.terms)]),
                np.concatenate([keys[kept] % self.fields, added.fields]),
                np.concatenate([places[kept], arrived[added.places]]),
                np.concatenate([self.arrays["times"][kept], added.times]),
                lengths,
            )
        )

    def scores(self, query: str) -> NDArray[np.float32]:
        """BM25 of every text in each field, (fields, texts)."""
        return np.stack([self.score(query, field) for field in range(self.fields)])

    def score(self, query: str, field: int = 0) -> NDArray[np.float32]:
        """BM25 of every text in one field, (texts,)."""
        found = np.zeros(self.size, np.float32)
        for number in self._numbers(query):
            places, weights = self._postings(number, field)
            found[places] += weights
        return found

    def coverage(self, query: str, field: int = 0) -> NDArray[np.float32]:
        """The share of the query's terms that each text has in a field, a rare term counting more; (texts,), 0..1."""
        asked = sum(self.rarity(term, field) for term in set(terms(query)))
        return self._common(query, field) / np.float32(asked or 1)

    def share(self, query: str, field: int) -> NDArray[np.float32]:
        """The share of each text's terms in a field that the query has, a rare term counting more; (texts,), 0..1."""
        totals = self.arrays["totals"][field]
        shares: NDArray[np.float32] = self._common(query, field) / np.maximum(totals, np.float32(1e-6))
        return shares

    def _common(self, query: str, field: int) -> NDArray[np.float32]:
        """The summed rarity of the terms that each text has in common with the query."""
        found = np.zeros(self.size, np.float32)
        for number in self._numbers(query):
            places = self._postings(number, field)[0]
            found[places] += _rarity(self.size, len(places))
        return found

    def rarity(self, term: str, field: int = 0) -> float:
        """The inverse document frequency of a term (a stem) in a field."""
        number = self._number.get(term)
        return float(_rarity(self.size, 0 if number is None else len(self._postings(number, field)[0])))

    def words(self, query: str, place: int) -> list[dict[str, float]]:
        """For each field the query's terms that are in a text, with what each adds to its BM25."""
        found: list[dict[str, float]] = [{} for _ in range(self.fields)]
        for number in self._numbers(query):
            for field in range(self.fields):
                places, weights = self._postings(number, field)
                at = int(np.searchsorted(places, place))
                if at < len(places) and places[at] == place:
                    found[field][self.terms[number]] = float(weights[at])
        return found

    def _numbers(self, query: str) -> list[int]:
        return sorted(self._number[term] for term in set(terms(query)) if term in self._number)

    def _postings(self, number: int, field: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        key = number * self.fields + field
        begin, end = int(self.arrays["starts"][key]), int(self.arrays["starts"][key + 1])
        return self.arrays["places"][begin:end], self.arrays["weights"][begin:end]


def _rarity(size: int, having: Any) -> Any:
    return np.log(1 + (size - having + 0.5) / (having + 0.5))


def _counted(texts: Iterable[Sequence[str]], fields: int) -> _Counts:
    known: dict[str, tuple[int, ...]] = {}  # a word as it is written, to the numbers of its stems
    number: dict[str, int] = {}
    said: list[int] = []
    sizes: list[int] = []
    for parts in texts:
        for part in parts:
            before = len(said)
            for word in _WORD.findall(part):
                numbers = known.get(word)
                if numbers is None:
                    numbers = known[word] = tuple(number.setdefault(stem, len(number)) for stem in _stems(word))
                said += numbers
            sizes.append(len(said) - before)
    lengths = np.array(sizes, np.int64)
    cells = np.repeat(np.arange(len(lengths)), lengths)
    rows, times = np.unique(cells * len(number) + np.array(said, np.int64), return_counts=True)
    cells, numbers_ = np.divmod(rows, max(len(number), 1))
    places, field = np.divmod(cells, fields)
    return _Counts(list(number), numbers_, field, places, times, lengths.reshape(-1, fields).T.astype(np.int32))


def _made(counts: _Counts) -> Postings:
    fields, size = counts.lengths.shape
    used = np.unique(counts.numbers)
    vocabulary = sorted({counts.terms[i] for i in used})
    place_of = {term: n for n, term in enumerate(vocabulary)}
    renumbered = np.zeros(len(counts.terms), np.int64)
    renumbered[used] = [place_of[counts.terms[i]] for i in used]
    keys = renumbered[counts.numbers] * fields + counts.fields
    order = np.argsort(keys * max(size, 1) + counts.places)
    keys, places, times = keys[order], counts.places[order], counts.times[order].clip(max=65_535)
    starts = np.zeros(len(vocabulary) * fields + 1, np.int64)
    np.cumsum(np.bincount(keys, minlength=len(starts) - 1), out=starts[1:])
    average = counts.lengths.mean(1, keepdims=True).clip(1e-6) if size else np.ones((fields, 1))
    norms = K1 * (1 - B + B * counts.lengths / average)
    rarities = _rarity(size, np.diff(starts))[keys]
    weights = rarities * times * (K1 + 1) / (times + norms[keys % fields, places])
    totals = np.bincount((keys % fields) * size + places, rarities, fields * size).reshape(fields, size)
    arrays = {
        "starts": starts,
        "places": places.astype(np.int32),
        "times": times.astype(np.uint16),
        "weights": weights.astype(np.float32),
        "lengths": counts.lengths,
        "totals": totals.astype(np.float32),
    }
    return Postings(vocabulary, arrays)
