"""Trains the reader: where in a passage does the answer to a question stand, or does it not?

    python -m bottega.models.training.reader --data DIR --out FILE --steps N

DIR holds the public sets (covid_qa, sgd, snips_slots, restaurant8k to learn from, xquad_en to measure on); without it
only the hand-written corpus is used. Documents marked `held_out` are for measuring and for calibrating the confidence.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import string
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..adapters import Adapter
from ..backbone import HIDDEN
from ..encoder import Encoder, open_encoder
from ..house.reader import PATH, WINDOW, Answer, Layout, ReaderModel, lay_out, stems
from .lora import LoraBackbone, Schedule, pad, train
from .public import read_lines
from .questions import WEIGHTS, Question, draws, read_documents, sentences

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
    return re.sub(r"\b(a|an|the)\b", " ", "".join(c for c in text.lower() if c not in string.punctuation)).split()


def f1(found: str, right: str) -> float:
    a, b = normal(found), normal(right)
    common = (Counter(a) & Counter(b)).total()
    return 2 * common / (len(a) + len(b)) if common else float(a == b)


def xquad(data: Path, seed: int) -> list[tuple[Question, list[str], str, str]]:
    """Each question with its answers, a passage of another article, and one of its own that does not answer it."""
    r = random.Random(seed)
    entries = list(read_lines(data / "xquad_en" / "passages.jsonl.gz"))
    found = []
    for entry in entries:
        article = entry["id"].split("-")[0]
        same = [e["context"] for e in entries if e["id"].split("-")[0] == article and e is not entry]
        other = [e["context"] for e in entries if e["id"].split("-")[0] != article]
        for qa in entry["qas"]:
            text, start = qa["answers"][0]
            q = Question(qa["question"], entry["context"], (start, start + len(text)), "xquad")
            found.append((q, [a[0] for a in qa["answers"]], r.choice(other), r.choice(same)))
    return found


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """The chance, in percent, that a positive scores above a negative."""
    n = np.sort(np.array(negative))
    below, upto = np.searchsorted(n, positive, "left"), np.searchsorted(n, positive, "right")
    return round(100 * float(((below + upto) / 2).mean()) / len(n), 1)


def measure_xquad(read: Reads, data: Path, most: int | None = None, seed: int = 0) -> dict[str, float]:
    """F1 and exact match of the best span, and how well confidence tells the right passage from wrong ones."""
    items = xquad(data, seed)
    if most:
        items = random.Random(seed).sample(items, most)
    overlaps, exact = [], 0
    right: list[float] = []
    far: list[float] = []
    near: list[float] = []
    for q, answers, other, same in items:
        found = read(q.text, [q.passage])
        text = found.text if found else ""
        overlaps.append(max(f1(text, a) for a in answers))
        exact += any(normal(text) == normal(a) for a in answers)
        for scores, passage in ((right, q.passage), (far, other), (near, same)):
            answer = read(q.text, [passage])
            scores.append(answer.confidence if answer else 0.0)
    return {
        "f1": round(100 * float(np.mean(overlaps)), 1),
        "exact": round(100 * exact / len(items), 1),
        "auroc other article": auroc(right, far),
        "auroc same article": auroc(right, near),
        "questions": len(items),
    }


def held_out_questions() -> tuple[list[Question], list[Question]]:
    """Of the held-out documents: those with an answer, and those without."""
    documents = [d for d in read_documents() if d.held_out]
    answered = [q for d in documents for q in d.answered]
    none = [Question(text, d.text, None, "documents") for d in documents for text in d.unanswered]
    return answered, none


def measure_documents(read: Reads) -> dict[str, float]:
    """The same on the held-out documents, against their own unanswered questions; each paragraph is a passage."""
    answered, none = held_out_questions()
    overlaps, exact, right = [], 0, []
    for q in answered:
        found = read(q.text, q.passage.split("\n\n"))
        overlaps.append(f1(found.text if found else "", q.answer_text))
        exact += normal(found.text if found else "") == normal(q.answer_text)
        right.append(found.confidence if found else 0.0)
    wrong = [a.confidence if (a := read(q.text, q.passage.split("\n\n"))) else 0.0 for q in none]
    return {
        "f1": round(100 * float(np.mean(overlaps)), 1),
        "exact": round(100 * exact / len(answered), 1),
        "auroc unanswered": auroc(right, wrong),
        "questions": len(answered),
        "unanswered": len(none),
    }


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


def calibrate(model: ReaderModel) -> dict[str, float]:
    """Scale and shift that make of the margin the chance that the answer is right, on the held-out documents."""
    answered, none = held_out_questions()
    plain = ReaderModel(model.encoder, Adapter("reader", model.adapter.lora, model.adapter.heads, {}))
    margins, right = [], []
    for q in [*answered, *none]:
        found = plain.best(q.text, [q.passage])
        if found:
            p = min(max(found.confidence, 1e-12), 1 - 1e-12)
            margins.append(np.log(p / (1 - p)))
            right.append(float(f1(found.text, q.answer_text) > 0.5) if q.answer else 0.0)
    x, y = torch.tensor(margins, dtype=torch.float32), torch.tensor(right)
    w = torch.tensor([0.5, 0.0], requires_grad=True)
    fit = torch.optim.LBFGS([w], max_iter=200)

    def step() -> Any:
        fit.zero_grad()
        loss = F.binary_cross_entropy_with_logits(x * w[0] + w[1], y) + 0.001 * (w * w).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    fit.step(step)  # type: ignore[no-untyped-call]
    return {"scale": round(w[0].item(), 4), "shift": round(w[1].item(), 4), "threshold": 0.5}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path, help="folder of the public sets")
    p.add_argument("--out", type=Path, default=PATH)
    p.add_argument("--steps", type=int, default=2000)
    p.add_argument("--batch", type=int, default=20)
    p.add_argument("--rate", type=float, default=8e-4)
    p.add_argument("--rank", type=int, default=16)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--half", action="store_true", help="bfloat16, for processors with such units")
    p.add_argument("--sources", nargs="+", choices=list(WEIGHTS), default=list(WEIGHTS), help="what to learn from")
    p.add_argument("--start", type=Path, help="an adapter to go on from")
    p.add_argument("--measure", action="store_true", help="train nothing, measure the adapter at --out")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    encoder = open_encoder()
    if not a.measure:
        model = ReaderTrainer(a.rank, Adapter.load(a.start) if a.start else None)
        schedule = Schedule(a.steps, a.rate, a.seed, a.half, checkpoint=a.out.with_suffix(".checkpoint"))
        train(
            model,
            batches(encoder, draws(a.data, a.seed, {n: WEIGHTS[n] for n in a.sources}), a.batch, a.seed),
            model,
            schedule,
            "reader",
        )
        settings = calibrate(ReaderModel(encoder, model.adapter({})))
        print(json.dumps(settings), file=sys.stderr)
        model.adapter(settings).save(a.out)
    reads: dict[str, Reads] = {"reader": ReaderModel(encoder, Adapter.load(a.out)).best}
    reads |= {"untrained backbone: nearest sentence": by_meaning(encoder), "sentence sharing most words": by_words}
    for name, read in reads.items():
        figures = {"held-out documents": measure_documents(read)}
        if a.data:
            figures["XQuAD-en"] = measure_xquad(read, a.data)
        print(json.dumps({name: figures}), flush=True)


if __name__ == "__main__":
    main()
