"""Binding: which tool does an instruction ask for, with which arguments? Chosen jointly, by the house models.

The catalog is searched, the best tools' cards are read against the instruction and their arguments filled; what fits
best is taken. A required argument that nothing fills is looked for in the call before and then as the result of
another tool, planned as a step before it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...models.adapters import Array
from ...models.house.retriever import PATH as RETRIEVER
from ...models.house.retriever import RetrieverModel
from ...models.house.slots import Card, Reading, SlotsModel, words
from ...retrieval import CoUse, QuickRetriever, ToolIndex, Usage, search_request
from ...tools import Tool
from ..candidates import Earlier
from ..filling import Filled, fill, inherit
from ..mentions import quoted
from ..plan import Json, Reference, Step
from ..readable import mentions
from .lookups import KEYS, is_told, lookups, may_be_told

CANDIDATES = 8
"""Tools that are read for a clause."""

AT_HAND, OF_THE_HOUSE, ELSEWHERE = 4, 3, 4
"""Tools that are read beyond these where none of them is certain: of the servers in use for the request, of the house,
and of others. A large server crowds out a small one by numbers alone."""

SEATS, DEEP = 2, 400
"""Most of those tools that are of one server; how many of the nearest they are looked for among."""

READ_AT_ONCE, CERTAIN = 4, 0.9
"""Of these so many at a time, the nearest first, until one goes with the instruction as well as this."""

SEARCH = 0.25
"""How much of a tool's standing is its place in the search; the rest is what reading it says."""

MANY = 64
"""Tools from which it pays to open the retriever in 8 bits."""

FITS, CHANGES = 0.35, 0.5
"""Least fit of a tool that reads, and of one that changes something: a change is never made on a guess."""

ELLIPTIC = 4
"""Most words of a clause that says only what is different from the one before."""

ABOUT_AS_WELL = 0.7
"""Share of the best quality from which a configured server's tool goes before the house's of the same name."""

NESTED_FITS = 0.6
"""Least fit of a tool for words inside an instruction: what is to be written may be meant literally."""


_IT = re.compile(r"\b(?:it|there|(?:that|this|the same) file)\b", re.I)
"""Words for the file that the step before worked on."""


@dataclass(frozen=True)
class Bound:
    """A clause with the tool that was chosen for it, and the steps that have to come before."""

    instruction: str
    filled: Filled | None
    before: tuple[Step, ...] = ()
    problem: str | None = None
    near: str | None = None
    """The tool that would do it if the instruction said more."""
    shown: tuple[str, ...] = ()
    """Ids of the tools that were read for it, in that order."""

    @property
    def confidence(self) -> float:
        """How sure tool and arguments are; 0 without a tool."""
        return self.filled.confidence if self.filled else 0.0

    @property
    def tool(self) -> str | None:
        return self.filled.tool.id if self.filled else None


class _Encoding:
    """The retriever as it is, and in 8 bits where many tools are to be encoded: four times as fast, and the vectors so
    near (a cosine of 0.99) that they may stand beside exact ones. Opening it costs half a second."""

    def __init__(self, path: Path) -> None:
        self._exact = RetrieverModel.open(path)
        self._quick = QuickRetriever(path)
        self.version = self._exact.version

    def encode_requests(self, texts: Sequence[str]) -> Array:
        return self._exact.encode_requests(texts)

    def encode_tools(self, texts: Sequence[str]) -> Array:
        return (self._quick if len(texts) >= MANY else self._exact).encode_tools(texts)


class Binder:
    """Binds instructions to tools. Its indices follow the catalogs it is shown."""

    def __init__(self, vectors: Path | None = None, retriever: Path | None = None) -> None:
        """`vectors` is a file that keeps those of tools; `retriever` is an adapter in place of the house's."""
        self._vectors = vectors
        self._retriever = retriever or RETRIEVER
        self._indexed: tuple[dict[str, Tool], ToolIndex | None] = ({}, None)
        self._slots: SlotsModel | None = None
        self._usage: Usage | None = None
        self._together: CoUse | None = None

    def bind(
        self,
        instruction: str,
        earlier: Sequence[Earlier],
        tools: tuple[Tool, ...],
        files: tuple[str, ...],
        servers: Collection[str] = (),
    ) -> Bound:
        """Chooses a tool for an instruction and fills it; the choice is made jointly.

        `servers` are those that the request which the instruction is a part of seems to be for.
        """
        previous = [e.instruction for e in earlier]
        elliptic = bool(previous) and len(instruction.split()) <= ELLIPTIC
        query = f"{previous[-1]} {instruction}" if elliptic else instruction
        found = self.search(query, tools, DEEP)
        nearness = {tool.id: score for tool, score in found}
        by_id = {t.id: t for t in tools}
        used = [by_id[e.tool] for e in reversed(earlier) if e.tool in by_id]
        candidates = _shortlist([tool for tool, _ in found], used, servers)
        options = []
        for at in range(0, len(candidates), READ_AT_ONCE):
            some = candidates[at : at + READ_AT_ONCE]
            for tool, reading in zip(some, self.read(instruction, some, previous), strict=True):
                options.append(self._filled(tool, reading, instruction, earlier, tools, files, elliptic))
            if max(f.quality for f in options) >= CERTAIN:
                break
        shown = tuple(f.tool.id for f in options)
        options.sort(key=lambda f: -f.quality * (1 - SEARCH + SEARCH * nearness.get(f.tool.id, 0.5)))
        options = _configured_first(options)
        fitting = [f for f in options if f.fit >= (FITS if f.tool.annotations.read_only else CHANGES)]
        found_out = _Lookups(self, instruction, tools, files, () if earlier else options)
        refused: list[Filled] = []
        for filled in found_out.first(fitting):
            if not filled.missing and not filled.tool.accepts(filled.arguments):
                refused.append(filled)
                filled = self.rebind(instruction, filled.tool, earlier, files, checked=True)
            if not filled.missing and filled.tool.accepts(filled.arguments):
                return replace(self._nested(instruction, filled, tools, files), shown=shown)
            if filled.missing and (hopped := found_out.before(filled)) is not None:
                return replace(hopped, shown=shown)
        if refused:  # the tool itself says best what is wrong with them
            return Bound(instruction, refused[0], shown=shown)
        lacking = [f for f in options if f.fit >= FITS and f.missing]
        near = max(lacking, key=lambda f: f.fit, default=None)
        return Bound(instruction, None, problem=_problem(near), near=near.tool.id if near else None, shown=shown)

    def _filled(
        self,
        tool: Tool,
        reading: Reading,
        instruction: str,
        earlier: Sequence[Earlier],
        tools: tuple[Tool, ...],
        files: tuple[str, ...],
        elliptic: bool,
    ) -> Filled:
        """The tool with its arguments, some of them from the call before, and what other tools may find out."""
        filled = fill(tool, reading, instruction, earlier, files)
        if earlier and earlier[-1].tool == tool.id:
            filled = inherit(filled, earlier[-1], tuple(tool.parameters) if elliptic else filled.missing)
        elif earlier and _IT.search(instruction):
            paths = [n for n in filled.missing if (tool.parameters.get(n) or {}).get("format") == "path"]
            filled = inherit(filled, earlier[-1], paths)
        if filled.missing and all(lookups(name, tool, tools) for name in filled.missing):
            filled = replace(filled, found_out=len(filled.missing))
        return filled

    def rebind(
        self,
        instruction: str,
        tool: Tool,
        earlier: Sequence[Earlier],
        files: tuple[str, ...],
        checked: bool = False,
    ) -> Filled:
        """The arguments of a tool that is known to be meant; with `checked`, none that the tool itself refuses."""
        (reading,) = self.read(instruction, [tool], [e.instruction for e in earlier])
        return fill(tool, reading, instruction, earlier, files, checked)

    def _nested(self, instruction: str, filled: Filled, tools: tuple[Tool, ...], files: tuple[str, ...]) -> Bound:
        """Plans the making of what is to be written, where its words ask for it: `save the rate of K-9 to ...`."""
        if filled.tool.annotations.read_only:
            return Bound(instruction, filled)
        readers = tuple(t for t in tools if t.annotations.read_only)
        for name, value in filled.arguments.items():
            schema = filled.tool.parameters[name]
            if not isinstance(value, str) or len(value.split()) < 3 or schema.get("format") or schema.get("enum"):
                continue
            if any(m.value == value for m in quoted(instruction)) or value.istitle():
                continue
            inner = self.bind(value, (), readers, files)
            if inner.filled is not None and inner.filled.fit >= NESTED_FITS:
                id = f"before-{name}"
                made = Step(
                    id=id,
                    instruction=value,
                    tool=inner.filled.tool.id,
                    arguments=inner.filled.arguments,
                    reported=False,
                )
                arguments = {**filled.arguments, name: Reference(**{"from": id})}
                return Bound(instruction, replace(filled, arguments=arguments), (*inner.before, made))
        return Bound(instruction, filled)

    def read(self, instruction: str, tools: Sequence[Tool], earlier: Sequence[str]) -> list[Reading]:
        """How the slots model reads an instruction for each of these tools."""
        if self._slots is None:
            self._slots = SlotsModel.open()
        cards = [Card.of(t.name, t.description, t.input_schema) for t in tools]
        return self._slots.read(instruction, cards, earlier) if cards else []

    def search(self, query: str, tools: tuple[Tool, ...], limit: int) -> list[tuple[Tool, float]]:
        """The `limit` best tools for a query with their scores, best first."""
        return self._search(query, (), tools, limit, None)

    def search_request(
        self, request: str, parts: Sequence[str], tools: tuple[Tool, ...], limit: int
    ) -> list[tuple[Tool, float]]:
        """The `limit` best tools for a request that is made up of `parts`, with their scores, best first."""
        return self._search(request, parts, tools, limit, self._together)

    def heed(self, usage: Usage, together: CoUse) -> None:
        """Lets what past runs say move the tools in searches from now on."""
        self._usage, self._together = usage, together

    def _search(
        self, query: str, parts: Sequence[str], tools: tuple[Tool, ...], limit: int, together: CoUse | None
    ) -> list[tuple[Tool, float]]:
        by_id = {t.id: t for t in tools}
        bonus = self._usage.bonus(query) if self._usage else None
        found = search_request(self._index(tools), query, parts, limit, by_id, bonus, together)
        return [(by_id[hit.id], hit.score) for hit in found]

    def _index(self, tools: tuple[Tool, ...]) -> ToolIndex:
        """An index that has these tools, and those that were searched before."""
        known, index = self._indexed
        if index is None or any((one := known.get(t.id)) is not t and one != t for t in tools):
            known = {**known, **{t.id: t for t in tools}}
            if index is None:
                index = ToolIndex.build(known.values(), self._vectors, _Encoding(self._retriever))
            else:
                index = index.sync(known.values())
            self._indexed = known, index  # replaced as a whole: several threads search
        return index


def _shortlist(found: Sequence[Tool], used: Sequence[Tool], servers: Collection[str]) -> list[Tool]:
    """The tools that are read, in their order, of those that a search found.

    `used` are the tools of the steps before, the latest first: that one may be meant again. `servers` are in use too.
    """
    nearest = list(found[:CANDIDATES])
    if used:
        nearest = [used[0], *(t for t in nearest if t is not used[0])]
    in_use = {*servers, *(tool.server for tool in used)}
    seats = Counter(tool.server for tool in nearest)
    left = {"at hand": AT_HAND, "house": OF_THE_HOUSE, "elsewhere": ELSEWHERE}
    more: dict[str, list[Tool]] = {where: [] for where in left}
    for tool in found[CANDIDATES:]:
        where = "at hand" if tool.server in in_use else "elsewhere" if tool.remote else "house"
        if left[where] and seats[tool.server] < SEATS and tool not in nearest:
            left[where] -= 1
            seats[tool.server] += 1
            more[where].append(tool)
    return [*nearest, *(tool for some in more.values() for tool in some)]


def _configured_first(options: list[Filled]) -> list[Filled]:
    """The best option after a tool of the same name on a configured server that goes about as well: it is there to be
    used."""
    if not options or options[0].tool.remote:
        return options
    best = options[0]
    for other in options[1:]:
        alike = other.tool.remote and other.tool.name == best.tool.name and not other.missing
        if alike and other.quality >= ABOUT_AS_WELL * best.quality:
            return [other, *(f for f in options if f is not other)]
    return options


class _Lookups:
    """What other tools of the same server find out for the tools that fit one instruction."""

    def __init__(
        self,
        binder: Binder,
        instruction: str,
        tools: tuple[Tool, ...],
        files: tuple[str, ...],
        known: Sequence[Filled],
    ) -> None:
        self._binder = binder
        self._instruction = instruction
        self._tools = tools
        self._files = files
        self._filled = {f.tool.id: f for f in known}

    def first(self, fitting: Sequence[Filled]) -> list[Filled]:
        """The tools that fit in the order in which they are tried.

        Where an argument is what a lookup is to be told, the tool without it comes first. And where the best is only a
        lookup for another one that fits, that is what is asked for.
        """
        found: list[Filled] = []
        for filled in fitting:
            told = [n for n in filled.arguments if self._is_told(filled, n)]
            found += [filled.without(told), filled] if told else [filled]
        if not found or found[0].missing:
            return found
        served = [f for f in found if f.missing and all(self._serves(found[0].tool, f.tool, n) for n in f.missing)]
        return [*served, *(f for f in found if f not in served)]

    def before(self, filled: Filled) -> Bound | None:
        """Makes each missing argument by another tool that can be filled from the instruction."""
        before: list[Step] = []
        arguments = dict(filled.arguments)
        for name in filled.missing:
            some = lookups(name, filled.tool, self._tools)
            options = [one for one in self._read(some, words(name)) if one.arguments and one.is_complete]
            if not options:
                return None
            best = max(options, key=lambda option: option.confidence)
            id = f"before-{name}"
            before.append(
                Step(
                    id=id,
                    instruction=f"Look up the {words(name)}",
                    tool=best.tool.id,
                    arguments={n: _owner(v) for n, v in best.arguments.items()},
                    expects=words(name),
                    reported=False,
                )
            )
            arguments[name] = Reference(**{"from": id})
        return Bound(self._instruction, replace(filled, arguments=arguments, missing=()), tuple(before))

    def _serves(self, lookup: Tool, tool: Tool, name: str) -> bool:
        """Whether a lookup finds out an argument, unless that is what the instruction asks for: `the port code of`."""
        asked = not KEYS.isdisjoint(words(name).split()) and mentions(self._instruction, name)
        return not asked and lookup in lookups(name, tool, self._tools)

    def _is_told(self, filled: Filled, name: str) -> bool:
        """Whether an argument is only what a lookup for it is to be told."""
        some = [t for t in lookups(name, filled.tool, self._tools) if may_be_told(t, filled, name)]
        return any(is_told(one, filled, name) for one in self._read(some, words(name)))

    def _read(self, some: Sequence[Tool], wanted: str) -> list[Filled]:
        """These tools filled from the instruction; of many, those nearest to what is wanted."""
        if len(some) > CANDIDATES:
            some = [tool for tool, _ in self._binder.search(wanted, tuple(some), CANDIDATES)]
        new = [t for t in some if t.id not in self._filled]
        for one, reading in zip(new, self._binder.read(self._instruction, new, ()), strict=True):
            self._filled[one.id] = fill(one, reading, self._instruction, (), self._files)
        return [self._filled[t.id] for t in some]


def _owner(value: Json) -> Json:
    """`Nora Beck's iron` -> `Nora Beck`: what is looked up is whose it is."""
    return re.split(r"['\u2019]s\s", value)[0] if isinstance(value, str) else value


def _problem(near: Filled | None) -> str:
    """Why no tool was chosen, and what would help."""
    if near is not None:
        lacking = ", ".join(words(n) for n in near.missing)
        return f"{near.tool.id} would do it, but the request does not say its {lacking}"
    return "no tool here fits this; a server that has such a tool would help (name it in .mcp.json)"
