"""Retriever: vectors of requests and of tools in one space, so that a tool is found by what it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..adapters import Adapter, Array
from ..encoder import Encoder, open_encoder
from .slots import words

PATH = Path(__file__).parent / "retriever.safetensors"
REQUEST_TOKENS, TOOL_TOKENS = 64, 96


def tool_text(name: str, description: str, schema: Mapping[str, Any], server: str = "") -> str:
    """What is encoded of a tool: its name in words, description, parameter names with their descriptions, server."""
    properties = schema.get("properties")
    parameters = "; ".join(
        f"{words(key)} {prop.get('description') or ''}".strip()
        for key, prop in (properties.items() if isinstance(properties, Mapping) else ())
        if isinstance(prop, Mapping)
    )
    return (
        f"{words(name)}: {description}"
        + (f" ({parameters})" if parameters else "")
        + (f" [{words(server)}]" if server else "")
    )


class RetrieverModel:
    """Encodes requests and tools. Cosine of two of its vectors says how well they go together."""

    def __init__(self, encoder: Encoder, adapter: Adapter) -> None:
        self.encoder = encoder
        self.adapter = adapter
        self.version = str(adapter.settings.get("version", adapter.name))

    @classmethod
    def open(cls, path: Path = PATH, weights: Path | None = None) -> RetrieverModel:
        return cls(open_encoder(weights), Adapter.load(path))

    def encode_requests(self, texts: Sequence[str]) -> Array:
        """Unit vectors (len(texts), 384)."""
        return self.encoder.embed(texts, self.adapter, limit=REQUEST_TOKENS)

    def encode_tools(self, texts: Sequence[str]) -> Array:
        """Unit vectors (len(texts), 384) of texts made by `tool_text`."""
        return self.encoder.embed(texts, self.adapter, limit=TOOL_TOKENS)
