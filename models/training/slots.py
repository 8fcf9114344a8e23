"""Trains the slots model: does a tool fit an instruction, and where do its arguments stand?

    python -m bottega.models.training.slots --data DIR --steps 1500

DIR holds the public sets (seal_tools, sgd, pool, snips_slots, restaurant8k, wikisql); without it only the hand-written
corpus is used. Corpus servers marked `held_out` and all other splits are for measuring.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..adapters import Adapter
from ..backbone import HIDDEN
from ..cards import Card as ModelCard
from ..cards import Source
from ..encoder import Encoder, open_encoder
from ..house.slots import PATH, Card, Layout, SlotsModel, lay_out, words
from . import options, public
from .corpus import (
    ALIASED,
    Example,
    Fill,
    compounds,
    house_cards,
    impossible_requests,
    kept,
    read_aliases,
    read_servers,
    singles,
)
from .lora import LoraBackbone, Schedule, pad, train

WIDTH = 96
"""Of the pointer's queries and keys."""
GROUP = 4
"""Cards a request is shown with when the tool is to be chosen: the right one first, then wrong ones."""
GIVEN = 2
"""Requests shown with their right card alone, for their arguments, to each request whose tool is to be chosen."""
MEASURED = 200
"""Requests for held-out servers that are measured on."""
REPEATS = 3
"""Times each template is filled with other values."""


class SlotsTrainer(nn.Module):
    """The backbone with LoRA, a fit head on the first token, and pointer heads."""

    def __init__(self, rank: int = 16, start: Adapter | None = None) -> None:
        super().__init__()
        self.backbone = LoraBackbone(rank, start=start)
        self.fit = nn.Linear(HIDDEN, 1)
        self.pointers = nn.ParameterDict(
            {
                f"{side}_{role}": nn.Parameter(torch.randn(HIDDEN, WIDTH) * HIDDEN**-0.5)
                for side in ("start", "end")
                for role in ("query", "key")
            }
        )
        if start is not None:
            self.fit.weight.data = torch.tensor(start.heads["fit.weight"])[None]
            self.fit.bias.data = torch.tensor(start.heads["fit.bias"])
            for name in self.pointers:
                self.pointers[name].data = torch.tensor(start.heads[name.replace("_", ".")])

    def forward(self, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
        """The fit logits (rows,), and the mean pointer loss of the parameters that have a known fill."""
        hidden = self._hidden([row.layout for row in rows])
        fit = self.fit(torch.stack([states[0] for states in hidden])).squeeze(-1)
        losses = []
        scale = WIDTH**-0.5
        for states, row in zip(hidden, rows, strict=True):
            if not row.targets:
                continue
            queries = states[[row.layout.parameters[k] for k, _, _ in row.targets]]
            for side, which in (("start", 1), ("end", 2)):
                scores = (queries @ self.pointers[f"{side}_query"]) @ (states @ self.pointers[f"{side}_key"]).T * scale
                allowed = torch.zeros_like(scores, dtype=torch.bool)
                for n, (k, _, _) in enumerate(row.targets):
                    allowed[n, allowed_positions(row.layout, k)] = True
                losses.append(
                    F.cross_entropy(
                        scores.masked_fill(~allowed, -1e4),
                        torch.tensor([t[which] for t in row.targets]),
                        reduction="none",
                    )
                )
        pointer = torch.cat(losses).mean() if losses else fit.sum() * 0
        return fit, pointer

    def _hidden(self, layouts: Sequence[Layout], part: int = 8) -> list[Tensor]:
        """The hidden states of each sequence, in batches of similar length: padding would cost more than half."""
        order = sorted(range(len(layouts)), key=lambda i: len(layouts[i].ids))
        found: dict[int, Tensor] = {}
        for at in range(0, len(order), part):
            some = order[at : at + part]
            states = self.backbone(*pad([layouts[i].ids for i in some], [layouts[i].types for i in some])).float()
            found |= dict(zip(some, states, strict=True))
        return [found[i] for i in range(len(layouts))]

    def adapter(self, settings: Mapping[str, float]) -> Adapter:
        heads = {name.replace("_", "."): p.detach().numpy() for name, p in self.pointers.items()}
        heads |= {"fit.weight": self.fit.weight.detach().numpy()[0], "fit.bias": self.fit.bias.detach().numpy()}
        return Adapter("slots", self.backbone.lora(), heads, dict(settings))


@dataclass(frozen=True)
class Row:
    """One card with one instruction. `targets`: (parameter, start position, end position); empty for a wrong card."""

    layout: Layout
    right: bool
    targets: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Batch:
    """What one step learns from."""

    choices: list[Row]
    """`GROUP` rows for each request; the right card is the first of them, if there is one."""
    given: list[Row]
    """Requests with their right card alone."""


def allowed_positions(layout: Layout, parameter: int) -> list[int]:
    """Where this parameter may point: itself, its options, earlier steps, the instruction."""
    text = range(layout.text, layout.text + len(layout.spans))
    return [layout.parameters[parameter], *layout.options[parameter], *layout.earlier, *text]


def row_of(encoder: Encoder, card: Card, example: Example, right: bool) -> Row:
    layout = lay_out(encoder, card, example.instruction, example.earlier)
    targets = []
    for k, parameter in enumerate(card.parameters[: len(layout.parameters)]):
        fill = example.fills.get(parameter.name) if right else None
        if fill and (place := _positions(layout, k, fill, len(example.earlier))):
            targets.append((k, *place))
    return Row(layout, right, tuple(targets))


def _positions(layout: Layout, parameter: int, fill: Fill, earlier: int) -> tuple[int, int] | None:
    if fill.kind == "absent":
        return layout.parameters[parameter], layout.parameters[parameter]
    if fill.kind == "option":
        marks = layout.options[parameter]
        return (marks[fill.index], marks[fill.index]) if fill.index < len(marks) else None
    if fill.kind == "earlier":
        at = fill.index - max(0, earlier - 2)
        return (layout.earlier[at], layout.earlier[at]) if 0 <= at < len(layout.earlier) else None
    inside = [i for i, (b, e) in enumerate(layout.spans) if b < fill.end and e > fill.begin]
    return (layout.text + inside[0], layout.text + inside[-1]) if inside else None


class Data:
    """Examples with their cards, and for each example the wrong cards that look most like right ones."""

    def __init__(
        self, cards: Mapping[str, Card], groups: Mapping[str, list[Example]], refused: Sequence[str], seed: int
    ) -> None:
        self.cards = cards
        self.refused = [Example("", text, {}, source="impossible") for text in refused]
        self.sources = {name: list(examples) for name, examples in groups.items() if examples}
        self.random = random.Random(seed)
        alone = {e.tool for name, examples in self.sources.items() if name not in CHOSEN for e in examples}
        self.ids = [id for id in cards if id not in alone]
        self.house = [id for id in self.ids if id in house_cards()]
        self.own_house = set(self.house)
        self.aliases = read_aliases()
        self.invented = {e.tool for name in ("servers", "clauses") for e in self.sources.get(name, ())}
        self.near: dict[str, list[str]] = {}
        """Tool -> wrong cards near to what is asked of it; a refused request -> house tools near to it."""

    def mine(self, encoder: Encoder, most: int = 40, looks: int = 3) -> None:
        """Finds for each tool the wrong cards nearest to what is asked of it, by the untrained backbone.

        Near-copies of the right card are left out: they would be right answers called wrong.
        """
        texts = [f"{words(self.cards[i].name)}: {self.cards[i].description}" for i in self.ids]
        vectors = encoder.embed(texts, limit=48)
        place = {id: n for n, id in enumerate(self.ids)}
        asked: dict[str, list[str]] = {}
        for example in (e for name in CHOSEN for e in self.sources.get(name, ())):
            said = asked.setdefault(example.tool, [])
            if len(said) < looks:
                said.append(" ".join([*example.earlier[-1:], example.instruction]))
        tools, requests = zip(*((tool, text) for tool, said in asked.items() for text in said), strict=True)
        queries = encoder.embed(requests, limit=48)
        for tool, query in zip(tools, queries, strict=True):
            gold, name = place[tool], self.cards[tool].name
            order = np.argsort(-(vectors @ query))[: 3 * most]
            alike = vectors[order] @ vectors[gold]
            keep = [
                self.ids[j]
                for j, a in zip(order, alike, strict=True)
                if j != gold
                and (self.distinct(tool, self.ids[j]) or (a < 0.86 and self.cards[self.ids[j]].name != name))
            ]
            self.near.setdefault(tool, []).extend(keep[: most // looks])
        house = [place[i] for i in self.house]
        for example, query in zip(
            self.refused, encoder.embed([e.instruction for e in self.refused], limit=48), strict=True
        ):
            order = np.argsort(-(vectors[house] @ query))[:most]
            self.near[example.instruction] = [self.house[j] for j in order]

    def distinct(self, one: str, other: str) -> bool:
        """Whether two tools are known to be different, however alike: of the house, or of one invented server."""
        if one in self.own_house:
            return other in self.own_house
        return one in self.invented and one.split("/")[0] == other.split("/")[0]

    def wrong(self, example: Example, count: int) -> list[str]:
        """Wrong cards: of the same server, near ones, house tools, any."""
        r = self.random
        near = self.near[example.tool or example.instruction]
        server = example.tool.rsplit("/", 1)[0]
        same = [i for i in near if i.rsplit("/", 1)[0] == server]
        if example.tool in self.own_house:
            same = [i for i in near if i in self.own_house]
        found: list[str] = []
        if example.before in self.cards and example.before != example.tool and r.random() < 0.7:
            found.append(example.before)  # at run time the tool of the step before is always among the candidates
        while len(found) < count:
            draw = r.random()
            if draw < 0.45 and same:
                one = r.choice(same[:6])
            elif draw < 0.75 and near:
                one = near[min(int(r.expovariate(0.12)), len(near) - 1)]
            elif draw < 0.9:
                one = r.choice(self.house)
            else:
                one = r.choice(self.ids)
            if one != example.tool and one not in found and (example.tool or one in self.house):
                found.append(one)
        return found

    def batches(self, encoder: Encoder, groups: int) -> Iterator[Batch]:
        """Endless batches: `groups` requests with `GROUP` cards each, and `GIVEN` times as many with the right card."""
        while True:
            choices: list[Row] = []
            for name in self._drawn(CHOSEN, groups):
                if self.random.random() < 0.06 and self.refused:
                    example = self.random.choice(self.refused)
                    choices += [row_of(encoder, self.cards[i], example, False) for i in self.wrong(example, GROUP)]
                    continue
                example = self._distracted(self.random.choice(self.sources[name]))
                wrong = [self._shown(i) for i in self.wrong(example, GROUP - 1)]
                card, example = self._renamed(example)
                cards = [self._thinned(card), *wrong]
                choices += [row_of(encoder, card, example, n == 0) for n, card in enumerate(cards)]
            given = []
            for name in self._drawn(FILLED, GIVEN * groups):
                card, example = self._renamed(self._distracted(self.random.choice(self.sources[name])))
                given.append(row_of(encoder, self._thinned(card), example, True))
            yield Batch(choices, given)

    def _drawn(self, weights: Mapping[str, float], count: int) -> list[str]:
        """Names of sources, drawn by these weights from those that there are."""
        names = [n for n in weights if n in self.sources]
        return self.random.choices(names, [weights[n] for n in names], k=count)

    def _renamed(self, example: Example) -> tuple[Card, Example]:
        """The right card, often as another author would have written it: an ability is more than one name."""
        if self.random.random() < ALIASED:
            renamed = [(a.card, made) for a in self.aliases.get(example.tool, ()) if (made := a.of(example))]
            if renamed:
                return self.random.choice(renamed)
        return self.cards[example.tool], example

    def _shown(self, id: str) -> Card:
        """A wrong card, as often under another name as a right one is."""
        aliases = self.aliases.get(id)
        return self.random.choice(aliases).card if aliases and self.random.random() < ALIASED else self.cards[id]

    def _distracted(self, example: Example) -> Example:
        """Now and then with an earlier instruction that has nothing to do with it."""
        if example.earlier or self.random.random() > 0.25:
            return example
        kin = self.sources.get(example.source) or self.sources["house" if example.tool in self.own_house else "servers"]
        other = self.random.choice(
            kin if self.random.random() < 0.6 else self.random.choice(list(self.sources.values()))
        )
        return replace(example, earlier=(other.instruction,), before=other.tool)

    def _thinned(self, card: Card) -> Card:
        """Now and then without descriptions: catalogs are uneven."""
        if self.random.random() > 0.1:
            return card
        bare = tuple(type(p)(p.name, p.type, "", p.options, p.required) for p in card.parameters)
        return Card(card.name, card.description if self.random.random() < 0.7 else "", bare)


def load(data: Path | None, seed: int, repeats: int) -> tuple[Data, list[Example], dict[str, Card]]:
    """The training data, the held-out examples, and the held-out servers' cards."""
    servers = read_servers()
    seen, unseen = [s for s in servers if not s.held_out], [s for s in servers if s.held_out]
    house = {s.name for s in servers if any(id in house_cards() for id in s.cards)} | {"mixed"}
    groups: dict[str, list[Example]] = {"house": [], "servers": [], "clauses": []}
    for example in singles(seen, repeats, seed):
        groups["house" if example.source in house else "servers"].append(example)
    for compound in (*compounds(seen, 2 * repeats, seed), *kept(seen, repeats, seed)):
        groups["clauses"] += compound.calls
    cards = {**house_cards(), **{id: c for s in seen for id, c in s.cards.items()}}
    if data:
        for name, (more, examples) in {
            "seal_tools": public.labelled_calls(data / "seal_tools", "dev"),
            "sgd": public.sgd(data / "sgd", 6000, seed),
            "mcp": public.mcp_catalog(data / "pool", 4000, seed, public.values(data / "wikisql" / "test.jsonl.gz")),
            "marked": public.marked(data, ("snips_slots", "restaurant8k"), seed),
            "wikisql": public.conditions(data / "wikisql" / "test.jsonl.gz", seed),
        }.items():
            used = {e.tool for e in examples}
            cards |= {i: c for i, c in more.items() if i in used}
            groups[name] = examples
    held = [*singles(unseen, 1, seed + 7), *(c for k in compounds(unseen, 1, seed + 7) for c in k.calls)]
    held = random.Random(MEASURED).sample(held, min(MEASURED, len(held)))
    return Data(cards, groups, impossible_requests(), seed), held, {id: c for s in unseen for id, c in s.cards.items()}


SETS = ("seal_tools", "sgd", "mcp", "snips_slots", "restaurant8k", "wikisql")
CHOSEN = {"house": 0.24, "servers": 0.32, "clauses": 0.28, "seal_tools": 0.05, "mcp": 0.11}
"""How often the tool is to be chosen for a request of each source."""
FILLED = {
    "house": 0.1,
    "servers": 0.34,
    "clauses": 0.12,
    "seal_tools": 0.12,
    "sgd": 0.06,
    "mcp": 0.1,
    "marked": 0.05,
    "wikisql": 0.11,
}
"""How often arguments alone are learned from each source."""


def loss_of(model: SlotsTrainer, batch: Batch) -> Tensor:
    """Calibrated fit (binary cross-entropy), the right card before the others (softmax over the group), pointers."""
    fit, pointer = model([*batch.choices, *batch.given])
    fit = fit[: len(batch.choices)]
    right = torch.tensor([float(r.right) for r in batch.choices])
    binary = F.binary_cross_entropy_with_logits(fit, right)
    grouped = fit.view(-1, GROUP)
    known = right.view(-1, GROUP)[:, 0] > 0
    listed = (
        F.cross_entropy(grouped[known], torch.zeros(int(known.sum()), dtype=torch.long))
        if known.any()
        else fit.sum() * 0
    )
    return binary + listed + pointer


def evaluate(
    model: SlotsModel, examples: Sequence[Example], cards: Mapping[str, Card], crowd: Mapping[str, Card]
) -> dict[str, float]:
    """Tool choice among the server's own tools and the five nearest house tools, and whole fills, in percent."""
    encoder = model.encoder
    vectors = dict(
        zip(crowd, encoder.embed([f"{words(c.name)}: {c.description}" for c in crowd.values()], limit=48), strict=True)
    )
    chosen = known = wholes = cells = good = 0
    fits: list[tuple[float, bool]] = []
    for example in examples:
        if example.tool not in cards:
            continue
        server = example.tool.rsplit("/", 1)[0]
        query = encoder.embed([example.instruction], limit=64)[0]
        house = sorted(crowd, key=lambda i: -float(query @ vectors[i]))[:5]
        ids = [i for i in cards if i.rsplit("/", 1)[0] == server] + house
        readings = model.read(example.instruction, [cards.get(i) or crowd[i] for i in ids], example.earlier)
        best = max(range(len(ids)), key=lambda n: readings[n].fit)
        chosen += ids[best] == example.tool
        known += 1
        fits += [(r.fit, i == example.tool) for r, i in zip(readings, ids, strict=True)]
        pointers = readings[ids.index(example.tool)].pointers
        whole = True
        for name, fill in example.fills.items():
            if name not in pointers:
                continue
            p = pointers[name]
            begin, end, span = p.best()
            guesses = {
                "absent": p.absent,
                "span": span,
                "option": max(p.options, default=-99.0),
                "earlier": max(p.earlier, default=-99.0),
            }
            kind = max(guesses, key=lambda g: guesses[g])
            right = kind == fill.kind
            if right and kind == "span":
                right = example.instruction[begin:end].strip(" .,'\"") == example.instruction[
                    fill.begin : fill.end
                ].strip(" .,'\"")
            if right and kind == "option":
                right = int(np.argmax(p.options)) == fill.index
            cells += 1
            good += right
            whole = whole and right
        wholes += whole
    positives, negatives = [s for s, y in fits if y], [s for s, y in fits if not y]
    auroc = float(np.mean([np.mean(np.array(negatives) < s) for s in positives]))
    return {
        "tool": round(100 * chosen / known, 1),
        "arguments": round(100 * good / cells, 1),
        "whole fill": round(100 * wholes / known, 1),
        "fit AUROC": round(100 * auroc, 1),
        "examples": known,
    }


def untrained(
    encoder: Encoder, examples: Sequence[Example], cards: Mapping[str, Card], crowd: Mapping[str, Card]
) -> float:
    """The share of tools, in percent, that the untrained backbone finds by cosine among the same candidates."""
    every = {**crowd, **cards}
    texts = [f"{words(c.name)}: {c.description}" for c in every.values()]
    vectors = dict(zip(every, encoder.embed(texts, limit=48), strict=True))
    known = [e for e in examples if e.tool in cards]
    right = 0
    for example, query in zip(known, encoder.embed([e.instruction for e in known], limit=64), strict=True):
        house = sorted(crowd, key=lambda i: -float(query @ vectors[i]))[:5]
        own = [i for i in cards if i.rsplit("/", 1)[0] == example.tool.rsplit("/", 1)[0]]
        right += max([*own, *house], key=lambda i: float(query @ vectors[i])) == example.tool
    return round(100 * right / len(known), 1)


def main() -> None:
    a = options.parse(__doc__ or "", PATH, steps=2500, size=6, rate=6e-4)
    encoder = open_encoder()
    data, held, unseen = load(a.data, a.seed, REPEATS)
    counts = {name: len(examples) for name, examples in data.sources.items()}
    print(f"{counts}, {len(data.cards)} cards, {len(held)} held out", file=sys.stderr)
    if not a.measure:
        data.mine(encoder)
        start = Adapter.load(a.start) if a.start else None
        model = SlotsTrainer(start=start)
        schedule = Schedule(a.steps, a.rate, a.seed, a.half, a.out.with_suffix(".checkpoint"))
        train(model, data.batches(encoder, a.size), lambda batch: loss_of(model, batch), schedule, "slots")
        model.adapter({"scale": 1.0, "shift": 0.0}).save(a.out)
    adapter = Adapter.load(a.out)
    figures = evaluate(SlotsModel(encoder, adapter), held, unseen, house_cards())
    print(json.dumps(figures))
    card = ModelCard(
        name="slots",
        task="tool choice and arguments",
        data=[
            Source(**s)
            for s in options.sources(a.data, "seal_tools", "sgd", "mcp", "snips_slots", "restaurant8k", "wikisql")
        ],
        metric="right tool among the server's own and the five nearest house tools, percent",
        figure=figures["tool"],
        baseline=untrained(encoder, held, unseen, house_cards()),
        command="python -m bottega.models.training.slots --data DIR",
        seed=a.seed,
        trained_on=f"{sum(counts.values())} requests for {len(data.cards)} tools",
        held_out=f"{figures['examples']} requests for the {len(unseen)} tools of servers never trained on",
        details=figures,
    )
    card.of(adapter, a.out).save(a.out.with_suffix(".json"))


if __name__ == "__main__":
    main()
