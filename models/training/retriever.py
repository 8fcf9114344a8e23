"""Trains the retriever: requests and the tools that answer them close together, by contrast within the batch.

    python -m bottega.models.training.retriever --data DIR

Cross-entropy over cosines in both directions; a tool that is also right for another request of the batch is masked.
Figures are on the corpus's held-out servers and on catalogs of which no request was trained on.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..adapters import Adapter
from ..cards import Card as ModelCard
from ..cards import Source
from ..encoder import CLS, SEP, Encoder, open_encoder
from ..house.retriever import PATH, REQUEST_TOKENS, TOOL_TOKENS, RetrieverModel
from ..house.slots import Card, words
from . import options, public
from .corpus import ALIASED, Example, compounds, house_cards, read_aliases, read_servers, singles
from .lora import LoraBackbone, Schedule, mean_pool, pad, train

Pair = tuple[str, str, str]
"""A request, a tool's id, the tool's text."""

WEIGHTS = {"house": 0.18, "servers": 0.24, "seal_tools": 0.1, "metatool": 0.16, "sgd": 0.1, "mcp": 0.22}


def card_text(card: Card, server: str, full: bool = True) -> str:
    """`tool_text` of a card."""
    parameters = "; ".join(f"{words(p.name)} {p.description}".strip() for p in card.parameters)
    return (
        f"{words(card.name)}: {card.description}"
        + (f" ({parameters})" if parameters and full else "")
        + f" [{words(server)}]"
    )


class RetrieverTrainer(nn.Module):
    def __init__(self, rank: int = 16) -> None:
        super().__init__()
        self.backbone = LoraBackbone(rank)

    def forward(self, rows: Sequence[Sequence[int]]) -> Tensor:
        ids, mask, types = pad(rows)
        return mean_pool(self.backbone(ids, mask, types).float(), mask)


def load(data: Path | None, seed: int) -> dict[str, list[Pair]]:
    """Pairs by source."""
    r = random.Random(seed)
    seen = [s for s in read_servers() if not s.held_out]
    cards = {**house_cards(), **{id: c for s in seen for id, c in s.cards.items()}}
    house, aliases = set(house_cards()), read_aliases()
    sources: dict[str, list[Pair]] = {"house": [], "servers": []}

    def add(name: str, examples: Sequence[Example], cards: Mapping[str, Card]) -> None:
        for e in examples:
            card, server = cards[e.tool], e.tool.split("/")[0] if name in {"house", "servers"} else ""
            if e.tool in aliases and r.random() < ALIASED:
                card, server = r.choice(aliases[e.tool]).card, ""
            text = card_text(card, server, r.random() < 0.75)
            sources.setdefault(name, []).append((e.instruction, e.tool, text))

    for example in singles(seen, 2, seed):
        add("house" if example.tool in house else "servers", [example], cards)
    for compound in compounds(seen, 2, seed):
        for call in compound.calls:
            if len(call.instruction.split()) >= 4:
                add("house" if call.tool in house else "servers", [call], cards)
    if data:
        for name, (more, examples) in {
            "seal_tools": public.labelled_calls(data / "seal_tools", "dev"),
            "sgd": public.sgd(data / "sgd", 3000, seed),
            "mcp": public.mcp_catalog(data / "pool", 6000, seed),
            "metatool": public.labelled_tools(data / "metatool", "train", 9000, seed),
        }.items():
            add(name, examples, more)
    return sources


def batches(
    encoder: Encoder, sources: Mapping[str, list[Pair]], size: int, seed: int
) -> Iterator[tuple[list[list[int]], list[list[int]], Tensor]]:
    """Token ids of requests and of tools, and a mask (size, size) of what is wrong for sure. Two sources a batch."""
    r = random.Random(seed)
    names = [n for n in WEIGHTS if n in sources]
    while True:
        rows: list[Pair] = []
        for name in r.choices(names, [WEIGHTS[n] for n in names], k=2):
            rows += r.sample(sources[name], min(size // 2, len(sources[name])))
        requests = [[CLS, *encoder.tokenize(q).ids[: REQUEST_TOKENS - 2], SEP] for q, _, _ in rows]
        tools = [[CLS, *encoder.tokenize(t).ids[: TOOL_TOKENS - 2], SEP] for _, _, t in rows]
        head = [t.split(":")[0] for _, _, t in rows]
        wrong = torch.tensor(
            [[a[1] != b[1] and head[i] != head[j] for j, b in enumerate(rows)] for i, a in enumerate(rows)]
        )
        yield requests, tools, wrong


def loss_of(model: RetrieverTrainer, batch: tuple[list[list[int]], list[list[int]], Tensor]) -> Tensor:
    requests, tools, wrong = batch
    scores = 20 * model(requests) @ model(tools).T
    scores = scores.masked_fill(~wrong & ~torch.eye(len(wrong), dtype=torch.bool), -1e4)
    target = torch.arange(len(scores))
    return (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2


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
        for name, split in (("bfcl", "nonlive"), ("toolalpaca", ""), ("ultratool", "test")):
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


def main() -> None:
    a = options.parse(__doc__ or "", PATH, steps=400, size=48, rate=4e-4)
    encoder = open_encoder()
    pairs = load(a.data, a.seed)
    if not a.measure:
        model = RetrieverTrainer()
        schedule = Schedule(a.steps, a.rate, a.seed, a.half, a.out.with_suffix(".checkpoint"))
        train(
            model, batches(encoder, pairs, a.size, a.seed), lambda batch: loss_of(model, batch), schedule, "retriever"
        )
        lora = model.backbone.lora()
        digest = hashlib.sha256(b"".join(v.astype(np.float16).tobytes() for v in lora.values())).hexdigest()[:12]
        Adapter("retriever", lora, {}, {"version": f"retriever-{digest}"}).save(a.out)
    adapter = Adapter.load(a.out)
    figures = evaluate(RetrieverModel(encoder, adapter), a.data)
    before = evaluate(RetrieverModel(encoder, Adapter("untrained")), a.data)
    print(json.dumps({"retriever": figures, "untrained": before}))
    card = ModelCard(
        name="retriever",
        task="requests to tools",
        data=[Source(**s) for s in options.sources(a.data, "seal_tools", "sgd", "mcp", "metatool")],
        metric="nDCG@10 of the dense scores alone, percent",
        figure=figures["held-out servers"]["nDCG@10"],
        baseline=before["held-out servers"]["nDCG@10"],
        command="python -m bottega.models.training.retriever --data DIR",
        seed=a.seed,
        trained_on=f"{sum(map(len, pairs.values()))} requests with their tools",
        held_out="requests for servers never trained on, among all tools of the corpus; BFCL, ToolAlpaca and UltraTool",
        details={"retriever": figures, "untrained": before},
    )
    card.of(adapter, a.out).save(a.out.with_suffix(".json"))


if __name__ == "__main__":
    main()
