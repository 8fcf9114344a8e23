"""Trains the retriever of a folder: goes on from the house's, with the folder's own pairs and the house's corpus."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from ...core.errors import ModelError
from ..adapters import Adapter
from ..encoder import Encoder
from ..house.retriever import RetrieverModel
from .corpus import house_cards, read_servers, singles
from .lora import Schedule, train
from .own_pairs import digest
from .retriever import RetrieverTrainer, batches, catalog_figures, loss_of, trained_adapter
from .retriever_pairs import Pair

WEIGHTS = {"log": 0.3, "written": 0.15, "said": 0.12, "grammar": 0.08, "house": 0.1, "servers": 0.25}
"""How often half a batch is drawn from a source, of those that there are."""
TOLD, SAVED = 10, 20
AVERAGE = 0.98


@dataclass(frozen=True)
class Lesson:
    """How long and how fast to train: `steps` of `size` requests, at most with the learning rate `rate`."""

    steps: int = 200
    size: int = 48
    rate: float = 1e-4
    seed: int = 0


def train_own(
    encoder: Encoder, start: Adapter, sources: Mapping[str, list[Pair]], lesson: Lesson, place: Path
) -> Adapter:
    """The adapter `start`, trained on these pairs. Progress goes to standard error.

    What is needed to go on after an interruption is kept in the folder `place` in files `training-*`, at the end the
    adapter: the same training goes on from there. Raises `ModelError` if the loss is no number, or if the adapter
    cannot be written.
    """
    done = place / f"training-{digest(sources, lesson, start.settings)}.safetensors"
    if done.exists():
        with contextlib.suppress(ModelError):  # damaged: made anew
            return Adapter.load(done)
    torch.manual_seed(lesson.seed)
    model = RetrieverTrainer(start=start)
    schedule = Schedule(
        lesson.steps,
        lesson.rate,
        lesson.seed,
        average=AVERAGE,
        checkpoint=done.with_suffix(".checkpoint"),
        told=TOLD,
        saved=SAVED,
    )
    made = batches(encoder, sources, lesson.size, lesson.seed, WEIGHTS)
    train(model, made, lambda batch: loss_of(model, batch), schedule, "retriever")
    new = trained_adapter(model)
    kept = {name: new.heads.get(name, head) for name, head in start.heads.items()}
    settings = {**start.settings, **new.settings, "from": start.settings.get("version")}
    Adapter(start.name, new.lora, kept, settings).save(done)
    return Adapter.load(done)


def corpus_figures(model: RetrieverModel, seed: int = 7, most: int = 250, others: int = 300) -> dict[str, float]:
    """nDCG@10 and recall@10 in percent on requests for the corpus's held-out servers, from which nothing is learned.

    Of those requests `most` are asked, among the tools of these servers, those of the house, and `others`.
    """
    r = random.Random(seed)
    servers = read_servers()
    held = [s for s in servers if s.held_out]
    cards = {**house_cards(), **{id: card for s in held for id, card in s.cards.items()}}
    rest = [(id, card) for s in servers if not s.held_out for id, card in s.cards.items() if id not in cards]
    asked = [(e.instruction, {e.tool}) for e in singles(held, 1, seed)]
    found = r.sample(asked, min(most, len(asked)))
    return catalog_figures(model, {**cards, **dict(r.sample(rest, min(others, len(rest))))}, found)
