"""Does the steps of one run: attempts, plans inside plans, delegation. What is finished is kept before it is used."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ..agents.plan import Json, Plan, Step, StepResult, renamed
from ..agents.reporter import report
from ..agents.specialist import Specialist, StepContext, assign
from ..core.errors import FATAL, BottegaError, BudgetExceeded, Halt, PlanError
from ..core.sound import sound
from ..core.usage import Usage
from ..models.chat import ChatClient, ChatReply, ChatRequest
from ..tools import Tool, ToolResult
from .budget import Account
from .events import Planned, StepStarted
from .handover import checked
from .ledger import StepRecord, digest_of
from .scheduler import UNFINISHED, run_steps

if TYPE_CHECKING:
    from .run import Run

PAUSE = 0.2
"""Seconds before the second attempt at a step; doubled for each further one."""

_WHAT = {"instruction", "specialist", "tool", "arguments", "goal", "expects"}
"""The fields of a step that say what it is: with another one it is another step."""


class Steps:
    """The `Perform` of a run's schedulers."""

    def __init__(self, run: Run, records: tuple[StepRecord, ...]) -> None:
        self._run = run
        self._records: dict[tuple[str, str], list[StepRecord]] = {}
        for record in records:
            self._records.setdefault((record.step, record.digest), []).append(record)
        self._forgiven: set[int] = set()
        self._accounts: dict[str, Account] = {}
        self._tasks: dict[str, asyncio.Task[StepResult]] = {}
        self._cancelled: set[str] = set()
        self._halts: dict[str, Halt] = {}
        self._resting: Counter[str] = Counter()
        self._delegated: dict[str, Counter[str]] = {}

    async def __call__(self, step: Step, inputs: dict[str, StepResult]) -> StepResult:
        """The result of a step: of an earlier process, or of as many attempts as it has."""
        return await self._perform(step, inputs, None)

    def account(self, step: str) -> Account:
        """What a step may spend: its own share, or what the step that it is a part of may."""
        while step:
            if step in self._accounts:
                return self._accounts[step]
            step = step.rpartition("/")[0]
        return self._run.account

    def cancel(self, step: str) -> None:
        """Cancels one step, under way or not begun; the others go on."""
        self._cancelled.add(step)
        if step in self._tasks:
            self._tasks[step].cancel()

    async def _perform(self, step: Step, inputs: Mapping[str, StepResult], specialist: Specialist | None) -> StepResult:
        what = step.model_dump(mode="json", include=_WHAT)
        digest = digest_of(what, {need: _content(result) for need, result in inputs.items()})
        records = self._records.setdefault((step.id, digest), [])
        failures = sum(record.result.status == "failed" and self._holds(record) for record in records)
        if records and self._holds(records[-1]) and not 0 < failures <= step.retries:
            return records[-1].result
        while True:
            # One that was cancelled or refused goes on where it was: its calls are those of the attempt before.
            ended = sum(record.result.status in ("failed", "cannot") for record in records)
            self._run.journal.begin(step.id, [digest, ended])
            result = await self._attempt(step, inputs, specialist, len(records) + 1)
            if result.status in UNFINISHED:
                return result
            record = StepRecord(step.id, digest, len(records) + 1, self._run.round, result)
            await self._run.writer.step(result, digest, record.attempt, record.round)
            records.append(record)
            failures += result.status == "failed"
            if result.status != "failed" or failures > step.retries:
                return result
            await asyncio.sleep(PAUSE * 2 ** (failures - 1))

    def _holds(self, record: StepRecord) -> bool:
        """Whether a result is what the step gives now: a failure is not, in a new round or when tried again."""
        if record.result.status == "succeeded":
            return True
        return record.round == self._run.round and id(record) not in self._forgiven

    def _forgive(self, step: str) -> None:
        """Lets what failed below a step be tried again with it."""
        for (part, _), records in self._records.items():
            if part.startswith(f"{step}/"):
                self._forgiven.update(id(record) for record in records if record.result.status != "succeeded")

    async def _attempt(
        self, step: Step, inputs: Mapping[str, StepResult], specialist: Specialist | None, attempt: int
    ) -> StepResult:
        run = self._run
        if step.id in self._cancelled:
            return _cancelled(step)
        if attempt > 1:
            self._forgive(step.id)
        self._delegated[step.id] = Counter()
        if step.share is not None:
            self._accounts[step.id] = self.account(step.id.rpartition("/")[0]).portion(step.share)
        shared = self._is_shared(step, specialist)
        if specialist is None and not step.goal and not shared:
            try:
                specialist = assign(step, run.crew.specialists, self._context.by_id)
            except BottegaError as error:
                return StepResult(step=step.id, status="failed", error=str(error))
        run.emit(
            StepStarted(
                run=run.id,
                step=step.id,
                instruction=step.instruction,
                specialist=specialist.name if specialist else None,
                tool=step.tool,
                parent=step.id.rpartition("/")[0] or None,
                attempt=attempt,
            )
        )
        self._halts.pop(step.id, None)
        if specialist is not None:
            work = specialist.perform(step, inputs, self._context)
        else:
            work = self._share(step, inputs) if shared else self._expand(step, inputs)
        task = asyncio.ensure_future(work)
        self._tasks[step.id] = task
        try:
            result = await task
        except (Halt, BaseExceptionGroup):
            if step.id not in self._halts:
                raise
            result = StepResult(step=step.id, status="failed")
        except asyncio.CancelledError:
            if step.id not in self._cancelled or not task.cancelled():
                raise
            return _cancelled(step)
        finally:
            del self._tasks[step.id]
        if (halt := self._halts.get(step.id)) is not None:
            return result.model_copy(update={"status": halt.status, "error": str(halt)})
        return checked(step, sound(result))

    @functools.cached_property
    def _context(self) -> StepContext:
        crew = self._run.crew
        return StepContext(
            crew.tools,
            self._call,
            crew.binder,
            crew.nearness,
            finder=crew.finder,
            complete=self._complete,
            delegate=self._delegate,
            ask=self._ask,
            workspace=crew.workspace,
        )

    async def _call(self, step: Step, tool: Tool, arguments: dict[str, Json]) -> ToolResult:
        with self._noted(step):
            return await self._run.calls(step, tool, arguments)

    async def _complete(self, step: Step, request: ChatRequest, client: ChatClient | None = None) -> ChatReply:
        with self._noted(step):
            return await self._run.completions(step, request, client)

    async def _ask(self, step: Step, question: str) -> str:
        with self._noted(step):
            return await self._run.approvals.ask(step, sound(question))

    async def _delegate(self, step: Step, specialist: Specialist, task: str) -> StepResult:
        self._delegated[step.id][specialist.name] += 1
        count = self._delegated[step.id][specialist.name]
        part = Step(
            id=f"{step.id}/{specialist.name}{f'-{count}' if count > 1 else ''}",
            instruction=sound(task),
            specialist=specialist.name,
        )
        if part.id.count("/") > self._run.budget.depth:
            return StepResult(step=part.id, status="failed", error=f"delegated deeper than {self._run.budget.depth}")
        async with self._rest(step), self._run.slots:
            result = await self._perform(part, {}, specialist)
        self._run.heard(result)
        if result.status in UNFINISHED:
            self._halts[step.id] = Halt(result.status, result.error or "")
            raise self._halts[step.id]
        return result

    def _is_shared(self, step: Step, specialist: Specialist | None) -> bool:
        """Whether a step is left to the specialists among themselves: nobody planned who does it, nor how."""
        bound = step.tool or step.specialist or step.goal or step.problem
        return specialist is None and not bound and self._run.crew.network is not None

    async def _share(self, step: Step, inputs: Mapping[str, StepResult]) -> StepResult:
        crew = self._run.crew
        assert crew.network is not None
        before = crew.network.weights
        result = await crew.network.perform(step, inputs, self._context, crew.specialists)
        if (changed := crew.network.weights) != before:
            await crew.ledger.set_edges({edge: w for edge, w in changed.edges.items() if before.edges.get(edge) != w})
        return result

    async def _expand(self, step: Step, inputs: Mapping[str, StepResult]) -> StepResult:
        """Plans a goal, and does the plan in its place."""
        run = self._run
        plan = run.plans.get(step.id)
        if plan is None or plan.revision != run.revision:  # another plan of the run may want something else of it
            try:
                plan = await self._planned(step, inputs)
            except FATAL:
                raise
            except BudgetExceeded as error:
                self._halts[step.id] = Halt("exhausted", str(error))
                raise self._halts[step.id] from None
            except BottegaError as error:
                return StepResult(step=step.id, status="failed", error=str(error))
            await run.writer.plan(step.id, plan)
            run.plans[step.id] = plan
        run.emit(Planned(run=run.id, plan=plan, goal=step.id))
        results = await run_steps(plan, self, finished=inputs, slots=run.slots, done=run.heard)
        for result in results.values():
            if result.status in UNFINISHED:
                self._halts[step.id] = Halt(result.status, result.error or "")
        return _whole(step, plan, results)

    async def _planned(self, step: Step, inputs: Mapping[str, StepResult]) -> Plan:
        run = self._run
        if step.id.count("/") + 1 > run.budget.depth:
            raise PlanError(f"plans are {run.budget.depth} deep already", hint="raise the budget's depth")
        if run.crew.planner is None:
            raise PlanError(f"{step.id} is a goal, and there is no planner for it")
        context = replace(run.context, given=inputs, route=None, complete=run.complete_as(f"{step.id}/plan"))
        made = await run.crew.planner.plan(step.instruction, context)
        made = sound(made).check((s.name for s in run.crew.specialists), given=inputs)
        ids = {s.id: f"{step.id}/{s.id}" for s in made.steps}
        steps = tuple(renamed(s, ids) for s in made.steps)
        return made.model_copy(update={"steps": steps, "revision": run.revision})

    @asynccontextmanager
    async def _rest(self, step: Step) -> AsyncIterator[None]:
        """While it waits for others, a step does not count as under way."""
        self._resting[step.id] += 1
        if self._resting[step.id] == 1:
            self._run.slots.give()
        try:
            yield
        finally:
            self._resting[step.id] -= 1
            if not self._resting[step.id]:
                await self._run.slots.take_back()

    def _noted(self, step: Step) -> _Noted:
        return _Noted(self._halts, step.id)


class _Noted:
    """Notes what keeps a step from going on, whatever the specialist makes of it."""

    def __init__(self, halts: dict[str, Halt], step: str) -> None:
        self._halts = halts
        self._step = step

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Halt):
            self._halts[self._step] = error
        elif isinstance(error, BudgetExceeded):
            self._halts[self._step] = Halt("exhausted", str(error))


def _cancelled(step: Step) -> StepResult:
    return StepResult(step=step.id, status="cancelled", error="it was cancelled")


def _content(result: StepResult) -> Json:
    """What a result hands on, for the digest of the steps that take it."""
    return [result.value, result.text, result.files]


def _whole(step: Step, plan: Plan, results: Mapping[str, StepResult]) -> StepResult:
    """The result of a goal, made of those of its steps."""
    said = report(plan, results)
    given = [results[s.id] for s in plan.steps if s.id in results and s.reported]
    good = [result for result in given if result.status == "succeeded"]
    status = {"succeeded": "succeeded", "cannot": "cannot", "stopped": "refused"}.get(said.status, "failed")
    return StepResult.model_validate(
        {
            "step": step.id,
            "status": status,
            "value": good[-1].value if len(good) == 1 else [r.value for r in good] if good else None,
            "text": said.answer,
            "error": None if status == "succeeded" else said.answer,
            "files": tuple(dict.fromkeys(f for r in results.values() for f in r.files)),
            "sources": tuple(dict.fromkeys(s for r in results.values() for s in r.sources)),
            "usage": sum((results[s.id].usage for s in plan.steps if s.id in results), Usage()),
        }
    )
