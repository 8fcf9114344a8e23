"""The `Router` decides who takes a request: one specialist, the planner, or nobody.

The house's own model knows the house's specialists. Any other specialist is learned at once, from its description and
a few examples: a small head tells its requests from the rest, which is decided as if that specialist were not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..core.errors import UsageError
from ..models.adapters import Array
from ..models.classifier import words_of
from ..models.heads import apply, folds_of, platt, sigmoid, softmax, train_head, unseen
from ..models.house.router import LIMIT, Direction, RouterModel
from .mentions import paths
from .plan import Route

if TYPE_CHECKING:
    from ..tools import Tool
    from .planning import Finder, PlanningContext

ALIKE = 0.6
"""Cosine from which an example of the house is so like one of a new specialist's that it says nothing against it."""
TAKEN = 0.03
"""The share of other requests that a new specialist may claim at most."""
HOUSE_WORD = 0.7
"""How sure the house's model counts as, at most, of what the house can do, when it weighs a specialist it never met."""
NEAR = 16
"""Most tools beside the house's that a request is compared with: of more, those that a search finds first."""
NOBODY = "no specialist or tool here can do this: it would take a server that offers it, or a language model"


class Known(NamedTuple):
    """What the router learns a specialist from."""

    name: str
    description: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gate:
    """Tells the requests of own specialists from all others. Its head has a label for the rest, then one for each."""

    names: tuple[str, ...]
    weights: Any
    scale: float
    shift: float

    @classmethod
    def fit(cls, specialists: Sequence[Known], model: RouterModel) -> Gate:
        """Learns from descriptions and examples, against the house's examples without those that are like them."""
        texts, y = [], []
        for k, one in enumerate(specialists, 1):
            mine = [text for text in (one.description, *one.examples) if text.strip()]
            texts += mine
            y += [k] * len(mine)
        told = model.encoder.embed([words_of(one.name, one.description) for one in specialists], limit=LIMIT)
        own, others = model.encoder.embed(texts, limit=LIMIT), np.concatenate(model.examples)
        others = others[(others @ own.T).max(1) < ALIKE]
        rest = others.mean(0, keepdims=True)
        told = np.concatenate([rest / np.linalg.norm(rest).clip(1e-9), told])
        x = np.concatenate([own, others])
        labels = np.array([*y, *[0] * len(others)], np.int64)
        margins = np.zeros(len(x))
        for z, rows in unseen(x, labels, told, folds_of(labels, 0)):
            margins[rows] = z[:, 1:].max(1) - z[:, 0]
        scale, shift = platt(margins, labels > 0)
        # A few examples calibrate badly, so it is also held that what is the house's stays the house's.
        claims = (margins * scale + _against_house(model, x))[labels == 0]
        return cls(
            tuple(one.name for one in specialists),
            train_head(x, labels, told),
            scale,
            min(shift, -float(np.quantile(claims, 1 - TAKEN))),
        )

    def read(self, vector: Array, model: RouterModel) -> dict[str, float]:
        """The probability of each of its specialists; what is missing to one is for the others."""
        z = apply(self.weights, vector[None])
        claim = (z[0, 1:].max() - z[0, 0]) * self.scale + self.shift + _against_house(model, vector[None])[0]
        shares = softmax(z[:, 1:] * self.scale)[0]
        return {name: float(sigmoid(claim) * share) for name, share in zip(self.names, shares, strict=True)}


def _against_house(model: RouterModel, vectors: Array) -> Array:
    """Log-odds that the house cannot do a request, within bounds: it never had to know the new specialist."""
    p = model.doable(vectors).clip(1 - HOUSE_WORD, HOUSE_WORD)
    return np.asarray(np.log(1 - p) - np.log(p))


@dataclass
class Router:
    """Decides by the house's model and, for other specialists, by gates that it learns when it first sees them.

    `finder` narrows many tools down to those near a request; without it the request is compared with all of them.
    """

    model: RouterModel
    known: tuple[Known, ...] = ()
    finder: Finder | None = None
    _gates: dict[tuple[Known, ...], Gate] = field(default_factory=dict, repr=False)
    _tools: dict[str, Array] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, weights: Path | None = None, finder: Finder | None = None) -> Router:
        """The router of the house. Raises `ModelError` in one line if its model is missing or damaged."""
        return cls(RouterModel.open(weights=weights), finder=finder)

    @classmethod
    def fit(cls, specialists: Iterable[tuple[str, str, Sequence[str]]], model: RouterModel | None = None) -> Router:
        """The house's router that also knows these: (name, description, examples); five examples are enough.

        Raises `UsageError` for two of one name, or one without a description and examples.
        """
        known = tuple(Known(name, description, tuple(examples)) for name, description, examples in specialists)
        router = cls(model or RouterModel.open(), _new(known, ()))
        router._gate(router.known)
        return router

    async def route(self, request: str, context: PlanningContext) -> Route:
        """Who takes `request`, of the specialists and with the tools of `context`.

        Whether something can be done with a file of the workspace that it names is for the planner to find out.
        """
        specialists = [Known(one.name, one.description, one.examples) for one in context.specialists]
        tools = await self._near(request, context.tools)
        found = await asyncio.to_thread(self.decide, request, specialists, tools)
        if found.kind == "cannot":
            files = context.workspace.files(limit=500)
            if any(named.value in files for named in paths(request, files)):
                return Route(kind="plan", confidence=1 - found.confidence, scores=found.scores)
        return found

    def decide(self, request: str, specialists: Sequence[Known] | None = None, tools: Sequence[Tool] = ()) -> Route:
        """Who takes `request`. Without `specialists` these are all of the house and those that `fit` was given.

        Tools that are not the house's make more things possible. It says `cannot` only where it would be wrong for one
        possible request in a hundred.
        """
        house = [role for role in self.model.roles if role != "plan"]
        if specialists is None:
            specialists = [*(Known(role, "") for role in house), *self.known]
        new = _new(specialists, house)
        vector = self.model.embed(request)
        direction = self.model.read(vector, self._vectors(tools))
        here = {one.name for one in specialists}
        own = self._gate(new).read(vector, self.model) if new else {}
        return _route(direction, own, [role for role in self.model.roles if role in here or role == "plan"], self.model)

    def _gate(self, new: tuple[Known, ...]) -> Gate:
        if new not in self._gates:
            self._gates[new] = Gate.fit(new, self.model)
        return self._gates[new]

    async def _near(self, request: str, tools: Sequence[Tool]) -> Sequence[Tool]:
        """The tools that are not the house's; of many those near to the request, as only the nearest one counts."""
        foreign = self._foreign(tools)
        if self.finder is None or len(foreign) <= NEAR:
            return foreign
        # All are searched, as the planner will search all: for one index, not two.
        found = await self.finder.find_tools(request, tools, NEAR + len(tools) - len(foreign))
        return self._foreign(found)[:NEAR]

    def _foreign(self, tools: Sequence[Tool]) -> Sequence[Tool]:
        """The tools that are not the house's."""
        return [tool for tool in tools if tool.server not in self.model.toolsets]

    def _vectors(self, tools: Sequence[Tool]) -> Array | None:
        """Vectors of the tools that are not the house's."""
        texts = [f"{words_of(tool.name)}: {tool.description}" for tool in self._foreign(tools)]
        if new := list(dict.fromkeys(text for text in texts if text not in self._tools)):
            self._tools.update(zip(new, self.model.encoder.embed(new, limit=LIMIT), strict=True))
        return np.stack([self._tools[text] for text in texts]) if texts else None


def _new(specialists: Sequence[Known], house: Sequence[str]) -> tuple[Known, ...]:
    names = [one.name for one in specialists]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"two specialists are called {twice!r}", hint="give each its own name")
    found = tuple(one for one in specialists if one.name not in house)
    for one in found:
        if not one.description.strip() and not any(text.strip() for text in one.examples):
            raise UsageError(
                f"the specialist {one.name!r} has neither description nor examples",
                hint="say what it does, and add five requests it should get",
            )
    return found


def _route(direction: Direction, own: dict[str, float], roles: Sequence[str], model: RouterModel) -> Route:
    """An own specialist if one more likely than not; else it is the house's, or nobody's."""
    left = max(0.0, 1 - sum(own.values()))
    total = sum(direction.roles[role] for role in roles) or 1.0
    house = {role: left * direction.possible * direction.roles[role] / total for role in roles}
    scores = own | house | {"cannot": left * (1 - direction.possible)}
    if left < 0.5:
        best = max(own, key=own.__getitem__)
    elif direction.possible < model.threshold or not house:
        return Route(kind="cannot", confidence=scores["cannot"], scores=scores, reason=NOBODY)
    else:
        best = max(house, key=house.__getitem__)
    if best == "plan":
        return Route(kind="plan", confidence=scores[best], scores=scores)
    return Route(kind="specialist", specialist=best, confidence=scores[best], scores=scores)
