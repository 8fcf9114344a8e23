"""Trains a classifier from a `TaskSpec` and measures it on held-out rows, beside what the labels' names can do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..adapters import Adapter, Array
from ..cards import Card, Source
from ..classifier import Classifier, words_of
from ..encoder import Encoder, open_encoder
from .measures import accuracy, calibration_error, macro_f1
from .spec import Row, TaskSpec, read_rows, split_rows

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""

CHUNK = 256


@dataclass(frozen=True)
class Outcome:
    """A trained model, its card (not yet registered), and whether it reaches the bar."""

    classifier: Classifier
    card: Card
    passed: bool
    seconds: float
    unknown: tuple[str, ...]
    """Labels of held-out rows of which there was no example: never answered rightly."""


def train_task(spec: TaskSpec, command: str, progress: Progress, encoder: Encoder | None = None) -> Outcome:
    """Reads the data, trains, measures. `command` stands on the card. Raises `UsageError` for data it cannot use."""
    begin = time.perf_counter()
    train, held = split_rows(spec, read_rows(spec))
    encoder = encoder or open_encoder()
    learned = _embed(encoder, [row.text for row in train], progress, "reading examples")
    progress("training", 0, 1)
    model = Classifier.fit(
        [row.text for row in train],
        [row.label for row in train],
        spec.descriptions,
        spec.seed,
        name=spec.name,
        encoder=encoder,
        vectors=learned,
    )
    progress("training", 1, 1)
    measured = _embed(encoder, [row.text for row in held], progress, "measuring")
    figures = _figures(model, measured, [row.label for row in held], spec)
    model = Classifier(_with_self_test(model, train, learned), encoder)
    figure, seconds = figures[spec.metric], time.perf_counter() - begin
    card = Card(
        name=spec.name,
        task=spec.task,
        data=[Source(source=str(spec.data or "examples in the spec"), licence=spec.licence)],
        metric=spec.metric,
        figure=round(figure, 4),
        baseline=round(figures["label_names"], 4),
        command=command,
        seed=spec.seed,
        trained_on=f"{len(train)} examples of {len(model.labels)} labels",
        held_out=f"{len(held)} examples" + (f" of the split {spec.held_out or 'test'}" if held[0].split else ""),
        details={**{k: round(v, 4) for k, v in figures.items()}, "bar": spec.bar, "seconds": round(seconds, 1)},
    )
    unknown = tuple(sorted({row.label for row in held} - set(model.labels)))
    return Outcome(model, card, spec.bar is None or figure >= spec.bar, seconds, unknown)


def _embed(encoder: Encoder, texts: Sequence[str], progress: Progress, what: str) -> Array:
    parts = []
    for at in range(0, len(texts), CHUNK):
        progress(what, at, len(texts))
        parts.append(encoder.embed(texts[at : at + CHUNK]))
    progress(what, len(texts), len(texts))
    return np.concatenate(parts)


def _figures(model: Classifier, vectors: Array, gold: list[str], spec: TaskSpec) -> dict[str, float]:
    """Figures on held-out rows. The baseline `label_names`, in the spec's metric, takes the nearest name by cosine."""
    p = model.probabilities(vectors)
    given = [model.labels[i] for i in p.argmax(1)]
    told = model.encoder.embed([words_of(label, spec.descriptions.get(label)) for label in model.labels])
    named = [model.labels[i] for i in (vectors @ told.T).argmax(1)]
    measure = accuracy if spec.metric == "accuracy" else macro_f1
    right = np.array([a == b for a, b in zip(given, gold, strict=True)])
    return {
        "accuracy": accuracy(given, gold),
        "macro_f1": macro_f1(given, gold),
        "calibration_error": calibration_error(p.max(1), right),
        "label_names": measure(named, gold),
    }


def _with_self_test(model: Classifier, train: Sequence[Row], vectors: Array) -> Adapter:
    """The adapter with the example it is surest of: `bottega models check` asks it again."""
    p = model.probabilities(vectors)
    best = int(p.max(1).argmax())
    test = {"text": train[best].text[:500], "label": model.labels[int(p[best].argmax())]}
    adapter = model.adapter
    return Adapter(adapter.name, adapter.lora, adapter.heads, {**adapter.settings, "self_test": test})
