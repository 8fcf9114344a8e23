"""The `Classifier`: gives texts labels with calibrated probabilities, learned from few examples of each. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..core.errors import ModelError, UsageError
from .adapters import Adapter, Array
from .backbone import HIDDEN
from .encoder import Encoder, open_encoder
from .heads import Floats, Ints, folds_of, logsumexp, softmax, temperature, train_head, unseen

MANY = 2000
"""With more examples than this, one held-out fifth gives the temperature, not five."""


class Classifier:
    """A trained classifier: an adapter of the task `classify`, and the encoder it runs on."""

    def __init__(self, adapter: Adapter, encoder: Encoder | None = None) -> None:
        """Raises `ModelError` if the adapter is no classifier or its head does not fit its labels."""
        labels, weight, bias = adapter.settings.get("labels"), adapter.heads.get("weight"), adapter.heads.get("bias")
        if not isinstance(labels, list) or weight is None or bias is None:
            raise ModelError(f"the model {adapter.name!r} is no classifier", hint="train one with `bottega train`")
        if weight.shape != (HIDDEN, len(labels)) or bias.shape != (len(labels),) or not np.isfinite(weight).all():
            raise ModelError(f"the head of {adapter.name!r} does not fit its labels", hint="train it again")
        self.adapter = adapter
        self.encoder = encoder or open_encoder()
        self.labels: tuple[str, ...] = tuple(labels)

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        labels: Sequence[str],
        descriptions: Mapping[str, str] | None = None,
        seed: int = 0,
        *,
        name: str = "classifier",
        encoder: Encoder | None = None,
        vectors: Array | None = None,
    ) -> Classifier:
        """Learns from `texts` and their `labels`; a label's name, with its description, is one more example of it.

        `vectors` are the texts' embeddings where they are known already. Raises `UsageError` for fewer than two labels,
        an empty text, or lists of unequal length.
        """
        _check(texts, labels, descriptions or {})
        encoder = encoder or open_encoder()
        names = sorted({*labels, *(descriptions or {})})
        place = {label: i for i, label in enumerate(names)}
        x = np.asarray(encoder.embed(texts) if vectors is None else vectors, np.float64)
        y = np.array([place[label] for label in labels], np.int64)
        told = encoder.embed([words_of(n, (descriptions or {}).get(n)) for n in names]).astype(np.float64)
        weights = train_head(x, y, told)
        heads = {"weight": weights[:, :-1].T.astype(np.float32), "bias": weights[:, -1].astype(np.float32)}
        settings = {"labels": names, "temperature": _temperature(x, y, told, seed)}
        return cls(Adapter(name, {}, heads, settings), encoder)

    def classify(self, texts: Sequence[str]) -> list[list[tuple[str, float]]]:
        """For each text all labels with their probabilities, the likeliest first."""
        return self.rank(self.encoder.embed(texts, self.adapter)) if texts else []

    def energy(self, texts: Sequence[str]) -> Array:
        """How well each text fits any label: low for what is none of them. Comparable within one model only."""
        return self.energies(self.encoder.embed(texts, self.adapter)) if texts else np.zeros(0, np.float32)

    def rank(self, vectors: Array) -> list[list[tuple[str, float]]]:
        """As `classify`, for texts that are embedded already."""
        p = self.probabilities(vectors)
        return [[(self.labels[i], float(row[i])) for i in np.argsort(-row, kind="stable")] for row in p]

    def energies(self, vectors: Array) -> Array:
        """As `energy`, for texts that are embedded already."""
        return np.asarray(logsumexp(self._logits(vectors)), np.float32)

    def probabilities(self, vectors: Array) -> Array:
        """Calibrated probabilities (vectors, labels), in the order of `labels`."""
        return softmax(self._logits(vectors) / float(self.adapter.settings.get("temperature", 1.0)))

    def _logits(self, vectors: Array) -> Array:
        return np.asarray(vectors @ self.adapter.heads["weight"] + self.adapter.heads["bias"], np.float32)

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        self.adapter.save(path)

    @classmethod
    def load(cls, path: Path, encoder: Encoder | None = None) -> Classifier:
        """Raises `ModelError` in one line if the file is missing, damaged or no classifier."""
        return cls(Adapter.load(path), encoder)


def words_of(label: str, description: str | None = None) -> str:
    """A label as words, with what it means: `card_arrival` -> `card arrival`."""
    words = " ".join("".join(c if c.isalnum() else " " for c in label).split()).lower() or label
    return f"{words}: {description}" if description else words


def _check(texts: Sequence[str], labels: Sequence[str], descriptions: Mapping[str, str]) -> None:
    if len(texts) != len(labels):
        raise UsageError(f"{len(texts)} texts but {len(labels)} labels", hint="give one label for each text")
    found = {*labels, *descriptions}
    if len(found) < 2:
        raise UsageError(
            f"a classifier needs two labels or more, not {len(found)}", hint="add another label's examples"
        )
    for i, (text, label) in enumerate(zip(texts, labels, strict=True), 1):
        if not text.strip() or not label.strip():
            empty = "label" if text.strip() else "text"
            raise UsageError(f"example {i} has an empty {empty}", hint="fill it in or remove the example")


def _temperature(x: Floats, y: Ints, told: Floats, seed: int) -> float:
    """The temperature by cross-validation on the examples. One, where there are too few to tell."""
    if len(y) < 4:
        return 1.0
    parts = list(unseen(x, y, told, folds_of(y, seed), only=None if len(y) <= MANY else 1))
    return temperature(np.vstack([z for z, _ in parts]), y[np.concatenate([i for _, i in parts])])
