"""What an index holds, apart from vectors: tools in their order, who they are, their words. And how it is renewed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fields import DENSE, LEXICAL, dense_texts, lexical_texts
from .lexical import Postings
from .spec import Described, ToolSpec

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

EMPTY = b"\0" * 16
"""The key of an empty text, which is not encoded."""


@dataclass(frozen=True)
class Contents:
    """`hashes` (n, 16) are of each tool's content, `keys` (n, vectors, 16) of the texts that its vectors are of."""

    tools: Sequence[ToolSpec]
    ids: Sequence[str]
    hashes: Bytes
    keys: Bytes
    lexical: Postings

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def place(self) -> Mapping[str, int]:
        """The position of each id."""
        return {id: n for n, id in enumerate(self.ids)}

    @classmethod
    def empty(cls) -> Contents:
        none = np.zeros((0, 16), np.uint8)
        keys = np.zeros((0, len(DENSE), 16), np.uint8)
        return cls([], [], none, keys, Postings.of([], len(LEXICAL)))


@dataclass(frozen=True)
class Listing:
    """Tools as they are to be, and where each is in the index that there is: at `sources[i]`, or negative if new."""

    tools: Sequence[ToolSpec]
    hashes: Bytes
    sources: Ints

    @classmethod
    def of(cls, tools: Iterable[Described | Mapping[str, Any]], old: Contents) -> Listing:
        """Of two tools with one id the later one counts. Raises `UsageError` for one that has no id or no name."""
        specs = list({spec.id: spec for spec in map(ToolSpec.of, tools)}.values())
        digests = [_digest(spec.to_json()) for spec in specs]
        known = {row.tobytes(): n for n, row in enumerate(old.hashes)}
        sources = np.fromiter((known.get(digest, -1) for digest in digests), np.int64, len(digests))
        sources[sources < 0] = -1 - np.arange(int((sources < 0).sum()))
        return cls(specs, np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16), sources)

    @property
    def new(self) -> list[ToolSpec]:
        return [tool for tool, source in zip(self.tools, self.sources, strict=True) if source < 0]

    def unchanged(self, old: Contents) -> bool:
        return len(self.tools) == len(old) and bool((self.sources == np.arange(len(old))).all())


def renewed(old: Contents, listing: Listing, keys: Bytes) -> Contents:
    """What the index of a listing holds; `keys` (new tools, vectors, 16) are of those that are new."""
    sources, fresh = listing.sources, listing.sources < 0
    all_keys = np.empty((len(sources), len(DENSE), 16), np.uint8)
    all_keys[~fresh] = old.keys[sources[~fresh]]
    all_keys[fresh] = keys
    lexical = old.lexical.rearranged(sources.tolist(), [lexical_texts(tool) for tool in listing.new])
    ids = [tool.id for tool in listing.tools]
    return Contents(listing.tools, ids, listing.hashes, all_keys, lexical)


def form() -> str:
    """Names the way a tool is taken apart: an index of another form has to be built again."""
    sample = ToolSpec(
        "a/find_it",
        "a",
        "find_it",
        "Finds it. " * 99,
        {"properties": {"what": {"type": "string", "description": "the thing " * 99}, "limit": {"type": "integer"}}},
    )
    arrays = sorted(Postings.of([], len(LEXICAL)).arrays)
    return _digest(repr([DENSE, LEXICAL, dense_texts(sample), lexical_texts(sample), arrays])).hex()


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
