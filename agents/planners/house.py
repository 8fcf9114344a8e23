"""The house planner: plans with the house models alone.

A request is cut into clauses; each clause searches the catalog, reads it against the cards of the best tools and fills
their arguments; what fits best becomes a step. A required argument that nothing fills is looked for in the call before
(ellipsis) and then as the result of another tool, planned as a step before it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...models.house.retriever import RetrieverModel
from ...models.house.slots import Card, Reading, SlotsModel, words
from ...models.house.splitter import Clause, SplitterModel
from ...retrieval import ToolIndex, ToolSpec
from ...tools import Tool
from ..candidates import Earlier
from ..filling import Filled, fill, inherit
from ..mentions import quoted
from ..plan import Each, Json, Plan, Reference, Step, StepResult
from ..planning import PlanningContext

CANDIDATES = 8
"""Tools that are read for a clause."""

SEARCH = 0.25
"""How much of a tool's standing is its place in the search; the rest is what reading it says."""

FITS, CHANGES = 0.35, 0.5
"""Least fit of a tool that reads, and of one that changes something: a change is never made on a guess."""

WEAK, BETTER = 0.4, 2.0
"""Confidence below which a clause is also read together with its neighbour; how many times as sure that has to be."""

ELLIPTIC = 4
"""Most words of a clause that says only what is different from the one before."""

ABOUT_AS_WELL = 0.7
"""Share of the best quality from which a configured server's tool goes before the house's of the same name."""

NESTED_FITS = 0.6
"""Least fit of a tool for words inside an instruction: what is to be written may be meant literally."""


@dataclass(frozen=True)
class Bound:
    """A clause with the tool that was chosen for it, and the steps that have to come before."""

    instruction: str
    filled: Filled | None
    before: tuple[Step, ...] = ()
    problem: str | None = None

    @property
    def confidence(self) -> float:
        """How sure tool and arguments are; 0 without a tool."""
        return self.filled.confidence if self.filled else 0.0

    @property
    def tool(self) -> str | None:
        return self.filled.tool.id if self.filled else None


class HousePlanner:
    """Plans, binds single steps and finds tools. One for many runs; its index follows the catalog it is shown."""

    def __init__(self, vectors: Path | None = None) -> None:
        self._vectors = vectors
        self._index: ToolIndex | None = None
        self._ids: tuple[str, ...] = ()
        self._slots: SlotsModel | None = None
        self._splitter: SplitterModel | None = None
        self._retriever: RetrieverModel | None = None

    async def plan(self, request: str, context: PlanningContext) -> Plan:
        """The plan for a request: a step a clause, and those that make what they need."""
        return await asyncio.to_thread(self._plan, request, context)

    async def revise(self, plan: Plan, results: Mapping[str, StepResult], context: PlanningContext) -> Plan | None:
        """None: what the house models have said once they say again."""
        return None

    async def bind(self, instruction: str, earlier: Sequence[StepResult], tools: Sequence[Tool]) -> Step | None:
        """Tool and arguments for an instruction that a planner left open, or None when no tool fits."""
        before = [Earlier(result.step, "") for result in earlier]
        bound = await asyncio.to_thread(self._bind, instruction, before, tuple(tools), ())
        if bound.filled is None or bound.before:
            return None
        filled = bound.filled
        return Step(
            id="open",
            instruction=instruction,
            tool=filled.tool.id,
            arguments=filled.arguments,
            confidence=filled.confidence,
        )

    async def find_tools(self, query: str, tools: Sequence[Tool], limit: int) -> Sequence[Tool]:
        """The `limit` best tools for a query, best first."""
        return await asyncio.to_thread(self._find, query, tuple(tools), limit)

    def nearness(self, text: str, others: Sequence[str]) -> Sequence[float]:
        """The cosine of each of `others` with `text`, by the retriever."""
        if self._retriever is None:
            self._retriever = RetrieverModel.open()
        vectors = self._retriever.encode_requests([text, *others])
        return [float(cosine) for cosine in vectors[1:] @ vectors[0]]

    def _plan(self, request: str, context: PlanningContext) -> Plan:
        route = context.route
        chosen = next((s for s in context.specialists if route and s.name == route.specialist), None)
        if chosen is not None and chosen.model is not None:
            return Plan(
                request=request,
                steps=(
                    Step(
                        id="s1",
                        instruction=request,
                        specialist=chosen.name,
                        confidence=route.confidence if route else 1.0,
                    ),
                ),
            )
        tools = chosen.usable(context.tools) if chosen is not None and chosen.own_tools else context.tools
        files = tuple(context.workspace.files(limit=500))
        names = (*files, *dict.fromkeys(f.rpartition("/")[0] for f in files if "/" in f), *_folders(context))
        return self._assemble(request, self._clauses(request), tuple(tools), names)

    def _clauses(self, request: str) -> list[Clause]:
        if self._splitter is None:
            self._splitter = SplitterModel.open()
        return self._splitter.split(request)

    def _assemble(self, request: str, clauses: list[Clause], tools: tuple[Tool, ...], files: tuple[str, ...]) -> Plan:
        steps: list[Step] = []
        earlier: list[Earlier] = []
        last: tuple[Clause, Bound] | None = None
        for clause in clauses:
            bound = self._bind(clause.text, earlier, tools, (*files, *_written(steps, tools)))
            if last is not None:
                joined = self._join(request, last, (clause, bound), earlier, tools, files)
                if joined is not None:
                    removed = earlier.pop()
                    steps = [s for s in steps if s.id != removed.id]
                    clause, bound = joined
            last = (clause, bound)
            number = len(steps) + 1
            before = [s.model_copy(update={"id": f"s{number + n}"}) for n, s in enumerate(bound.before)]
            step = _step(
                f"s{number + len(before)}",
                bound,
                {old.id: new.id for old, new in zip(bound.before, before, strict=True)},
            )
            step = step.model_copy(update={"confidence": step.confidence * clause.confidence})
            for made in (*before, step):
                steps.append(made.model_copy(update={"after": _after(made, steps, tools)}))
            earlier.append(Earlier(step.id, step.instruction, step.tool or "", step.arguments))
        return Plan(request=request, steps=tuple(steps))

    def _join(
        self,
        request: str,
        one: tuple[Clause, Bound],
        two: tuple[Clause, Bound],
        earlier: Sequence[Earlier],
        tools: tuple[Tool, ...],
        files: tuple[str, ...],
    ) -> tuple[Clause, Bound] | None:
        """Two clauses read as one: where one of them makes little sense alone, it was cut where it should not be; and
        where both want the same tool, what only one of them says may hold for both.

        Only if the one call that comes of it takes something from the weaker of the two: nothing that was said is lost.
        """
        (left, first), (right, second) = one, two
        weaker = min(first.confidence, second.confidence)
        alike = first.tool == second.tool
        if (weaker > WEAK and not alike) or first.before or second.before:
            return None
        text = request[left.begin : right.end].strip(" ,;.")
        bound = self._bind(text, earlier[:-1], tools, files)
        if bound.filled is None or bound.filled.unused or bound.before:
            return None
        fanned = bound.tool == first.tool == second.tool and any(
            isinstance(v, Each) for v in bound.filled.arguments.values()
        )
        if bound.confidence < weaker * (1 if fanned else BETTER) or (weaker > WEAK and not fanned):
            return None
        at = right.begin - left.begin
        takes = any(begin < at for begin, _ in bound.filled.used), any(end > at for _, end in bound.filled.used)
        if not takes[first.confidence > second.confidence]:
            return None
        return Clause(text, left.begin, right.end, left.confidence), bound

    def _bind(
        self, instruction: str, earlier: Sequence[Earlier], tools: tuple[Tool, ...], files: tuple[str, ...]
    ) -> Bound:
        """Chooses a tool for an instruction and fills it; the choice is made jointly."""
        previous = [e.instruction for e in earlier]
        elliptic = bool(previous) and len(instruction.split()) <= ELLIPTIC
        query = f"{previous[-1]} {instruction}" if elliptic else instruction
        found = self._search(query, tools, CANDIDATES)
        candidates = [tool for tool, _ in found]
        nearness = {tool.id: score for tool, score in found}
        by_id = {t.id: t for t in tools}
        if earlier and earlier[-1].tool in by_id and by_id[earlier[-1].tool] not in candidates:
            candidates.append(by_id[earlier[-1].tool])
        options = []
        for tool, reading in zip(candidates, self._read(instruction, candidates, previous), strict=True):
            filled = fill(tool, reading, instruction, earlier, files)
            if earlier and earlier[-1].tool == tool.id:
                filled = inherit(filled, earlier[-1], tuple(tool.parameters) if elliptic else filled.missing)
            if filled.missing and all(_makers(name, tool, tools) for name in filled.missing):
                filled = replace(filled, found_out=len(filled.missing))
            options.append(filled)
        options.sort(key=lambda f: -f.quality * (1 - SEARCH + SEARCH * nearness.get(f.tool.id, 0.5)))
        options = _configured_first(options)
        fitting = [f for f in options if f.fit >= (FITS if f.tool.annotations.read_only else CHANGES)]
        refused: list[Filled] = []
        for filled in fitting:
            if not filled.missing and not filled.tool.accepts(filled.arguments):
                refused.append(filled)
            elif not filled.missing:
                return self._nested(instruction, filled, tools, files)
            elif (hopped := self._hop(instruction, filled, tools, files)) is not None:
                return hopped
        if refused:  # the tool itself says best what is wrong with them
            return Bound(instruction, refused[0])
        return Bound(instruction, None, problem=_problem(options))

    def _nested(self, instruction: str, filled: Filled, tools: tuple[Tool, ...], files: tuple[str, ...]) -> Bound:
        """Plans the making of what is to be written, where its words ask for it: `save the rate of K-9 to ...`."""
        if filled.tool.annotations.read_only:
            return Bound(instruction, filled)
        readers = tuple(t for t in tools if t.annotations.read_only)
        for name, value in filled.arguments.items():
            schema = filled.tool.parameters[name]
            if not isinstance(value, str) or len(value.split()) < 3 or schema.get("format") or schema.get("enum"):
                continue
            if any(m.value == value for m in quoted(instruction)):
                continue
            inner = self._bind(value, (), readers, files)
            if inner.filled is not None and inner.filled.fit >= NESTED_FITS and not inner.before:
                id = f"before-{name}"
                made = Step(
                    id=id,
                    instruction=value,
                    tool=inner.filled.tool.id,
                    arguments=inner.filled.arguments,
                    reported=False,
                )
                arguments = {**filled.arguments, name: Reference(**{"from": id})}
                return Bound(instruction, replace(filled, arguments=arguments), (made,))
        return Bound(instruction, filled)

    def _hop(self, instruction: str, filled: Filled, tools: tuple[Tool, ...], files: tuple[str, ...]) -> Bound | None:
        """Makes each missing argument by another tool of the same server that can be filled from the instruction."""
        before: list[Step] = []
        arguments = dict(filled.arguments)
        for name in filled.missing:
            makers = _makers(name, filled.tool, tools)
            readings = self._read(instruction, makers, ())
            options = [fill(t, r, instruction, (), files) for t, r in zip(makers, readings, strict=True)]
            options = [o for o in options if o.arguments and not o.missing and o.tool.accepts(o.arguments)]
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
        return Bound(instruction, replace(filled, arguments=arguments, missing=()), tuple(before))

    def _read(self, instruction: str, tools: Sequence[Tool], earlier: Sequence[str]) -> list[Reading]:
        if self._slots is None:
            self._slots = SlotsModel.open()
        cards = [Card.of(t.name, t.description, t.input_schema) for t in tools]
        return self._slots.read(instruction, cards, earlier) if cards else []

    def _find(self, query: str, tools: tuple[Tool, ...], limit: int) -> list[Tool]:
        return [tool for tool, _ in self._search(query, tools, limit)]

    def _search(self, query: str, tools: tuple[Tool, ...], limit: int) -> list[tuple[Tool, float]]:
        ids = tuple(t.id for t in tools)
        if self._index is None or ids != self._ids:
            specs = [ToolSpec(t.id, t.server, t.name, t.description, t.input_schema) for t in tools]
            self._index = ToolIndex.build(specs, self._vectors)
            self._ids = ids
        by_id = {t.id: t for t in tools}
        return [(by_id[hit.id], hit.score) for hit in self._index.search(query, limit)]


def _step(id: str, bound: Bound, renamed: Mapping[str, str]) -> Step:
    if bound.filled is None:
        return Step(id=id, instruction=bound.instruction, problem=bound.problem, confidence=0.0)
    arguments = {
        n: Reference(**{"from": renamed[v.from_], "path": v.path})
        if isinstance(v, Reference) and v.from_ in renamed
        else v
        for n, v in bound.filled.arguments.items()
    }
    return Step(
        id=id,
        instruction=bound.instruction,
        tool=bound.filled.tool.id,
        arguments=arguments,
        confidence=bound.filled.confidence,
    )


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


def _owner(value: Json) -> Json:
    """`Nora Beck's iron` -> `Nora Beck`: what is looked up is whose it is."""
    return re.split(r"['\u2019]s\s", value)[0] if isinstance(value, str) else value


def _makers(name: str, tool: Tool, tools: Sequence[Tool]) -> list[Tool]:
    """Tools of the same server that look up what a parameter of `tool` wants."""
    kin = (t for t in tools if t.server == tool.server and t.id != tool.id and t.annotations.read_only)
    return [t for t in kin if _makes(t, name)]


def _makes(tool: Tool, name: str) -> bool:
    """Whether a tool's result is said to have what a parameter wants: by its output schema, or by its description."""
    wanted = set(words(name).split())
    outputs = (tool.output_schema or {}).get("properties") or {}
    if any(wanted <= set(words(key).split()) for key in outputs):
        return name not in tool.parameters
    said = set(words(f"{tool.name} {tool.description}").split())
    near = wanted - {"id", "number", "code", "no", "key"}
    return name not in tool.parameters and (wanted <= said or (bool(near) and near <= said))


def _written(steps: Sequence[Step], tools: Sequence[Tool]) -> dict[str, str]:
    """Path -> the last step that changes it."""
    by_id = {t.id: t for t in tools}
    changing = [(s, t) for s in steps if (t := by_id.get(s.tool or "")) and not t.annotations.read_only]
    return {path: step.id for step, tool in changing for path in _paths(step, tool)}


def _paths(step: Step, tool: Tool) -> list[str]:
    found: list[str] = []
    for name, value in step.arguments.items():
        if (tool.parameters.get(name) or {}).get("format") == "path":
            values = value.each if isinstance(value, Each) and isinstance(value.each, tuple) else (value,)
            found += [v.strip("/") for v in values if isinstance(v, str)]
    return found


def _after(step: Step, steps: Sequence[Step], tools: Sequence[Tool]) -> tuple[str, ...]:
    """Steps that come first although no data flows: they write what this one works on, or work on what it writes."""
    by_id = {t.id: t for t in tools}
    tool = by_id.get(step.tool or "")
    if tool is None:
        return ()
    mine, written = _paths(step, tool), _written(steps, tools)
    first = [written[p] for p in mine if p in written]
    if not tool.annotations.read_only:
        for other in steps:
            of = by_id.get(other.tool or "")
            if of is not None and set(_paths(other, of)) & set(mine):
                first.append(other.id)
    return tuple(dict.fromkeys(first))


def _problem(options: Sequence[Filled]) -> str:
    """Why no tool was chosen, and what would help."""
    near = [f for f in options if f.fit >= FITS and f.missing]
    if near:
        best = max(near, key=lambda f: f.fit)
        return (
            f"{best.tool.id} would do it, but the request does not say its {', '.join(words(n) for n in best.missing)}"
        )
    return "no tool here fits this; a server that has such a tool would help (name it in .mcp.json)"


def _folders(context: PlanningContext) -> list[str]:
    """Folders at the top of the workspace, empty ones too."""
    return sorted(p.name for p in context.workspace.root.iterdir() if p.is_dir() and not p.name.startswith("."))
