"""Writes what happens in one run, for the process that has its lease: nothing is written by one that has lost it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import ClauseElement, Connection, CursorResult, Table, and_, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ...agents.plan import Answer, Budget, Json, Plan, Question, Route, RunStatus, StepResult
from ...core.errors import RunBusy
from ...core.usage import Usage
from . import tables as t
from .payloads import body, pack
from .store import Store

T = TypeVar("T")

_HELD = (
    select(t.runs.c.id)
    .where(t.runs.c.id == bindparam("run"), t.runs.c.fence == bindparam("fence"))
    .with_for_update(read=True)
)


class RunWriter:
    """One run in the ledger, leased to this process until `release`.

    Every write is checked against the lease's number, the fence: `RunBusy` where another process has taken the run.
    """

    def __init__(self, store: Store, run: str, owner: str, fence: int, lease: float) -> None:
        self.run = run
        self.lease = lease
        self._store = store
        self._owner = owner
        self._fence = fence
        self._written: set[str] = set()
        self._compiled: dict[tuple[str, ...], tuple[str, list[str] | None]] = {}

    async def beat(self) -> Sequence[str]:
        """Keeps the lease for `lease` seconds more; gives what is to be cancelled: ids of steps, `*` for the run."""

        def work(connection: Connection) -> Sequence[str]:
            here = t.runs.c.id == self.run
            connection.execute(update(t.runs).where(here).values(lease_until=self._store.now(connection) + self.lease))
            cancel: list[str] = json.loads(connection.execute(select(t.runs.c.cancel).where(here)).scalar_one())
            return cancel

        return await self._do(work)

    async def save(
        self,
        state: Mapping[str, Json],
        route: Route | None = None,
        plan: tuple[str, Plan] | None = None,
    ) -> None:
        """Keeps the stations passed, and the route or the plan (of a goal; the run's own under "") made there."""

        def work(connection: Connection) -> None:
            values: dict[str, Json] = {"state": json.dumps(dict(state)), "updated": time.time()}
            if route is not None:
                values["route"] = route.model_dump_json()
            connection.execute(update(t.runs).where(t.runs.c.id == self.run).values(**values))
            if plan is not None:
                goal, made = plan
                row = {"run": self.run, "goal": goal, "revision": made.revision, "plan": made.model_dump_json()}
                self._insert(connection, t.plans, row)

        await self._do(work)

    async def plan(self, goal: str, plan: Plan) -> None:
        """Keeps the plan of a goal."""
        row = {"run": self.run, "goal": goal, "revision": plan.revision, "plan": plan.model_dump_json()}
        await self._do(lambda connection: self._insert(connection, t.plans, row))

    async def step(self, result: StepResult, digest: str, attempt: int, round: int) -> None:
        """Keeps the end of an attempt at a step."""
        text, bodies = pack(result.model_dump(mode="json"))

        def work(connection: Connection) -> None:
            row = {
                "run": self.run,
                "step": result.step,
                "digest": digest,
                "attempt": attempt,
                "round": round,
                "status": result.status,
                "result": text,
                "at": time.time(),
            }
            self._insert(connection, t.steps, row)

        await self._do(work, bodies)

    async def intend(self, key: str, step: str, kind: str, name: str) -> None:
        """Notes that a call is about to be made. Returns when that is on the disk."""

        def work(connection: Connection) -> None:
            row = {"run": self.run, "key": key, "step": step, "kind": kind, "name": name, "state": "intended"}
            self._insert(connection, t.calls, {**row, "at": time.time()})

        await self._do(work, sync=True)

    async def outcome(
        self,
        key: str,
        step: str,
        kind: str,
        name: str,
        outcome: Mapping[str, Json],
        usage: Usage,
        *,
        intended: bool,
        state: str = "done",
    ) -> None:
        """Keeps what a call gave; `intended` where it was noted before."""
        text, bodies = pack(outcome)
        spent = usage.model_dump_json(exclude_defaults=True)

        def work(connection: Connection) -> None:
            values = {"state": state, "outcome": text, "usage": spent}
            if intended:
                here = and_(t.calls.c.run == self.run, t.calls.c.key == key)
                connection.execute(update(t.calls).where(here).values(**values))
                return
            row = {"run": self.run, "key": key, "step": step, "kind": kind, "name": name, **values}
            self._insert(connection, t.calls, {**row, "at": time.time()})

        await self._do(work, bodies)

    async def ask(self, question: Question) -> None:
        """Puts a question into the queue; one that is there already stays as it is."""

        def work(connection: Connection) -> None:
            row = {"run": self.run, "id": question.id, "step": question.step, "question": question.model_dump_json()}
            self._insert(connection, t.questions, {**row, "asked": time.time()})

        await self._do(work)

    async def allow(self, budget: Budget) -> None:
        """Gives the run another budget."""
        values = {"budget": budget.model_dump_json()}
        await self._do(
            lambda connection: connection.execute(update(t.runs).where(t.runs.c.id == self.run).values(values))
        )

    async def forget(self, questions: Sequence[str]) -> None:
        """Takes questions out of the queue, with their answers: they may be asked again."""
        here = and_(t.questions.c.run == self.run, t.questions.c.id.in_(questions))
        await self._do(lambda connection: connection.execute(delete(t.questions).where(here)))

    async def answered(self, id: str, answer: Answer) -> None:
        """Keeps the answer that a person gave to this process."""

        def work(connection: Connection) -> None:
            here = and_(t.questions.c.run == self.run, t.questions.c.id == id)
            values = {"answer": answer.model_dump_json(), "answered": time.time()}
            connection.execute(update(t.questions).where(here).values(**values))

        await self._do(work)

    async def finish(self, status: RunStatus, answer: str, seconds: float, waits: Sequence[str] = ()) -> None:
        """Ends the run, and gives up the lease. Questions without an answer are taken back, but for those of `waits`,
        ids of what the run waits for."""
        text, bodies = pack({"answer": answer})

        def work(connection: Connection) -> None:
            values = {"status": status, "result": text, "owner": None, "updated": time.time()}
            here = t.runs.c.id == self.run
            connection.execute(update(t.runs).where(here).values(seconds=t.runs.c.seconds + seconds, **values))
            open_ = and_(t.questions.c.run == self.run, t.questions.c.answer.is_(None))
            connection.execute(delete(t.questions).where(open_, t.questions.c.id.not_in(waits)))

        await self._do(work, bodies)

    def _insert(self, connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
        """Inserts a row, but where it is there already: a transaction may be tried again after its server went away."""
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        self._execute(connection, table.name, lambda: dialect.insert(table).on_conflict_do_nothing(), row)

    def _execute(
        self, connection: Connection, name: str, statement: Callable[[], ClauseElement], row: Mapping[str, Any]
    ) -> CursorResult[Any]:
        """Executes what every step does anew, compiled once: to prepare it would take longer than to do it."""
        key = (name, *row)
        if key not in self._compiled:
            made: Any = statement().compile(dialect=connection.dialect, column_keys=list(row))
            self._compiled[key] = made.string, made.positiontup
        text, order = self._compiled[key]
        return connection.exec_driver_sql(text, tuple(row[name] for name in order) if order else dict(row))

    async def _do(
        self, work: Callable[[Connection], T], bodies: Mapping[str, bytes] | None = None, *, sync: bool = False
    ) -> T:
        """Does `work` in a transaction of which the artifacts `bodies` are a part."""
        new = {digest: artifact for digest, artifact in (bodies or {}).items() if digest not in self._written}

        def fenced(connection: Connection) -> T:
            held = self._execute(connection, "held", lambda: _HELD, {"run": self.run, "fence": self._fence})
            if held.first() is None:
                raise RunBusy(
                    f"another process has taken {self.run} over; this one has stopped",
                    hint=f"`bottega runs show {self.run}` tells how far it is",
                )
            for digest, artifact in new.items():
                self._insert(connection, t.artifacts, {"run": self.run, "digest": digest, "body": body(artifact)})
            return work(connection)

        done = await self._store.run(fenced, sync=sync)
        self._written.update(new)
        return done
