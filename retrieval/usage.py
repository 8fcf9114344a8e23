"""What past runs say of tools: whether they were called when they were shown, and did the work when they were called.

Two probabilities are learned together over everything that was shown, as in ESMM (Ma et al. 2018, "Entire Space
Multi-Task Model", arXiv 1804.07931): p(called | shown), and p(succeeded | called), the second only through the product
of both. Learned from the called ones alone it would know nothing of what nobody dares to call. Each has a term for the
rank at which a tool was shown, which is left out again: what stands first is called more often for that alone.

What is said of a tool is shrunk towards what its rank says by itself, and is nothing while little is known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Unit vectors of texts, (number of texts, width)."""

ENOUGH, ENOUGH_CALLS = 200, 50
"""Showings, and those of them with a call, below which nothing is said."""

SHRINK = 2.0
"""Weight of the prior that a tool is like any other of its rank, in showings or calls of it that come out even."""

NEAR, NEIGHBOURS, WIDTH = 0.5, 32, 0.1
"""Least cosine of a past request that says something of this one; how many at most; how fast their say fades."""

MOST = 2.0
"""Most that past runs add to the log-odds of a tool, or take from them."""

STEPS, RATE = 300, 0.1
"""Steps of Adam, over all showings at once, and their size."""


@dataclass(frozen=True)
class Showing:
    """The tools that were found for one request or step, the best first, and what became of them."""

    request: str
    shown: tuple[str, ...]
    called: frozenset[str] = frozenset()
    succeeded: frozenset[str] = frozenset()
    """Of those called, the ones that did what they were called for."""


class Usage:
    """What was learned from showings. `bonus` says for a request what it adds to the log-odds of tools."""

    def __init__(self, showings: Sequence[Showing], encode: Encode) -> None:
        """Learns from `showings`; takes about the time of encoding their requests."""
        rows = _rows(showings)
        self._encode = encode
        self._ids = rows.ids
        self.enough = len(showings) >= ENOUGH and int(rows.called.sum()) >= ENOUGH_CALLS
        """Whether there are enough showings to say anything."""
        if not self.enough:
            return
        self._called, self._succeeded = _learned(rows)
        self._rows = rows
        self._residuals = _residuals(rows, self._called, self._succeeded)
        self._vectors = encode([showing.request for showing in showings])

    def called(self, tool: str) -> float:
        """p(called | shown) of a tool at the first rank, whatever was asked. That of any tool for one never shown."""
        return float(_sigmoid(self._called.at(self._place(tool))))

    def succeeded(self, tool: str) -> float:
        """p(succeeded | called) of a tool at the first rank, whatever was asked."""
        return float(_sigmoid(self._succeeded.at(self._place(tool))))

    def bonus(self, request: str) -> dict[str, float]:
        """Tool -> what its use adds to the log-odds that it is called and succeeds, beside those of any tool.

        Between -`MOST` and `MOST`; empty while there is too little to learn from. Tools never shown are not in it.
        """
        if not self.enough:
            return {}
        near = self._near(request)
        any_tool = _product(self._called.at(-1), self._succeeded.at(-1))
        found = {}
        for place, id in enumerate(self._ids):
            more = near.get(place, (0.0, 0.0))
            own = _product(self._called.at(place) + more[0], self._succeeded.at(place) + more[1])
            found[id] = float(np.clip(_logit(own) - _logit(any_tool), -MOST, MOST))
        return found

    def _place(self, tool: str) -> int:
        return self._ids.index(tool) if tool in self._ids else -1

    def _near(self, request: str) -> dict[int, tuple[float, float]]:
        """Tool -> what like requests add to its two logits: one Newton step on their residuals, with a prior."""
        cosines = self._vectors @ self._encode([request])[0]
        nearest = np.argsort(-cosines, kind="stable")[:NEIGHBOURS]
        weight = np.zeros(len(cosines))
        nearest = nearest[cosines[nearest] >= NEAR]
        weight[nearest] = np.exp((cosines[nearest] - 1) / WIDTH)
        rows = np.flatnonzero(weight[self._rows.showing])
        sums = np.zeros((4, len(self._ids)))
        for part, residual in zip(sums, self._residuals, strict=True):
            np.add.at(part, self._rows.tool[rows], weight[self._rows.showing[rows]] * residual[rows])
        calls, spread, successes, among = sums
        return {
            int(t): (float(calls[t] / (spread[t] + SHRINK)), float(successes[t] / (among[t] + SHRINK)))
            for t in np.unique(self._rows.tool[rows])
        }


@dataclass(frozen=True)
class CoUse:
    """Which tools were called in the same run, of runs that succeeded."""

    strengths: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def learn(cls, runs: Sequence[Collection[str]], prior: float = 5.0) -> CoUse:
        """From the tools of each run. `prior` runs, in which the second is as frequent as in all, count for each tool.

        A strength is by how much more probable the second becomes with the first, 0..1.
        """
        used: dict[str, int] = {}
        pairs: dict[str, dict[str, int]] = {}
        for run in map(set, runs):
            for one in run:
                used[one] = used.get(one, 0) + 1
                for other in run - {one}:
                    partners = pairs.setdefault(one, {})
                    partners[other] = partners.get(other, 0) + 1
        strengths: dict[str, dict[str, float]] = {}
        for one, partners in pairs.items():
            for other, times in partners.items():
                alone = used[other] / len(runs)
                more = (times + prior * alone) / (used[one] + prior) - alone
                if more > 0:
                    strengths.setdefault(one, {})[other] = more
        return cls(strengths)

    def of(self, tool: str) -> Mapping[str, float]:
        """The tools called beside this one, each with its strength."""
        return self.strengths.get(tool, {})


@dataclass(frozen=True)
class _Rows:
    """A row for each tool of each showing."""

    ids: list[str]
    showing: Ints
    tool: Ints
    rank: Floats
    called: Floats
    succeeded: Floats


@dataclass(frozen=True)
class _Tower:
    """A logistic model: a constant, a slope over the rank, and a term for each tool; the last is for any tool: 0."""

    constant: float
    slope: float
    tools: Floats

    def at(self, place: int) -> float:
        """The logit of a tool at the first rank."""
        return float(self.constant + self.tools[place])

    def logits(self, rows: _Rows) -> Floats:
        return np.asarray(self.constant + self.slope * rows.rank + self.tools[rows.tool])


def _rows(showings: Sequence[Showing]) -> _Rows:
    ids = sorted({tool for showing in showings for tool in showing.shown})
    place = {id: n for n, id in enumerate(ids)}
    rows = [
        (n, place[tool], np.log1p(rank), tool in one.called, tool in one.called and tool in one.succeeded)
        for n, one in enumerate(showings)
        for rank, tool in enumerate(one.shown)
    ]
    columns = np.array(rows, np.float64).reshape(-1, 5).T
    return _Rows(ids, columns[0].astype(np.int64), columns[1].astype(np.int64), *columns[2:])


def _learned(rows: _Rows) -> tuple[_Tower, _Tower]:
    """Both towers by Adam (Kingma and Ba 2015) on the sum of their losses: called or not; called with success or not.

    The tools' terms have a Gaussian prior around 0. A tool that is called more has, as far as others bear it out, more
    success: the second tower's term is the share `bond` of the first's, and a part of its own.
    """
    n = len(rows.ids)
    weights = np.zeros(2 * n + 5)
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(1, STEPS + 1):
        called, succeeded = _towers(weights, n)
        p, q = _sigmoid(called.logits(rows)), _sigmoid(succeeded.logits(rows))
        past = (rows.succeeded - p * q) / (1 - p * q).clip(1e-9)  # of the product's loss, by either logit over 1 - p, q
        by_p, by_q = p - rows.called - past * (1 - p), -past * (1 - q)
        bond = weights[4]
        by_tool = np.bincount(rows.tool, by_p + bond * by_q, n), np.bincount(rows.tool, by_q, n)
        slope = np.concatenate(
            [
                [by_p.sum(), by_p @ rows.rank, by_q.sum(), by_q @ rows.rank],
                [np.bincount(rows.tool, by_q, n) @ weights[5 : 5 + n] + bond],
                by_tool[0] + SHRINK * weights[5 : 5 + n],
                by_tool[1] + SHRINK * weights[5 + n :],
            ]
        )
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        rate = RATE * (1 - step / (STEPS + 1))
        weights -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return _towers(weights, n)


def _towers(weights: Floats, n: int) -> tuple[_Tower, _Tower]:
    shared, own = weights[5 : 5 + n], weights[5 + n :]
    called = _Tower(float(weights[0]), float(weights[1]), np.append(shared, 0.0))
    return called, _Tower(float(weights[2]), float(weights[3]), np.append(weights[4] * shared + own, 0.0))


def _residuals(rows: _Rows, called: _Tower, succeeded: _Tower) -> tuple[Floats, Floats, Floats, Floats]:
    """For each row the slope of its log-likelihood by each logit, and how much it bends: what a Newton step needs."""
    p, q = _sigmoid(called.logits(rows)), _sigmoid(succeeded.logits(rows))
    past = (rows.succeeded - p * q) * (1 - q) / (1 - p * q).clip(1e-9)
    return rows.called - p, p * (1 - p), past, p * q * (1 - q)


def _product(one: float, other: float) -> float:
    return float(_sigmoid(one) * _sigmoid(other))


def _logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def _sigmoid(x: Floats | float) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))))
