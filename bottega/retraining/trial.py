"""Whether a retriever finds more than another: of what was held out here, and of what is not from here."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..models.adapters import Adapter
from ..models.encoder import Encoder
from ..models.house.retriever import RetrieverModel
from ..models.training.own_pairs import Split
from ..retrieval import ToolIndex, ToolSpec

LOSES = 1.0
"""nDCG@10 that the corpus's held-out servers may lose: about what another seed changes."""
SEARCHED = 3_000
"""Tools among which is measured, at most."""


def index_of(tools: Sequence[ToolSpec], adapter: Adapter, encoder: Encoder) -> ToolIndex:
    """An index as the planner has it, in memory. Raises `ModelError`."""
    return ToolIndex.build(tools, None, RetrieverModel(encoder, adapter))


def some(tools: Sequence[ToolSpec], wanted: Collection[str], seed: int) -> list[ToolSpec]:
    """All tools; of very many the `wanted` ones and some others."""
    if len(tools) <= SEARCHED:
        return list(tools)
    others = [tool.id for tool in tools if tool.id not in wanted]
    chosen = {*wanted, *random.Random(seed).sample(others, min(len(others), max(0, SEARCHED - len(wanted))))}
    return [tool for tool in tools if tool.id in chosen]


@dataclass(frozen=True)
class Figures:
    """What a retriever finds of what was held out: gains and recalls, one a request, 0..1."""

    gains: tuple[float, ...]
    recalls: tuple[float, ...]
    new: tuple[bool, ...]
    """Whether a request is for a tool of which none was learned."""

    @property
    def own(self) -> float:
        """nDCG@10 in percent."""
        return _percent(self.gains)

    def to_json(self) -> dict[str, float]:
        """Percent, rounded; those of new tools where there are some."""
        found = {"nDCG@10": self.own, "recall@5": _percent(self.recalls)}
        if any(self.new):
            found["nDCG@10 of new tools"] = _percent([g for g, new in zip(self.gains, self.new, strict=True) if new])
        return found


def figures_of(index: ToolIndex, split: Split) -> Figures:
    """What an index finds of the requests that were held out."""
    gains, recalls = [], []
    found = index.search_many([one.request for one in split.held], 10) if split.held else []
    for one, hits in zip(split.held, found, strict=True):
        right = [hit.id in one.tools for hit in hits]
        ideal = sum(1 / np.log2(n + 2) for n in range(min(10, len(one.tools))))
        gains.append(float(sum(1 / np.log2(n + 2) for n, hit in enumerate(right) if hit) / ideal))
        recalls.append(sum(right[:5]) / len(one.tools))
    return Figures(tuple(gains), tuple(recalls), tuple(bool(split.new & set(one.tools)) for one in split.held))


@dataclass(frozen=True)
class Verdict:
    """Both retrievers on both sets. `corpus` figures are of the corpus's held-out servers."""

    before: Figures
    after: Figures
    corpus_before: Mapping[str, float]
    corpus_after: Mapping[str, float]

    @property
    def worse(self) -> str | None:
        """Why the new one is not to be kept; None where it is."""
        if not self.after.gains:
            return "there is nothing of your own to measure it on"
        if self.after.own < self.before.own:
            return "it finds less of your own requests"
        if self.corpus_after["nDCG@10"] < self.corpus_before["nDCG@10"] - LOSES:
            return "it has forgotten too much of what is not yours"
        return None

    def interval(self, seed: int = 0) -> tuple[float, float]:
        """Between what the difference in nDCG@10 lies in 95 of 100 draws of the held-out requests (bootstrap)."""
        differences = np.array(self.after.gains) - np.array(self.before.gains)
        if not len(differences):
            return 0.0, 0.0
        drawn = np.random.default_rng(seed).choice(differences, (2000, len(differences))).mean(1)
        low, high = np.percentile(100 * drawn, (2.5, 97.5))
        return round(float(low), 1), round(float(high), 1)

    def to_json(self) -> dict[str, Any]:
        return {
            "own": {
                "requests": len(self.after.gains),
                "before": self.before.to_json(),
                "after": self.after.to_json(),
                "difference": self.interval(),
            },
            "corpus": {"before": dict(self.corpus_before), "after": dict(self.corpus_after)},
        }


def _percent(shares: Sequence[float]) -> float:
    return round(100 * float(np.mean(shares)), 1) if shares else 0.0
