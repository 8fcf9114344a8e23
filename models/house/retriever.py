"""Retriever: vectors of requests and of tools in one space, so that a tool is found by what it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..adapters import Adapter, Array
from ..encoder import Encoder, open_encoder
from .slots import words

PATH = Path(__file__).parent / "retriever.safetensors"
REQUEST_TOKENS, TOOL_TOKENS = 160, 112
EARLY_LAYERS, WIDTH = 3, 128
"""Layers and dimensions of the smaller form, whose vectors are the mean of the third layer times `early`."""


def tool_text(name: str, description: str, schema: Mapping[str, Any], server: str = "") -> str:
    """What is encoded of a tool: name and server in words, description, parameter names with their descriptions.

    Long descriptions are cut, so that the parameters are within `TOOL_TOKENS` too.
    """
    properties = schema.get("properties")
    parameters = "; ".join(
        f"{words(key)} {_plain(prop.get('description'), 60)}".strip()
        for key, prop in (properties.items() if isinstance(properties, Mapping) else ())
        if isinstance(prop, Mapping)
    )
    head = words(name) + (f" [{words(server)}]" if server else "")
    return f"{head}: {_plain(description, 360)}" + (f" ({parameters[:300]})" if parameters else "")


def _plain(text: object, longest: int) -> str:
    """A text in one line, cut after `longest` characters."""
    return " ".join(text.split())[:longest] if isinstance(text, str) else ""


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
