"""Trains the retriever: requests and the tools that answer them close together, by contrast within the batch.

    python -m bottega.models.training.retriever --data DIR

All tools of a request that are in the batch are right (Unified Work Embeddings, many to many); a tool that reads nearly
like a right one is left out of the wrong ones (LG-ANNA's filter). The first 128 dimensions, and the third layer's with
a projection, learn the same task beside the whole (2D Matryoshka, Li et al. 2024), and from the scores of the whole.
What is kept are averaged weights. Figures are on the corpus's held-out servers and on catalogs of which no request was
trained on.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..adapters import Adapter
from ..backbone import HIDDEN, LAYERS
from ..cards import Card as ModelCard
from ..cards import Source
from ..encoder import CLS, SEP, Encoder, open_encoder
from ..house.retriever import EARLY_LAYERS, PATH, WIDTH, RetrieverModel, tool_text
from ..house.slots import Card, words
from . import options, public
from .corpus import house_cards, read_servers, singles
from .lora import LoraBackbone, Schedule, mean_pool, pad, train
from .retriever_pairs import Pair, Shown, load

WEIGHTS = {
    "house": 0.06, "servers": 0.17, "seal_tools": 0.08, "ultratool": 0.12, "toollens": 0.06, "metatool": 0.12,
    "sgd": 0.05, "said": 0.2, "grammar": 0.14,
}  # fmt: skip
"""How often half a batch is drawn from a source."""
BY_SERVER = {"servers", "said", "grammar"}
"""Sources whose batches have several tools of one server: tools that are told apart only by what they do."""
JOINED = 0.15
"""How often two requests are said in one."""
REQUEST_TOKENS, TOOL_TOKENS = 112, 88
"""Longer ones are cut while training; `house.retriever` says what is cut in use."""
SCALE = 20.0
ALIKE = 0.55
"""Share of common words from which two tools count as the same."""
LATE = 64
"""Width of the vectors of single tokens."""
HEADS = ("early", "late", "gate")
"""What is trained beside the backbone: the smaller form's projection; that of single tokens, and their shares."""

SOURCES = ("seal_tools", "sgd", "mcp", "metatool", "ultratool", "toollens")
"""Public sets that are trained on, as the card names them."""

_JOINTS = (" Also, ", " and then ", " After that, ", " and ", "; ", " Additionally, ", ". Then ", " Finally, ")


@dataclass(frozen=True)
class Batch:
    """Token ids of requests and of tools; which tool is right for a request, and which is neither right nor wrong."""

    requests: list[list[int]]
    tools: list[list[int]]
    right: Tensor
    unclear: Tensor


class RetrieverTrainer(nn.Module):
    def __init__(self, rank: int = 16, start: Adapter | None = None) -> None:
        super().__init__()
        self.backbone = LoraBackbone(rank, dropout=0.0, start=start)
        self.early = nn.Parameter(torch.eye(HIDDEN, WIDTH))
        self.late = nn.Parameter(torch.eye(HIDDEN, LATE) + 0.02 * torch.randn(HIDDEN, LATE))
        self.gate = nn.Parameter(torch.zeros(HIDDEN))
        for name in HEADS:
            if start is not None and name in start.heads:
                getattr(self, name).data = torch.tensor(start.heads[name])

    def forward(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Unit vectors (n, 384), early ones (n, 128), vectors of tokens (n, tokens, 64), their shares (n, tokens)."""
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        width = len(rows[order[-1]])
        back = torch.empty(len(rows), dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(len(rows))
        parts: list[tuple[Tensor, ...]] = []
        for begin in range(0, len(order), 24):  # of like length, so that little is spent on padding
            ids, mask, types = pad([rows[i] for i in order[begin : begin + 24]])
            early, last = self.backbone.at_depths(ids, mask, types, (EARLY_LAYERS, LAYERS))
            early, last = early.float(), last.float()
            tokens = F.normalize(last @ self.late, dim=-1)
            shares = torch.sigmoid(last @ self.gate) * mask
            empty = (0, width - ids.shape[1])
            parts.append(
                (
                    mean_pool(last, mask),
                    F.normalize(mean_pool(early, mask) @ self.early, dim=-1),
                    F.pad(tokens, (0, 0, *empty)),
                    F.pad(shares / shares.sum(1, keepdim=True), empty),
                )
            )
        whole, shallow, tokens, shares = (torch.cat(some)[back] for some in zip(*parts, strict=True))
        return whole, shallow, tokens, shares


def batches(
    encoder: Encoder,
    sources: Mapping[str, list[Pair]],
    size: int,
    seed: int,
    weights: Mapping[str, float] = WEIGHTS,
) -> Iterator[Batch]:
    """Batches of about `size` requests, half of them from one source and half from another or the same.

    `weights` say how often a source is drawn from; one without a weight never is.
    """
    r = random.Random(seed)
    names = [n for n in weights if n in sources]
    siblings = {name: _by_server(sources[name]) for name in BY_SERVER if name in sources}
    while True:
        pairs: list[Pair] = []
        for name in r.choices(names, [weights[n] for n in names], k=2):
            pairs += _joined(_draw(sources[name], siblings.get(name), size // 2, r), r)
        tools: dict[str, Shown] = {}
        for pair in pairs:
            tools |= {t.id: t for t in r.sample(pair.tools, min(3, len(pair.tools))) if t.id not in tools}
        ids, texts = list(tools), [t.text(r) for t in tools.values()]
        right = torch.tensor([[id in {t.id for t in pair.tools} for id in ids] for pair in pairs])
        alike = torch.tensor(_alike(texts, [words(t.name) for t in tools.values()]))
        yield Batch(
            [_ids(encoder, p.request, REQUEST_TOKENS) for p in pairs],
            [_ids(encoder, text, TOOL_TOKENS) for text in texts],
            right,
            (right.float() @ alike.float() > 0) & ~right,
        )


def _ids(encoder: Encoder, text: str, limit: int) -> list[int]:
    return [CLS, *encoder.tokenize(text).ids[: limit - 2], SEP]


def _by_server(pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    found: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        found[pair.tools[0].server].append(pair)
    return found


def _draw(pairs: Sequence[Pair], siblings: Mapping[str, list[Pair]] | None, size: int, r: random.Random) -> list[Pair]:
    """`size` pairs; with `siblings`, up to four of a server."""
    if siblings is None:
        return r.sample(pairs, min(size, len(pairs)))
    drawn: list[Pair] = []
    while len(drawn) < size:
        some = siblings[r.choice(pairs).tools[0].server]
        drawn += r.sample(some, min(4, len(some), size - len(drawn)))
    return drawn


def _joined(pairs: Sequence[Pair], r: random.Random) -> list[Pair]:
    """The pairs, some neighbours of them as one that asks for both."""
    out: list[Pair] = []
    for pair in pairs:
        if out and r.random() < JOINED and len(out[-1].request) + len(pair.request) < 240:
            before = out.pop()
            request = before.request.rstrip(" .?") + r.choice(_JOINTS) + pair.request
            pair = Pair(request, (*before.tools, *pair.tools))
        out.append(pair)
    return out


def _alike(texts: Sequence[str], names: Sequence[str]) -> list[list[bool]]:
    bags = [set(re.findall(r"[a-z]{3,}", text.lower())) for text in texts]
    return [
        [
            i == j or (names[i] and names[i] == names[j]) or len(a & b) >= ALIKE * max(1, len(a | b))
            for j, b in enumerate(bags)
        ]
        for i, a in enumerate(bags)
    ]


def loss_of(model: RetrieverTrainer, batch: Batch) -> Tensor:
    whole_q, early_q, tokens_q, shares_q = model(batch.requests)
    whole_t, early_t, tokens_t, shares_t = model(batch.tools)
    whole = SCALE * whole_q @ whole_t.T
    narrow = SCALE * F.normalize(whole_q[:, :WIDTH], dim=-1) @ F.normalize(whole_t[:, :WIDTH], dim=-1).T
    early = SCALE * early_q @ early_t.T
    late = SCALE * late_scores(tokens_q, shares_q, tokens_t, shares_t)
    loss = _contrast(whole, batch) + 0.3 * _contrast(narrow, batch) + 0.3 * _contrast(early, batch)
    loss = loss + 0.5 * _contrast(late, batch)
    teacher = ((whole + late) / 2).detach().masked_fill(batch.unclear, -1e4)
    for student, weight in ((whole, 0.3), (narrow, 0.1), (early, 0.3), (late, 0.2)):
        seen = student.masked_fill(batch.unclear, -1e4)
        for axis in (0, 1):
            kl = F.kl_div(F.log_softmax(seen, axis), F.log_softmax(teacher, axis), reduction="none", log_target=True)
            loss = loss + 0.5 * weight * kl.sum(axis).mean()
    return loss


def late_scores(tokens_q: Tensor, shares_q: Tensor, tokens_t: Tensor, shares_t: Tensor) -> Tensor:
    """(requests, tools): how well each token is met by one of the other side (ColBERT, Khattab and Zaharia 2020), both
    ways, tokens counting by their shares."""
    n, i, width = tokens_q.shape
    m, j, _ = tokens_t.shape
    all = (tokens_q.reshape(n * i, width) @ tokens_t.reshape(m * j, width).T).view(n, i, m, j)
    met_q = all.masked_fill(shares_t[None, None] == 0, -1.0).amax(3)
    met_t = all.masked_fill(shares_q[:, :, None, None] == 0, -1.0).amax(1)
    return 0.5 * (met_q * shares_q[..., None]).sum(1) + 0.5 * (met_t * shares_t[None]).sum(2)


def _contrast(scores: Tensor, batch: Batch) -> Tensor:
    """Both ways, -log of the probability of each right pair among itself and all that is wrong, mean by row."""
    wrong = ~(batch.right | batch.unclear)
    total = scores.new_zeros(())
    for s, right, off in ((scores, batch.right, wrong), (scores.T, batch.right.T, wrong.T)):
        against = s.masked_fill(~off, -1e4).logsumexp(1, keepdim=True)
        each = F.softplus(against - s) * right
        total = total + (each.sum(1) / right.sum(1).clamp(min=1)).mean() / 2
    return total


def card_text(card: Card, server: str) -> str:
    """`tool_text` of a card."""
    return tool_text(
        card.name,
        card.description,
        {"properties": {p.name: {"description": p.description} for p in card.parameters}},
        server,
    )


def catalog_figures(
    model: RetrieverModel, cards: Mapping[str, Card], asked: Sequence[tuple[str, set[str]]]
) -> dict[str, float]:
    """nDCG@10 and recall@10 in percent of the dense scores alone over one catalog."""
    ids = list(cards)
    tools = model.encode_tools([card_text(c, i.split("/")[0]) for i, c in cards.items()])
    queries = model.encode_requests([q for q, _ in asked])
    gains, recalls = [], []
    for query, (_, gold) in zip(queries, asked, strict=True):
        found = [ids[i] in gold for i in np.argsort(-(tools @ query))[:10]]
        ideal = sum(1 / np.log2(n + 2) for n in range(min(10, len(gold))))
        gains.append(sum(1 / np.log2(n + 2) for n, hit in enumerate(found) if hit) / ideal)
        recalls.append(sum(found) / len(gold))
    return {"nDCG@10": round(100 * float(np.mean(gains)), 1), "recall@10": round(100 * float(np.mean(recalls)), 1)}


def evaluate(model: RetrieverModel, data: Path | None, seed: int = 7, most: int = 250) -> dict[str, dict[str, float]]:
    """On the held-out servers, among all corpus and house tools, and on public catalogs without a trained request."""
    servers = read_servers()
    cards = {**house_cards(), **{id: c for s in servers for id, c in s.cards.items()}}
    held = [s for s in servers if s.held_out]
    asked = [(e.instruction, {e.tool}) for e in singles(held, 1, seed)]
    figures = {"held-out servers": catalog_figures(model, cards, asked)}
    if data:
        r = random.Random(seed)
        for name, split in (("bfcl", "nonlive"), ("toolalpaca", ""), ("toolbench", "test")):
            queries = [
                (q["query"], set(q["relevant_tools"]))
                for q in public.read_lines(data / name / "queries.jsonl.gz")
                if q["relevant_tools"] and q["split"] in (split or q["split"])
            ]
            found = public.cards_of(data / name)
            if queries and found:
                figures[name] = catalog_figures(model, found, r.sample(queries, min(most, len(queries))))
        figures["fields of results (SGD)"] = field_figure(model, data)
    return figures


def last_question(text: str) -> str:
    """The last sentence that is a question, or all of the text."""
    return next((s for s in reversed(re.split(r"(?<=[.?!])\s+", text)) if s.endswith("?")), text)


def field_figure(model: RetrieverModel, data: Path, most: int = 800, seed: int = 1) -> dict[str, float]:
    """How often the slot nearest to a question is the one it asks for, among all of its service's slots, in percent.

    Questions for one slot, of the dev and test services of Schema-Guided Dialogue, which no model is trained on.
    """
    slots = {
        s["service_name"]: [words(slot["name"]) for slot in s["slots"]]
        for s in public.read_lines(data / "sgd" / "schema.jsonl.gz")
        if s["wording"] == 0 and s["split"] != "train"
    }
    asked = sorted(
        {
            (last_question(t["text"]), t["service"], words(t["requested"][0]))
            for t in public.read_lines(data / "sgd" / "turns.jsonl.gz")
            if t["service"] in slots and len(t["requested"]) == 1
        }
    )
    chosen = random.Random(seed).sample(asked, min(most, len(asked)))
    vectors = {service: model.encode_requests(names) for service, names in slots.items()}
    right = [
        slots[service][int(np.argmax(vectors[service] @ query))] == slot
        for query, (_, service, slot) in zip(model.encode_requests([q for q, *_ in chosen]), chosen, strict=True)
    ]
    return {"right field": round(100 * float(np.mean(right)), 1), "questions": len(chosen)}


def trained_adapter(model: RetrieverTrainer) -> Adapter:
    """The adapter of a trained model: its heads are `HEADS`: (384, 128), (384, 64), (384,)."""
    lora = model.backbone.lora()
    heads = {name: getattr(model, name).detach().float().numpy() for name in HEADS}
    digest = hashlib.sha256(b"".join(v.astype(np.float16).tobytes() for v in (*lora.values(), *heads.values())))
    return Adapter("retriever", lora, heads, {"version": f"retriever-{digest.hexdigest()[:12]}"})


def main() -> None:
    a = options.parse(__doc__ or "", PATH, steps=1000, size=64, rate=4e-4)
    encoder = open_encoder()
    pairs = load(a.data, a.seed)
    if not a.measure:
        model = RetrieverTrainer(start=Adapter.load(a.start) if a.start else None)
        schedule = Schedule(a.steps, a.rate, a.seed, a.half, average=0.98, checkpoint=a.out.with_suffix(".checkpoint"))
        train(
            model, batches(encoder, pairs, a.size, a.seed), lambda batch: loss_of(model, batch), schedule, "retriever"
        )
        trained_adapter(model).save(a.out)
    adapter = Adapter.load(a.out)
    details = {
        "retriever": evaluate(RetrieverModel(encoder, adapter), a.data),
        "untrained": evaluate(RetrieverModel(encoder, Adapter("untrained")), a.data),
    }
    print(json.dumps(details))
    card = ModelCard(
        name="retriever",
        task="requests to tools",
        data=[Source(**s) for s in options.sources(a.data, *SOURCES)],
        metric="nDCG@10 of the dense scores alone, percent",
        figure=details["retriever"]["held-out servers"]["nDCG@10"],
        baseline=details["untrained"]["held-out servers"]["nDCG@10"],
        command="python -m bottega.models.training.retriever --data DIR",
        seed=a.seed,
        trained_on=f"{sum(map(len, pairs.values()))} requests with their tools",
        held_out="requests for servers never trained on, among all tools of the corpus; BFCL, ToolAlpaca, ToolBench",
        details=details,
    )
    card.of(adapter, a.out).save(a.out.with_suffix(".json"))


if __name__ == "__main__":
    main()
