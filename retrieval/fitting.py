"""Fits the net that orders tools (`scoring.py`) on labelled requests, each in its own catalog and in the pool of all.

    python -m bottega.retrieval.fitting --data DIR [--retriever ADAPTER] [--keep DIR]

The net learns how far to trust each kind of evidence, so the retriever must not have been trained on these requests:
its cosines would look better than they are elsewhere. By default it is the untrained backbone, whose cosines are
brought to the same scale. Softmax over the candidates of a request against each right one (ListNet, Cao et al. 2007).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..models.adapters import Adapter
from ..models.encoder import open_encoder
from ..models.house.retriever import RetrieverModel
from ..models.training.public import read_lines
from ..models.training.retriever_pairs import LABELLED
from .index import ToolIndex
from .scoring import FEATURES, WEIGHTS, Array, Net, candidates
from .spec import ToolSpec

Row = tuple[Array, Any]
"""The features (m, `FEATURES`) of a request's candidates, and which of them are right (m,)."""

HIDDEN = 16
EPOCHS = 150
MOST = 125
"""Requests of a set and catalog; as many of each, so that none outweighs the others."""


def rows(data: Path, model: RetrieverModel, keep: Path, most: int, seed: int) -> Iterator[list[Row]]:
    """For each set the rows of its requests in its own catalog, then in the pool."""
    place = {row["id"]: row["pool"] for row in read_lines(data / "pool" / "map.jsonl.gz")}
    pool = _index(data, "pool", model, keep)
    for name, split in LABELLED:
        own = _index(data, name, model, keep)
        asked = [q for q in read_lines(data / name / "queries.jsonl.gz") if q["split"] == split and q["relevant_tools"]]
        chosen = np.random.default_rng(seed).choice(len(asked), min(most, len(asked)), replace=False)
        some = [asked[i] for i in sorted(chosen)]
        yield [_row(own, q["query"], set(q["relevant_tools"])) for q in some]
        yield [_row(pool, q["query"], {place[id] for id in q["relevant_tools"]}) for q in some]


def _index(data: Path, name: str, model: RetrieverModel, keep: Path) -> ToolIndex:
    tools = [ToolSpec.of(t) for t in read_lines(data / name / "tools.jsonl.gz")]
    return ToolIndex.build(tools, keep / f"fitting-{name}", model)


def _row(index: ToolIndex, request: str, right: set[str]) -> Row:
    features, some = candidates(index.evidence(request))
    return features, np.array([index.ids[i] in right for i in some])


def fit(sets: Sequence[Sequence[Row]], seed: int = 0, epochs: int = EPOCHS) -> Net:
    """The net for these rows. Needs torch; requests without a right candidate teach nothing."""
    import torch
    from torch.nn import functional as F

    torch.manual_seed(seed)
    useful = [[(torch.tensor(x), torch.tensor(y)) for x, y in some if y.any()] for some in sets]
    useful = [some for some in useful if some]
    seen = torch.cat([x for some in useful for x, _ in some])
    mean, scale = seen.mean(0), seen.std(0) + 1e-6
    inner = torch.nn.Linear(len(FEATURES), HIDDEN)
    outer = torch.nn.Linear(HIDDEN, 1, bias=False)
    weights = [*inner.parameters(), *outer.parameters()]
    optimizer = torch.optim.Adam(weights, lr=5e-3, weight_decay=1e-3)
    for _ in range(epochs):
        total = torch.zeros(())
        for some in useful:
            x = (torch.cat([x for x, _ in some]) - mean) / scale
            x = inner(x)
            scores = outer(x * torch.sigmoid(1.702 * x))[:, 0]
            loss = torch.zeros(())
            for each, (_, right) in zip(scores.split([len(y) for _, y in some]), some, strict=True):
                against = each.masked_fill(right, -1e4).logsumexp(0)
                loss = loss + F.softplus(against - each[right]).mean()
            total = total + loss / len(some)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    return Net(
        mean.numpy(),
        scale.numpy(),
        inner.weight.detach().T.numpy(),
        inner.bias.detach().numpy(),
        outer.weight.detach()[0].numpy(),
    )


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    p.add_argument("--data", type=Path, required=True, help="folder of the public sets")
    p.add_argument("--retriever", type=Path, help="an adapter in place of the untrained backbone")
    p.add_argument("--keep", type=Path, required=True, help="folder for the indices")
    p.add_argument("--out", type=Path, default=WEIGHTS)
    p.add_argument("--most", type=int, default=MOST)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    adapter = Adapter.load(a.retriever) if a.retriever else Adapter("untrained")
    found = fit(list(rows(a.data, RetrieverModel(open_encoder(), adapter), a.keep, a.most, a.seed)), a.seed)
    card = {
        "features": FEATURES,
        "fitted on": [f"{name}, {split}" for name, split in LABELLED],
        "with": adapter.settings.get("version", adapter.name),
        "seed": a.seed,
        "command": "python -m bottega.retrieval.fitting --data DIR --keep DIR",
        "net": {name: getattr(found, name).round(4).tolist() for name in Net.__dataclass_fields__},
    }
    a.out.write_text(json.dumps(card, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
