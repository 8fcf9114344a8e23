"""The `Classifier`: gives texts labels, learned from a few examples of each on the backbone's vectors. Numpy only.

A multinomial logistic head whose weights start from, and are drawn to, what is known of a label before any training:
the mean of its examples and of its name (maximum a posteriori). Probabilities come from one temperature, found by
cross-validation on the examples themselves. Optimised by L-BFGS (Liu and Nocedal 1989); targets are smoothed as in Platt 1999.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ModelError, UsageError
from .adapters import Adapter, Array
from .encoder import Encoder, open_encoder

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TRUST = 10.0
"""How much the examples weigh against the prior."""
PRIOR = 5.0
"""Length of a label's prior weights."""
NAME = 0.6
"""What a label's name counts in its prior, where the mean of its examples counts one."""
FOLDS = 5
MANY = 2000
"""With more examples than this, one held-out fifth gives the temperature, not five."""


class Classifier:
    """A trained classifier: an adapter of the task `classify`, and the encoder it runs on."""

    def __init__(self, adapter: Adapter, encoder: Encoder | None = None) -> None:
        """Raises `ModelError` if the adapter is no classifier or its head does not fit its labels."""
        self.adapter = adapter
        self.encoder = encoder or open_encoder()
        labels, weight, bias = adapter.settings.get("labels"), adapter.heads.get("weight"), adapter.heads.get("bias")
        if not isinstance(labels, list) or weight is None or bias is None:
            raise ModelError(f"the model {adapter.name!r} is no classifier", hint="train one with `bottega train`")
        if weight.shape != (384, len(labels)) or bias.shape != (len(labels),) or not np.isfinite(weight).all():
            raise ModelError(
                f"the head of {adapter.name!r} does not fit its {len(labels)} labels", hint="train it again"
            )
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
        told = np.asarray(encoder.embed([words_of(n, (descriptions or {}).get(n)) for n in names]), np.float64)
        temperature = _temperature(x, y, told, seed)
        weights = _train(x, y, told)
        heads = {"weight": weights[:, :-1].T.astype(np.float32), "bias": weights[:, -1].astype(np.float32)}
        return cls(Adapter(name, {}, heads, {"labels": names, "temperature": temperature}), encoder)

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

    def probabilities(self, vectors: Array) -> Array:
        """Calibrated probabilities (vectors, labels), in the order of `labels`."""
        return _softmax(self._logits(vectors) / float(self.adapter.settings.get("temperature", 1.0)))

    def energies(self, vectors: Array) -> Array:
        """As `energy`, for texts that are embedded already."""
        return np.asarray(_logsumexp(self._logits(vectors).astype(np.float64)), np.float32)

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
            f"a classifier needs two labels or more, not {len(found)}", hint="add examples of another label"
        )
    for i, (text, label) in enumerate(zip(texts, labels, strict=True)):
        if not text.strip() or not label.strip():
            raise UsageError(
                f"example {i + 1} has an empty {'label' if text.strip() else 'text'}", hint="fill it in or remove it"
            )


def _train(x: Floats, y: Ints, told: Floats) -> Floats:
    """Weights (labels, features + 1) of the head, its bias last."""
    k, width = told.shape
    prior = np.zeros((k, width + 1))
    counts = np.bincount(y, minlength=k).clip(1)
    means = np.zeros((k, width))
    np.add.at(means, y, x)
    prior[:, :-1] = means / counts[:, None] + NAME * told
    prior *= PRIOR / np.linalg.norm(prior, axis=1, keepdims=True).clip(1e-9)
    ties = np.append(np.ones(width), 1e-3)  # the bias is almost free
    # The products in single precision, which halves the time; what they add up to in double.
    inputs = np.hstack([np.vstack([x, told]), np.ones((len(x) + k, 1))]).astype(np.float32)
    gold = np.append(y, np.arange(k))
    rows = np.arange(len(gold))

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(k, width + 1)
        logits = (inputs @ weights.T.astype(np.float32)).astype(np.float64)
        norm = _logsumexp(logits)
        error = np.exp(logits - norm[:, None])
        error[rows, gold] -= 1
        away = weights - prior
        value = TRUST * (norm - logits[rows, gold]).sum() + 0.5 * (away * away * ties).sum()
        return float(value), (TRUST * (error.T.astype(np.float32) @ inputs) + away * ties).ravel()

    return minimise(loss, prior.ravel()).reshape(k, width + 1)


def minimise(f: Callable[[Floats], tuple[float, Floats]], start: Floats, steps: int = 300, memory: int = 12) -> Floats:
    """The minimum of a smooth convex function that gives its value and gradient, by L-BFGS with halving steps."""
    x = start.copy()
    value, gradient = f(x)
    enough = 1e-3 * max(1.0, float(np.abs(gradient).max()))
    pairs: list[tuple[Floats, Floats, float]] = []
    for _ in range(steps):
        if np.abs(gradient).max() < enough:
            break
        direction = -_newton(gradient, pairs)
        slope, length = float(gradient @ direction), 1.0
        while True:
            reached = x + length * direction
            new_value, new_gradient = f(reached)
            if new_value <= value + 1e-4 * length * slope or length < 1e-6:
                break
            length /= 2
        moved, changed = reached - x, new_gradient - gradient
        if (curve := float(moved @ changed)) > 1e-12:
            pairs = [*pairs[1 - memory :], (moved, changed, curve)]
        x, value, gradient = reached, new_value, new_gradient
    return x


def _newton(gradient: Floats, pairs: list[tuple[Floats, Floats, float]]) -> Floats:
    """The gradient times the inverse curvature that the last moves tell of (the two-loop recursion)."""
    q, shares = gradient.copy(), []
    for moved, changed, curve in reversed(pairs):
        share = float(moved @ q) / curve
        shares.append(share)
        q -= share * changed
    q *= pairs[-1][2] / float(pairs[-1][1] @ pairs[-1][1]) if pairs else 1 / max(1.0, float(np.linalg.norm(gradient)))
    for (moved, changed, curve), share in zip(pairs, reversed(shares), strict=True):
        q += (share - float(changed @ q) / curve) * moved
    return q


def _temperature(x: Floats, y: Ints, told: Floats, seed: int) -> float:
    """The temperature that makes held-out examples most likely. One, where there are too few examples to tell."""
    if len(y) < 4:
        return 1.0
    folds = _folds(y, seed)
    logits, gold = [], []
    for fold in range(FOLDS if len(y) <= MANY else 1):
        out = folds == fold
        if out.any() and not out.all():
            weights = _train(x[~out], y[~out], told)
            logits.append(x[out] @ weights[:, :-1].T + weights[:, -1])
            gold.append(y[out])
    z, g = np.vstack(logits), np.concatenate(gold)
    doubt = 1 / (len(g) + 2)  # so that a few lucky answers do not make it sure of everything
    target = np.full(z.shape, doubt / (z.shape[1] - 1))
    target[np.arange(len(g)), g] = 1 - doubt

    def loss(t: float) -> float:
        return float((_logsumexp(z / t) - (target * z / t).sum(1)).mean())

    return float(min(np.geomspace(0.05, 20, 121), key=loss))


def _folds(y: Ints, seed: int) -> Ints:
    """A fold for each example, so that every label is spread over all of them."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(y))
    folds = np.zeros(len(y), np.int64)
    for label in np.unique(y):
        mine = order[y[order] == label]
        folds[mine] = (np.arange(len(mine)) + random.integers(FOLDS)) % FOLDS
    return folds


def _logsumexp(z: Floats) -> Floats:
    top = z.max(1)
    return np.asarray(top + np.log(np.exp(z - top[:, None]).sum(1)), np.float64)


def _softmax(z: Array) -> Array:
    e = np.exp(z - z.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True), np.float32)
