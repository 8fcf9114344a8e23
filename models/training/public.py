"""Reads public sets of requests and calls (Seal-Tools, SGD, MCP catalogs, ...) into the examples of `corpus`.

Each loader takes the data folder and gives cards and examples. Formats: one JSON object a line, gzipped;
`tools.jsonl.gz` with id, name, description, input_schema; `queries.jsonl.gz` with query, split, calls. A missing file
is a set that is left out.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..house.slots import Card, Parameter
from .corpus import Example, Fill
from .request_grammar import TERMS, ask_for

Loaded = tuple[dict[str, Card], list[Example]]


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a gzipped JSON Lines file; none if it is not there."""
    if path.exists():
        with gzip.open(path, "rt", encoding="utf-8") as f:
            for line in f:
                yield json.loads(line)


def cards_of(folder: Path) -> dict[str, Card]:
    return {
        t["id"]: Card.of(t["name"], t.get("description") or "", t.get("input_schema") or {})
        for t in read_lines(folder / "tools.jsonl.gz")
    }


def labelled_calls(folder: Path, split: str, longest: int = 420) -> Loaded:
    """Requests with gold calls, each call an example; a value that does not stand in the text is not learned."""
    cards = cards_of(folder)
    examples = []
    for query in read_lines(folder / "queries.jsonl.gz"):
        if query["split"] != split or len(query["query"]) > longest:
            continue
        for call in query.get("calls") or ():
            if not isinstance(call.get("arguments"), dict):
                continue
            if card := cards.get(call["tool"]):
                fills = find_fills(query["query"], card, call["arguments"])
                examples.append(Example(call["tool"], query["query"], fills, source=folder.name))
    return cards, examples


def find_fills(text: str, card: Card, arguments: Mapping[str, Any]) -> dict[str, Fill]:
    """The fills of a gold call, by looking its values up in the text."""
    fills = {}
    for p in card.parameters:
        if p.name not in arguments:
            if not p.required:
                fills[p.name] = Fill("absent")
            continue
        value = arguments[p.name]
        lowered = [o.lower() for o in p.options]
        if p.options:
            if str(value).lower() in lowered:
                fills[p.name] = Fill("option", index=lowered.index(str(value).lower()))
        elif found := find_value(text, value):
            fills[p.name] = Fill("span", *found)
    return fills


def find_value(text: str, value: Any) -> tuple[int, int] | None:
    """Where a value stands in a text, as a whole word; for a list, from its first to its last item."""
    if isinstance(value, bool) or value is None or value == "":
        return None
    if isinstance(value, list):
        places = [find_value(text, v) for v in value]
        if not places or any(p is None for p in places):
            return None
        return min(p[0] for p in places if p), max(p[1] for p in places if p)
    if isinstance(value, dict):
        return None
    if isinstance(value, float) and value == int(value):
        value = int(value)
    pattern = re.escape(str(value))
    if isinstance(value, int) and abs(value) >= 1000:
        pattern = f"(?:{pattern}|{re.escape(f'{value:,}')})"
    found = re.search(rf"(?<![\w]){pattern}(?![\w])", text, re.I)
    return (found.start(), found.end()) if found else None


def sgd(folder: Path, most: int, seed: int = 0) -> Loaded:
    """Schema-Guided Dialogue: user turns with the slots they give, as calls of the train services' intents."""
    r = random.Random(seed)
    cards: dict[str, Card] = {}
    wordings: dict[str, list[str]] = {}
    for service in read_lines(folder / "schema.jsonl.gz"):
        if service["split"] != "train":
            continue
        slots = {s["name"]: s for s in service["slots"]}
        for intent in service["intents"]:
            id = f"sgd/{service['service_name']}/{intent['name']}/{service['wording']}"
            parameters = []
            for name in [*intent["required_slots"], *intent["optional_slots"]]:
                if slot := slots.get(name):
                    options = tuple(slot["possible_values"]) if slot["is_categorical"] else ()
                    parameters.append(
                        Parameter(
                            name,
                            "option" if options else "string",
                            slot["description"],
                            options[:12],
                            name in intent["required_slots"],
                        )
                    )
            cards[id] = Card(intent["name"], intent["description"], tuple(parameters[:10]))
            if service["wording"] == 0:
                wordings.setdefault(f"{service['service_name']}/{intent['name']}", []).append(id)
    examples = []
    for turn in read_lines(folder / "turns.jsonl.gz"):
        ids = wordings.get(f"{turn['service']}/{turn['intent']}")
        if (
            turn["split"] != "train"
            or not ids
            or (len(turn["values"]) < 2 and r.random() < 0.8)
            or not turn["values"]
            or len(turn["text"]) > 200
        ):
            continue
        card = cards[ids[0]]
        spans = {name: (begin, end) for name, begin, end in turn["spans"]}
        fills: dict[str, Fill] = {}
        for p in card.parameters:
            value = (turn["values"].get(p.name) or [None])[0]
            if p.name in spans:
                fills[p.name] = Fill("span", *spans[p.name])
            elif value is None:
                fills[p.name] = Fill("absent")
            elif value in p.options:
                fills[p.name] = Fill("option", index=p.options.index(value))
        if any(f.kind != "absent" for f in fills.values()):
            examples.append(Example(ids[0], turn["text"], fills, source="sgd"))
    r.shuffle(examples)
    return cards, examples[:most]


def marked(data: Path, names: Sequence[str], seed: int = 0, most: int = 6000) -> Loaded:
    """Sentences in which people marked the values of slots (SNIPS, Restaurant-8k): one invented card an intent.

    Slots that a sentence does not give are absent. What asks for the weather is left out: it is kept for measuring.
    """
    turns = [
        {**turn, "set": name}
        for name in names
        for turn in read_lines(data / name / "turns.jsonl.gz")
        if turn["split"] == "train" and turn["spans"] and len(turn["text"]) > 20
        if "Weather" not in turn.get("intent", "")
    ]
    slots: dict[str, list[str]] = {}
    for turn in turns:
        known = slots.setdefault(f"{turn['set']}/{turn.get('intent', 'book_table')}", [])
        known += [name for name, *_ in turn["spans"] if name not in known]
    cards = {
        id: Card(id.partition("/")[2], "", tuple(Parameter(n, "string") for n in names[:10]))
        for id, names in slots.items()
    }
    examples = []
    for turn in turns:
        id = f"{turn['set']}/{turn.get('intent', 'book_table')}"
        given = {name: Fill("span", begin, end) for name, begin, end in reversed(turn["spans"])}
        fills = {p.name: given.get(p.name) or Fill("absent") for p in cards[id].parameters}
        examples.append(Example(id, turn["text"], fills, source="marked"))
    random.Random(seed).shuffle(examples)
    return cards, examples[:most]


def conditions(path: Path, seed: int = 0) -> Loaded:
    """WikiSQL's questions as calls: each column of the table is a parameter, its condition's value the argument."""
    r = random.Random(seed)
    questions = [q for q in read_lines(path) if q["phase"] == 1]
    columns: dict[str, dict[str, bool]] = {}
    for q in questions:
        known = columns.setdefault(f"wikisql/{q['table_id']}", {})
        known.setdefault(q["sql"]["sel"], True)
        for name, _, value in q["sql"]["conds"]:
            known[name] = known.get(name, True) and re.fullmatch(r"[\d.,-]+", str(value)) is not None
    cards = {}
    for id, kinds in columns.items():
        names = r.sample(sorted(kinds), min(len(kinds), 6))
        parameters = tuple(Parameter(n, "number" if kinds[n] else "string", "", (), r.random() < 0.5) for n in names)
        cards[id] = Card("find rows", "", tuple(sorted(parameters, key=lambda p: not p.required)))
    examples = []
    for q in questions:
        id = f"wikisql/{q['table_id']}"
        fills = {p.name: Fill("absent") for p in cards[id].parameters}
        for name, _, value in q["sql"]["conds"]:
            if name in fills:
                place = find_value(q["question"], value)
                fills.pop(name)
                if place:
                    fills[name] = Fill("span", *place)
        if any(f.kind == "span" for f in fills.values()):
            examples.append(Example(id, q["question"], fills, source="wikisql"))
    return {e.tool: cards[e.tool] for e in examples}, examples


def values(path: Path, longest: int = 30) -> list[str]:
    """What WikiSQL's conditions compare with: names and terms of all kinds."""
    found = {str(value) for q in read_lines(path) for _, _, value in q["sql"]["conds"]}
    return sorted(v for v in found if re.fullmatch(r"[^\W\d_][\w .&'-]+", v) and len(v) <= longest)


def mcp_catalog(folder: Path, most: int, seed: int = 0, terms: Sequence[str] = ()) -> Loaded:
    """Requests made by a small grammar from the names, descriptions and schemas of real MCP tools.

    `terms` are texts that a parameter may take whose name says nothing of its kind.
    """
    r = random.Random(seed)
    tools = [
        t
        for t in read_lines(folder / "tools.jsonl.gz")
        if t.get("mcp") and t.get("description") and (t.get("input_schema") or {}).get("properties")
    ]
    r.shuffle(tools)
    cards: dict[str, Card] = {}
    examples = []
    for tool in tools:
        card = Card.of(tool["name"], tool["description"], tool["input_schema"])
        if not 1 <= len(card.parameters) <= 8 or re.search(
            r"clinic|patient|warehouse|weather|forecast", tool["description"], re.I
        ):
            continue
        cards[tool["id"]] = card
        examples.append(ask_for(tool["id"], card, r, terms or TERMS))
        if len(examples) >= most:
            break
    return cards, examples


def labelled_tools(folder: Path, split: str, most: int, seed: int = 0) -> Loaded:
    """Requests with one right tool and no arguments."""
    cards = cards_of(folder)
    found = [
        Example(q["relevant_tools"][0], q["query"], {}, source=folder.name)
        for q in read_lines(folder / "queries.jsonl.gz")
        if q["split"] == split and len(q["relevant_tools"]) == 1 and q["relevant_tools"][0] in cards
    ]
    random.Random(seed).shuffle(found)
    return cards, found[:most]
