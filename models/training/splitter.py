"""Trains the splitter: the corpus's compounds, single requests joined by connectors, single requests with "and".

    python -m bottega.models.training.splitter --data DIR

Measured on the servers and on the connectors that training never sees, and on the number of calls of BFCL's requests.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..adapters import Adapter
from ..backbone import HIDDEN
from ..cards import Card, Source
from ..encoder import CLS, SEP, Encoder, open_encoder
from ..house.splitter import MAX_TOKENS, PATH, Clause, SplitterModel
from . import options, public
from .corpus import Server, compounds, impossible_requests, kept, read_servers, singles
from .lora import LoraBackbone, Schedule, pad, train

Sample = tuple[str, tuple[int, ...]]
"""A request and the characters at which its clauses begin, the first of them 0."""

# fmt: off
CONNECTORS = [
    ", and ", " and ", " and then ", ", then ", ". Then ", "; then ", " and also ", ", and also ", ". ", "? ",
    ". Also, ", ", ", "; ", " plus ", ". After that, ", ", after that ", ". Next, ", " as well as ", ". And ",
]
# fmt: on
HELD_OUT_CONNECTORS = [", followed by ", ". Afterwards, ", " & ", "; also ", ", and finally ", ". Once that is done, "]


class SplitterTrainer(nn.Module):
    """The backbone with LoRA and one linear head on each token."""

    def __init__(self, rank: int = 8) -> None:
        super().__init__()
        self.backbone = LoraBackbone(rank)
        self.cut = nn.Linear(HIDDEN, 1)

    def forward(self, rows: Sequence[tuple[list[int], list[float]]]) -> Tensor:
        ids, mask, types = pad([ids for ids, _ in rows])
        logits = self.cut(self.backbone(ids, mask, types).float()).squeeze(-1)
        labels = torch.zeros_like(logits)
        for i, (_, marks) in enumerate(rows):
            labels[i, 1 : len(marks) + 1] = torch.tensor(marks)
        losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none", pos_weight=torch.tensor(2.0))
        return (losses * mask).sum() / mask.sum()

    def adapter(self) -> Adapter:
        heads = {"cut.weight": self.cut.weight.detach().numpy()[0], "cut.bias": self.cut.bias.detach().numpy()}
        return Adapter("splitter", self.backbone.lora(), heads)


def join(parts: Sequence[str], connectors: Sequence[str], r: random.Random) -> Sample:
    """Single requests as one: link words between, the stops of the earlier ones gone, first letters small."""
    text, starts = "", [0]
    for n, part in enumerate(parts):
        if n == 0:
            text = part.rstrip(" .?!")
            continue
        link = ", " if n < len(parts) - 1 and r.random() < 0.5 else r.choice(connectors)
        if link[:1] in ".?" and r.random() < 0.8:
            part = part[:1].upper() + part[1:] if link.strip() in {".", "?"} else part[:1].lower() + part[1:]
        else:
            part = part[:1].lower() + part[1:] if not part[:2].isupper() else part
        if link.startswith((". ", "? ")):
            text += link[0]
            starts.append(len(text) + 1)
            text += link[1:]
        else:
            starts.append(len(text) + (1 if link.startswith(" ") else 0))
            text += link
        text += part.rstrip(" .?!") if n < len(parts) - 1 or r.random() < 0.3 else part
    return text, tuple(starts)


_LOOKS_CUT = re.compile(r"\band\b|, |[.?!] |\bthen\b|;")
"""What a request of one clause may contain although it joins clauses elsewhere."""


class Samples:
    """Everything to learn from, drawn at random."""

    def __init__(
        self, servers: Sequence[Server], data: Path | None, seed: int, connectors: Sequence[str] = CONNECTORS
    ) -> None:
        self.random = random.Random(seed)
        self.connectors = connectors
        self.whole: list[Sample] = [(c.text, c.starts) for c in (*compounds(servers, 4, seed), *kept(servers, 4, seed))]
        own: dict[str, list[str]] = {}
        for example in singles(servers, 2, seed):
            own.setdefault(example.source, []).append(example.instruction)
        self.by_source = own
        self.single = [text for texts in own.values() for text in texts]
        self.other = impossible_requests()
        if data:
            self.other += [
                q["query"]
                for q in public.read_lines(data / "metatool" / "queries.jsonl.gz")
                if q["split"] == "train" and len(q["relevant_tools"]) == 1
            ][:4000]
            self.other += [e.instruction for e in public.mcp_catalog(data / "pool", 2000, seed)[1]]
            self.other += [
                line["text"]
                for line in public.read_lines(data / "snips_slots" / "turns.jsonl.gz")
                if line.get("split") == "train"
            ][:3000]
            self.other += [
                q["query"]
                for q in public.read_lines(data / "seal_tools" / "queries.jsonl.gz")
                if q["split"] == "dev" and len(q["calls"]) == 1
            ]
            self.other += [e.instruction for e in public.sgd(data / "sgd", 3000, seed)[1]]
            self.other += [q["question"] for q in public.read_lines(data / "wikisql" / "test.jsonl.gz")][:4000]
        self.hard = [text for text in (*self.single, *self.other) if _LOOKS_CUT.search(text.rstrip(" .?!"))]

    def draw(self) -> Sample:
        r = self.random
        chance = r.random()
        if chance < 0.34:
            return r.choice(self.whole)
        if chance < 0.56:
            pool = r.choice(list(self.by_source.values())) if r.random() < 0.6 else self.single
            parts = [
                r.choice(self.hard if r.random() < 0.25 else pool) for _ in range(r.choices([2, 3, 4], [6, 3, 1])[0])
            ]
            return join(parts, self.connectors, r)
        if chance < 0.66:
            return join([r.choice(self.other), r.choice(self.single)], self.connectors, r)
        if chance < 0.86:
            return r.choice(self.hard), (0,)
        return r.choice(self.single if r.random() < 0.5 else self.other), (0,)


def row(encoder: Encoder, sample: Sample) -> tuple[list[int], list[float]]:
    """Token ids with [CLS] and [SEP], and for each token whether a clause begins there."""
    text, starts = sample
    tokens = encoder.tokenize(text)
    ids, spans = tokens.ids[:MAX_TOKENS], tokens.spans[:MAX_TOKENS]
    marks = [0.0] * len(ids)
    for start in starts[1:]:
        at = next((i for i, (b, _) in enumerate(spans) if b >= start), None)
        if at is not None:
            marks[at] = 1.0
    return [CLS, *ids, SEP], marks


def batches(encoder: Encoder, samples: Samples, size: int) -> Iterator[list[tuple[list[int], list[float]]]]:
    while True:
        rows = sorted((row(encoder, samples.draw()) for _ in range(4 * size)), key=lambda x: len(x[0]))
        parts = [rows[i : i + size] for i in range(0, len(rows), size)]
        samples.random.shuffle(parts)
        yield from parts


def exact(model: SplitterModel | ByRule, samples: Sequence[Sample]) -> float:
    """Percent of requests cut at exactly the right tokens."""
    right = 0
    for text, starts in samples:
        found = [c.begin for c in model.split(text)][1:]
        wanted = [s + len(text[s:]) - len(text[s:].lstrip()) for s in starts[1:]]
        right += found == wanted
    return round(100 * right / max(1, len(samples)), 1)


def evaluate(model: SplitterModel | ByRule, data: Path | None, seed: int = 7) -> dict[str, float]:
    unseen = [s for s in read_servers() if s.held_out]
    r = random.Random(seed)
    single = [e.instruction for e in singles(unseen, 1, seed)]
    joined = [join(r.sample(single, 2), HELD_OUT_CONNECTORS, r) for _ in range(150)]
    figures = {
        "compounds of unseen servers": exact(model, [(c.text, c.starts) for c in compounds(unseen, 1, seed)]),
        "unseen connectors": exact(model, joined),
        "single requests of unseen servers": exact(model, [(t, (0,)) for t in single]),
        "single requests with 'and'": exact(model, [(t, (0,)) for t in single if " and " in t or "," in t]),
    }
    if data:
        by_kind: dict[str, list[bool]] = {}
        for query in public.read_lines(data / "bfcl" / "queries.jsonl.gz"):
            kind = (query.get("meta") or {}).get("category", "")
            if kind in {"simple_python", "multiple", "parallel", "parallel_multiple"}:
                by_kind.setdefault(kind, []).append(len(model.split(query["query"])) == len(query["calls"]))
        figures |= {f"BFCL {kind}, number of calls": round(100 * sum(v) / len(v), 1) for kind, v in by_kind.items()}
    return figures


_RULE = re.compile(r"(?<=[.?!])\s+(?=[A-Z])|;\s+|,?\s+(?:and then|then|and also|and|plus|as well as)\s+", re.I)


class ByRule:
    """What the model is compared with: cut at every full stop and link word."""

    def split(self, request: str) -> list[Clause]:
        cuts = [0, *(m.start() + len(m[0]) - len(m[0].lstrip()) for m in _RULE.finditer(request)), len(request)]
        return [Clause(request[b:e], b, e, 1.0) for b, e in itertools.pairwise(cuts)]


def main() -> None:
    a = options.parse(__doc__ or "", PATH, steps=700, size=24, rate=8e-4)
    encoder = open_encoder()
    samples = Samples([s for s in read_servers() if not s.held_out], a.data, a.seed)
    if not a.measure:
        model = SplitterTrainer()
        schedule = Schedule(a.steps, a.rate, a.seed, a.half, a.out.with_suffix(".checkpoint"))
        train(model, batches(encoder, samples, a.size), model, schedule, "splitter")
        model.adapter().save(a.out)
    adapter = Adapter.load(a.out)
    figures, rule = evaluate(SplitterModel(encoder, adapter), a.data), evaluate(ByRule(), a.data)
    print(json.dumps({"splitter": figures, "rule": rule}))
    main_figure = "compounds of unseen servers"
    card = Card(
        name="splitter",
        task="requests into clauses",
        data=[
            Source(**s)
            for s in options.sources(a.data, "metatool", "mcp", "snips_slots", "seal_tools", "sgd", "wikisql")
        ],
        metric="requests of several clauses cut at exactly the right words, percent",
        figure=figures[main_figure],
        baseline=rule[main_figure],
        command="python -m bottega.models.training.splitter --data DIR",
        seed=a.seed,
        trained_on=f"{len(samples.whole)} compounds, {len(samples.single) + len(samples.other)} single requests",
        held_out="compounds and single requests of servers never trained on, other connectors, BFCL; baseline: a rule",
        details={"splitter": figures, "rule": rule},
    )
    card.of(adapter, a.out).save(a.out.with_suffix(".json"))


if __name__ == "__main__":
    main()
