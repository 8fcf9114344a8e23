"""Vectors in Chroma: a folder of its own, or a server that several machines share.

Measured with 19,000 and 100,000 tools, Chroma's approximate search costs about what an exact matrix does at the first
size and a tenth at the second; a filter by `where` costs it ten times a search. So this is for indices that are shared
or beyond 100,000 tools; for all others `MatrixStore` is better, and exact. Some of the tools are compared exactly here
too: their vectors are fetched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ...core.errors import ServerError, ToolIndexError
from .protocol import Array, Ints

NEAREST = 200
"""Tools of each kind of vector that Chroma is asked for."""
PAGE = 5_000
"""Records that are sent or fetched at a time."""

Collection = Any
"""A collection of chromadb, whose own type is not needed to be known without importing it."""


class ChromaStore:
    """One collection for each kind of vector; a record is named after the content of its tool."""

    def __init__(self, collections: Sequence[Collection], names: Sequence[str], width: int) -> None:
        self._collections = collections
        self._names = list(names)
        self._width = width
        self._place = {name: n for n, name in enumerate(self._names)}

    def cosines(self, queries: Array, places: Ints | None = None, also: Ints | None = None) -> Array:
        """`Store.cosines`: those that Chroma does not name are taken to be as far as the last one that it names."""
        if places is not None:
            return np.stack([queries @ one.T for one in self.vectors(places)], axis=1)
        found = np.stack([self._nearest(one, queries) for one in self._collections], axis=1)
        if also is not None and len(also):
            found[:, :, also] = self.cosines(queries, also)
        return found

    def vectors(self, places: Ints) -> Array:
        found = np.zeros((len(self._collections), len(places), self._width), np.float32)
        for kind, collection in enumerate(self._collections):
            at = {self._names[place]: n for n, place in enumerate(places)}
            names = list(at)
            for start in range(0, len(names), PAGE):
                with _understood():
                    got = collection.get(ids=names[start : start + PAGE], include=["embeddings"])
                for name, vector in zip(got["ids"], got["embeddings"], strict=True):
                    found[kind, at[name]] = vector
        return found

    def rearranged(self, names: Sequence[str], sources: Ints, new: Array) -> ChromaStore:
        """Adds what is new. What is gone stays until `tidy`, so that a kill on the way harms nobody."""
        self.add({name: new[:, -1 - source] for name, source in zip(names, sources, strict=True) if source < 0})
        return ChromaStore(self._collections, names, new.shape[2] if len(sources) else self._width)

    def named(self, names: Sequence[str]) -> ChromaStore:
        """The same, for a list of tools that are all there."""
        return ChromaStore(self._collections, names, self._width)

    def add(self, vectors: Mapping[str, Array]) -> None:
        """Adds vectors (kinds, width) by name; zeros are left out."""
        for kind, collection in enumerate(self._collections):
            names = [name for name, rows in vectors.items() if rows[kind].any()]
            for start in range(0, len(names), PAGE):
                some = names[start : start + PAGE]
                rows = np.stack([vectors[name][kind] for name in some])
                with _understood():
                    collection.upsert(ids=some, embeddings=rows)

    def describe(self, texts: Mapping[str, str]) -> None:
        """Keeps a text with each of these records."""
        names = list(texts)
        for start in range(0, len(names), PAGE):
            some = names[start : start + PAGE]
            with _understood():
                self._collections[0].update(ids=some, metadatas=[{"tool": texts[name]} for name in some])

    def tidy(self) -> None:
        """Removes records that are not of this list of tools."""
        for collection in self._collections:
            gone = [name for page in _pages(collection, []) for name in page["ids"] if name not in self._place]
            for start in range(0, len(gone), PAGE):
                with _understood():
                    collection.delete(ids=gone[start : start + PAGE])

    def texts(self) -> dict[str, str]:
        """The text of each record that has one, by name."""
        found: dict[str, str] = {}
        for page in _pages(self._collections[0], ["metadatas"]):
            found |= {n: str(m["tool"]) for n, m in zip(page["ids"], page["metadatas"], strict=True) if m}
        return found

    def _nearest(self, collection: Collection, queries: Array) -> Array:
        found = np.zeros((len(queries), len(self._names)), np.float32)
        with _understood():
            count = min(NEAREST, collection.count())
            if not count:
                return found
            got = collection.query(query_embeddings=queries, n_results=count, include=["distances"])
        for row, names, distances in zip(found, got["ids"], got["distances"], strict=True):
            known = [(self._place[n], 1 - d) for n, d in zip(names, distances, strict=True) if n in self._place]
            row[:] = min((cosine for _, cosine in known), default=0.0)
            for place, cosine in known:
                row[place] = cosine
        return found


def open_chroma(
    place: Path | str, kinds: Sequence[str], width: int, about: Mapping[str, str], *, make: bool
) -> ChromaStore:
    """The store in a folder, or on a server: `http://host:port/name`, where the name is that of the index.

    With `make`, collections that are missing or were made for something else than `about` are made anew; without it
    they are a `ToolIndexError`. Raises `ServerError` for a server that does not answer.
    """
    client, name = _client(place)
    collections = []
    for kind in kinds:
        with _understood():
            known = {one.name: one for one in client.list_collections()}
            full = f"{name}-{kind}"
            if full in known and dict(known[full].metadata or {}) != dict(about):
                if not make:
                    raise ToolIndexError(
                        f"the index {place} was made by another retriever or version of Bottega", hint="build it again"
                    )
                client.delete_collection(full)
                del known[full]
            if full not in known and not make:
                raise ToolIndexError(f"there is no tool index at {place}", hint="build it: bottega tools index")
            collections.append(
                client.get_or_create_collection(
                    full,
                    metadata=dict(about),
                    embedding_function=None,
                    configuration=None if full in known else {"hnsw": {"space": "cosine", "ef_search": NEAREST}},
                )
            )
    return ChromaStore(collections, [], width)


def _client(place: Path | str) -> tuple[Any, str]:
    import chromadb
    from chromadb.config import Settings

    settings = Settings(anonymized_telemetry=False)
    if isinstance(place, Path):
        with _understood():
            return chromadb.PersistentClient(str(place), settings=settings), "tools"
    parts = urlsplit(place)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 8000)
        client = chromadb.HttpClient(parts.hostname or "", port, ssl=parts.scheme == "https", settings=settings)
        return client, parts.path.strip("/") or "tools"
    except Exception as error:  # a ValueError for a server that does not answer, among many
        raise ServerError(
            f"no Chroma server answers at {parts.scheme}://{parts.hostname}:{parts.port}: {str(error)[:200]}",
            hint="start it: chroma run --port PORT",
        ) from None


def _pages(collection: Collection, include: list[str]) -> Iterator[Any]:
    offset = 0
    while True:
        with _understood():
            page = collection.get(include=include, limit=PAGE, offset=offset)
        if not page["ids"]:
            return
        yield page
        offset += len(page["ids"])


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    """Makes what Chroma, its database or its connection raise an error that says what to do."""
    try:
        yield
    except (ToolIndexError, GeneratorExit):
        raise
    except Exception as error:  # chromadb, its Rust core and httpx raise their own many types
        raise ToolIndexError(
            f"Chroma cannot do it: {str(error)[:200] or type(error).__name__}",
            hint="see that it runs and has room, then build the index again",
        ) from None
