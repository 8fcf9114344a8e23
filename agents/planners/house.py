"""The house planner: plans with the house models alone.

A request is cut into clauses (the splitter), clauses become segments of one call each (`segments`), each bound to a
tool with its arguments (`binding`); here they become the steps of a plan.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...models.house.retriever import RetrieverModel
from ...models.house.slots import words
from ...models.house.splitter import Clause, SplitterModel
from ...retrieval import CoUse, Usage
from ...tools import Tool, Workspace
from ..candidates import Earlier
from ..plan import Plan, Step, StepResult, renamed
from ..planning import Binding, PlanningContext
from ..readable import is_scalar, plain
from .binding import Binder, Bound
from .paths import after, names_in
from .segments import Segment, Segmenter

FEW_WORDS = 5
"""Words of a query that is not looked at for parts."""


class HousePlanner:
    """Plans, binds single steps and finds tools. One for many runs; its index follows the catalog it is shown."""

    def __init__(self, vectors: Path | None = None, retriever: Path | None = None) -> None:
        """`vectors` is a file that keeps those of tools; `retriever` an adapter that searches in place of the house's.

        What is calibrated on the house's is left to it: how near the fields of a result are.
        """
        self._binder = Binder(vectors, retriever)
        self._splitter: SplitterModel | None = None
        self._retriever: RetrieverModel | None = None

    async def plan(self, request: str, context: PlanningContext) -> Plan:
        """The plan for a request: a step a segment, and those that make what they need."""
        return await asyncio.to_thread(self._plan, request, context)

    async def revise(self, plan: Plan, results: Mapping[str, StepResult], context: PlanningContext) -> Plan | None:
        """None: what the house models have said once they say again."""
        return None

    async def bind(
        self,
        instruction: str,
        earlier: Sequence[StepResult],
        tools: Sequence[Tool],
        workspace: Workspace | None = None,
    ) -> Binding:
        """How `tools` would do an instruction by itself, steps before it included."""
        known = [_earlier(result) for result in earlier if result.status == "succeeded"]
        return await asyncio.to_thread(self._bind, instruction, known, tuple(tools), workspace)

    async def clauses(self, instruction: str) -> Sequence[str]:
        """The parts of an instruction that ask for one thing each, by the splitter."""
        return [clause.text for clause in await asyncio.to_thread(self._clauses, instruction)]

    async def find_tools(self, query: str, tools: Sequence[Tool], limit: int) -> Sequence[Tool]:
        """The `limit` best tools for a query, best first; where it asks for several things, each one's best in turn."""
        found = await asyncio.to_thread(self._found, query, tuple(tools), limit)
        return [tool for tool, _ in found]

    def heed(self, usage: Usage, together: CoUse) -> None:
        """Lets what past runs say of tools move them in searches from now on."""
        self._binder.heed(usage, together)

    def nearness(self, text: str, others: Sequence[str]) -> Sequence[float]:
        """The cosine of each of `others` with `text`, by the retriever."""
        if self._retriever is None:
            self._retriever = RetrieverModel.open()
        vectors = self._retriever.encode_requests([text, *others])
        return [float(cosine) for cosine in vectors[1:] @ vectors[0]]

    def _found(self, query: str, tools: tuple[Tool, ...], limit: int) -> list[tuple[Tool, float]]:
        # A few words ask for one thing: no splitter has to be opened for them.
        parts = [clause.text for clause in self._clauses(query)] if len(query.split()) > FEW_WORDS else []
        return self._binder.search_request(query, parts, tools, limit)

    def _plan(self, request: str, context: PlanningContext) -> Plan:
        route = context.route
        chosen = next((s for s in context.specialists if route and s.name == route.specialist), None)
        if chosen is not None and chosen.model is not None:
            confidence = route.confidence if route else 1.0
            step = Step(id="s1", instruction=request, specialist=chosen.name, confidence=confidence)
            return Plan(request=request, steps=(step,))
        tools = chosen.usable(context.tools) if chosen is not None and chosen.own_tools else context.tools
        text = _unquoted(request)
        segmenter = Segmenter(self._binder, text, tuple(tools), names_in(context.workspace))
        return _assembled(request, segmenter.segments(self._clauses(text)), tools)

    def _bind(
        self, instruction: str, earlier: list[Earlier], tools: tuple[Tool, ...], workspace: Workspace | None
    ) -> Binding:
        text = _unquoted(instruction)
        bound = self._binder.bind(text, earlier, tools, names_in(workspace) if workspace else ())
        if bound.filled is None:
            return Binding(problem=bound.problem)
        return Binding((*bound.before, _step("open", bound)), unused=bound.filled.unused)

    def _clauses(self, request: str) -> list[Clause]:
        if self._splitter is None:
            self._splitter = SplitterModel.open()
        return self._splitter.split(request)


def _assembled(request: str, segments: Sequence[Segment], tools: Sequence[Tool]) -> Plan:
    """The plan of these segments: the steps that come before each, then the step itself."""
    by_id = {t.id: t for t in tools}
    steps: list[Step] = []
    ids: dict[str, str] = {}
    for segment in segments:
        step = _step(segment.id, segment.bound)
        own = [
            *segment.bound.before,
            step.model_copy(update={"confidence": step.confidence * segment.clause.confidence}),
        ]
        ids |= {s.id: f"s{n}" for n, s in enumerate(own, len(steps) + 1)}
        for made in (renamed(s, ids) for s in own):
            steps.append(made.model_copy(update={"after": after(made, steps, by_id)}))
    return Plan(request=request, steps=tuple(steps))


def _step(id: str, bound: Bound) -> Step:
    if bound.filled is None:
        return Step(id=id, instruction=bound.instruction, problem=bound.problem, confidence=0.0, shown=bound.shown)
    return Step(
        id=id,
        instruction=bound.instruction,
        tool=bound.filled.tool.id,
        arguments=bound.filled.arguments,
        confidence=bound.filled.confidence,
        shown=bound.shown,
    )


def _unquoted(request: str) -> str:
    """A request that stands in quotation marks as a whole, without them."""
    text = request.strip()
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] == '"' and text.count('"') == 2 else request


def _earlier(result: StepResult) -> Earlier:
    """A result as a step before. What it was asked is gone; its call says as much."""
    if not result.calls:
        return Earlier(result.step, "")
    call = result.calls[-1]
    said = [words(call.tool.rpartition("/")[2]), *(plain(v) for v in call.arguments.values() if is_scalar(v))]
    return Earlier(result.step, " ".join(said), call.tool, call.arguments)
