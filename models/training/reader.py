"""Trains the reader: where in a passage does the answer to a question stand, or does it not?

    python -m bottega.models.training.reader --data DIR --out FILE --steps N

DIR holds the public sets (covid_qa, sgd, snips_slots, restaurant8k to learn from, xquad_en to measure on); without it
only the hand-written corpus is used. Documents marked `held_out` are for measuring and for calibrating the confidence.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..adapters import Adapter
from ..backbone import HIDDEN
from ..cards import Card, Source
from ..encoder import Encoder, open_encoder
from ..heads import platt
from ..house.reader import PATH, WINDOW, Answer, Layout, ReaderModel, lay_out, stems
from .lora import LoraBackbone, Schedule, pad, train
from .measures import auroc
from .public import read_lines
from .questions import Question, draws, read_documents, sentences

MEASURED = 400
"""Questions of XQuAD-en that are measured on, drawn with a fixed seed."""
SHORTEST = 56
"""Tokens of the shortest piece of a long passage that is trained on."""


class ReaderTrainer(nn.Module):
    """The backbone with LoRA and one linear layer that gives each token a start and an end logit."""

    def __init__(self, rank: int = 16, start: Adapter | None = None) -> None:
        super().__init__()
        self.backbone = LoraBackbone(rank, start=start)
        self.span = nn.Linear(HIDDEN, 2)
        if start is not None:
            self.span.weight.data = torch.tensor(start.heads["span.weight"])
            self.span.bias.data = torch.tensor(start.heads["span.bias"])

    def forward(self, rows: Sequence[Row]) -> Tensor:
        """The mean loss of start and end."""
        ids, mask, types = pad([x.layout.ids for x in rows], [x.layout.types for x in rows])
        logits = self.span(self.backbone(ids, mask, types).float())
        allowed = torch.zeros_like(mask, dtype=torch.bool)
        allowed[:, 0] = True
        for n, row in enumerate(rows):
            allowed[n, row.layout.text : len(row.layout.ids) - 1] = True
        logits = logits.masked_fill(~allowed[..., None], -1e4)
        starts, ends = torch.tensor([x.start for x in rows]), torch.tensor([x.end for x in rows])
        return (F.cross_entropy(logits[..., 0], starts) + F.cross_entropy(logits[..., 1], ends)) / 2

    def adapter(self, settings: Mapping[str, float]) -> Adapter:
        heads = {"span.weight": self.span.weight.detach().numpy(), "span.bias": self.span.bias.detach().numpy()}
        return Adapter("reader", self.backbone.lora(), heads, dict(settings))


@dataclass(frozen=True)
class Row:
    """A question laid out with a passage, and the positions of its answer's first and last token; 0 and 0 for none."""

    layout: Layout
    start: int
    end: int


def row_of(encoder: Encoder, q: Question, r: random.Random) -> Row:
    """A piece of the question's passage that holds the answer whole, of random length: passages come in all lengths."""
    tokens = encoder.tokenize(q.passage)
    asked = encoder.tokenize(q.text).ids
    size = r.randint(SHORTEST, WINDOW)
    begin, finish = q.answer or (0, 0)
    inside = [i for i, (b, e) in enumerate(tokens.spans) if b < finish and e > begin]
    first, last = (inside[0], inside[-1]) if inside else (r.randrange(len(tokens.ids)),) * 2
    most = max(0, min(first, len(tokens.ids) - size))
    at = r.randint(min(most, max(0, last + 1 - size)), most)
    layout = lay_out(asked, tokens.ids[at : at + size])
    if not inside or last - at >= size:
        return Row(layout, 0, 0)
    return Row(layout, layout.text + first - at, layout.text + last - at)


def batches(encoder: Encoder, questions: Iterator[Question], size: int, seed: int) -> Iterator[list[Row]]:
    """Rows of similar length together, so that little is spent on padding."""
    r = random.Random(seed)
    while True:
        rows = [row_of(encoder, next(questions), r) for _ in range(8 * size)]
        rows.sort(key=lambda row: len(row.layout.ids))
        parts = [rows[at : at + size] for at in range(0, len(rows), size)]
        r.shuffle(parts)
        yield from parts


# Measuring

Reads = Callable[[str, Sequence[str]], Answer | None]


def normal(text: str) -> list[str]:
    """The words that count, as in SQuAD's own measure: no case, punctuation or articles."""
    plain = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


def f1(found: str, right: str) -> float:
    """The overlap of the words of two answers."""
    a, b = normal(found), normal(right)
    common = (Counter(a) & Counter(b)).total()
    return 2 * common / (len(a) + len(b)) if common else float(a == b)


@dataclass(frozen=True)
class Item:
    """A question with its right answers, the passages that hold one of them, and by name passages that do not."""

    question: str
    answers: tuple[str, ...]
    passages: tuple[str, ...]
    wrong: Mapping[str, tuple[str, ...]]


def xquad(data: Path, seed: int = 0) -> list[Item]:
    """XQuAD's English questions, each with a paragraph of another article and one of its own article."""
    r = random.Random(seed)
    entries = list(read_lines(data / "xquad_en" / "passages.jsonl.gz"))
    articles: dict[str, list[str]] = {}
    for entry in entries:
        articles.setdefault(entry["id"].split("-")[0], []).append(entry["context"])
    found = []
    for entry in entries:
        own = entry["id"].split("-")[0]
        for qa in entry["qas"]:
            other = r.choice(articles[r.choice([a for a in articles if a != own])])
            same = r.choice([c for c in articles[own] if c != entry["context"]])
            answers = tuple(text for text, _ in qa["answers"])
            wrong = {"another article": (other,), "its own article": (same,)}
            found.append(Item(qa["question"], answers, (entry["context"],), wrong))
    return r.sample(found, min(MEASURED, len(found)))


def held_out(seed: int = 0) -> tuple[list[Item], list[tuple[str, tuple[str, ...]]]]:
    """The held-out documents' questions, each with a document of another kind, and the ones that have no answer."""
    r = random.Random(seed)
    documents = [d for d in read_documents() if d.held_out]
    found = []
    for document in documents:
        strangers = [d for d in documents if d.kind != document.kind]
        for q in document.answered:
            wrong = {"another document": _paragraphs(r.choice(strangers).text)}
            found.append(Item(q.text, (q.answer_text,), _paragraphs(q.passage), wrong))
    return found, [(text, _paragraphs(d.text)) for d in documents for text in d.unanswered]


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(text.split("\n\n"))


def measure(read: Reads, items: Sequence[Item]) -> dict[str, float]:
    """F1 and exact match of the best answer, and how well its confidence tells passages that answer from wrong ones."""
    found = [read(item.question, item.passages) for item in items]
    texts = [answer.text if answer else "" for answer in found]
    figures: dict[str, Any] = {
        "f1": np.mean([max(f1(t, a) for a in i.answers) for t, i in zip(texts, items, strict=True)]),
        "exact": np.mean([any(normal(t) == normal(a) for a in i.answers) for t, i in zip(texts, items, strict=True)]),
    }
    for name in items[0].wrong:
        wrong = [read(item.question, item.wrong[name]) for item in items]
        figures[f"auroc against {name}"] = auroc(_sure(found), _sure(wrong))
    return {name: round(float(value), 4) for name, value in figures.items()} | {"questions": len(items)}


def _sure(answers: Sequence[Answer | None]) -> NDArray[np.float64]:
    return np.array([a.confidence if a else 0.0 for a in answers])


def measure_documents(read: Reads, answering: Reads | None = None) -> dict[str, float]:
    """The same on the held-out documents and their unanswered questions; of `answering`, how often it answers."""
    items, unanswered = held_out()
    figures = measure(read, items)
    right = _sure([read(i.question, i.passages) for i in items])
    none = _sure([read(question, passages) for question, passages in unanswered])
    figures |= {"auroc against unanswered": round(auroc(right, none), 4), "unanswered": len(unanswered)}
    if answering:
        given = [(answering(i.question, i.passages), i.answers[0]) for i in items]
        good = sum(a is not None and f1(a.text, gold) > 0.5 for a, gold in given)
        figures["answered right"] = round(good / len(items), 4)
        figures["answered wrong"] = round(sum(a is not None for a, _ in given) / len(items) - good / len(items), 4)
        refused = sum(answering(q, p) is None for q, p in unanswered)
        figures["unanswered and refused"] = round(refused / len(unanswered), 4)
    return figures


def by_words(question: str, passages: Sequence[str]) -> Answer | None:
    """The baseline without a model: the sentence that shares most words with the question."""
    asked = set(stems(question))
    return _best_sentence(passages, lambda texts: [len(asked & set(stems(t))) / len(asked) for t in texts])


def by_meaning(encoder: Encoder) -> Reads:
    """The baseline of the untrained backbone: the sentence nearest to the question."""

    def read(question: str, passages: Sequence[str]) -> Answer | None:
        asked = encoder.embed([question])[0]
        return _best_sentence(passages, lambda texts: list(encoder.embed(texts) @ asked))

    return read


def _best_sentence(passages: Sequence[str], score: Callable[[list[str]], Sequence[float]]) -> Answer | None:
    places = [(n, a, b) for n, passage in enumerate(passages) for a, b in sentences(passage)]
    if not places:
        return None
    scores = score([passages[n][a:b] for n, a, b in places])
    best = max(range(len(places)), key=lambda i: scores[i])
    n, a, b = places[best]
    return Answer(passages[n][a:b].strip(), n, a, b, float(scores[best]))


def calibrate(encoder: Encoder, adapter: Adapter) -> dict[str, float]:
    """Scale and shift that make of the margin the chance that the answer is right, on the held-out documents."""
    plain = ReaderModel(encoder, replace(adapter, settings={}))
    items, unanswered = held_out()
    asked: list[tuple[str, Sequence[str], str | None]] = [(i.question, i.passages, i.answers[0]) for i in items]
    asked += [(i.question, i.wrong["another document"], None) for i in items[::2]]
    asked += [(question, passages, None) for question, passages in unanswered]
    margins, right = [], []
    for question, passages, gold in asked:
        if answer := plain.best(question, passages):
            margins.append(math.log(answer.confidence / (1 - answer.confidence)))
            right.append(gold is not None and f1(answer.text, gold) > 0.5)
    scale, shift = platt(np.array(margins), np.array(right))
    return {"scale": round(scale, 4), "shift": round(shift, 4), "threshold": 0.5}


LICENCES = {
    "covid_qa": "Apache-2.0",
    "sgd": "CC-BY-SA-4.0",
    "snips_slots": "CC0-1.0",
    "restaurant8k": "CC-BY-4.0",
    "models/training/corpus/reading and questions": "Apache-2.0",
}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path, help="folder of the public sets")
    p.add_argument("--out", type=Path, default=PATH)
    p.add_argument("--steps", type=int, default=700)
    p.add_argument("--batch", type=int, default=20)
    p.add_argument("--rate", type=float, default=8e-4)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--half", action="store_true", help="bfloat16, for processors with such units")
    p.add_argument("--start", type=Path, help="an adapter to go on from")
    p.add_argument("--measure", action="store_true", help="train nothing: calibrate and measure the adapter at --out")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    encoder = open_encoder()
    if a.measure:
        adapter = Adapter.load(a.out)
    else:
        model = ReaderTrainer(start=Adapter.load(a.start) if a.start else None)
        schedule = Schedule(a.steps, a.rate, a.seed, a.half, a.out.with_suffix(".checkpoint"))
        train(model, batches(encoder, draws(a.data, a.seed), a.batch, a.seed), model, schedule, "reader")
        adapter = model.adapter({})
        adapter.save(a.out)  # before what may still fail
    replace(adapter, settings=calibrate(encoder, adapter)).save(a.out)
    reader = ReaderModel(encoder, Adapter.load(a.out))
    card = _card(reader, encoder, a)
    card.of(reader.adapter, a.out).save(a.out.with_suffix(".json"))
    print(json.dumps(card.details, indent=1))


def _card(reader: ReaderModel, encoder: Encoder, a: argparse.Namespace) -> Card:
    """Measures the reader and its baselines."""
    details: dict[str, Any] = {}
    baselines = {"untrained backbone, nearest sentence": by_meaning(encoder), "sentence sharing most words": by_words}
    for name, read in {"reader": reader.best, **baselines}.items():
        details[name] = {"held-out documents": measure_documents(read, reader.read if name == "reader" else None)}
        if a.data:
            details[name]["XQuAD-en"] = measure(read, xquad(a.data))
    on = "XQuAD-en" if a.data else "held-out documents"
    documents = [d for d in read_documents() if not d.held_out]
    return Card(
        name="reader",
        task="read",
        data=[Source(source=name, licence=licence) for name, licence in LICENCES.items()],
        metric=f"F1 of the answer's words, {on}",
        figure=details["reader"][on]["f1"],
        baseline=max(details[name][on]["f1"] for name in baselines),
        command=f"python -m bottega.models.training.reader --data DIR --steps {a.steps} --batch {a.batch} "
        f"--rate {a.rate} --seed {a.seed}{' --half' if a.half else ''}",
        seed=a.seed,
        trained_on=f"{sum(len(d.answered) for d in documents)} questions on {len(documents)} documents, a grammar of "
        "facts, and the public sets; none of XQuAD",
        held_out=f"{MEASURED} questions of XQuAD-en; 9 documents of the corpus, also used to calibrate",
        details=details,
    )


if __name__ == "__main__":
    main()
