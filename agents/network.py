"""Work without a planner: specialists share a request among themselves, each passing on what it cannot do.

After AgentNet (Yang et al., arXiv 2504.00587), where nobody is in the middle. Who holds a part of the request does it,
if sure that it can; else it goes on to the colleague with the best edge: near to the task by what it says of itself and
by the tools it may use, and, as far as hand-overs of the past tell, one who ends what it is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..core.errors import BottegaError, PermissionNeeded
from ..core.usage import Usage
from ..tools import Tool
from .calling import GOES_UP
from .plan import Plan, Step, StepResult
from .planning import Binding
from .reporter import report
from .specialist import Specialist, StepContext, assign
from .unbound import bound, carry_out
from .weights import Weights

SURE = 0.8
"""Confidence from which a specialist does a part at once. Below it others are asked, and the surest does it."""

UNUSED = 0.7
"""What is left of a confidence for each thing that was said and that no argument takes up."""

FOUND = 8
"""Tools near to a task that tell who is near to it."""


@dataclass(frozen=True)
class HandOver:
    """`taker` was given what `giver` did not do; `done` is whether the taker ended it."""

    giver: str
    taker: str
    instruction: str
    done: bool


class Network:
    """Specialists that do a step among themselves. One for many runs: its `weights` change with what it sees.

    `told` hears of every hand-over, once it is known how it ended.
    """

    def __init__(
        self, weights: Weights | None = None, told: Callable[[HandOver], None] = lambda hand_over: None
    ) -> None:
        self.weights = weights or Weights()
        self._told = told

    async def perform(
        self, step: Step, inputs: Mapping[str, StepResult], context: StepContext, specialists: Sequence[Specialist]
    ) -> StepResult:
        """Does `step`, which names no tool: begun by the specialist it names, else by the one that is nearest to it.

        Each part of it is offered to each specialist at most once; one that only labels texts is handed nothing. What
        was refused is not tried by another one, nor what failed where something may have been changed. What goes wrong
        is in the result. Raises only what concerns the run: `Halt`, `LedgerError`, `RunBusy`.
        """
        if step.problem:
            return StepResult(step=step.id, status="cannot", error=step.problem)
        try:
            holder = assign(step, specialists, context.by_id) if step.specialist else None
        except BottegaError as error:
            return StepResult(step=step.id, status="failed", error=str(error))
        if holder is not None and holder.model is not None:
            return await holder.perform(step, inputs, context)
        takers = tuple(s for s in specialists if s.model is None)
        done: list[tuple[str, StepResult]] = []
        for text in await _clauses(step.instruction, context):
            result, holder = await self._end(_Part(step, text, inputs, tuple(done), context), takers, holder)
            if done and result.status == done[-1][1].status == "cannot":
                # Neither can be done alone: they may have been cut where they should not be.
                text = f"{done.pop()[0]}. {text}"
                result, holder = await self._end(_Part(step, text, inputs, tuple(done), context), takers, holder)
            done.append((text, result))
        return _whole(step, done)

    async def _end(
        self, part: _Part, takers: Sequence[Specialist], first: Specialist | None
    ) -> tuple[StepResult, Specialist | None]:
        """What comes of a part that is begun by `first` and passed on from there, and who has it then."""
        near = await _nearness(part.text, takers, part.context)
        who = first or self._next(None, takers, near)
        tries: list[_Try] = []
        while who is not None:
            tries.append(await part.tried_by(who))
            if tries[-1].ends:
                break
            asked = [one.who for one in tries]
            who = self._next(who, [s for s in takers if s not in asked], near)
        if not tries:
            return StepResult(step=part.step.id, status="cannot", error="there is nobody to do it"), None
        best = max(tries, key=_rank)
        result = best.result or await part.carried_out(best.who, best.offer)
        for giver, taker in pairwise(one.who.name for one in tries):
            done = result.status == "succeeded" and taker == best.who.name
            if result.status == "succeeded":  # what nobody could do tells nothing about anyone
                self.weights = self.weights.updated(giver, taker, done)
            self._told(HandOver(giver, taker, part.text, done))
        return result, best.who

    def _next(
        self, giver: Specialist | None, takers: Sequence[Specialist], near: Mapping[str, float]
    ) -> Specialist | None:
        """To whom `giver` passes on: the nearest, by as much as hand-overs to it went well.

        Those who need a language model come after the others, and of two alike the one with fewer tools comes first.
        """

        def worth(taker: Specialist) -> tuple[bool, float, bool]:
            weight = self.weights.of(giver.name, taker.name) if giver else 1.0
            return taker.prompt is None, weight * near[taker.name], not taker.general

        return max(takers, key=worth, default=None)


@dataclass(frozen=True)
class _Try:
    """What a specialist made of a part: a result, or an offer that it is not sure of."""

    who: Specialist
    offer: Binding
    result: StepResult | None = None
    ends: bool = False
    """Whether nobody else is to try it after this."""


def _rank(one: _Try) -> tuple[int, float]:
    """The try to go by: what ended it, else what failed, else the surest offer, else whoever may use every tool and
    says that none fits."""
    if one.result is None:
        return 1, one.offer.confidence * UNUSED**one.offer.unused
    if one.ends:
        return 3, 0.0
    return (2, 0.0) if one.result.status == "failed" else (0, float(one.who.general))


@dataclass(frozen=True)
class _Part:
    """A part of a step in words, with the parts before it and what came of them."""

    step: Step
    text: str
    inputs: Mapping[str, StepResult]
    before: tuple[tuple[str, StepResult], ...]
    context: StepContext

    @property
    def as_step(self) -> Step:
        return self.step.model_copy(update={"instruction": self.text, "specialist": None, "confidence": 1.0})

    @property
    def known(self) -> dict[str, StepResult]:
        """What it may refer to."""
        return {**self.inputs, **{result.step: result for result in _numbered(self.step, self.before)}}

    async def tried_by(self, who: Specialist) -> _Try:
        """What `who` makes of it."""
        offer = await self._offered(who)
        if offer.steps and (offer.unused or offer.confidence < SURE):
            return _Try(who, offer)
        result = await self.carried_out(who, offer)
        ends = result.status not in ("cannot", "failed") or any(self._changes(who, call.tool) for call in result.calls)
        return _Try(who, offer, result, ends)

    async def carried_out(self, who: Specialist, offer: Binding) -> StepResult:
        """Does it as it was offered."""
        lost = any(result.status != "succeeded" for _, result in self.before)
        if lost and any(self._changes(who, step.tool) for step in offer.steps):
            why = "it changes something, and may need what came before it and did not succeed"
            return StepResult(step=self.step.id, status="skipped", error=why)
        if who.prompt is not None:
            return await who.perform(self.as_step, self.known, self.context)
        try:
            return await carry_out(self.as_step, offer, self.known, self._tools(who), self.context)
        except GOES_UP:
            raise
        except PermissionNeeded as error:
            return StepResult(step=self.step.id, status="refused", error=str(error))
        except BottegaError as error:
            return StepResult(step=self.step.id, status="failed", error=str(error))

    async def _offered(self, who: Specialist) -> Binding:
        if who.prompt is not None:
            return Binding((self.as_step,))  # whether a language model can, it finds out by trying
        try:
            found = await bound(self.as_step, self.known, self._tools(who), self.context)
        except BottegaError as error:
            return Binding(problem=str(error))
        return found or Binding()

    def _tools(self, who: Specialist) -> tuple[Tool, ...]:
        return who.usable(self.context.tools)

    def _changes(self, who: Specialist, id: str | None) -> bool:
        """Whether a tool may change something; where none is named, any may be used."""
        tool = next((t for t in self._tools(who) if t.id == id), None)
        return tool is None or not tool.annotations.read_only


async def _clauses(instruction: str, context: StepContext) -> Sequence[str]:
    try:
        found = await context.binder.clauses(instruction) if context.binder else ()
    except BottegaError:
        found = ()
    return found if len(found) > 1 else (instruction,)


async def _nearness(text: str, takers: Sequence[Specialist], context: StepContext) -> dict[str, float]:
    """How near each specialist is to a task, from 0 to 1: by description, examples, and the tools for it that it may
    use."""
    if context.nearness is None:
        return dict.fromkeys((s.name for s in takers), 1.0)
    found = await context.finder.find_tools(text, context.tools, FOUND) if context.finder else ()
    told = {
        s.name: [words for words in (s.description, *s.examples, *(t.description for t in s.usable(found))) if words]
        for s in takers
    }
    texts = list(dict.fromkeys(words for some in told.values() for words in some))
    cosines = dict(zip(texts, await asyncio.to_thread(context.nearness, text, texts), strict=True))
    return {name: max([0.0, *(cosines[words] for words in some)]) for name, some in told.items()}


def _numbered(step: Step, done: Sequence[tuple[str, StepResult]]) -> list[StepResult]:
    return [result.model_copy(update={"step": f"{step.id}.{n}"}) for n, (_, result) in enumerate(done, 1)]


def _whole(step: Step, done: Sequence[tuple[str, StepResult]]) -> StepResult:
    """The result of a step that was done in parts: the values of those that succeeded, and what is told of them."""
    if len(done) == 1:
        return done[0][1]
    results = _numbered(step, done)
    good = [result for result in results if result.status == "succeeded"]
    lost = {text: result for (text, _), result in zip(done, results, strict=True) if result.status != "succeeded"}
    statuses = {result.status for result in results}
    told = Plan(
        request=step.instruction,
        steps=tuple(Step(id=r.step, instruction=text) for (text, _), r in zip(done, results, strict=True) if r in good),
    )
    return StepResult(
        step=step.id,
        status="refused" if "refused" in statuses else statuses.pop() if len(statuses) == 1 else "failed",
        value=[result.value for result in good] or None,
        text=report(told, {result.step: result for result in good}).answer if good else "",
        error="; ".join(f"{text}: {result.error}" for text, result in lost.items()) or None,
        files=tuple(dict.fromkeys(file for result in results for file in result.files)),
        calls=tuple(call for result in results for call in result.calls),
        confidence=min(result.confidence for result in results),
        usage=sum((result.usage for result in results), Usage()),
    )
