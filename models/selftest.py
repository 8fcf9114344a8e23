"""Whether a model still works: its files are whole, its numbers are numbers, it answers as when it was made."""

from __future__ import annotations

import numpy as np

from ..core.errors import BottegaError
from .backbone import HIDDEN
from .classifier import Classifier
from .encoder import Encoder
from .registry import Entry, read_adapter

TEXT = "How many days are left until the end of the year?"


def check_model(entry: Entry, encoder: Encoder) -> str | None:
    """What is wrong with a model, in one line; None if nothing is."""
    try:
        adapter = read_adapter(entry)
        for name, array in (*adapter.lora.items(), *adapter.heads.items()):
            if not np.isfinite(array).all():
                return f"{name} holds values that are no numbers"
        if entry.task == "classify":
            return _ask(Classifier(adapter, encoder))
        vectors = encoder.embed([TEXT], adapter)
        if vectors.shape != (1, HIDDEN) or not np.isfinite(vectors).all():
            return "the backbone gives no vectors with it"
    except BottegaError as error:
        return str(error)
    return None


def _ask(model: Classifier) -> str | None:
    """Asks a classifier the question that was kept with it."""
    test = model.adapter.settings.get("self_test")
    if not isinstance(test, dict):
        return None if model.classify([TEXT]) else "it gives no answer"
    answer = model.classify([test["text"]])[0][0][0]
    return (
        None
        if answer == test["label"]
        else f"it answers {answer!r} where it answered {test['label']!r} when it was trained"
    )
