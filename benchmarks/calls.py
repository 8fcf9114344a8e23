"""How often the house models fill a call rightly whose function is given, for functions never seen in training.

    python benchmarks/calls.py --data DIR [--most N] [--show N]

DIR holds the public sets `bfcl` and `seal_tools`. Beside the slots model stands the same filling without a model: every
value as likely as any other. Standard errors with 400 calls are about 2.4 points.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bfcl import is_right

from bottega.agents.filling import Filled, fill
from bottega.models.encoder import open_encoder
from bottega.models.house.slots import Card, Pointer, Reading, SlotsModel, lay_out
from bottega.models.training.public import read_lines
from bottega.tools import Tool, ToolAnnotations, ToolResult

SEED = 7


@dataclass(frozen=True)
class Asked:
    """A request, the tools to choose from with the right one first, and the arguments that are right."""

    request: str
    tools: tuple[Tool, ...]
    possible: Mapping[str, Sequence[Any]]


Reads = Callable[[str, Sequence[Card]], list[Reading]]


def bfcl(data: Path, category: str) -> list[Asked]:
    """The requests of a category that want one call."""
    tools = {t["id"]: tool_of(t) for t in read_lines(data / "bfcl" / "tools.jsonl.gz")}
    answers = {a["id"]: a["possible"] for a in read_lines(data / "bfcl" / "answers.jsonl.gz")}
    found = []
    for q in read_lines(data / "bfcl" / "queries.jsonl.gz"):
        if q["meta"]["category"] == category and len(q["calls"] or ()) == 1 and q["id"] in answers:
            right = q["calls"][0]["tool"]
            others = [tools[c] for c in q.get("candidates") or () if c != right and c in tools]
            found.append(Asked(q["query"], (tools[right], *others), next(iter(answers[q["id"]][0].values()))))
    return found


def seal_tools(data: Path) -> list[Asked]:
    """Each call of the out-of-domain requests, for tools that no request of the dev split wants."""
    folder = data / "seal_tools"
    tools = {t["id"]: tool_of(t) for t in read_lines(folder / "tools.jsonl.gz")}
    queries = list(read_lines(folder / "queries.jsonl.gz"))
    seen = {c["tool"] for q in queries if q["split"] == "dev" for c in q.get("calls") or ()}
    return [
        Asked(q["query"], (tools[c["tool"]],), {name: [value] for name, value in c["arguments"].items()})
        for q in queries
        if q["split"] == "test_ood"
        for c in q.get("calls") or ()
        if c["tool"] in tools and c["tool"] not in seen and isinstance(c.get("arguments"), dict)
    ]


def tool_of(entry: Mapping[str, Any]) -> Tool:
    async def call(arguments: dict[str, Any], context: Any) -> ToolResult:
        raise NotImplementedError

    return Tool(
        entry["name"],
        entry.get("description") or "",
        entry.get("input_schema") or {},
        call,
        ToolAnnotations(read_only=False),
    )


def without_model(request: str, cards: Sequence[Card]) -> list[Reading]:
    """Readings that know nothing: every place of the request is as likely as any other, and nothing is absent."""
    encoder = open_encoder()
    readings = []
    for card in cards:
        layout = lay_out(encoder, card, request)
        flat = np.full(len(layout.spans), -2.0, np.float32)
        pointers = {
            p.name: Pointer(-2.5 if p.required else -1.5, (-2.0,) * len(o), (), flat, flat, layout.spans)
            for p, o in zip(card.parameters, layout.options, strict=False)
        }
        readings.append(Reading(card, 1.0, pointers))
    return readings


def filled(asked: Asked, reads: Reads, choose: bool) -> Filled:
    """The call that is made: for the right tool, or for the one that goes best with the request."""
    tools = asked.tools if choose else asked.tools[:1]
    cards = [Card.of(t.name, t.description, t.input_schema) for t in tools]
    made = [fill(t, r, asked.request) for t, r in zip(tools, reads(asked.request, cards), strict=True)]
    return max(made, key=lambda f: f.quality)


def figures(asked: Sequence[Asked], reads: Reads, choose: bool = False) -> Iterator[tuple[Asked, Filled, bool]]:
    for one in asked:
        made = filled(one, reads, choose)
        same = made.tool is one.tools[0]
        yield one, made, same and is_right(made.arguments, one.possible, one.tools[0].input_schema)


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description="Measure how calls are filled.")
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--most", type=int, default=400, help="calls of each set at most")
    p.add_argument("--show", type=int, default=0, help="wrong calls of each set to show")
    p.add_argument("--only", help="one set")
    a = p.parse_args(argv)
    model = SlotsModel.open()
    sets = {
        "BFCL simple": (lambda: bfcl(a.data, "simple_python"), False),
        "BFCL multiple": (lambda: bfcl(a.data, "multiple"), False),
        "BFCL multiple, function to be chosen": (lambda: bfcl(a.data, "multiple"), True),
        "BFCL live simple": (lambda: bfcl(a.data, "live_simple"), False),
        "Seal-Tools out of domain": (lambda: seal_tools(a.data), False),
    }
    print(f"{'set':<38}{'calls':>6}{'no model':>10}{'slots':>8}{'surest 90%':>12}", flush=True)
    for name, (load, choose) in sets.items():
        if a.only and a.only not in name:
            continue
        asked = load()
        asked = random.Random(SEED).sample(asked, min(a.most, len(asked)))
        plain = [right for *_, right in figures(asked, without_model, choose)]
        outcomes = list(figures(asked, model.read, choose))
        right = np.array([r for *_, r in outcomes])
        order = np.argsort([-made.confidence for _, made, _ in outcomes], kind="stable")
        kept = right[order[: int(0.9 * len(order))]]
        shares = f"{100 * np.mean(plain):>10.1f}{100 * right.mean():>8.1f}{100 * kept.mean():>12.1f}"
        print(f"{name:<38}{len(asked):>6}{shares}", flush=True)
        for one, made, _ in [o for o in outcomes if not o[2]][: a.show]:
            print(f"  {one.request}\n    {made.tool.name} {made.arguments}\n    {dict(one.possible)}", file=sys.stderr)


if __name__ == "__main__":
    main()
