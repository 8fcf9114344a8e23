"""The ledger: what runs were asked for, what they have done, and who works on them. The one place that keeps runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection, RowMapping, Table, and_, delete, func, insert, or_, select, update

from ...agents.plan import Answer, Budget, Json, Plan, Question, Route, RunStatus, StepResult
from ...core.errors import RunBusy, UsageError
from ...core.ids import new_id
from ...core.sound import sound
from ...core.usage import Usage
from . import tables as t
from .lease import SECONDS, is_gone, new_owner, spoken
from .payloads import unpack
from .records import AskedQuestion, Call, RunRecord, RunSummary, StepRecord
from .store import Store
from .writer import RunWriter

if TYPE_CHECKING:
    from ...retrieval import Showing

T = TypeVar("T")

ENDED: tuple[RunStatus, ...] = ("succeeded", "partial", "failed", "cannot", "stopped", "exhausted", "cancelled")


class Ledger:
    """A ledger by URL: `sqlite:///FILE` for one machine, `postgresql://...` for many.

    Every method raises `LedgerError` where the database does not do what it is told.
    """

    def __init__(self, url: str, lease: float = SECONDS) -> None:
        self._store = Store(url)
        self._lease = lease

    @property
    def url(self) -> str:
        """Where it is, without a password."""
        return self._store.url

    def prepare(self) -> None:
        """Opens the database and makes the tables; otherwise the first use does."""
        self._store.do(lambda connection: None)

    async def create(self, request: str, workspace: str, budget: Budget) -> RunWriter:
        """A new run, leased to the caller."""
        run, owner = new_id("run"), new_owner()

        def work(connection: Connection) -> None:
            now = self._store.now(connection)
            connection.execute(
                insert(t.runs).values(
                    id=run,
                    request=request,
                    workspace=workspace,
                    status="running",
                    state="{}",
                    budget=budget.model_dump_json(),
                    seconds=0.0,
                    created=now,
                    updated=now,
                    owner=owner,
                    lease_until=now + self._lease,
                    fence=1,
                    cancel="[]",
                )
            )

        await self._store.run(work)
        return RunWriter(self._store, run, owner, fence=1, lease=self._lease)

    async def take(self, run: str) -> RunWriter:
        """Leases a run to the caller, who goes on with it.

        Raises `UsageError` for one that is not here, `RunBusy` while another process has it.
        """
        owner = new_owner()

        def work(connection: Connection) -> int:
            now = self._store.now(connection)
            row = connection.execute(select(t.runs).where(t.runs.c.id == run).with_for_update()).mappings().first()
            if row is None:
                raise UsageError(f"there is no run {run!r}", hint="`bottega runs list` shows what there is")
            if row["owner"] and row["lease_until"] > now and not is_gone(row["owner"]):
                left = row["lease_until"] - now
                raise RunBusy(
                    f"{spoken(row['owner'])} works on {run}",
                    hint=f"`bottega runs cancel {run}` stops it; if it is dead, try again in {left:.0f} seconds",
                )
            connection.execute(
                update(t.runs)
                .where(t.runs.c.id == run)
                .values(
                    owner=owner,
                    lease_until=now + self._lease,
                    fence=row["fence"] + 1,
                    status="running",
                    updated=now,
                    cancel="[]",
                )
            )
            fence: int = row["fence"] + 1
            return fence

        return RunWriter(self._store, run, owner, fence=await self._store.run(work), lease=self._lease)

    async def load(self, run: str) -> RunRecord:
        """All that is known of a run. Raises `UsageError` for one that is not here."""

        def work(connection: Connection) -> RunRecord:
            row = connection.execute(select(t.runs).where(t.runs.c.id == run)).mappings().first()
            if row is None:
                raise UsageError(f"there is no run {run!r}", hint="`bottega runs list` shows what there is")
            return _record(connection, row, self._store.now(connection))

        return await self._store.run(work)

    async def runs(self, limit: int = 20, status: Sequence[RunStatus] = ()) -> list[RunSummary]:
        """The newest runs first, of these statuses or of all. A `running` one without an owner was broken off."""

        def work(connection: Connection) -> list[RunSummary]:
            query = select(t.runs).order_by(t.runs.c.created.desc(), t.runs.c.id.desc()).limit(limit)
            if status:
                query = query.where(t.runs.c.status.in_(status))
            rows = connection.execute(query).mappings().all()
            open_ = t.questions.c.answer.is_(None)
            counts = select(t.questions.c.run, func.count()).where(open_).group_by(t.questions.c.run)
            waiting: dict[str, int] = {row[0]: row[1] for row in connection.execute(counts)}
            now = self._store.now(connection)
            return [_summary(row, waiting.get(row["id"], 0), now) for row in rows]

        return await self._store.run(work)

    async def resolve(self, name: str) -> str:
        """The id of the run that `name` is, ends or begins; `last` is the newest. Raises `UsageError`."""

        def work(connection: Connection) -> str:
            ids = t.runs.c.id
            if name == "last":
                query = select(ids).order_by(t.runs.c.created.desc()).limit(1)
            else:
                same = or_(ids.startswith(name, autoescape=True), ids.endswith(name, autoescape=True))
                query = select(ids).where(same).limit(2)
            found = list(connection.execute(query).scalars())
            if name in found or len(found) == 1:
                return name if name in found else found[0]
            raise UsageError(
                f"{name!r} is the name of several runs" if found else f"there is no run {name!r}",
                hint="`bottega runs list` shows what there is",
            )

        return await self._store.run(work)

    async def cancel(self, run: str, step: str | None = None) -> bool:
        """Asks for a run, or one step of it, to be cancelled; its worker hears of it within a second or so.

        A run that nobody works on is cancelled at once. False where there is nothing to cancel any more.
        """

        def work(connection: Connection) -> bool:
            now = self._store.now(connection)
            row = connection.execute(select(t.runs).where(t.runs.c.id == run).with_for_update()).mappings().first()
            if row is None or row["status"] in ENDED:
                return False
            here = t.runs.c.id == run
            if row["owner"] and row["lease_until"] > now and not is_gone(row["owner"]):
                wanted = [*json.loads(row["cancel"]), step or "*"]
                connection.execute(update(t.runs).where(here).values(cancel=json.dumps(wanted)))
            elif step is not None:
                return False
            else:
                ended = {"status": "cancelled", "owner": None, "updated": now, "fence": row["fence"] + 1}
                connection.execute(update(t.runs).where(here).values(**ended))
                connection.execute(delete(t.questions).where(t.questions.c.run == run, t.questions.c.answer.is_(None)))
            return True

        return await self._store.run(work)

    async def questions(self, run: str | None = None, *, unanswered: bool = True) -> list[AskedQuestion]:
        """What runs wait for, the oldest first."""

        def work(connection: Connection) -> list[AskedQuestion]:
            query = select(t.questions).order_by(t.questions.c.asked, t.questions.c.id)
            if run is not None:
                query = query.where(t.questions.c.run == run)
            if unanswered:
                query = query.where(t.questions.c.answer.is_(None))
            return [_asked(row) for row in connection.execute(query).mappings()]

        return await self._store.run(work)

    async def answer(self, id: str, answer: Answer) -> AskedQuestion:
        """Answers a question, in any order and from any process.

        Raises `UsageError` where it is not here, has an answer, or wants another kind of answer.
        """

        def work(connection: Connection) -> AskedQuestion:
            query = select(t.questions).where(t.questions.c.id == id).with_for_update()
            rows = connection.execute(query).mappings().all()
            if not rows:
                raise UsageError(f"there is no question {id!r}", hint="`bottega runs questions` lists them")
            asked = _asked(next((row for row in rows if row["answer"] is None), rows[-1]))
            if asked.answer is not None:
                raise UsageError(f"the question {id} was answered already: {asked.answer.decision}")
            check_answer(asked.question, answer)
            given = sound(answer)
            here = and_(t.questions.c.run == asked.run, t.questions.c.id == id)
            now = self._store.now(connection)
            connection.execute(update(t.questions).where(here).values(answer=given.model_dump_json(), answered=now))
            return AskedQuestion(asked.run, asked.question, asked.asked, given)

        return await self._store.run(work)

    async def prune(self, older_than: float, keep: int = 0, *, dry_run: bool = False) -> list[str]:
        """Removes ended runs that were touched more than `older_than` seconds ago, but for the newest `keep`.

        Gives their ids. Space is given back to the file, and runs that may still go on are kept.
        """

        def work(connection: Connection) -> list[str]:
            old = self._store.now(connection) - older_than
            query = select(t.runs.c.id, t.runs.c.status, t.runs.c.updated).order_by(t.runs.c.created.desc())
            rows = connection.execute(query.offset(keep)).all()
            gone = [run for run, status, updated in rows if status in ENDED and updated <= old]
            if not dry_run:
                for start in range(0, len(gone), 500):
                    some = gone[start : start + 500]
                    for table in t.OF_A_RUN:
                        connection.execute(delete(table).where(table.c.run.in_(some)))
                    connection.execute(delete(t.runs).where(t.runs.c.id.in_(some)))
            return gone

        gone = await self._store.run(work)
        if gone and not dry_run:
            await self._store.compact()
        return gone

    async def succeeded(self, limit: int = 200) -> list[tuple[str, str, Plan]]:
        """Requests that were done, newest first, with their plans: (run, request, plan)."""

        def work(connection: Connection) -> list[tuple[str, str, Plan]]:
            query = (
                select(t.runs.c.id, t.runs.c.request, t.plans.c.plan)
                .join(t.plans, and_(t.plans.c.run == t.runs.c.id, t.plans.c.goal == ""))
                .where(t.runs.c.status == "succeeded")
                .order_by(t.runs.c.created.desc(), t.plans.c.revision)
                .limit(limit)
            )
            last = {run: (request, plan) for run, request, plan in connection.execute(query)}
            return [(run, request, Plan.model_validate_json(plan)) for run, (request, plan) in last.items()]

        return await self._store.run(work)

    async def showings(self, limit: int = 1000, least: int = 0) -> list[tuple[RunStatus, list[Showing]]]:
        """The status of ended runs, newest first, and for each of their steps what tools were looked at and called.

        None where fewer than `least` runs have ended: reading the plans takes about a tenth of a millisecond each.
        """
        ended = t.runs.c.status.in_(ENDED)

        def work(connection: Connection) -> list[tuple[RunStatus, list[Showing]]]:
            if connection.execute(select(func.count()).where(ended)).scalar_one() < least:
                return []
            newest = select(t.runs.c.id).where(ended).order_by(t.runs.c.created.desc()).limit(limit).subquery()
            query = (
                select(t.runs.c.id, t.runs.c.status, t.plans.c.plan)
                .join(newest, newest.c.id == t.runs.c.id)
                .join(t.plans, and_(t.plans.c.run == t.runs.c.id, t.plans.c.goal == ""))
                .order_by(t.runs.c.created.desc(), t.plans.c.revision)
            )
            last = {run: (status, plan) for run, status, plan in connection.execute(query)}
            ends = select(t.steps.c.run, t.steps.c.step, t.steps.c.status).join(newest, newest.c.id == t.steps.c.run)
            fates = {(run, step): status for run, step, status in connection.execute(ends.order_by(t.steps.c.attempt))}
            return [
                (status, [_showing(step, fates.get((run, step["id"]))) for step in json.loads(plan)["steps"]])
                for run, (status, plan) in last.items()
            ]

        return await self._store.run(work)

    async def edges(self) -> dict[tuple[str, str], float]:
        """The weights between specialists, by (source, target)."""

        def work(connection: Connection) -> dict[tuple[str, str], float]:
            return {(row.source, row.target): row.weight for row in connection.execute(select(t.edges))}

        return await self._store.run(work)

    async def set_edges(self, weights: Mapping[tuple[str, str], float]) -> None:
        """Keeps the weights between specialists."""

        def work(connection: Connection) -> None:
            for (source, target), weight in weights.items():
                connection.execute(delete(t.edges).where(t.edges.c.source == source, t.edges.c.target == target))
                connection.execute(insert(t.edges).values(source=source, target=target, weight=weight))

        await self._store.run(work)

    def close(self) -> None:
        """Lets the database go."""
        self._store.close()


def check_answer(question: Question, answer: Answer) -> None:
    """Raises `UsageError` for an answer that the question does not take."""
    takes = {
        "approval": ("once", "run", "always", "edit", "deny"),
        "uncertain": ("once", "deny", "text"),
        "plan": ("once", "edit", "deny"),
        "question": ("text", "deny"),
    }[question.kind]
    if answer.decision not in takes:
        raise UsageError(f"{question.id} takes {', '.join(takes)}, not {answer.decision}")
    if answer.decision == "edit" and (answer.plan if question.kind == "plan" else answer.arguments) is None:
        raise UsageError(f"{question.id} is to be edited, and the edited {question.kind} is missing")


def _showing(step: Mapping[str, Json], status: str | None) -> Showing:
    from ...retrieval import Showing

    called = frozenset([step["tool"]] if step["tool"] and status in ("succeeded", "failed") else [])
    shown = tuple(step.get("shown") or ())  # plans of older versions do not say it
    return Showing(step["instruction"], shown, called, called if status == "succeeded" else frozenset())


def _summary(row: RowMapping, waiting: int, now: float) -> RunSummary:
    lives = bool(row["owner"]) and row["lease_until"] > now and not is_gone(row["owner"])
    return RunSummary(
        row["id"],
        row["request"],
        row["workspace"],
        row["status"],
        row["created"],
        row["updated"],
        owner=row["owner"] if lives else None,
        waiting=waiting,
    )


def _asked(row: RowMapping) -> AskedQuestion:
    answer = Answer.model_validate_json(row["answer"]) if row["answer"] else None
    return AskedQuestion(row["run"], Question.model_validate_json(row["question"]), row["asked"], answer)


def _record(connection: Connection, row: RowMapping, now: float) -> RunRecord:
    run = row["id"]

    def of(table: Table, *order: str) -> Sequence[RowMapping]:
        query = select(table).where(table.c.run == run).order_by(*(table.c[name] for name in order))
        return connection.execute(query).mappings().all()

    artifacts = {found["digest"]: found["body"] for found in of(t.artifacts)}
    questions = {found["id"]: _asked(found) for found in of(t.questions, "asked")}
    result = unpack(row["result"], artifacts) if row["result"] else {}
    waiting = sum(asked.answer is None for asked in questions.values())
    return RunRecord(
        summary=_summary(row, waiting, now),
        state=json.loads(row["state"]),
        budget=Budget.model_validate_json(row["budget"]),
        seconds=row["seconds"],
        route=Route.model_validate_json(row["route"]) if row["route"] else None,
        answer=result.get("answer"),
        plans={found["goal"]: Plan.model_validate_json(found["plan"]) for found in of(t.plans, "revision")},
        steps=tuple(_step(found, artifacts) for found in of(t.steps, "at", "attempt")),
        calls={found["key"]: _call(found, artifacts) for found in of(t.calls, "at")},
        questions=questions,
    )


def _step(row: RowMapping, artifacts: Mapping[str, bytes]) -> StepRecord:
    result = StepResult.model_validate(unpack(row["result"], artifacts))
    return StepRecord(row["step"], row["digest"], row["attempt"], row["round"], result)


def _call(row: RowMapping, artifacts: Mapping[str, bytes]) -> Call:
    outcome: dict[str, Json] | None = unpack(row["outcome"], artifacts) if row["outcome"] else None
    usage = Usage.model_validate_json(row["usage"]) if row["usage"] else Usage()
    return Call(row["key"], row["step"], row["kind"], row["name"], row["state"], outcome, usage)
