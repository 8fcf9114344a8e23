"""How often what the request does not say is looked up first, and only then, on requests of the corpus.

    python benchmarks/hops.py [--most N] [--show N]

A required argument that only another tool can give (`the ceiling fan` for a device's id) has to be planned as a step
before. Three kinds of requests are bound with all tools of their server and the house: those where a lookup is needed,
those that say such an argument themselves, and those that ask for no more than the lookup. Right is the right tool with
a step before it in the first case, and without any in the others. `held out` are servers that no model was trained on.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from calls import SEED, tool_of
from confidence import schema_of
from honesty import changes

from bottega.agents.planners.binding import Binder, Bound
from bottega.agents.planners.lookups import lookups
from bottega.models.training.corpus import Example, Expander, Server, read_servers
from bottega.tools import Tool, ToolAnnotations
from bottega.tools.house import house_toolsets

KINDS = ("needs a lookup", "says it", "is the lookup")


@dataclass(frozen=True)
class Asked:
    """A request, the tools at hand, and what kind it is."""

    example: Example
    tools: tuple[Tool, ...]
    kind: str
    held_out: bool


def asked(servers: Sequence[Server], most: int) -> Iterator[Asked]:
    """Requests of servers other than the house's, at most `most` of each kind."""
    house = tuple(t for toolset in house_toolsets() for t in toolset)
    expander, found = Expander(servers, SEED), list[Asked]()
    for server in servers:
        if server.name in {t.server for t in house}:
            continue
        own = {id: _tool(server, id) for id in server.cards}
        looked_up = {t.id: {p: m for p in t.required if (m := lookups(p, t, list(own.values())))} for t in own.values()}
        lookup_ids = {m.id for some in looked_up.values() for each in some.values() for m in each}
        for id, templates in server.requests.items():
            for template in templates:
                example = _example(expander, server, id, template)
                if example is None:
                    continue
                lacking = [p for p in own[id].required if example.fills[p].kind == "absent"]
                if lacking and all(p in looked_up[id] for p in lacking):
                    kind = KINDS[0]
                elif lacking:
                    continue
                elif looked_up[id]:
                    kind = KINDS[1]
                elif id in lookup_ids:
                    kind = KINDS[2]
                else:
                    continue
                found.append(Asked(example, (*own.values(), *house), kind, server.held_out))
    random.Random(SEED).shuffle(found)
    for kind in KINDS:
        yield from [one for one in found if one.kind == kind][:most]


def _example(expander: Expander, server: Server, id: str, template: str) -> Example | None:
    try:
        return expander.single(server, id, template)
    except IndexError:  # a slot whose pool is empty
        return None


def _tool(server: Server, id: str) -> Tool:
    card = server.cards[id]
    tool = tool_of({"name": card.name, "description": card.description, "input_schema": schema_of(card)})
    return replace(tool, server=server.name, annotations=ToolAnnotations(read_only=not changes(tool)))


def is_right(one: Asked, bound: Bound) -> bool:
    return bound.tool == one.example.tool and bool(bound.before) == (one.kind == KINDS[0])


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description="Measure how what is not said is looked up.")
    p.add_argument("--most", type=int, default=100, help="requests of each kind at most")
    p.add_argument("--show", type=int, default=0, help="wrong ones of each kind to show")
    a = p.parse_args(argv)
    binder, outcomes = Binder(), list[tuple[Asked, Bound]]()
    for one in asked(read_servers(), a.most):
        outcomes.append((one, binder.bind(one.example.instruction, (), one.tools, ())))
    print(f"{'the request ...':<18}{'requests':>9}{'right tool':>12}{'right':>7}{'held out':>10}{'right':>7}")
    for kind in KINDS:
        some = [(one, bound) for one, bound in outcomes if one.kind == kind]
        held = [(one, bound) for one, bound in some if one.held_out]
        tool = sum(bound.tool == one.example.tool for one, bound in some)
        shares = [100 * sum(is_right(*pair) for pair in pairs) / max(1, len(pairs)) for pairs in (some, held)]
        print(
            f"{kind:<18}{len(some):>9}{100 * tool / max(1, len(some)):>12.1f}{shares[0]:>7.1f}"
            f"{len(held):>10}{shares[1]:>7.1f}"
        )
        for one, bound in [pair for pair in some if not is_right(*pair)][: a.show]:
            arguments = bound.filled.arguments if bound.filled else {}
            print(
                f"  {one.example.instruction}\n    wanted {one.example.tool}\n    "
                f"{[s.tool for s in bound.before]} {bound.tool} {arguments}",
                file=sys.stderr,
            )


if __name__ == "__main__":
    main()
