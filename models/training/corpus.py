"""Reads the hand-written corpus (corpus/README.md has the format) and expands its templates into examples."""

from __future__ import annotations

import calendar
import functools
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from ..house.slots import Card, kind_of

CORPUS = Path(__file__).parent / "corpus"
HOUSE_TOOLS = CORPUS / "house_tools.json"
"""The house tools as `tools/list` gives them; written by `python -m bottega.tools.house`, a test keeps it in step."""

_SLOT = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class Fill:
    """Where a parameter's value is: characters of the instruction, the index of an option, or of an earlier clause."""

    kind: Literal["span", "option", "earlier", "absent"]
    begin: int = 0
    end: int = 0
    index: int = 0


@dataclass(frozen=True)
class Example:
    """An instruction and the call that answers it. A parameter without a fill is not known, and not learned from."""

    tool: str
    instruction: str
    fills: Mapping[str, Fill]
    earlier: tuple[str, ...] = ()
    source: str = ""
    before: str = ""
    """The tool of the instruction before."""


@dataclass(frozen=True)
class Compound:
    """A request of several clauses. `starts` are the characters at which clauses begin, the first of them 0."""

    text: str
    starts: tuple[int, ...]
    calls: tuple[Example, ...]


@dataclass(frozen=True)
class Server:
    """A file of the corpus."""

    name: str
    held_out: bool
    cards: dict[str, Card]
    requests: dict[str, list[str]]
    compounds: list[list[dict[str, str]]]
    values: dict[str, dict[str, list[Any]]]
    """Tool -> parameter -> values to draw from."""
    pools: dict[str, list[Any]] = field(default_factory=dict)


@functools.cache
def house_cards() -> Mapping[str, Card]:
    """`toolset/tool` -> card."""
    listing = json.loads(HOUSE_TOOLS.read_text("utf-8"))
    return {f"{t['server']}/{t['name']}": Card.of(t["name"], t["description"], t["input_schema"]) for t in listing}


def read_servers(folder: Path = CORPUS) -> list[Server]:
    """All files, the house toolsets first."""
    cards = house_cards()
    paths = [*sorted((folder / "house").glob("*.yaml")), *sorted((folder / "servers").glob("*.yaml"))]
    return [_server(_load(p), cards) for p in paths if p.stem not in ("impossible", "aliases")]


ALIASED = 0.5
"""How often a training shows a house tool as another author would have written it."""


@dataclass(frozen=True)
class Alias:
    """Another author's card for what a house tool does. `renamed` maps the house tool's parameters to its own."""

    tool: str
    card: Card
    renamed: Mapping[str, str]

    def of(self, example: Example) -> Example | None:
        """An example for the house tool as one for this card, or none where it gives what this card does not take."""
        given = {name: fill for name, fill in example.fills.items() if name in self.renamed or fill.kind != "absent"}
        if not given.keys() <= self.renamed.keys():
            return None
        return replace(example, fills={self.renamed[name]: fill for name, fill in given.items()})


def read_aliases(folder: Path = CORPUS) -> dict[str, list[Alias]]:
    """Aliases by house tool."""
    found: dict[str, list[Alias]] = {}
    for entry in _load(folder / "house" / "aliases.yaml")["aliases"]:
        own = {p.name: p for p in house_cards()[entry["for"]].parameters}
        parameters = []
        for name, spec in entry["parameters"].items():
            if known := own.get(spec["is"]):
                parameters.append(
                    replace(
                        known,
                        name=name,
                        type=spec.get("type", known.type),
                        description=spec.get("description", ""),
                    )
                )
        card = Card(entry["name"], entry["description"], tuple(sorted(parameters, key=lambda p: not p.required)))
        renamed = {spec["is"]: name for name, spec in entry["parameters"].items()}
        found.setdefault(entry["for"], []).append(Alias(entry["for"], card, renamed))
    return found


def impossible_requests(folder: Path = CORPUS) -> list[str]:
    """Requests that no house tool can do."""
    return list(_load(folder / "house" / "impossible.yaml")["requests"])


def _load(path: Path) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, where it is there, is ten times as fast
    found: dict[str, Any] = yaml.load(path.read_text("utf-8"), loader)
    return found


def _server(data: dict[str, Any], house: Mapping[str, Card]) -> Server:
    name, pools = data["server"], data.get("pools") or {}
    cards: dict[str, Card] = {}
    values: dict[str, dict[str, list[Any]]] = {}
    for tool in data.get("tools") or ():
        given = tool.get("parameters") or {}
        id = f"{name}/{tool['name']}"
        values[id] = {p: _values(spec, pools) for p, spec in given.items()}
        cards[id] = house[id] if id in house else Card.of(tool["name"], tool["description"], _schema(given))
    requests = {f"{name}/{t['name']}": list(t.get("requests") or ()) for t in data.get("tools") or ()}
    return Server(name, bool(data.get("held_out")), cards, requests, data.get("compounds") or [], values, pools)


def _schema(parameters: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    properties = {
        p: {k: v for k, v in s.items() if k in {"type", "description", "enum", "default"}}
        for p, s in parameters.items()
    }
    return {
        "type": "object",
        "properties": properties,
        "required": [p for p, s in parameters.items() if not s.get("optional")],
    }


def _values(spec: Mapping[str, Any], pools: Mapping[str, list[Any]]) -> list[Any]:
    if "pool" in spec:
        return list(pools[spec["pool"]])
    if "values" in spec:
        return list(spec["values"])
    return list(kind_of(spec)[1])


class Expander:
    """Turns templates into examples by drawing values."""

    def __init__(self, servers: Sequence[Server], seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.cards = {**house_cards(), **{id: card for s in servers for id, card in s.cards.items()}}
        self.values = {id: v for s in servers for id, v in s.values.items()}
        self.house = {id.rpartition("/")[2]: id for id in house_cards()}
        pools = [pool for s in servers for pool in s.pools.values()]
        self.people = sorted({v for pool in pools if _are_people(pool) for v in pool})

    def single(self, server: Server, id: str, template: str) -> Example | None:
        """One example, or none where a slot has no values to draw from."""
        made = self._clause(server, id, template, set())
        if made is None:
            return None
        return _tidy(replace(made, source=server.name), self.random)

    def compound(self, server: Server, clauses: Sequence[Mapping[str, str]]) -> Compound | None:
        """A whole request, its clause starts, and each clause as an example; its `earlier` are the clauses before."""
        text, starts = "", list[int]()
        calls: list[Example] = []
        drawn: set[str] = set()
        for clause in clauses:
            id = self._id(server, clause["tool"])
            made = self._clause(server, id, str(clause["text"]), drawn)
            if made is None:
                return None
            starts.append(len(text))
            text += made.instruction
            earlier = tuple(c.instruction for c in calls)
            calls.append(
                _strip(replace(made, earlier=earlier, source=server.name, before=calls[-1].tool if calls else ""))
            )
        return Compound(text, tuple(starts), tuple(calls))

    def _id(self, server: Server, tool: str) -> str:
        """The id of a tool that a file names: with its server, of the file's own server, or a house tool."""
        own = f"{server.name}/{tool}"
        return tool if "/" in tool else own if own in self.cards else self.house.get(tool, own)

    def _clause(self, server: Server, id: str, template: str, drawn: set[str]) -> Example | None:
        if id not in self.cards:
            return None
        card = self.cards[id]
        kinds = {p.name: p for p in card.parameters}
        fills = {p.name: Fill("absent") for p in card.parameters}
        text, at = "", 0
        for slot in _SLOT.finditer(template):
            text += template[at : slot.start()]
            at = slot.end()
            for _ in range(4):  # the same value twice in one request is seldom meant
                found = self._slot(server, id, slot[1])
                if found is None:
                    return None
                name, value, words, earlier = found
                if "=" in slot[1] or "<" in slot[1] or words not in drawn:
                    break
            drawn.add(words)
            if name in kinds:
                if earlier:
                    fills[name] = Fill("earlier", index=earlier - 1)
                elif str(value).lower() in (options := [o.lower() for o in kinds[name].options]):
                    fills[name] = Fill("option", index=options.index(str(value).lower()))
                elif words:
                    fills[name] = Fill("span", len(text), len(text) + len(words))
            text += words
        text += template[at:]
        return Example(id, text, fills)

    def _slot(self, server: Server, id: str, slot: str) -> tuple[str, Any, str, int] | None:
        """(parameter or "", value, words shown, number of the earlier clause or 0)."""
        if found := re.fullmatch(r"~(\w+)", slot):
            return "", None, str(self.random.choice(server.pools[found[1]])), 0
        if found := re.fullmatch(r"@([\w/]+)\.(\w+)", slot):
            pool = self.values.get(self._id(server, found[1]), {}).get(found[2])
            return ("", None, self._vary(self.random.choice(pool))[1], 0) if pool else None
        if found := re.fullmatch(r"(\w+)<(\d+)(?:\.[\w.]+)?\|(.*)", slot, re.S):
            return found[1], None, found[3], int(found[2])
        if found := re.fullmatch(r"(\w+)=(.*?)\|(.*)", slot, re.S):
            try:
                return found[1], _plain(yaml.safe_load(found[2])), found[3], 0
            except yaml.YAMLError:
                return found[1], found[2], found[3], 0
        name, _, pool_name = slot.partition(":")
        pool = server.pools.get(pool_name) if pool_name else self.values.get(id, {}).get(name)
        if not pool and name in (by_name := {p.name: p for p in self.cards[id].parameters}):
            pool = list(by_name[name].options)
        if not pool:
            return None
        if _are_people(pool) and self.random.random() < 0.4:
            pool = self.people
        value, words = self._vary(self.random.choice(pool))
        return name, value, words, 0

    def _vary(self, value: Any) -> tuple[Any, str]:
        """A value and how a person might write it: other digits in codes, numbers in words, dates in other forms."""
        text = str(_plain(value))
        r = self.random
        if re.fullmatch(r"[A-Z]{1,4}[-/ ]?\d{2,6}", text) and r.random() < 0.5:
            text = re.sub(r"\d", lambda _: str(r.randint(1, 9)), text)
            return text, text
        if re.fullmatch(r"\d{1,6}", text):
            if int(text) <= 12 and r.random() < 0.2:
                return value, _NUMBERS[int(text)]
            if len(text) > 1 and r.random() < 0.4:
                text = str(r.randint(1, 9)) + "".join(str(r.randint(0, 9)) for _ in text[1:])
            return text, text
        if (day := re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", text)) and r.random() < 0.35 and 1 <= int(day[2]) <= 12:
            month, number = _MONTHS[int(day[2]) - 1], int(day[3])
            return text, r.choice(
                [f"{number} {month} {day[1]}", f"{month} {number}, {day[1]}", f"{number} {month[:3]} {day[1]}"]
            )
        return value, text


_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_MONTHS = [calendar.month_name[n] for n in range(1, 13)]


def _plain(value: Any) -> Any:
    """YAML's own dates and times back as text."""
    return value.isoformat() if hasattr(value, "isoformat") else value


def _are_people(pool: Sequence[Any]) -> bool:
    named = sum(
        bool(re.fullmatch(r"[A-Z][\w'’-]+(?: (?:de|van|von|al|el|da|di))?(?: [A-Z][\w'’-]+)+", str(v))) for v in pool
    )
    return len(pool) >= 3 and named >= 0.8 * len(pool)


def _tidy(example: Example, r: random.Random) -> Example:
    """Now and then without the last full stop, or with a small first letter: people type so."""
    text = example.instruction
    if (
        text
        and text[-1] in ".?!"
        and r.random() < 0.25
        and not any(f.kind == "span" and f.end == len(text) for f in example.fills.values())
    ):
        text = text[:-1]
    if text and r.random() < 0.25 and not any(f.kind == "span" and f.begin == 0 for f in example.fills.values()):
        text = text[0].lower() + text[1:]
    return replace(example, instruction=text)


def _strip(example: Example) -> Example:
    """Without leading and trailing blanks and commas; spans move along."""
    text = example.instruction
    left = len(text) - len(text.lstrip(" ,;.:\n"))
    right = len(text.rstrip(" ,;\n"))
    fills = {}
    for name, fill in example.fills.items():
        fills[name] = (
            Fill("span", max(0, fill.begin - left), min(right, fill.end) - left) if fill.kind == "span" else fill
        )
    return replace(example, instruction=text[left:right], fills=fills)


def singles(servers: Sequence[Server], repeats: int, seed: int = 0) -> Iterator[Example]:
    """Every request template, `repeats` times with other values."""
    expander = Expander(servers, seed)
    for server in servers:
        for id, templates in server.requests.items():
            for template in templates:
                for _ in range(repeats):
                    if made := expander.single(server, id, template):
                        yield made


def compounds(servers: Sequence[Server], repeats: int, seed: int = 0) -> Iterator[Compound]:
    """Every compound, `repeats` times with other values."""
    expander = Expander(servers, seed + 1)
    for server in servers:
        for clauses in server.compounds:
            for _ in range(repeats):
                if made := expander.compound(server, clauses):
                    yield made


_THING = re.compile(
    r"(?:What(?: is|'s| are)|Show me|Give me|Tell me|Get|Find|Look up|I need) (the (?!.*[.?!] ).+?)[.?!]?"
)
_KEPT = ["Save", "Write", "Store", "Put", "Note", "Record", "Please save", "Can you put", "Write down", "Keep"]
_INTO = [" to ", " in ", " into ", " in a file called ", " in a new file ", " to the file "]


def kept(servers: Sequence[Server], repeats: int, seed: int = 0) -> Iterator[Compound]:
    """Requests for `the ...` as requests to keep it, two calls in one: `Save the weight of hive 12 to hive.txt`."""
    expander, r = Expander(servers, seed + 2), random.Random(seed)
    for server in servers:
        for id, templates in server.requests.items():
            for thing in (m[1] for t in templates if (m := _THING.fullmatch(t))):
                for _ in range(repeats):
                    own = re.sub(r"[^a-z]+", "_", id.partition("/")[2])[:12]
                    name = r.choice([own, own.partition("_")[0], f"{own}{r.randint(2, 99)}", "notes", "out", "result"])
                    file = f"{name}.{r.choice(['txt', 'md'])}"
                    clauses = [
                        {"tool": id, "text": f"{r.choice(_KEPT)} {thing}"},
                        {"tool": "files/write_file", "text": f"{{content<1|}}{r.choice(_INTO)}{{path={file}|{file}}}"},
                    ]
                    if made := expander.compound(server, clauses):
                        yield made
