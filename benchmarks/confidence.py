"""Fits and measures how sure the house planner is of a call's arguments.

    python benchmarks/confidence.py [--repeats N] [--slots FILE]

Requests for the corpus's held-out servers are filled by the slots model; a call is right if every argument is the one
that the request was written with. A logistic regression on the first half of the servers' requests gives the weights
of `agents/confidence.py`; the second half says what they are worth: how often the surest 90% are right.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from calls import tool_of

from bottega.agents.confidence import WEIGHTS
from bottega.agents.filling import Filled, fill
from bottega.agents.mentions import numbers
from bottega.models.house.slots import PATH, Card, SlotsModel, kind_of
from bottega.models.training.corpus import Example, read_servers, singles
from bottega.tools import Tool

SEED = 7
NAMES = [name for name in WEIGHTS if name != "bias"]


def schema_of(card: Card) -> dict[str, Any]:
    """The JSON Schema of a card's parameters."""
    properties: dict[str, Any] = {}
    for p in card.parameters:
        kind = {"option": "string", "file": "string", "date": "string", "time": "string"}.get(p.type, p.type)
        properties[p.name] = {"type": kind, "description": p.description}
        if p.type == "option":
            properties[p.name]["enum"] = list(p.options)
    return {"type": "object", "properties": properties, "required": [p.name for p in card.parameters if p.required]}


def is_right(made: Filled, example: Example) -> bool:
    """Whether every argument is what the request says for it."""
    for name, fill_ in example.fills.items():
        value = made.arguments.get(name)
        schema = made.tool.parameters[name]
        if fill_.kind == "absent":
            right = value is None
        elif fill_.kind == "option":
            options = schema.get("enum") or [True, False]
            right = fill_.index < len(options) and value == options[fill_.index]
        elif fill_.kind == "span":
            right = _same(value, example.instruction[fill_.begin : fill_.end], kind_of(schema)[0])
        else:
            right = value is not None
        if not right:
            return False
    return True


def _same(value: Any, said: str, kind: str) -> bool:
    if kind in ("integer", "number"):
        found = [m.value for m in numbers(said)]
        return value in found or str(value) in said
    if isinstance(value, list):
        return all(str(item).lower() in said.lower() for item in value)
    return str(value).lower().strip() == said.lower().strip(" '\"")


def fitted(x: np.ndarray, y: np.ndarray, steps: int = 4000, rate: float = 0.3) -> dict[str, float]:
    """Weights of a logistic regression, by gradient descent on standardised features."""
    mean, deviation = x.mean(0), x.std(0) + 1e-6
    z, w, bias = (x - mean) / deviation, np.zeros(x.shape[1]), 0.0
    for _ in range(steps):
        off = 1 / (1 + np.exp(-(z @ w + bias))) - y
        w, bias = w - rate * (z.T @ off / len(y) + 1e-3 * w), bias - rate * off.mean()
    raw = w / deviation
    return {**dict(zip(NAMES, map(float, raw), strict=True)), "bias": float(bias - mean @ raw)}


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description="Fit and measure the confidence in arguments.")
    p.add_argument("--repeats", type=int, default=3, help="times each request is filled with other values")
    p.add_argument("--slots", type=Path, default=PATH)
    a = p.parse_args(argv)
    model = SlotsModel.open(a.slots)
    held = [s for s in read_servers() if s.held_out]
    cards = {id: c for s in held for id, c in s.cards.items()}
    tools: dict[str, Tool] = {
        id: tool_of({"name": c.name, "description": c.description, "input_schema": schema_of(c)})
        for id, c in cards.items()
    }
    examples = [e for e in singles(held, a.repeats, SEED) if e.tool in tools and e.fills]
    random.Random(SEED).shuffle(examples)
    rows, right = [], []
    for e in examples:
        (reading,) = model.read(e.instruction, [cards[e.tool]])
        made = fill(tools[e.tool], reading, e.instruction)
        rows.append([made.doubts[name] for name in NAMES])
        right.append(float(is_right(made, e)))
    x, y = np.array(rows), np.array(right)
    half = len(y) // 2
    print({name: round(w, 2) for name, w in fitted(x[:half], y[:half]).items()})
    for title, weights in (("as it is", dict(WEIGHTS)), ("fitted", fitted(x[:half], y[:half]))):
        sure = x[half:] @ np.array([weights[name] for name in NAMES])
        order = np.argsort(-sure, kind="stable")
        kept = y[half:][order[: int(0.9 * len(order))]]
        shares = f"{100 * y[half:].mean():.1f}% right, {100 * kept.mean():.1f}% of the surest 90%"
        print(f"{title}: of {len(y) - half} calls {shares}")


if __name__ == "__main__":
    main()
