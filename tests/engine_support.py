"""Runs on the real engine and a real ledger, leg by leg, in a world that notes what was really done."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from bottega.agents.plan import Answer, Json, Plan, Question, RunResult, Step, StepResult
from bottega.agents.planning import PlanningContext
from bottega.agents.specialist import Specialist, house_specialists
from bottega.core.errors import ServerError, ToolError
from bottega.graphs.events import Event
from bottega.graphs.ledger import AskedQuestion, Ledger, RunRecord
from bottega.graphs.run import Crew, Run
from bottega.tools import Tool, ToolContext, Toolset, Workspace, tool
from bottega.tools.policy import Policy


class Crash(BaseException):
    """The process dies here."""


@dataclass
class World:
    """What calls have done, whatever any ledger says."""

    made: list[str] = field(default_factory=list)
    """`tool tag` of each call that was begun, in order."""
    ended: list[str] = field(default_factory=list)
    fails: Counter[str] = field(default_factory=Counter)
    """Tag -> how often a call with it will fail from now on."""
    lost: Counter[str] = field(default_factory=Counter)
    """Tag -> how often the server will die during a call, from now on."""
    turns: dict[str, int] = field(default_factory=dict)
    """Tag -> how many turns of the event loop a call takes."""
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    """Tag -> what its call waits for."""
    reached: dict[str, asyncio.Event] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    under_way: int = 0
    most: int = 0

    def times(self, call: str) -> int:
        return self.made.count(call)

    async def do(self, name: str, tag: str, key: str) -> str:
        call = f"{name} {tag}"
        self.made.append(call)
        self.keys.append(key)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if tag in self.reached:
                self.reached[tag].set()
            if tag in self.gates:
                await self.gates[tag].wait()
            for _ in range(self.turns.get(tag, 0)):
                await asyncio.sleep(0)
        finally:
            self.under_way -= 1
        self.ended.append(call)
        if self.lost[tag] > 0:
            self.lost[tag] -= 1
            raise ServerError("the server died")
        if self.fails[tag] > 0:
            self.fails[tag] -= 1
            raise ToolError(f"{tag} failed")
        return f"{name} of {tag}"

    def tools(self) -> tuple[Tool, ...]:
        """`desk/look` only reads, `desk/put` may be repeated, `desk/send` may not."""

        @tool(read_only=True)
        async def look(tag: str, context: ToolContext, seen: list[Json] | None = None) -> str:
            """Look something up."""
            return await self.do("look", tag, context.key)

        @tool(destructive=False, idempotent=True)
        async def put(tag: str, context: ToolContext, seen: list[Json] | None = None) -> str:
            """Put something where it belongs."""
            return await self.do("put", tag, context.key)

        @tool
        async def send(tag: str, context: ToolContext, seen: list[Json] | None = None) -> str:
            """Send something off."""
            return await self.do("send", tag, context.key)

        return Toolset.of("desk", "A desk.", [look, put, send]).tools


class Planner:
    """Plans requests and goals as it is told: request or instruction -> steps, or what to raise.

    After a failure it gives those of `revision`. `asked` holds what it was asked, `given` what each could refer to.
    """

    def __init__(
        self,
        plans: Mapping[str, Sequence[Step] | BaseException],
        revision: Callable[[Plan, Mapping[str, StepResult]], Sequence[Step] | None] = lambda plan, results: None,
    ) -> None:
        self.asked: list[str] = []
        self.given: list[list[str]] = []
        self._plans = plans
        self._revision = revision

    async def plan(self, request: str, context: PlanningContext) -> Plan:
        self.asked.append(request)
        self.given.append(list(context.given))
        steps = self._plans[request]
        if isinstance(steps, BaseException):
            raise steps
        return Plan(request=request, steps=tuple(steps))

    async def revise(self, plan: Plan, results: Mapping[str, StepResult], context: PlanningContext) -> Plan | None:
        steps = self._revision(plan, results)
        return None if steps is None else Plan(request=plan.request, steps=tuple(steps))


@dataclass
class Bench:
    """Does the request `do it` in legs, as so many processes would, one after the other."""

    folder: Path
    url: str
    world: World = field(default_factory=World)
    events: list[Event] = field(default_factory=list)
    on_event: Callable[[Event], None] = lambda event: None
    lease: float = 10.0

    def emit(self, event: Event) -> None:
        self.events.append(event)
        self.on_event(event)

    def crew(self, ledger: Ledger, planner: Any, **more: Any) -> Crew:
        more.setdefault("approve", "all")
        more.setdefault("policy", Policy())
        more["specialists"] = (*more.get("specialists", ()), *house_specialists())
        more.setdefault("tools", self.world.tools())
        return Crew(workspace=Workspace.at(self.folder), planner=planner, ledger=ledger, **more)

    async def go(self, planner: Any, *, resume: str | None = None, plan: Plan | None = None, **more: Any) -> RunResult:
        """One leg. `planner` may be steps."""
        ledger = Ledger(self.url, lease=self.lease)
        planner = Planner({"do it": planner}) if isinstance(planner, Sequence) else planner
        try:
            return await Run(self.crew(ledger, planner, **more), "do it", self.emit, plan=plan, resume=resume).go()
        finally:
            ledger.close()

    def run(self, planner: Any, **more: Any) -> RunResult:
        return asyncio.run(self.go(planner, **more))

    def crashes(self, planner: Any, when: Callable[[Event], bool], **more: Any) -> None:
        """A leg whose process dies at the first event for which `when` holds; the lease is over then."""

        def crash(event: Event) -> None:
            if when(event):
                raise Crash

        self.on_event = crash
        try:
            self.run(planner, **more)
        except BaseException as error:
            if not holds_crash(error):
                raise
        else:
            raise AssertionError("it did not crash")
        finally:
            self.on_event = lambda event: None
        self.expire()

    def expire(self) -> None:
        """Lets time pass until nobody has a run any more."""
        sql(self.url, "UPDATE bottega_runs SET lease_until = 0")

    def record(self, run: str = "last") -> RunRecord:
        async def load(ledger: Ledger) -> RunRecord:
            return await ledger.load(await ledger.resolve(run))

        return self.asks(load)

    def questions(self) -> list[Question]:
        """What waits for an answer."""
        asked: list[AskedQuestion] = self.asks(lambda ledger: ledger.questions())
        return [one.question for one in asked]

    def answer(self, question: str, decision: Any, **more: Any) -> None:
        """Answers a question as another process would."""
        self.asks(lambda ledger: ledger.answer(question, Answer(decision=decision, **more)))

    def asks(self, work: Callable[[Ledger], Any]) -> Any:
        ledger = Ledger(self.url)
        try:
            return asyncio.run(work(ledger))
        finally:
            ledger.close()

    def started(self) -> list[str]:
        return [event.step for event in self.events if event.type == "step_started"]

    def types(self) -> list[str]:
        return [event.type for event in self.events]


def holds_crash(error: BaseException) -> bool:
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return isinstance(error, Crash) or any(map(holds_crash, inner))


def sql(url: str, *statements: str) -> list[Any]:
    """Does what no ledger does, and gives the rows of the last statement."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        done = [connection.execute(text(statement)) for statement in statements]
        rows = [tuple(row) for row in done[-1]] if done[-1].returns_rows else []
    engine.dispose()
    return rows


def step(id: str, kind: str | None = "look", **more: Any) -> Step:
    """A step that calls a tool of the desk with its id as tag. With `kind` None: a goal, or one for a specialist."""
    arguments = more.pop("arguments", {"tag": id} if kind else {})
    return Step(
        id=id,
        instruction=more.pop("instruction", f"do {id}"),
        tool=f"desk/{kind}" if kind else None,
        arguments=arguments,
        **more,
    )


def leader(chat: Any, *team: Specialist, **more: Any) -> Specialist:
    return Specialist("leader", "Leads.", prompt="Lead.", chat=chat, team=team, **more)
