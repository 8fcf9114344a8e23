"""How good answers are: accuracy, macro F1, calibration error, and how well a score tells two kinds apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]


def accuracy(given: Sequence[str], gold: Sequence[str]) -> float:
    """The share of right answers."""
    return sum(a == b for a, b in zip(given, gold, strict=True)) / len(gold)


def macro_f1(given: Sequence[str], gold: Sequence[str]) -> float:
    """The mean over the labels of `gold` of the harmonic mean of precision and recall."""
    found = []
    for label in sorted(set(gold)):
        right = sum(a == b == label for a, b in zip(given, gold, strict=True))
        found.append(2 * right / (given.count(label) + gold.count(label)) if right else 0.0)
    return sum(found) / len(found)


def calibration_error(sure: Numbers, right: Numbers, bins: int = 15) -> float:
    """Expected calibration error: how far confidence and share of right answers are apart, weighted by bin."""
    bin_of = np.minimum((sure * bins).astype(int), bins - 1)
    parts = [bin_of == b for b in range(bins)]
    return float(sum(abs(right[part].mean() - sure[part].mean()) * part.mean() for part in parts if part.any()))


def auroc(high: Numbers, low: Numbers) -> float:
    """How often a value of `high` is above one of `low`; ties count half."""
    ordered = np.sort(low)
    below = np.searchsorted(ordered, high, "left") + np.searchsorted(ordered, high, "right")
    return float(below.mean() / (2 * len(low)))
