"""`ToolIndex`: finds tools by what they do. Gathers dense and lexical evidence of each; `scoring` fuses it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..core.errors import ToolIndexError, UsageError
from ..models.backbone import HIDDEN
from .contents import EMPTY, Contents, Listing, form, renewed
from .encoding import Encoding, QuickRetriever, text_key
from .fields import DENSE, LEXICAL, dense_texts
from .files import Kept, Unfinished, current, locked, read, write
from .order import top
from .parts import parts_of
from .scoring import FITS, Array, Evidence, Ints, Part, nearness, rank
from .spec import Described, ToolHit, ToolSpec
from .stores import ChromaStore, MatrixStore, Store, open_chroma
from .vectors import cached

Progress = Callable[[int, int], None]
"""Called with how many of how many texts are encoded."""

StoreKind = Literal["matrix", "chroma"]

BLOCK = 256
"""Texts that are encoded between two writes: what a kill can cost."""

WORDED = 200
"""Tools with the best BM25 whose cosines are exact, whatever the size of the index."""

MEMORY = 1 << 26
"""Bytes of cosines that a batch of queries makes at a time."""


@dataclass(frozen=True)
class Explanation:
    """Why a tool stands where it does for a query: `place` 1 is the best.

    `cosines` by kind of vector; `bm25` by field, and in `words` the query's words (their stems) that the field has,
    with what each adds; `coverage` is the share of the query's words that the tool has, rare ones counting more.
    """

    id: str
    score: float
    place: int
    cosines: Mapping[str, float]
    bm25: Mapping[str, float]
    words: Mapping[str, Mapping[str, float]]
    coverage: float


class ToolIndex:
    """Tools with their vectors and words; made by `build` or `open`, never changed: `sync` gives another one.

    Safe to search from several threads.
    """

    def __init__(
        self,
        contents: Contents,
        store: Store,
        encoding: Encoding,
        folder: Path | None = None,
        generation: str | None = None,
    ) -> None:
        self._contents = contents
        self._store = store
        self._encoding = encoding
        self._folder = folder
        self._generation = generation

    @property
    def tools(self) -> Sequence[ToolSpec]:
        """All tools, in order. In an index that was opened, one is read from the disk when it is asked for."""
        return self._contents.tools

    @property
    def ids(self) -> Sequence[str]:
        """The ids of `tools`."""
        return self._contents.ids

    def __len__(self) -> int:
        return len(self._contents)

    @classmethod
    def build(
        cls,
        tools: Iterable[Described | Mapping[str, Any]],
        path: Path | str | None = None,
        model: Encoding | None = None,
        *,
        store: StoreKind = "matrix",
        progress: Progress | None = None,
    ) -> ToolIndex:
        """Indexes `tools`; a mapping has `id` and `name`, and may have `server`, `description` and `input_schema`.

        `path` is a folder that keeps the index; what is already there is not encoded again, nor what a build that was
        killed had encoded. It stays as it was until all of the new index is there. Without it, the index is in memory;
        a file `*.npz` keeps only the vectors of such a one. Of tools with the same id the last one counts.

        `store` says what keeps the vectors in the folder: a matrix, which is exact and the faster up to 100,000 tools,
        or Chroma. With a URL `http://host:port/name` as `path` all of the index is on a Chroma server, for those who
        share it; a build for one that is killed starts again.

        Raises `UsageError` for a tool that lacks id or name, `ModelError` if the retriever cannot be opened,
        `ToolIndexError` where the folder cannot be written, `ServerError` if there is no such server.
        """
        encoding = model or QuickRetriever()
        if "://" in str(path):
            return cls._remote(str(path), encoding, make=True).sync(tools, progress=progress)
        path = Path(path) if path else None
        if path is None or path.suffix == ".npz":
            return cls._in_memory(tools, encoding, path)
        with locked(path):
            return cls._kept_in(path, tools, encoding, progress, store)

    @classmethod
    def open(cls, path: Path | str, model: Encoding | None = None) -> ToolIndex:
        """The index in a folder, in milliseconds: it is memory-mapped, and the retriever opened by the first search.

        That on a Chroma server, at a URL as for `build`, takes seconds for ten thousands of tools: their texts are
        fetched. Raises `ToolIndexError` if there is none, if it is damaged, or if it was made by another retriever or
        version; `ServerError` if there is no such server.
        """
        encoding = model or QuickRetriever()
        if "://" in str(path):
            return cls._remote(str(path), encoding, make=False)
        folder = Path(path)
        kept = read(folder)
        if kept.about != _about(encoding) | {"store": kept.about.get("store")}:
            raise ToolIndexError(
                f"the tool index {path} was made by another retriever or version of Bottega",
                hint="bring it up to date: bottega tools index",
            )
        return cls._of_kept(folder, kept, encoding)

    def sync(self, tools: Iterable[Described | Mapping[str, Any]], *, progress: Progress | None = None) -> ToolIndex:
        """The index of these tools; those that this one knows are not encoded again. Where it is kept, it is replaced.

        If nothing has changed nothing is written. Raises as `build`.
        """
        if self._folder is None:
            return self._shared(tools, progress) if self._is_remote else self._renewed(self._listing(tools), progress)
        with locked(self._folder):
            if current(self._folder) == self._generation:
                return self._synced(tools, progress)
            return self._kept_in(self._folder, tools, self._encoding, progress, _kind(self._store))

    def search(
        self, query: str, k: int = 10, within: Collection[str] | None = None, *, fitting: bool = False
    ) -> list[ToolHit]:
        """The `k` best tools for a query, best first; of those whose ids are `within`, if given.

        With `fitting` those that are probably not for it are left out, so that none is left where no tool fits.
        """
        return self.search_many([query], k, within, fitting=fitting)[0]

    def search_many(
        self, queries: Sequence[str], k: int = 10, within: Collection[str] | None = None, *, fitting: bool = False
    ) -> list[list[ToolHit]]:
        """`search` for several queries, encoded and compared together."""
        places = self._places(within)
        size = len(self) if places is None else len(places)
        if not size or not queries:
            return [[] for _ in queries]
        asked = [(query, *parts_of(query)) for query in queries]
        vectors = self._encoding.encode_requests([text for texts in asked for text in texts])
        found = []
        step, done = max(1, MEMORY // (4 * size * len(DENSE))), 0
        for some in _batches(asked, step):
            rows = sum(map(len, some))
            for evidence in self._evidence(some, vectors[done : done + rows], places):
                found.append(self._hits(evidence, k, places, FITS if fitting else -1.0))
            done += rows
        return found

    def _hits(self, evidence: Evidence, k: int, places: Ints | None, least: float) -> list[ToolHit]:
        best, scores = rank(evidence, k)
        near = nearness(evidence)[best]
        chosen = best if places is None else places[best]
        return [
            ToolHit(self._contents.ids[place], float(score), self._contents.tools[place], float(cosine))
            for place, score, cosine in zip(chosen.tolist(), scores, near, strict=True)
            if cosine >= least
        ]

    def explain(self, query: str, id: str) -> Explanation:
        """Why a tool stands where it does among all tools. Raises `UsageError` if there is no such tool."""
        at = self._contents.place.get(id)
        if at is None:
            raise UsageError(f"there is no tool {id!r} in the index", hint="bottega tools search finds tools")
        evidence = self.evidence(query)
        order, scores = rank(evidence, len(self))
        place = int(np.flatnonzero(order == at)[0])
        return Explanation(
            id,
            float(scores[place]),
            place + 1,
            dict(zip(DENSE, evidence.dense[:, at].tolist(), strict=True)),
            dict(zip(LEXICAL, evidence.lexical[:, at].tolist(), strict=True)),
            dict(zip(LEXICAL, self._contents.lexical.words(query, at), strict=True)),
            float(evidence.coverage[at]),
        )

    def evidence(self, query: str) -> Evidence:
        """All that is known of each tool for a query: what the order is made of. The index is not empty."""
        texts = (query, *parts_of(query))
        (found,) = self._evidence([texts], self._encoding.encode_requests(texts), None)
        return found

    def _places(self, within: Collection[str] | None) -> Ints | None:
        if within is None:
            return None
        known = self._contents.place
        return np.array(sorted({known[id] for id in within if id in known}), np.int64)

    def _evidence(self, asked: Sequence[tuple[str, ...]], vectors: Array, places: Ints | None) -> Iterable[Evidence]:
        """What is known for each query, which stands before its parts; a vector for each of all these texts."""
        words = self._contents.lexical
        also = top(words.score(asked[0][0]), WORDED) if len(vectors) == 1 and places is None else None
        dense = self._store.cosines(vectors, places, also)
        kept = slice(None) if places is None else places
        for texts, first in zip(asked, accumulate(map(len, asked), initial=0), strict=False):
            yield Evidence(
                texts[0],
                dense[first],
                words.scores(texts[0])[:, kept],
                words.coverage(texts[0])[kept],
                words.share(texts[0], LEXICAL.index("name"))[kept],
                words.share(texts[0], LEXICAL.index("description"))[kept],
                [
                    Part(row[0], words.score(text)[kept], words.coverage(text)[kept])
                    for text, row in zip(texts[1:], dense[first + 1 :], strict=False)
                ],
            )

    def _listing(self, tools: Iterable[Described | Mapping[str, Any]]) -> Listing:
        return Listing.of(tools, self._contents)

    @classmethod
    def _in_memory(
        cls, tools: Iterable[Described | Mapping[str, Any]], encoding: Encoding, vectors: Path | None
    ) -> ToolIndex:
        index = cls(Contents.empty(), _no_vectors(), _Caching(encoding, vectors) if vectors else encoding)
        return index._renewed(index._listing(tools), None)

    @classmethod
    def _kept_in(
        cls,
        folder: Path,
        tools: Iterable[Described | Mapping[str, Any]],
        encoding: Encoding,
        progress: Progress | None,
        kind: StoreKind,
    ) -> ToolIndex:
        """The folder is locked."""
        try:
            old = cls.open(folder, encoding)
        except ToolIndexError:  # what cannot be used is made anew
            old = None
            _spare(folder, encoding)
        if old is None or _kind(old._store) != kind:
            old = cls(Contents.empty(), _no_vectors(), encoding, folder)
            if kind == "chroma":
                old._store = open_chroma(folder / "chroma", DENSE, HIDDEN, _about(encoding), make=True)
        return old._synced(tools, progress)

    def _synced(self, tools: Iterable[Described | Mapping[str, Any]], progress: Progress | None) -> ToolIndex:
        assert self._folder is not None
        listing = self._listing(tools)
        if self._generation is not None and listing.unchanged(self._contents):
            return self
        unfinished = Unfinished(self._folder)
        index = self._renewed(listing, progress, unfinished)
        store = index._store
        vectors = {}
        if isinstance(store, MatrixStore):
            vectors = {"matrix": store.matrix} | ({} if store.narrow is None else {"narrow": store.narrow})
        kept = write(self._folder, index._contents, vectors, _about(self._encoding) | {"store": _kind(store)})
        unfinished.remove()
        if isinstance(store, ChromaStore):
            store.tidy()
            return ToolIndex(kept.contents, store, self._encoding, self._folder, kept.name)
        return self._of_kept(self._folder, kept, self._encoding)

    @classmethod
    def _of_kept(cls, folder: Path, kept: Kept, encoding: Encoding) -> ToolIndex:
        store: Store
        if kept.about["store"] == "chroma":
            opened = open_chroma(folder / "chroma", DENSE, HIDDEN, _about(encoding), make=False)
            store = opened.named(_names(kept.contents))
        else:
            store = MatrixStore(kept.vectors["matrix"], kept.vectors.get("narrow"))
        return cls(kept.contents, store, encoding, folder, kept.name)

    @property
    def _is_remote(self) -> bool:
        return self._folder is None and isinstance(self._store, ChromaStore)

    @classmethod
    def _remote(cls, url: str, encoding: Encoding, *, make: bool) -> ToolIndex:
        """The index on a server, in the order of ids."""
        store = open_chroma(url, DENSE, HIDDEN, _about(encoding), make=make)
        tools = sorted(map(ToolSpec.from_json, store.texts().values()), key=lambda tool: tool.id)
        empty = Contents.empty()
        listing = Listing.of(tools, empty)
        keys = [text_key(encoding.version, text) if text else EMPTY for t in listing.tools for text in dense_texts(t)]
        contents = renewed(empty, listing, np.frombuffer(b"".join(keys), np.uint8).reshape(-1, len(DENSE), 16))
        return cls(contents, store.named(_names(contents)), encoding)

    def _shared(self, tools: Iterable[Described | Mapping[str, Any]], progress: Progress | None) -> ToolIndex:
        """Brings the index on a server up to date."""
        specs = [ToolSpec.of(tool) for tool in tools]
        specs.sort(key=lambda tool: tool.id)
        listing = self._listing(specs)
        if listing.unchanged(self._contents):
            return self
        index = self._renewed(listing, progress)
        assert isinstance(index._store, ChromaStore)
        names, sources = _names(index._contents), listing.sources
        new = {n: t.to_json() for n, t, source in zip(names, listing.tools, sources, strict=True) if source < 0}
        index._store.describe(new)
        index._store.tidy()
        return index

    def _renewed(self, listing: Listing, progress: Progress | None, unfinished: Unfinished | None = None) -> ToolIndex:
        texts = [text for tool in listing.new for text in dense_texts(tool)]
        keys = [text_key(self._encoding.version, text) if text else EMPTY for text in texts]
        known = self._known(set(keys), unfinished)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known and key != EMPTY}
        self._encode(missing, known, progress, unfinished)
        width = next((len(v) for v in known.values()), 0) or self._store.vectors(np.zeros(0, np.int64)).shape[2]
        zero = np.zeros(width, np.float32)
        rows = [known.get(key, zero) for key in keys]
        new = np.stack(rows).reshape(-1, len(DENSE), width) if rows else np.zeros((0, len(DENSE), width), np.float32)
        all_keys = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, len(DENSE), 16)
        contents = renewed(self._contents, listing, all_keys)
        store = self._store.rearranged(_names(contents), listing.sources, new.transpose(1, 0, 2))
        return ToolIndex(contents, store, self._encoding, self._folder)

    def _known(self, keys: set[bytes], unfinished: Unfinished | None) -> dict[bytes, Array]:
        """Vectors that are at hand: of tools that say the same, and those of a build that was not finished."""
        found = unfinished.read() if unfinished is not None and keys else {}
        if keys and len(self):
            flat = self._contents.keys.reshape(-1, 16)
            for at, row in enumerate(flat):
                if (key := row.tobytes()) in keys and key != EMPTY:
                    place, kind = divmod(at, len(DENSE))
                    found[key] = self._store.vectors(np.array([place]))[kind, 0]
        return found

    def _encode(
        self,
        missing: Mapping[bytes, str],
        known: dict[bytes, Array],
        progress: Progress | None,
        unfinished: Unfinished | None,
    ) -> None:
        """Adds vectors to those known. Texts of like length are encoded together, the longest first."""
        order = sorted(missing, key=lambda key: -len(missing[key]))
        block = BLOCK if unfinished is not None or progress is not None else max(1, len(order))
        if progress is not None and order:
            progress(0, len(order))
        for start in range(0, len(order), block):
            some = order[start : start + block]
            vectors = self._encoding.encode_tools([missing[key] for key in some])
            known.update(zip(some, vectors, strict=True))
            if unfinished is not None:
                unfinished.add(some, vectors)
            if progress is not None:
                progress(start + len(some), len(order))


class _Caching:
    """An encoding that keeps vectors of tools in a file."""

    def __init__(self, encoding: Encoding, path: Path) -> None:
        self._encoding = encoding
        self._path = path
        self.version = encoding.version
        self.encode_requests = encoding.encode_requests

    def encode_tools(self, texts: Sequence[str]) -> Array:
        return cached(self._path, texts, self.version, self._encoding.encode_tools)


def _batches(asked: Sequence[tuple[str, ...]], most: int) -> Iterable[list[tuple[str, ...]]]:
    """Queries with their parts, as many together as have `most` texts, or one that has more."""
    some: list[tuple[str, ...]] = []
    for texts in asked:
        if some and sum(map(len, some)) + len(texts) > most:
            yield some
            some = []
        some.append(texts)
    yield some


def _no_vectors() -> MatrixStore:
    return MatrixStore(np.zeros((len(DENSE), 0, HIDDEN), np.float32))


def _spare(folder: Path, encoding: Encoding) -> None:
    """Of an index that is of another form keeps the vectors, which a text that stays the same will have again."""
    try:
        kept = read(folder)
    except ToolIndexError:
        return
    if kept.about.get("retriever") == encoding.version and "matrix" in kept.vectors:
        unfinished = Unfinished(folder)
        for kind, rows in enumerate(kept.vectors["matrix"]):
            unfinished.add([key.tobytes() for key in kept.contents.keys[:, kind]], rows)


def _kind(store: Store) -> StoreKind:
    return "chroma" if isinstance(store, ChromaStore) else "matrix"


def _names(contents: Contents) -> list[str]:
    """What records of these tools are called."""
    return [row.tobytes().hex() for row in contents.hashes]


def _about(encoding: Encoding) -> dict[str, str]:
    return {"retriever": encoding.version, "form": form()}
