"""Requests and the tools that answer them, from the corpus, from public sets, and from what catalogs say of themselves.

A pair has all right tools of its request. How a tool is written down is drawn anew each time it is shown
(`Shown.text`), so that names, parameters and servers that are missing elsewhere are missed less.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..house.retriever import tool_text
from ..house.slots import Card, words
from . import public
from .corpus import ALIASED, Example, compounds, house_cards, read_aliases, read_servers, singles

HELD_OUT = frozenset({"bfcl", "toolbench", "toolbench_g3_corpus", "toolalpaca", "apibench"})
"""Catalogs to measure on: none of their texts is trained on, nor a request for a tool that another set shares."""
LABELLED = (("seal_tools", "dev"), ("ultratool", "gnn_train"), ("toollens", "train"), ("metatool", "train"))
"""Sets with the right tools of each request, and their splits for training."""


@dataclass(frozen=True)
class Shown:
    """A tool as a batch shows it. Tools with one `id` are the same tool."""

    id: str
    name: str
    description: str
    schema: Mapping[str, Any]
    server: str = ""

    @classmethod
    def of(cls, tool: Mapping[str, Any]) -> Shown:
        """From `id`, `name`, `description`, and perhaps `input_schema` and `server`."""
        schema = tool.get("input_schema")
        properties = schema.get("properties") if isinstance(schema, Mapping) else None
        kept = {"properties": properties} if isinstance(properties, Mapping) else {}
        return cls(tool["id"], tool["name"], tool["description"], kept, tool.get("server") or "")

    def text(self, r: random.Random) -> str:
        """`tool_text`, at times without parameters, server, or all but the first sentence of the description."""
        description = self.description
        if r.random() < 0.1:
            description = re.split(r"(?<=[.!?])\s|\n", description, maxsplit=1)[0]
        return tool_text(
            self.name,
            description,
            self.schema if r.random() < 0.75 else {},
            self.server if r.random() < 0.6 else "",
        )


@dataclass(frozen=True)
class Pair:
    """A request and all tools that it takes."""

    request: str
    tools: tuple[Shown, ...]


@dataclass(frozen=True)
class Said(Shown):
    """A part of what is known of a tool, in place of all of it."""

    said: str = ""

    def text(self, r: random.Random) -> str:
        return self.said


def load(data: Path | None, seed: int, without: Iterable[str] = ()) -> dict[str, list[Pair]]:
    """Pairs by source; those of sets named in `without`, and of all that shares tools with them, are left out."""
    r = random.Random(seed)
    sources = corpus_pairs(r, seed)
    if data is None:
        return sources
    held = HELD_OUT | set(without)
    pool = list(public.read_lines(data / "pool" / "tools.jsonl.gz"))
    taken = {t["id"] for t in pool if held & set(t["sources"])}
    taken = {row["id"] for row in public.read_lines(data / "pool" / "map.jsonl.gz") if row["pool"] in taken}
    for name, split in LABELLED:
        if name not in held:
            sources[name] = labelled_pairs(data / name, split, taken)
    sources["sgd"] = turn_pairs(data / "sgd", 4000, seed)
    tools = [t for t in pool if not held & set(t["sources"]) and len(t["description"]) > 20]
    sources["said"] = self_pairs(tools, r)
    cards, made = public.mcp_catalog(data / "pool", 9000, seed)
    by_id = {t["id"]: Shown.of(t) for t in tools}
    sources["grammar"] = [Pair(e.instruction, (by_id[e.tool],)) for e in made if e.tool in by_id and cards]
    return {name: pairs for name, pairs in sources.items() if pairs}


def corpus_pairs(r: random.Random, seed: int) -> dict[str, list[Pair]]:
    """Requests of the corpus: for house tools, at times as another author would write them, and for its servers."""
    seen = [s for s in read_servers() if not s.held_out]
    house, aliases = house_cards(), read_aliases()
    cards = {**house, **{id: card for s in seen for id, card in s.cards.items()}}
    sources: dict[str, list[Pair]] = {"house": [], "servers": []}

    def add(examples: Sequence[Example], request: str) -> None:
        tools = []
        for id in dict.fromkeys(e.tool for e in examples):
            card, server = cards[id], id.split("/")[0]
            if id in aliases and r.random() < ALIASED:
                card, server = r.choice(aliases[id]).card, ""
            tools.append(_of_card(id, card, server))
        sources["house" if examples[0].tool in house else "servers"].append(Pair(request, tuple(tools)))

    for example in singles(seen, 2, seed):
        add([example], example.instruction)
    for compound in compounds(seen, 2, seed):
        add(compound.calls, compound.text)
        for call in compound.calls:
            if len(call.instruction.split()) >= 4:
                add([call], call.instruction)
    return sources


def labelled_pairs(folder: Path, split: str, taken: set[str]) -> list[Pair]:
    """Requests of a split with all of their tools; none that another split has too, or for a tool that is `taken`."""
    tools = {t["id"]: Shown.of(t) for t in public.read_lines(folder / "tools.jsonl.gz")}
    rows = [q for q in public.read_lines(folder / "queries.jsonl.gz") if q["relevant_tools"]]
    elsewhere = {q["query"].lower().strip() for q in rows if q["split"] != split}
    return [
        Pair(q["query"], tuple(tools[id] for id in dict.fromkeys(q["relevant_tools"])))
        for q in rows
        if q["split"] == split
        and q["query"].lower().strip() not in elsewhere
        and not taken & set(q["relevant_tools"])
        and tools.keys() >= set(q["relevant_tools"])
    ]


def turn_pairs(folder: Path, most: int, seed: int) -> list[Pair]:
    """User turns of Schema-Guided Dialogue's training services, with the intent as the tool."""
    cards, examples = public.sgd(folder, 4 * most, seed)
    long = [e for e in examples if len(e.instruction.split()) >= 6]
    return [Pair(e.instruction, (_of_card(e.tool.rsplit("/", 1)[0], cards[e.tool], ""),)) for e in long[:most]]


def self_pairs(tools: Sequence[Mapping[str, Any]], r: random.Random) -> list[Pair]:
    """Parts of what is known of a tool that go with each other: name and description, parameters and description, the
    first sentence and the rest."""
    pairs = []
    for tool in tools:
        shown = Shown.of(tool)
        first, _, rest = re.sub(r"(?<=[.!?])\s+|\n+", "\0", shown.description, count=1).partition("\0")
        name, server = words(shown.name), words(shown.server.split("/")[-1])
        parameters = ", ".join(words(p) for p in shown.schema.get("properties") or ())
        match r.choice(("name", "parameters", "sentence", "sentence", "whole")):
            case "name" if len(name.split()) > 1:
                request = f"{name} {server}" if server and r.random() < 0.5 else name
                pairs.append(_said(request, shown, shown.description))
            case "parameters" if len(parameters) > 25:
                pairs.append(_said(parameters[:200], shown, f"{name}: {shown.description}"))
            case "sentence" if len(first) > 20 and len(rest) > 20:
                pairs.append(_said(first, shown, tool_text("", rest, shown.schema)))
            case "whole" if len(first) > 20:
                pairs.append(_said(_asked(first, r), shown, tool_text(shown.name, rest, shown.schema, shown.server)))
    return pairs


_OPENINGS = ("", "", "I want to ", "Can you ", "Please ", "I need to ", "How do I ", "Help me ", "a tool that can ")


def _asked(sentence: str, r: random.Random) -> str:
    """What a tool says it does, as somebody would ask for it."""
    plain = re.sub(
        r"^(this|the) (tool|function|endpoint|api) (will |can |is used to |allows you to |lets you )?"
        r"|^(use this (tool )?to|a tool (to|that|for)|tool (to|for)|used to|allows you to) ",
        "",
        sentence,
        flags=re.I,
    ).strip(" .")
    base = re.sub(r"^(\w+?(?:[sxz]|ch|sh))es\b|^(\w{3,}?)s\b", lambda m: m[1] or m[2], plain)
    return r.choice(_OPENINGS) + base[:1].lower() + base[1:]


def _said(request: str, tool: Shown, said: str) -> Pair:
    return Pair(request, (Said(tool.id, tool.name, tool.description, tool.schema, tool.server, said),))


def _of_card(id: str, card: Card, server: str) -> Shown:
    properties = {p.name: {"description": p.description} for p in card.parameters}
    return Shown(id, card.name, card.description, {"properties": properties}, server)
