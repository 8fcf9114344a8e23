"""What specialists have learned of each other: how well it went when one handed something on to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

UNTRIED = 0.5
"""Weight of an edge along which nothing was handed on yet."""

RATE = 0.2
"""How far one hand-over moves its edge towards how it ended; about the last ten of them count."""


@dataclass(frozen=True)
class Weights:
    """Weights of the edges from one specialist to another, by their names: 0 where no hand-over went well, 1 where each
    did.

    They follow the share that goes well by an exponential average, as in AgentNet (Yang et al., arXiv 2504.00587).
    Raises `ValueError` for a weight below 0 or above 1.
    """

    edges: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for (giver, taker), weight in self.edges.items():
            if not 0 <= weight <= 1:
                raise ValueError(f"the edge from {giver} to {taker} weighs {weight!r}; it has to be from 0 to 1")

    def of(self, giver: str, taker: str) -> float:
        """The weight of an edge."""
        return self.edges.get((giver, taker), UNTRIED)

    def updated(self, giver: str, taker: str, success: bool) -> Weights:
        """These weights after one more hand-over."""
        before = self.of(giver, taker)
        return Weights({**self.edges, (giver, taker): before + RATE * (success - before)})
