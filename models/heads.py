"""Small heads on the backbone's vectors, trained and calibrated in numpy: what classifiers and routers are made of.

A head is multinomial logistic. Its weights start from, and are drawn to, what is known of a label before any training:
the mean of its examples and the vector of its name (maximum a posteriori). Optimised by L-BFGS (Liu and Nocedal 1989);
probabilities are calibrated on answers of heads that had not seen the example, with targets smoothed as in Platt 1999.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Vectors = NDArray[Any]

TRUST = 10.0
"""How much the examples weigh against the prior."""
PRIOR = 5.0
"""Length of a label's prior weights."""
NAME = 0.6
"""What a label's name counts in its prior, where the mean of its examples counts one."""


def train_head(x: Vectors, y: Ints, told: Vectors) -> Floats:
    """Weights (labels, features + 1), the bias last, from vectors `x`, their labels `y`, and a vector of each label."""
    k, width = told.shape
    prior = np.zeros((k, width + 1))
    np.add.at(prior[:, :-1], y, x)
    prior[:, :-1] = prior[:, :-1] / np.bincount(y, minlength=k).clip(1)[:, None] + NAME * told
    prior *= PRIOR / np.linalg.norm(prior, axis=1, keepdims=True).clip(1e-9)
    ties = np.append(np.ones(width), 1e-3)  # the bias is almost free
    # The products in single precision, which halves the time; what they add up to in double.
    inputs = np.hstack([np.vstack([x, told]), np.ones((len(x) + k, 1))]).astype(np.float32)
    gold = np.append(y, np.arange(k))
    rows = np.arange(len(gold))

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(k, width + 1)
        logits = (inputs @ weights.T.astype(np.float32)).astype(np.float64)
        norm = logsumexp(logits)
        error = np.exp(logits - norm[:, None])
        error[rows, gold] -= 1
        away = weights - prior
        value = TRUST * (norm - logits[rows, gold]).sum() + 0.5 * (away * away * ties).sum()
        return float(value), (TRUST * (error.T.astype(np.float32) @ inputs) + away * ties).ravel()

    return minimise(loss, prior.ravel()).reshape(k, width + 1)


def apply(weights: Floats, x: Vectors) -> Floats:
    """Logits (rows, labels) of a head."""
    return np.asarray(x @ weights[:, :-1].T + weights[:, -1], np.float64)


def unseen(x: Vectors, y: Ints, told: Vectors, folds: Ints, only: int | None = None) -> Iterator[tuple[Floats, Ints]]:
    """Logits of each fold's examples from a head that learned from the other folds, and which examples those are."""
    for fold in np.unique(folds)[:only]:
        out = folds == fold
        if not out.all():
            yield apply(train_head(x[~out], y[~out], told), x[out]), np.flatnonzero(out)


def temperature(logits: Floats, gold: Ints) -> float:
    """What to divide logits by, so that the answers to examples a head had not seen become as likely as can be."""
    doubt = 1 / (len(gold) + 2)  # so that a few lucky answers do not make it sure of everything
    target = np.full(logits.shape, doubt / (logits.shape[1] - 1))
    target[np.arange(len(gold)), gold] = 1 - doubt

    def loss(t: float) -> float:
        return float((logsumexp(logits / t) - (target * logits / t).sum(1)).mean())

    return float(min(np.geomspace(0.05, 20, 121), key=loss))


def platt(scores: Vectors, right: Vectors) -> tuple[float, float]:
    """(scale, shift) that turn a score into the log-odds of being right, where right and wrong are equally frequent."""
    yes, no = int(right.sum()), int((~right).sum())
    target = np.where(right, (yes + 1) / (yes + 2), 1 / (no + 2))
    weight = np.where(right, 0.5 / max(1, yes), 0.5 / max(1, no))
    spread = max(float(scores.std()), 1e-6)
    inputs = np.stack([(scores - scores.mean()) / spread, np.ones(len(scores))], 1)

    def loss(v: Floats) -> tuple[float, Floats]:
        z = inputs @ v
        value = (weight * (np.logaddexp(0, z) - target * z)).sum() + 1e-6 * float(v @ v)
        return float(value), inputs.T @ (weight * (sigmoid(z) - target)) + 2e-6 * v

    scale, shift = minimise(loss, np.array([1.0, 0.0]))
    return float(scale / spread), float(shift - scale * scores.mean() / spread)


def folds_of(y: Ints, seed: int, many: int = 5) -> Ints:
    """A fold for each example, so that every label is spread over all of them."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(y))
    folds = np.zeros(len(y), np.int64)
    for label in np.unique(y):
        mine = order[y[order] == label]
        folds[mine] = (np.arange(len(mine)) + random.integers(many)) % many
    return folds


def minimise(f: Callable[[Floats], tuple[float, Floats]], start: Floats, steps: int = 300, memory: int = 12) -> Floats:
    """The minimum of a smooth convex function that gives its value and gradient, by L-BFGS with halving steps."""
    x = start.copy()
    value, gradient = f(x)
    enough = 1e-3 * float(np.abs(gradient).max())
    pairs: list[tuple[Floats, Floats, float]] = []
    for _ in range(steps):
        if np.abs(gradient).max() <= enough:
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
    if pairs:
        q *= pairs[-1][2] / float(pairs[-1][1] @ pairs[-1][1])
    else:
        q /= max(1.0, float(np.linalg.norm(gradient)))
    for (moved, changed, curve), share in zip(pairs, reversed(shares), strict=True):
        q += (share - float(changed @ q) / curve) * moved
    return q


def logsumexp(z: Vectors) -> Floats:
    """Over the last axis of (rows, labels)."""
    top = z.max(1)
    return np.asarray(top + np.log(np.exp(z - top[:, None]).sum(1)), np.float64)


def softmax(z: Vectors) -> Vectors:
    """Over the last axis of (rows, labels)."""
    e = np.exp(z - z.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def sigmoid(z: Vectors) -> Vectors:
    """Probability of log-odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -60, 60))))
