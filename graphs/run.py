"""A run, from the request to its result. The stations are in `nodes.py`; here is what carries a run between them.

Everything that is finished is in the ledger before it is used, so that a run can be broken off anywhere, and another
process goes on with it. No workflow library is under it: what one would keep by the order of calls, the ledger keeps by
what was done.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..agents.network import Network
from ..agents.plan import Budget, Plan, Route, RunResult, StepResult
from ..agents.planning import Binder, Finder, Planner, PlanningContext, Router
from ..agents.readable import Nearness
from ..agents.reporter import Report, report
from ..agents.specialist import Specialist
from ..core.errors import FATAL, BottegaError, UsageError
from ..core.usage import Usage
from ..models.chat import ChatClient, ChatReply, ChatRequest
from ..tools import Tool, ToolContext, Workspace
from ..tools.policy import Policy, Rule
from .approvals import Approvals, Approve
from .budget import Account
from .calls import Calls
from .completions import Completions
from .events import Emit, Level, Notice, RunFinished, RunResumed, RunStarted, StepFinished
from .journal import Journal
from .ledger import Ledger, RunRecord
from .nodes import NODES, SCHEMA, State, following
from .slots import Slots
from .steps import Steps

Complete = Callable[[ChatRequest], Awaitable[ChatReply]]

BEAT = 0.5
"""Seconds between two looks at whether the run is to be cancelled; each keeps the lease."""


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Who and what is at hand, the same for many runs."""

    workspace: Workspace
    tools: tuple[Tool, ...]
    specialists: tuple[Specialist, ...]
    policy: Policy
    planner: Planner | None = None
    """None: the specialists do without one, by the `network`."""
    router: Router | None = None
    binder: Binder | None = None
    nearness: Nearness | None = None
    finder: Finder | None = None
    chat: ChatClient | None = None
    """The language model of whoever brings none."""
    tell: Callable[[Plan, Mapping[str, StepResult], Complete], Awaitable[str]] | None = None
    """Composes the answer by the language model; None leaves it to the reporter."""
    recall: Callable[[str], Awaitable[tuple[Plan, ...]]] | None = None
    """Plans that succeeded for requests like one, the likest first: what a language model is shown."""
    network: Network | None = None
    """How specialists share steps that no planner bound."""
    approve: Approve = None
    approve_plan: bool = False
    """Whether a plan is asked about before it is done."""
    remember: Callable[[Rule], None] | None = None
    """Keeps a rule that a person gave for good."""
    budget: Budget = field(default_factory=Budget)
    ledger: Ledger = field(default_factory=lambda: Ledger("sqlite://"))
    concurrency: int = 8
    """Steps under way at once, and calls under way at once, in one run."""
    stream: bool = False
    """Whether replies of language models are told piece by piece."""
    notices: tuple[tuple[Level, str], ...] = ()
    """Told at the start of each run: servers that are not there, for example."""


class Run:
    """One request and what has become of it so far. `go` does it.

    With `plan` the plan is given and none is made. With `resume`, the id of a run in the ledger, that one goes on; its
    request is the one it has.
    """

    def __init__(
        self, crew: Crew, request: str, emit: Emit, *, plan: Plan | None = None, resume: str | None = None
    ) -> None:
        self.crew = crew
        self.request = request
        self.emit = emit
        self.plan = plan
        self.revision = 0
        """That of the plan; 0 before there is one."""
        self.results: dict[str, StepResult] = {}
        self.plans: dict[str, Plan] = {}
        """Goal -> its plan."""
        self.result: RunResult | None = None
        self.slots = Slots(crew.concurrency)
        self._resume = resume
        self._state = State(schema=SCHEMA)
        self._started = time.perf_counter()
        self._main: asyncio.Task[RunResult] | None = None
        self._lost: BottegaError | None = None
        self._told_to_stop = False

    @property
    def round(self) -> int:
        """Goes up with each new plan, and with each time that the run is gone on with after its end: what failed in an
        earlier round is tried again."""
        return self.revision + self._state.get("again", 0)

    async def go(self) -> RunResult:
        """Does the request. What goes wrong in plans, steps and tools is in the result; a cancellation goes on up.

        Raises `LedgerError` where the run cannot be kept, `RunBusy` where another process works on it or has taken it
        over, `UsageError` for a run to resume that is not there, has succeeded or belongs to another folder. What a
        planner or a router raises beside `BottegaError` fails the run and goes on up.
        """
        self._main = asyncio.current_task()
        assert self._main is not None
        record = await self._opened()
        self._equip(record)
        if record is None:
            self.emit(RunStarted(run=self.id, request=self.request, workspace=str(self.crew.workspace.root)))
        else:
            finished = dict.fromkeys(kept.step for kept in record.steps if kept.result.status == "succeeded")
            self.emit(RunResumed(run=self.id, request=self.request, steps=tuple(finished)))
        for level, text in self.crew.notices:
            self.notice(level, text)
        if self.budget.cost is not None and self.crew.chat is not None and self.crew.chat.price == (0.0, 0.0):
            self.notice("warning", f"the budget in money cannot hold: what {self.crew.chat.model} costs is not known")
        try:
            async with asyncio.timeout(self._seconds_left(record)) as deadline, self._leased():
                while (node := following(self._state)) is not None:
                    self._state.update(await NODES[node](self._state, self))
        except FATAL:
            raise
        except Exception as error:
            if not (isinstance(error, TimeoutError) and deadline.expired()):
                await self.finish(Report("failed", self._so_far(f"It broke: {type(error).__name__}: {error}")))
                raise
            await self.finish(Report("exhausted", self._so_far(f"The {self.budget.seconds:g} seconds are over.")))
        except asyncio.CancelledError:
            if self._lost is not None:
                raise self._lost from None
            with contextlib.suppress(BottegaError):
                await self.finish(Report("cancelled", self._so_far("Cancelled.")))
            if not self._told_to_stop or self.result is None:
                raise
            self._main.uncancel()
        assert self.result is not None
        return self.result

    def heard(self, result: StepResult) -> None:
        """Takes note of a step's result."""
        self.results[result.step] = result
        self.emit(StepFinished(run=self.id, result=result))

    def notice(self, level: Level, text: str) -> None:
        """Tells the person something."""
        self.emit(Notice(run=self.id, level=level, text=text))

    def complete_as(self, step: str) -> Complete | None:
        """The run's language model for who is no step."""
        if self.crew.chat is None:
            return None
        return lambda request: self.completions.ask(step, request)

    async def save(self, state: State, *, route: Route | None = None, plan: Plan | None = None) -> None:
        """Keeps where the run is, with the route or the plan that was made there."""
        self._state.update(state)
        await self.writer.save(self._state, route=route, plan=("", plan) if plan else None)

    async def finish(self, said: Report) -> None:
        """Ends the run with these words."""
        steps = self.plan.steps if self.plan else ()
        seconds = time.perf_counter() - self._started
        usage = self.account.usage
        if said.status == "waiting":
            ways = {"approval": "y|n", "plan": "y|n", "uncertain": "done|again|n", "question": "TEXT"}
            waits = [f"bottega runs answer {q.id} {ways[q.kind]}" for q in self.approvals.open.values()]
            said = Report(said.status, "\n".join([said.answer, *waits]))
        self.result = RunResult(
            run=self.id,
            request=self.request,
            status=said.status,
            answer=said.answer,
            route=self.context.route,
            plan=self.plan,
            results=tuple(self.results[s.id] for s in steps if s.id in self.results),
            questions=tuple(self.approvals.open.values()),
            usage=usage.model_copy(update={"seconds": round(usage.seconds + seconds, 3)}),
        )
        await self.writer.finish(said.status, said.answer, seconds, waits=tuple(self.approvals.open))
        self.emit(RunFinished(run=self.id, result=self.result))

    async def _opened(self) -> RunRecord | None:
        """Leases the run: a new one, or the one to resume with all that is known of it."""
        ledger = self.crew.ledger
        if self._resume is None:
            self.budget = self.crew.budget
            self.writer = await ledger.create(self.request, str(self.crew.workspace.root), self.budget)
            self.id = self.writer.run
            return None
        self.id = await ledger.resolve(self._resume)
        before = await ledger.load(self.id)
        if before.summary.status == "succeeded":
            raise UsageError(f"{self.id} has succeeded already", hint=f"`bottega runs show {self.id}` tells its answer")
        self._check_folder(before.summary.workspace)
        self.writer = await ledger.take(self.id)
        again = before.summary.status not in ("running", "waiting")
        if again:  # what was refused may be asked about once more
            asked = before.questions.items()
            await self.writer.forget([id for id, a in asked if a.answer and a.answer.decision == "deny"])
        record = await ledger.load(self.id)
        self.request = record.summary.request
        # A limit that is given anew goes before the one that the run was started with.
        self.budget = record.budget.model_copy(update=self.crew.budget.model_dump(exclude_defaults=True))
        if self.budget != record.budget:
            await self.writer.allow(self.budget)
        self.plans = dict(record.plans)
        self.plan = self.plans.pop("", None)
        self._state.update(record.state)  # type: ignore[typeddict-item]
        self.revision = self.plan.revision if self.plan else 0
        if again:
            given = bool(self._state.get("given"))
            self._state = State(schema=SCHEMA, given=given, again=self._state.get("again", 0) + 1)
            if self.plan is not None:
                self._state.update(State(at="plan", plans=1))
            await self.writer.save(self._state)
        return record

    def _check_folder(self, folder: str) -> None:
        """Raises `UsageError` where a run belongs to another folder. One that is gone may have been moved here."""
        if folder != str(self.crew.workspace.root) and Path(folder).is_dir():
            raise UsageError(
                f"{self.id} works in {folder}, not in {self.crew.workspace.root}", hint=f"--workspace {folder}"
            )

    def _equip(self, record: RunRecord | None) -> None:
        """Makes what the stations work with."""
        crew, spent = self.crew, record.usage if record else Usage()
        self.account = Account.of(self.budget, spent)
        self.journal = Journal(self.writer, record.calls if record else {})
        self.steps = Steps(self, record.steps if record else ())
        self.completions = Completions(
            self.id, crew.chat, self.journal, self.steps.account, self.emit, stream=crew.stream
        )
        self.context = PlanningContext(
            crew.workspace,
            crew.tools,
            crew.specialists,
            self.notice,
            route=record.route if record else None,
            complete=self.complete_as("plan"),
        )
        self.approvals = Approvals(
            crew.approve, self.writer, record.questions if record else {}, self.emit, crew.remember
        )
        self.calls = Calls(
            run=self.id,
            context=ToolContext(crew.workspace, web=crew.policy.web),
            policy=crew.policy,
            approvals=self.approvals,
            journal=self.journal,
            account=self.steps.account,
            limit=asyncio.Semaphore(crew.concurrency),
            emit=self.emit,
        )

    @asynccontextmanager
    async def _leased(self) -> AsyncIterator[None]:
        """Keeps the lease, and listens for what is to be cancelled."""
        beating = asyncio.create_task(self._beat(), name=f"lease of {self.id}")
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.wait([beating])
            await self.approvals.close()

    async def _beat(self) -> None:
        assert self._main is not None
        heeded = 0
        while True:
            await asyncio.sleep(min(BEAT, self.writer.lease / 4))
            try:
                wanted = await self.writer.beat()
            except BottegaError as error:
                self._lost = error
                self._main.cancel()
                return
            for step in wanted[heeded:]:
                if step == "*":
                    self._told_to_stop = True
                    self._main.cancel()
                else:
                    self.steps.cancel(step)
            heeded = len(wanted)

    def _seconds_left(self, record: RunRecord | None) -> float | None:
        if self.budget.seconds is None:
            return None
        return max(0.0, self.budget.seconds - (record.seconds if record else 0.0))

    def _so_far(self, why: str) -> str:
        """What a run that is broken off has, in words."""
        said = report(self.plan, self.results).answer if self.plan and self.results else ""
        return f"{why}\n{said}" if said else why
