"""How texts become vectors: the protocol, and the house retriever in 8 bits, opened when it is first needed."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ..models.adapters import Adapter, Array
from ..models.house.retriever import PATH, REQUEST_TOKENS, TOOL_TOKENS
from ..models.quantized import QuantizedEncoder, open_quantized


class Encoding(Protocol):
    """What makes vectors of requests and of tools in one space, such as `models.house.RetrieverModel`."""

    @property
    def version(self) -> str:
        """Another one, other vectors."""

    def encode_requests(self, texts: Sequence[str]) -> Array:
        """Unit vectors (len(texts), width)."""

    def encode_tools(self, texts: Sequence[str]) -> Array:
        """Unit vectors (len(texts), width)."""


class QuickRetriever:
    """The retriever for large catalogs: an adapter on the backbone in 8 bits, twice as fast as the exact one.

    Raises `ModelError` for an adapter or weights that cannot be used; for weights when it first encodes.
    """

    def __init__(self, path: Path = PATH, weights: Path | None = None) -> None:
        self._adapter = Adapter.load(path)
        self._weights = weights
        self.version = f"{self._adapter.settings.get('version', self._adapter.name)}-8bit-{TOOL_TOKENS}"

    def encode_requests(self, texts: Sequence[str]) -> Array:
        return self._encoder.embed(texts, limit=REQUEST_TOKENS)

    def encode_tools(self, texts: Sequence[str]) -> Array:
        return self._encoder.embed(texts, limit=TOOL_TOKENS)

    @functools.cached_property
    def _encoder(self) -> QuantizedEncoder:
        return open_quantized(self._adapter, self._weights)


def text_key(version: str, text: str) -> bytes:
    """16 bytes that name the vector of a text."""
    return hashlib.blake2b(f"{version}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
