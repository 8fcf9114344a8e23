"""How often a plan done again with other values is right, on requests of the corpus's held-out servers.

python benchmarks/again.py

Requests are drawn from the corpus's wordings with two sets of values. First the plan of one request is the right one:
how often is it taken for another request, and is the call then right? Then it is what the planner of the house made of
it, right or wrong: is doing it again better or worse than planning the other request anew?
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from bottega.agents.again import again
from bottega.agents.plan import Plan, Step
from bottega.agents.planners.binding import Binder
from bottega.models.house.slots import Card, Parameter
from bottega.models.training.corpus import Example, Server, read_servers, singles
from bottega.tools import Tool, ToolContext, ToolResult

COMPARED, PLANNED = 200, 40
"""Requests of a server that each is compared with; pairs of a server that are planned."""


def tool_of(id: str, card: Card) -> Tool:
    async def call(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        return ToolResult("")

    server, _, name = id.rpartition("/")
    schema = {
        "type": "object",
        "properties": {p.name: schema_of(p) for p in card.parameters},
        "required": [p.name for p in card.parameters if p.required],
    }
    return Tool(name, card.description, schema, call, server=server)


def schema_of(p: Parameter) -> dict[str, Any]:
    kind = p.type if p.type in ("integer", "number", "boolean") else "string"
    schema: dict[str, Any] = {"type": kind, "description": p.description}
    if p.type in ("file", "date", "date-time", "time"):
        schema["format"] = "path" if p.type == "file" else p.type
    if p.options and kind != "boolean":
        schema["enum"] = list(p.options)
    return schema


def call_of(example: Example, card: Card) -> dict[str, Any]:
    """The arguments that are right."""
    found: dict[str, Any] = {}
    for p in card.parameters:
        fill = example.fills.get(p.name)
        if fill is not None and fill.kind == "option":
            found[p.name] = fill.index == 0 if p.type == "boolean" else p.options[fill.index]
        elif fill is not None and fill.kind == "span":
            found[p.name] = typed(example.instruction[fill.begin : fill.end], p.type)
    return found


def typed(text: str, kind: str) -> Any:
    try:
        return int(text) if kind == "integer" else float(text) if kind == "number" else text
    except ValueError:
        return text


def plan(request: str, tool: str, arguments: Mapping[str, Any]) -> Plan:
    return Plan(request=request, steps=(Step(id="s1", instruction=request, tool=tool, arguments=dict(arguments)),))


def with_right_plans(servers: Sequence[Server]) -> str:
    pairs = taken = right = 0
    draw = random.Random(0)
    for server in servers:
        tools = [tool_of(id, card) for id, card in server.cards.items()]
        examples = [e for e in singles([server], 4, seed=3) if e.tool in server.cards]
        for one in examples:
            past = plan(one.instruction, one.tool, call_of(one, server.cards[one.tool]))
            for other in draw.sample(examples, min(COMPARED, len(examples))):
                if other.instruction == one.instruction:
                    continue
                pairs += 1
                if made := again(other.instruction, past, tools):
                    taken += 1
                    wanted = (other.tool, call_of(other, server.cards[other.tool]))
                    right += (made.steps[0].tool, made.steps[0].arguments) == wanted
    return f"right plans: {pairs} pairs of requests, {taken} done again, {right} of them right"


def with_made_plans(servers: Sequence[Server]) -> str:
    binder, draw = Binder(), random.Random(1)
    counts = {"done again": 0, "right": 0, "right when planned anew": 0}
    for server in servers:
        tools = tuple(tool_of(id, card) for id, card in server.cards.items())
        examples = [e for e in singles([server], 2, seed=5) if e.tool in server.cards]
        pairs = [(a, b) for a, b in zip(examples[::2], examples[1::2], strict=False) if a.instruction != b.instruction]
        for one, other in draw.sample(pairs, min(PLANNED, len(pairs))):
            past = binder.bind(one.instruction, (), tools, ())
            if past.filled is None or past.before:
                continue
            made = again(other.instruction, plan(one.instruction, past.filled.tool.id, past.filled.arguments), tools)
            if made is None:
                continue
            wanted = (other.tool, call_of(other, server.cards[other.tool]))
            fresh = binder.bind(other.instruction, (), tools, ()).filled
            counts["done again"] += 1
            counts["right"] += (made.steps[0].tool, made.steps[0].arguments) == wanted
            counts["right when planned anew"] += fresh is not None and (fresh.tool.id, fresh.arguments) == wanted
    return "the house's plans: " + ", ".join(f"{name} {count}" for name, count in counts.items())


if __name__ == "__main__":
    held_out = [server for server in read_servers() if server.held_out]
    print(with_right_plans(held_out), flush=True)
    print(with_made_plans(held_out))
