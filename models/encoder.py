"""The `Encoder`: one ONNX Runtime session of the backbone for all task models, with an adapter chosen per call."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ModelError
from .adapters import Adapter, Array
from .backbone import HIDDEN, Backbone, find

Ints = NDArray[np.int64]
GRAPH = Path(__file__).parent / "backbone.onnx"
CLS, SEP = 101, 102
"""Ids of the tokens that a sequence begins with and that its parts end with."""
MAX_TOKENS = 512
"""Positions of the backbone."""


@dataclass(frozen=True)
class Tokens:
    """A text as token ids. `spans` are character offsets (begin, end) of each token in it."""

    ids: list[int]
    spans: list[tuple[int, int]]


class Encoder:
    """Runs the backbone. Thread-safe: ONNX Runtime sessions are, and nothing else changes after opening."""

    def __init__(self, backbone: Backbone, threads: int = 0) -> None:
        import onnxruntime as ort
        from tokenizers import Tokenizer

        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(backbone.folder))
        try:
            self.tokenizer = Tokenizer.from_file(str(backbone.tokenizer))
            self._session: Any = ort.InferenceSession(GRAPH.read_bytes(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime and tokenizers raise their own many types
            raise ModelError(
                f"the backbone cannot be opened: {error}", hint="install Bottega and its weights again"
            ) from error
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def tokenize(self, text: str) -> Tokens:
        """`text` without special tokens."""
        found = self.tokenizer.encode(_sound(text), add_special_tokens=False)
        return Tokens(found.ids, found.offsets)

    def hidden(
        self, ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None = None, adapter: Adapter | None = None
    ) -> tuple[Array, Ints]:
        """The last hidden states (batch, tokens, 384) and the mask (batch, tokens) of padded sequences.

        At least one sequence, none longer than `MAX_TOKENS`; `types` tell the parts of a sequence apart (0 or 1).
        """
        width = max(len(row) for row in ids)
        padded, mask, kinds = (np.zeros((len(ids), width), np.int64) for _ in range(3))
        for i, row in enumerate(ids):
            padded[i, : len(row)] = row
            mask[i, : len(row)] = 1
            if types is not None:
                kinds[i, : len(row)] = types[i]
        feed: dict[str, Any] = {"ids": padded, "mask": mask, "types": kinds, **(adapter.lora if adapter else {})}
        return self._session.run(["hidden"], feed)[0], mask

    def embed(
        self, texts: Sequence[str], adapter: Adapter | None = None, *, limit: int = 256, batch: int = 32
    ) -> Array:
        """Unit vectors (len(texts), 384): the mean of the hidden states, at most `limit` tokens a text."""
        found = self.tokenizer.encode_batch([_sound(t) for t in texts], add_special_tokens=False)
        rows = [[CLS, *t.ids[: min(limit, MAX_TOKENS) - 2], SEP] for t in found]
        out = np.zeros((len(rows), HIDDEN), np.float32)
        for part in _by_length(rows, batch):
            hidden, mask = self.hidden([rows[i] for i in part], adapter=adapter)
            weights = mask[..., None].astype(np.float32)
            mean = (hidden * weights).sum(1) / weights.sum(1)
            out[part] = mean / np.linalg.norm(mean, axis=1, keepdims=True).clip(1e-9)
        return out


def _sound(text: str) -> str:
    """`text` without lone surrogates, which the tokenizer refuses; as long as it was."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _by_length(rows: list[list[int]], size: int) -> Iterator[list[int]]:
    """Batches of indices of similar length, so that little is spent on padding."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for start in range(0, len(order), size):
        yield order[start : start + size]


_opening = threading.Lock()


def open_encoder(folder: Path | None = None) -> Encoder:
    """The encoder of this process; opened once for each weights folder, also by threads that ask at the same time."""
    with _opening:
        return _open(folder)


@functools.cache
def _open(folder: Path | None) -> Encoder:
    return Encoder(find(folder))
