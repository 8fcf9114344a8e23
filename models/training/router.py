"""Trains the router model on the hand-written corpus: who of the house is a request for, and can the house do it?

    python -m bottega.models.training.router

Held out: 30% of the templates, and every server that the corpus marks as held out. Needs no torch.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..adapters import Adapter, Array
from ..cards import Card, Source
from ..encoder import Encoder, open_encoder
from ..heads import Floats, platt, temperature, train_head, unseen
from ..house.router import LIMIT, PATH, RouterModel
from ..house.slots import words
from .corpus import CORPUS, Expander, Server, impossible_requests, read_servers
from .measures import auroc

ROLES = ("operator", "analyst", "reader", "writer", "plan")
TOOLSETS = {"tables": "analyst", "sqlite": "analyst", "reading": "reader", "files": "writer", "text": "writer"}
"""Whose each house toolset is; every other one, and every server, is the operator's."""
TOLD = {
    "operator": "operator: uses a tool to look something up, calculate, convert or change something",
    "analyst": "analyst: answers a question about the rows of a table or a database",
    "reader": "reader: answers a question from what a document says",
    "writer": "writer: reads, writes and moves files, and works on text",
    "plan": "several things to do, one after the other",
}
"""What is told of each role; the baseline takes the nearest by cosine."""
REFUSED = 0.01
"""The share of possible requests that may be refused."""
KEPT = (320, 160)
"""Example vectors that ship with the model: requests for the house, and for nobody."""

Split = Literal["train", "test", "unseen"]


@dataclass(frozen=True)
class Request:
    """A request: the index of its role (-1: nobody's), its toolset or server, and the template it was made of."""

    text: str
    role: int
    source: str
    split: Split
    template: int


class Corpus:
    """The corpus as requests with their vectors, and the vectors of all servers' tools."""

    def __init__(self, encoder: Encoder, seed: int, repeats: int = 2) -> None:
        servers = read_servers()
        self.house = sorted(path.stem for path in (CORPUS / "house").glob("*.yaml"))
        self.rows = list(_requests(servers, seed, repeats))
        self.vectors = encoder.embed([row.text for row in self.rows], limit=LIMIT)
        self.roles = np.array([row.role for row in self.rows])
        self.doable = np.array([row.role >= 0 and row.source in self.house for row in self.rows])
        self.templates = np.array([row.template for row in self.rows])
        self.tools = {s.name: _tool_vectors(encoder, s) for s in servers if s.cards and s.name not in self.house}
        self.held_out = {s.name for s in servers if s.held_out}

    def of(self, split: Split) -> Array:
        """The indices of a split's rows."""
        return np.array([i for i, row in enumerate(self.rows) if row.split == split])

    def foreign(self, i: int, own: bool, chance: random.Random, others: int = 3) -> Array:
        """Tools of some servers of the same split as request `i`, its own server among them or not."""
        row = self.rows[i]
        held = row.split != "train"
        names = [n for n in sorted(self.tools) if (n in self.held_out) == held and n != row.source]
        drawn = chance.sample(names, others)
        return np.concatenate([self.tools[n] for n in ([row.source, *drawn[1:]] if own else drawn)])


def _requests(servers: Sequence[Server], seed: int, repeats: int) -> Iterator[Request]:
    chance, expander = random.Random(seed), Expander(servers, seed)
    number = 0
    for server in servers:
        singles = [(id, text) for id, templates in server.requests.items() for text in templates]
        asked: list[tuple[str, str] | list[dict[str, str]]] = [*singles, *server.compounds]
        for what in asked:
            number += 1
            split = _draw(chance, server.held_out)
            for _ in range(repeats if split == "train" else 1):
                if isinstance(what, tuple):
                    if example := expander.single(server, *what):
                        role = ROLES.index(TOOLSETS.get(server.name, "operator"))
                        yield Request(example.instruction, role, server.name, split, number)
                elif compound := expander.compound(server, what):
                    yield Request(compound.text, ROLES.index("plan"), server.name, split, number)
    for text in impossible_requests():
        number += 1
        yield Request(text, -1, "impossible", _draw(chance, False), number)


def _draw(chance: random.Random, held_out: bool) -> Split:
    x = chance.random()
    return "unseen" if held_out else "test" if x < 0.3 else "train"


def _tool_vectors(encoder: Encoder, server: Server) -> Array:
    cards = [card for id, card in server.cards.items() if id.startswith(f"{server.name}/")]
    return encoder.embed([f"{words(card.name)}: {card.description}" for card in cards])


def fit(corpus: Corpus, encoder: Encoder, seed: int) -> Adapter:
    """The heads, calibrated on answers of heads that had not seen the template."""
    train = corpus.of("train")
    folds = corpus.templates % 5
    told = encoder.embed([TOLD[role] for role in ROLES])
    somebody = train[corpus.roles[train] >= 0]
    x, y = corpus.vectors[somebody], corpus.roles[somebody]
    role = train_head(x, y, told)
    parts = list(unseen(x, y, told, folds[somebody]))
    scale = 1 / temperature(np.vstack([z for z, _ in parts]), y[np.concatenate([i for _, i in parts])])

    x, fits = corpus.vectors[train], corpus.doable[train]
    two = np.stack([x[~fits].mean(0), x[fits].mean(0)])
    two /= np.linalg.norm(two, axis=1, keepdims=True)
    doable = train_head(x, fits.astype(np.int64), two)
    parts = list(unseen(x, fits.astype(np.int64), two, folds[train]))
    margin = np.zeros(len(train))
    for z, i in parts:
        margin[i] = z[:, 1] - z[:, 0]
    line = platt(margin, fits)
    near, own = _nearness(corpus, train, seed)
    heads = {
        "role.weight": role[:, :-1].T.astype(np.float32),
        "role.bias": role[:, -1].astype(np.float32),
        "doable.weight": (doable[1] - doable[0])[:-1, None].astype(np.float32),
        "doable.bias": (doable[1] - doable[0])[-1:].astype(np.float32),
        "ours": corpus.vectors[_spread(corpus, somebody, KEPT[0], seed)],
        "nobodys": corpus.vectors[_spread(corpus, train[corpus.roles[train] < 0], KEPT[1], seed)],
    }
    sure = 1 / (1 + np.exp(-(margin[fits] * line[0] + line[1])))
    settings = {
        "roles": list(ROLES),
        "toolsets": corpus.house,
        "role_scale": scale,
        "doable": list(line),
        "foreign": list(platt(near, own)),
        "threshold": float(np.quantile(sure, REFUSED)),
    }
    return Adapter("router", {}, heads, settings)


def _nearness(corpus: Corpus, rows: Array, seed: int) -> tuple[Floats, Array]:
    """The cosine of a server's request to the nearest foreign tool, with its own server among them and without."""
    chance = random.Random(seed)
    near, own = [], []
    for i in rows:
        if corpus.rows[i].source in corpus.tools:
            for with_own in (True, False):
                near.append((corpus.foreign(i, with_own, chance) @ corpus.vectors[i]).max())
                own.append(with_own)
    return np.array(near, np.float64), np.array(own)


def _spread(corpus: Corpus, rows: Array, many: int, seed: int) -> list[int]:
    """Rows of different templates, drawn evenly over the toolsets and servers."""
    chance = random.Random(seed)
    groups: dict[str, dict[int, int]] = {}
    for i in rows:
        groups.setdefault(corpus.rows[i].source, {})[corpus.rows[i].template] = int(i)
    queues = [chance.sample(list(group.values()), len(group)) for group in groups.values()]
    found = [queue[turn] for turn in range(max(map(len, queues))) for queue in queues if turn < len(queue)]
    return found[:many]


def measure(model: RouterModel, corpus: Corpus, split: Split, seed: int) -> dict[str, float]:
    """Accuracy of the role; AUROC of what the house can do against what nobody can; how many of each are refused.

    `refused_with_server` are requests for a server that is there, `refused_without_server` for one that is not.
    """
    chance = random.Random(seed)
    rows = corpus.of(split)
    told = {i: model.read(corpus.vectors[i]) for i in rows}
    asked = [i for i in rows if corpus.roles[i] >= 0]
    right = {i: max(told[i].roles, key=told[i].roles.__getitem__) == ROLES[corpus.roles[i]] for i in asked}
    out = {"accuracy": float(np.mean(list(right.values())))}
    for k, role in enumerate(ROLES):
        if mine := [right[i] for i in asked if corpus.roles[i] == k]:
            out[f"recall_{role}"] = float(np.mean(mine))
    ours = np.array([told[i].possible for i in rows if corpus.doable[i]])
    nobodys = np.array([told[i].possible for i in rows if corpus.roles[i] < 0])
    if len(ours) and len(nobodys):
        out["auroc_cannot"] = auroc(ours, nobodys)
        out["refused_wrongly"] = float((ours < model.threshold).mean())
        out["refused_rightly"] = float((nobodys < model.threshold).mean())
    served = [i for i in asked if corpus.rows[i].source in corpus.tools]
    for name, own in (("refused_with_server", True), ("refused_without_server", False)):
        possible = [model.read(corpus.vectors[i], corpus.foreign(i, own, chance)).possible for i in served]
        out[name] = float((np.array(possible) < model.threshold).mean())
    return out


def baseline(encoder: Encoder, corpus: Corpus, split: Split) -> dict[str, float]:
    """The role whose description is nearest by cosine; that cosine is how surely it can be done."""
    rows = corpus.of(split)
    scores = corpus.vectors[rows] @ encoder.embed([TOLD[role] for role in ROLES]).T
    asked = corpus.roles[rows] >= 0
    out = {"accuracy": float((scores.argmax(1) == corpus.roles[rows])[asked].mean())}
    if corpus.doable[rows].any() and not asked.all():
        out["auroc_cannot"] = auroc(scores.max(1)[corpus.doable[rows]], scores.max(1)[~asked])
    return out


def main() -> None:
    """Trains, measures, and writes the adapter and its card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=PATH)
    args = parser.parse_args()
    encoder = open_encoder()
    corpus = Corpus(encoder, args.seed)
    sizes = {split: len(corpus.of(split)) for split in ("train", "test", "unseen")}
    print(f"requests: {sizes}", file=sys.stderr)
    adapter = fit(corpus, encoder, args.seed)
    adapter.save(args.out)
    model = RouterModel.open(args.out)
    splits: tuple[Split, ...] = ("test", "unseen")
    figures = {split: measure(model, corpus, split, args.seed) for split in splits}
    plain = {split: baseline(encoder, corpus, split) for split in splits}
    details = {split: {k: round(v, 4) for k, v in found.items()} for split, found in figures.items()}
    untrained = {split: {k: round(v, 4) for k, v in found.items()} for split, found in plain.items()}
    card = Card(
        name="router",
        task="route",
        data=[Source(source="models/training/corpus", licence="Apache-2.0")],
        metric="accuracy",
        figure=details["test"]["accuracy"],
        baseline=untrained["test"]["accuracy"],
        command=f"python -m bottega.models.training.router --seed {args.seed}",
        seed=args.seed,
        trained_on=f"{sizes['train']} requests made of 70% of the corpus's templates",
        held_out=f"{sizes['test']} requests of the other templates; {sizes['unseen']} of servers it never saw",
        details={**{str(k): v for k, v in details.items()}, "untrained": untrained},
    )
    card.of(adapter, args.out).save(args.out.with_suffix(".json"))
    print(json.dumps({"figures": details, "untrained": untrained}, indent=1))


if __name__ == "__main__":
    main()
