"""What any ledger holds to, SQLite or PostgreSQL: what is written is read back, and one process writes at a time."""

from __future__ import annotations

import asyncio
import inspect
import random
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import postgres
import pytest
from elsewhere import Elsewhere
from engine_support import sql
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from bottega.agents.plan import Answer, Budget, Plan, Question, Reference, Route, Step, StepResult
from bottega.core.errors import LedgerError, RunBusy, UsageError
from bottega.core.usage import Usage
from bottega.graphs.ledger import ENDED, Ledger, RunRecord, RunWriter, tables
from bottega.graphs.ledger.payloads import body, pack, unpack
from bottega.retrieval import Showing

T = TypeVar("T")


def do(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


@pytest.fixture
def opened(ledger_url: str) -> Iterator[Callable[..., Ledger]]:
    """Opens the test's ledger, once for every process that there would be."""
    ledgers: list[Ledger] = []

    def opened(lease: float = 10.0) -> Ledger:
        ledgers.append(Ledger(ledger_url, lease=lease))
        return ledgers[-1]

    yield opened
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def ledger(opened: Callable[..., Ledger]) -> Ledger:
    return opened()


@pytest.fixture
def elsewhere(ledger_url: str) -> Iterator[Callable[..., Elsewhere]]:
    """Starts other processes at the test's ledger."""
    started: list[Elsewhere] = []

    def elsewhere(lease: float = 10.0, machine: str = "") -> Elsewhere:
        started.append(Elsewhere(ledger_url, lease, machine))
        return started[-1]

    yield elsewhere
    for process in started:
        process.dies()


def create(ledger: Ledger, request: str = "count the lamps") -> RunWriter:
    return do(ledger.create(request, "/somewhere", Budget(calls=7)))


def result(id: str, value: Any = None, status: Any = "succeeded") -> StepResult:
    return StepResult(step=id, status=status, value=value, text=str(value))


def question(id: str, step: str = "s1", kind: Any = "approval") -> Question:
    return Question(id=id, kind=kind, step=step, text="may it?", tool="desk/write", arguments={"text": "13"})


PLAN = Plan(
    request="count the lamps",
    steps=(
        Step(id="s1", instruction="count", tool="desk/count", arguments={"word": "lamp"}),
        Step(id="s2", instruction="write", tool="desk/write", arguments={"number": Reference(from_="s1", path="n")}),
    ),
)
YES = Answer(decision="once")


# What is written is read back


def test_all_that_is_written_of_a_run_is_read_back_by_another_process(opened: Callable[..., Ledger]) -> None:
    async def main() -> RunRecord:
        writer = await opened().create("count the lamps", "/somewhere", Budget(calls=7))
        route = Route(kind="plan", confidence=0.5, scores={"operator": 0.5})
        await writer.save({"at": "plan", "plans": 1}, route=route, plan=("", PLAN))
        await writer.save({"at": "plan", "plans": 2}, plan=("", PLAN.model_copy(update={"revision": 2})))
        await writer.plan("s2", PLAN.model_copy(update={"request": "a goal"}))
        await writer.intend("k1", "s1", "tool", "desk/write")
        await writer.outcome("k1", "s1", "tool", "desk/write", {"text": "a"}, Usage(tool_calls=1), intended=True)
        await writer.outcome("k2", "s1", "model", "m", {"text": "b"}, Usage(input_tokens=5), intended=False)
        await writer.outcome("k3", "s2", "tool", "t", {}, Usage(), intended=False, state="uncertain")
        await writer.intend("k4", "s2", "tool", "t")
        await writer.step(result("s1", status="failed"), "digest", 1, 1)
        await writer.step(result("s1", {"n": 3}), "digest", 2, 1)
        await writer.ask(question("ask-1"))
        await writer.ask(question("ask-2"))
        await writer.answered("ask-1", YES)
        await writer.finish("partial", "There are 3.", seconds=1.5, waits=["ask-2"])
        return await opened().load(writer.run)

    record = do(main())
    summary = record.summary
    assert (summary.request, summary.workspace, summary.status) == ("count the lamps", "/somewhere", "partial")
    assert (summary.owner, summary.waiting) == (None, 1)
    assert abs(summary.created - time.time()) < 60
    assert (record.state, record.budget, record.seconds) == ({"at": "plan", "plans": 2}, Budget(calls=7), 1.5)
    assert record.route is not None
    assert record.route.scores == {"operator": 0.5}
    assert record.answer == "There are 3."
    assert record.plans[""] == PLAN.model_copy(update={"revision": 2})
    assert record.plans["s2"].request == "a goal"
    assert [(s.step, s.attempt, s.result.status, s.result.value) for s in record.steps] == [
        ("s1", 1, "failed", None),
        ("s1", 2, "succeeded", {"n": 3}),
    ]
    assert {key: call.state for key, call in record.calls.items()} == {
        "k1": "done",
        "k2": "done",
        "k3": "uncertain",
        "k4": "intended",
    }
    assert record.calls["k1"].outcome == {"text": "a"}
    assert record.usage == Usage(tool_calls=1, input_tokens=5, seconds=1.5)
    assert {id: asked.answer for id, asked in record.questions.items()} == {"ask-1": YES, "ask-2": None}


def test_what_is_written_twice_stays_as_it_was_first(ledger: Ledger) -> None:
    writer = create(ledger)
    for value in (1, 2):
        do(writer.step(result("s1", value), "digest", 1, 1))
        do(writer.ask(question("ask-1", step=f"s{value}")))
        do(writer.outcome("k", "s1", "tool", "t", {"n": value}, Usage(), intended=False))
    record = do(ledger.load(writer.run))
    assert [s.result.value for s in record.steps] == [1]
    assert record.calls["k"].outcome == {"n": 1}
    assert [asked.question.step for asked in record.questions.values()] == ["s1"]


def test_a_run_that_is_not_there_is_told_so(ledger: Ledger) -> None:
    for work in (ledger.load("run-x"), ledger.take("run-x"), ledger.resolve("run-x"), ledger.resolve("last")):
        with pytest.raises(UsageError, match="there is no run"):
            do(work)
    assert do(ledger.cancel("run-x")) is False


def test_a_run_goes_by_its_id_its_start_its_end_and_last(ledger: Ledger) -> None:
    first, second = create(ledger).run, create(ledger).run
    assert do(ledger.resolve(first)) == first
    assert do(ledger.resolve("last")) == second
    ends = next(n for n in range(1, len(first)) if first[-n:] != second[-n:])
    assert do(ledger.resolve(first[-ends:])) == first
    starts = next(n for n in range(1, len(first) + 1) if first[:n] != second[:n])
    assert do(ledger.resolve(first[:starts])) == first
    with pytest.raises(UsageError, match="several"):
        do(ledger.resolve("run-"))
    for joker in ("%", "_", "run-%", f"{first[:-1]}_"):  # no patterns
        with pytest.raises(UsageError, match="no run"):
            do(ledger.resolve(joker))


def test_runs_are_listed_newest_first_by_status_and_with_their_questions(ledger: Ledger) -> None:
    first, second, third = (create(ledger) for _ in range(3))
    do(first.finish("succeeded", "done", 0.1))
    do(second.ask(question("ask-1")))
    do(second.finish("waiting", "it waits", 0.1, waits=["ask-1"]))
    listed = do(ledger.runs())
    assert [run.id for run in listed] == [third.run, second.run, first.run]
    assert [run.waiting for run in listed] == [0, 1, 0]
    assert [run.owner is not None for run in listed] == [True, False, False]
    assert [run.id for run in do(ledger.runs(limit=1))] == [third.run]
    assert [run.id for run in do(ledger.runs(status=["waiting", "succeeded"]))] == [second.run, first.run]


anything = st.text(st.characters(exclude_categories=()))  # NUL and halves of surrogate pairs too
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**4000), 10**4000)
    | st.floats(allow_nan=False)
    | anything,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def exact(record: Any) -> dict[str, str]:
    """A record so that 1 and True, 0.0 and -0.0 are told apart."""
    return {name: repr(value) for name, value in record.items()}


@given(st.dictionaries(st.sampled_from("abcd"), json_values | st.text(min_size=600, max_size=700)))
def test_any_json_is_packed_and_unpacked_as_it_was(record: dict[str, Any]) -> None:
    packed, bodies = pack(record)
    stored = {digest: body(artifact) for digest, artifact in bodies.items()}
    assert exact(unpack(packed, stored)) == exact(record)
    packed.encode()


@settings(max_examples=40)
@given(st.data())
def test_any_result_is_read_back_exactly(ledger_of_all: Ledger, data: st.DataObject) -> None:
    value, text_ = data.draw(json_values), data.draw(anything)
    given = StepResult(step="s1", status="succeeded", value=value, text=text_, error=text_[:5] or None)

    async def main() -> RunRecord:
        writer = await ledger_of_all.create("any", "/", Budget())
        await writer.step(given, "digest", 1, 1)
        await writer.outcome("k", "s1", "tool", "t", {"data": value, "text": text_}, Usage(), intended=False)
        await writer.finish("succeeded", text_, 0.0)
        return await ledger_of_all.load(writer.run)

    record = do(main())
    assert repr(record.steps[0].result) == repr(given)
    assert exact(record.calls["k"].outcome) == exact({"data": value, "text": text_})
    assert record.answer == text_


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def ledger_of_all(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """One for all examples of a property."""
    ledger = Ledger("sqlite://" if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    yield ledger
    ledger.close()


def test_questions_and_plans_take_any_text(ledger: Ledger) -> None:
    odd = "\0 \x1b[31m ü \u202e \U0001f600"
    plan = Plan(request="x", steps=(Step(id="s1", instruction=odd, tool="t", arguments={"text": odd}),))
    asked = Question(id="ask-1", kind="question", step="s1", text=odd, arguments={"text": odd})
    writer = create(ledger)
    do(writer.save({"at": "plan"}, plan=("", plan)))
    do(writer.plan("s1", plan))
    do(writer.ask(asked))
    do(ledger.answer("ask-1", Answer(decision="text", text=f"{odd}\udcff")))  # a command line may hold such a byte
    record = do(ledger.load(writer.run))
    assert record.plans == {"": plan, "s1": plan}
    assert record.questions["ask-1"].question == asked
    assert record.questions["ask-1"].answer == Answer(decision="text", text=f"{odd}\N{REPLACEMENT CHARACTER}")


def test_names_may_be_long(ledger: Ledger) -> None:
    long = noise(1_000)
    writer = create(ledger)
    do(writer.plan(long, PLAN))
    do(writer.step(result(long), "digest", 1, 1))
    do(writer.intend("k", long, "tool", f"{long}/{long}"))
    do(writer.ask(question("ask-1", step=long)))
    do(ledger.set_edges({(long, long[::-1]): 0.5}))
    record = do(ledger.load(writer.run))
    assert (record.steps[0].step, record.calls["k"].step, set(record.plans)) == (long, long, {long})
    assert do(ledger.edges()) == {(long, long[::-1]): 0.5}


def test_a_large_value_lies_in_the_database_once(ledger_url: str, tmp_path: Path) -> None:
    if not ledger_url.startswith("sqlite"):
        pytest.skip("the size of one table's rows is asked of SQLite")
    ledger = Ledger(ledger_url)
    writer = create(ledger)
    large = noise(100_000)
    for n in range(20):
        given = StepResult(step=f"s{n}", status="succeeded", value=large, text=large)
        do(writer.step(given, "digest", 1, 1))
        do(writer.outcome(f"k{n}", f"s{n}", "tool", "t", {"text": large}, Usage(), intended=False))
    assert [s.result.value for s in do(ledger.load(writer.run)).steps] == [large] * 20
    ledger.close()
    assert (tmp_path / "ledger.db").stat().st_size < 200_000


def noise(size: int) -> str:
    """Text that does not compress much."""
    return "".join(random.Random(size).choices("0123456789abcdefghijklmnopqrstuvwxyz" * 2, k=size))


# One process at a time

WRITES: dict[str, Callable[[RunWriter], Awaitable[object]]] = {
    "beat": lambda w: w.beat(),
    "save": lambda w: w.save({"at": "late"}, route=Route(kind="cannot"), plan=("", PLAN)),
    "plan": lambda w: w.plan("s9", PLAN),
    "step": lambda w: w.step(result("s9", noise(1000)), "digest", 1, 1),
    "intend": lambda w: w.intend("k9", "s9", "tool", "t"),
    "outcome": lambda w: w.outcome("k9", "s9", "tool", "t", {"text": noise(1000)}, Usage(), intended=False),
    "ask": lambda w: w.ask(question("ask-9")),
    "answered": lambda w: w.answered("ask-1", YES),
    "allow": lambda w: w.allow(Budget(calls=99)),
    "forget": lambda w: w.forget(["ask-1"]),
    "finish": lambda w: w.finish("succeeded", "late", 9.0),
}


def test_whoever_has_lost_a_run_writes_nothing_to_it_any_more(opened: Callable[..., Ledger]) -> None:
    assert set(WRITES) == {n for n, f in inspect.getmembers(RunWriter, inspect.iscoroutinefunction) if n[0] != "_"}
    ledger = opened(lease=0.0)  # over as soon as it begins
    old = create(ledger)
    do(old.ask(question("ask-1")))
    new = do(opened().take(old.run))
    before = do(ledger.load(old.run))
    for name, write in WRITES.items():
        with pytest.raises(RunBusy, match="taken"):
            do(write(old))
        assert do(ledger.load(old.run)) == before, name
    do(new.finish("succeeded", "the new one's", 0.0))
    assert do(ledger.load(old.run)).answer == "the new one's"


def test_an_ended_run_still_belongs_to_whoever_takes_it_next(opened: Callable[..., Ledger]) -> None:
    old = create(opened())
    do(old.finish("partial", "half", 0.0))
    new = do(opened().take(old.run))
    with pytest.raises(RunBusy):
        do(old.step(result("s1"), "digest", 1, 1))
    do(new.step(result("s1"), "digest", 1, 1))


def test_a_run_that_somebody_works_on_is_not_given_away(ledger: Ledger, elsewhere: Callable[..., Elsewhere]) -> None:
    other = elsewhere(lease=5.0)
    run = other.does("create", "theirs")
    with pytest.raises(RunBusy, match=f"process {other.pid} on .* works on {run}") as busy:
        do(ledger.take(run))
    assert busy.value.hint is not None
    assert f"bottega runs cancel {run}" in busy.value.hint
    listed = do(ledger.runs())[0]
    assert str(other.pid) in (listed.owner or "")
    other.does("step", run, "s1")


def test_the_run_of_a_process_that_died_here_is_taken_over_at_once(
    ledger: Ledger, elsewhere: Callable[..., Elsewhere]
) -> None:
    other = elsewhere(lease=3600.0)
    run = other.does("create", "theirs")
    other.does("step", run, "s1")
    other.dies()
    assert do(ledger.runs())[0].owner is None
    do(do(ledger.take(run)).step(result("s2"), "digest", 1, 1))
    assert [s.step for s in do(ledger.load(run)).steps] == ["s1", "s2"]


def test_the_run_of_a_process_that_died_on_another_machine_is_taken_over_when_its_lease_is_over(
    ledger: Ledger, elsewhere: Callable[..., Elsewhere]
) -> None:
    other = elsewhere(lease=0.5, machine="far-away")
    run = other.does("create", "theirs")
    other.does("beat", run)
    beaten = time.monotonic()
    other.dies()
    with pytest.raises(RunBusy, match="on far-away"):
        do(ledger.take(run))
    taken(ledger, run)
    assert 0.4 < time.monotonic() - beaten < 1.5


def test_a_frozen_process_has_its_run_until_the_lease_is_over_and_no_longer(
    ledger: Ledger, elsewhere: Callable[..., Elsewhere]
) -> None:
    other = elsewhere(lease=0.5)
    run = other.does("create", "theirs")
    other.freezes()
    with pytest.raises(RunBusy):
        do(ledger.take(run))
    writer = taken(ledger, run)
    other.thaws()
    with pytest.raises(AssertionError, match="RunBusy: another process has taken"):
        other.does("step", run, "s1")
    do(writer.step(result("s2"), "digest", 1, 1))
    assert [s.step for s in do(ledger.load(run)).steps] == ["s2"]


def taken(ledger: Ledger, run: str, within: float = 5.0) -> RunWriter:
    """Takes a run as soon as it can be had."""
    until = time.monotonic() + within
    while True:
        try:
            return do(ledger.take(run))
        except RunBusy:
            assert time.monotonic() < until
            threading.Event().wait(0.02)


def test_a_lease_lasts_as_long_as_it_is_kept(opened: Callable[..., Ledger]) -> None:
    writer, other = create(opened(lease=0.4)), opened()
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        do(writer.beat())
        with pytest.raises(RunBusy):
            do(other.take(writer.run))
    do(writer.step(result("s1"), "digest", 1, 1))


def test_of_many_that_want_a_run_at_once_one_gets_it(opened: Callable[..., Ledger]) -> None:
    run = create(opened(lease=0.0)).run
    ledgers = [opened() for _ in range(6)]
    for ledger in ledgers:
        ledger.prepare()
    together = threading.Barrier(len(ledgers))
    got: list[RunWriter] = []
    busy: list[RunBusy] = []

    def want(ledger: Ledger) -> None:
        together.wait()
        try:
            got.append(do(ledger.take(run)))
        except RunBusy as error:
            busy.append(error)

    threads = [threading.Thread(target=want, args=[ledger]) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(busy)) == (1, 5)


def test_many_processes_may_open_a_new_ledger_at_once(opened: Callable[..., Ledger]) -> None:
    ledgers = [opened() for _ in range(6)]
    together = threading.Barrier(len(ledgers))
    runs: list[str] = []

    def begin(ledger: Ledger) -> None:
        together.wait()
        runs.append(create(ledger).run)

    threads = [threading.Thread(target=begin, args=[ledger]) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {run.id for run in do(ledgers[0].runs())} == set(runs)
    assert len(runs) == 6


# Cancelling


def test_a_worker_is_told_what_another_process_wants_cancelled(
    ledger: Ledger, elsewhere: Callable[..., Elsewhere]
) -> None:
    writer = create(ledger)
    other = elsewhere()
    assert do(writer.beat()) == []
    assert other.does("cancel", writer.run, "s2") is True
    assert do(writer.beat()) == ["s2"]
    assert other.does("cancel", writer.run, None) is True
    assert do(writer.beat()) == ["s2", "*"]
    assert do(ledger.load(writer.run)).summary.status == "running"  # until its worker has ended it
    do(writer.finish("cancelled", "", 0.0))
    assert other.does("cancel", writer.run, None) is False
    assert do(do(ledger.take(writer.run)).beat()) == []


def test_a_run_that_nobody_works_on_is_cancelled_at_once(opened: Callable[..., Ledger]) -> None:
    ledger = opened(lease=0.0)
    left = create(ledger)
    waiting = create(ledger)
    do(waiting.finish("waiting", "", 0.0))
    for writer in (left, waiting):
        assert do(ledger.cancel(writer.run, "s1")) is False  # there is nobody who could
        assert do(ledger.cancel(writer.run)) is True
        assert do(ledger.load(writer.run)).summary.status == "cancelled"
        assert do(ledger.cancel(writer.run)) is False
    with pytest.raises(RunBusy):  # should it still be alive, it hears of it with its next write
        do(left.beat())


# Questions


def test_questions_are_answered_in_any_order_and_from_another_process(
    ledger: Ledger, elsewhere: Callable[..., Elsewhere]
) -> None:
    writer = create(ledger)
    for n in range(4):
        do(writer.ask(question(f"ask-{n}", step=f"s{n}")))
    do(writer.finish("waiting", "", 0.0, waits=[f"ask-{n}" for n in range(4)]))
    other = elsewhere()
    assert [asked.question.id for asked in do(ledger.questions(writer.run))] == [f"ask-{n}" for n in range(4)]
    for n in (2, 0, 3):
        assert other.does("answer", f"ask-{n}", {"decision": "deny", "text": f"no {n}"}) == writer.run
    assert [asked.question.id for asked in do(ledger.questions())] == ["ask-1"]
    answers = {id: asked.answer for id, asked in do(ledger.load(writer.run)).questions.items()}
    assert answers["ask-1"] is None
    assert answers["ask-2"] == Answer(decision="deny", text="no 2")
    assert do(ledger.runs())[0].waiting == 1
    assert len(do(ledger.questions(writer.run, unanswered=False))) == 4


def test_a_question_is_answered_once(ledger: Ledger) -> None:
    do(create(ledger).ask(question("ask-1")))
    do(ledger.answer("ask-1", YES))
    with pytest.raises(UsageError, match="answered already: once"):
        do(ledger.answer("ask-1", Answer(decision="deny")))
    with pytest.raises(UsageError, match="no question 'ask-2'"):
        do(ledger.answer("ask-2", YES))


TAKES = {
    "approval": {"once", "run", "always", "edit", "deny"},
    "uncertain": {"once", "deny", "text"},
    "plan": {"once", "edit", "deny"},
    "question": {"text", "deny"},
}


@pytest.mark.parametrize("kind", TAKES)
def test_a_question_takes_its_own_answers_and_no_others(ledger: Ledger, kind: str) -> None:
    writer = create(ledger)
    for n, decision in enumerate(("once", "run", "always", "edit", "deny", "text")):
        asked = question(f"ask-{n}", kind=kind)
        do(writer.ask(asked))
        answer = Answer.model_validate({"decision": decision, "arguments": {}, "plan": PLAN})
        if decision in TAKES[kind]:
            assert do(ledger.answer(asked.id, answer)).answer == answer
        else:
            with pytest.raises(UsageError, match=f"not {decision}"):
                do(ledger.answer(asked.id, answer))
    assert len(do(ledger.questions())) == 6 - len(TAKES[kind])


@pytest.mark.parametrize(("kind", "missing"), [("approval", "plan"), ("plan", "arguments")])
def test_an_edit_without_what_was_edited_is_refused(ledger: Ledger, kind: str, missing: str) -> None:
    do(create(ledger).ask(question("ask-1", kind=kind)))
    wrong = Answer.model_validate({"decision": "edit", missing: PLAN if missing == "plan" else {"a": 1}})
    with pytest.raises(UsageError, match="missing"):
        do(ledger.answer("ask-1", wrong))


# Pruning


def test_pruning_takes_ended_runs_with_all_they_have_and_keeps_what_may_go_on(opened: Callable[..., Ledger]) -> None:
    ledger = opened(lease=0.0)  # so that a running one counts as broken off
    kept: list[str] = []
    for status in ("waiting", "running"):
        kept.append(_filled(ledger, status))
    ended = [_filled(ledger, status) for status in ENDED]
    alive = create(opened())
    assert do(ledger.prune(older_than=3600.0)) == []
    assert set(do(ledger.prune(older_than=-60.0, dry_run=True))) == set(ended)
    assert len(do(ledger.runs())) == len(ENDED) + 3
    assert set(do(ledger.prune(older_than=-60.0))) == set(ended)
    assert {run.id for run in do(ledger.runs())} == {*kept, alive.run}
    for run in ended:
        with pytest.raises(UsageError):
            do(ledger.load(run))
    for run in kept:
        record = do(ledger.load(run))
        assert (len(record.steps), len(record.calls), len(record.questions), len(record.plans)) == (1, 1, 1, 1)
    assert len(do(ledger.questions())) == 2


def test_pruning_spares_the_newest(ledger: Ledger) -> None:
    runs = [_filled(ledger, "succeeded") for _ in range(5)]
    assert do(ledger.prune(older_than=-60.0, keep=2)) == runs[2::-1]
    assert [run.id for run in do(ledger.runs())] == [runs[4], runs[3]]


def test_pruning_gives_room_back_to_the_disk(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    ledger = Ledger(f"sqlite:///{file}")
    for n in range(20):
        writer = create(ledger)
        do(writer.step(result("s1", noise(100_000 + n)), "digest", 1, 1))
        do(writer.finish("succeeded", "", 0.0))
    do(ledger.prune(older_than=3600.0))
    before = _on_disk(tmp_path)
    assert before > 1_000_000
    do(ledger.prune(older_than=-60.0, keep=1))
    assert _on_disk(tmp_path) < before / 5
    ledger.close()


def _filled(ledger: Ledger, status: Any) -> str:
    """A run with something in every table."""

    async def main() -> str:
        writer = await ledger.create("any", "/", Budget())
        await writer.save({}, plan=("", PLAN))
        await writer.step(result("s1", noise(1000)), "digest", 1, 1)
        await writer.intend("k", "s1", "tool", "t")
        await writer.ask(question(f"ask-{writer.run}"))
        if status != "running":
            await writer.finish(status, "", 0.0, waits=[f"ask-{writer.run}"])
        return writer.run

    return do(main())


def _on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


# What the workshop remembers beyond one run


def test_plans_that_succeeded_are_found_in_their_last_revision(ledger: Ledger) -> None:
    runs: list[str] = []
    for status in ("succeeded", "failed", "succeeded"):
        writer = create(ledger)
        for revision in (1, 2):
            do(writer.save({}, plan=("", PLAN.model_copy(update={"revision": revision}))))
        do(writer.plan("s1", PLAN))
        do(writer.finish(status, "", 0.0))  # type: ignore[arg-type]
        runs.append(writer.run)
    found = do(ledger.succeeded())
    assert [(run, plan.revision) for run, _, plan in found] == [(runs[2], 2), (runs[0], 2)]
    assert found[0][1] == "count the lamps"


def test_what_was_looked_at_for_a_step_is_told_with_what_became_of_it(ledger: Ledger) -> None:
    steps = (
        Step(id="s1", instruction="count", tool="a/count", shown=("a/count", "a/list")),
        Step(id="s2", instruction="send", tool="b/send", shown=("b/send",)),
        Step(id="s3", instruction="sing", problem="nothing fits", shown=("c/play",)),
    )
    for status in ("partial", "running"):
        writer = create(ledger)
        do(writer.save({}, plan=("", Plan(request="count, send and sing", steps=steps))))
        do(writer.step(result("s1"), "d1", 1, 1))
        failed = StepResult(step="s2", status="failed", error="no network")
        do(writer.step(failed, "d2", 1, 1))
        if status != "running":
            do(writer.finish(status, "", 0.0))  # type: ignore[arg-type]
    count, send = frozenset(["a/count"]), frozenset(["b/send"])
    assert do(ledger.showings()) == [
        (
            "partial",
            [
                Showing("count", ("a/count", "a/list"), count, count),
                Showing("send", ("b/send",), send),
                Showing("sing", ("c/play",)),
            ],
        )
    ]
    assert do(ledger.showings(least=2)) == []


def test_edges_keep_their_last_weight(ledger: Ledger) -> None:
    do(ledger.set_edges({("a", "b"): 0.25, ("b", "a"): 0.5}))
    do(ledger.set_edges({("a", "b"): 0.75}))
    assert do(ledger.edges()) == {("a", "b"): 0.75, ("b", "a"): 0.5}


# Versions


def test_a_ledger_of_a_newer_bottega_is_left_alone(opened: Callable[..., Ledger], ledger_url: str) -> None:
    run = create(opened()).run
    sql(ledger_url, "UPDATE bottega_version SET version = 99")
    newer = opened()
    with pytest.raises(LedgerError, match="version 99") as error:
        newer.prepare()
    assert "newer Bottega" in (error.value.hint or "")
    with pytest.raises(LedgerError, match="version 99"):
        do(newer.load(run))


def test_an_older_ledger_is_brought_up_to_date_with_all_that_is_in_it(
    opened: Callable[..., Ledger], ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _filled(opened(), "succeeded")
    before = do(opened().load(run))
    done: list[int] = []

    def second(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE bottega_runs ADD COLUMN colour TEXT DEFAULT 'red'"))
        done.append(2)

    monkeypatch.setattr(tables, "MIGRATIONS", (*tables.MIGRATIONS, second))
    for _ in range(2):
        assert do(opened().load(run)) == before
    assert done == [2]
    assert sql(ledger_url, "SELECT colour FROM bottega_runs") == [("red",)]


def test_a_migration_that_fails_leaves_the_ledger_as_it_was(
    opened: Callable[..., Ledger], ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _filled(opened(), "succeeded")

    def broken(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE bottega_runs ADD COLUMN colour TEXT"))
        connection.execute(text("SELECT * FROM nowhere"))

    with monkeypatch.context() as patch:
        patch.setattr(tables, "MIGRATIONS", (*tables.MIGRATIONS, broken))
        with pytest.raises(LedgerError, match="nowhere"):
            opened().prepare()
    assert do(opened().load(run)).summary.id == run
    with pytest.raises(DBAPIError, match="colour"):
        sql(ledger_url, "SELECT colour FROM bottega_runs")


# Trouble with the database


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "no database URL"),
        ("mysql://localhost/x", "cannot be kept in 'mysql'"),
        ("postgresql://nobody:hunter2222@127.0.0.1:1/x", "cannot be used"),
        ("sqlite:////proc/nowhere/runs.db", "cannot be used"),
    ],
)
def test_a_database_that_is_not_there_is_one_line_without_the_password(url: str, says: str) -> None:
    with pytest.raises(LedgerError) as error:
        Ledger(url).prepare()
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert "hunter2222" not in str(error.value)


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    file.write_bytes(b"a letter to my aunt\n" * 500)
    with pytest.raises(LedgerError, match="not a database"):
        Ledger(f"sqlite:///{file}").prepare()
    assert file.read_bytes() == b"a letter to my aunt\n" * 500


def test_a_damaged_database_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    ledger = Ledger(f"sqlite:///{file}")
    run = _filled(ledger, "succeeded")
    ledger.close()
    content = bytearray(file.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    file.write_bytes(content)
    ledger = Ledger(f"sqlite:///{file}")
    with pytest.raises(LedgerError) as error:
        do(ledger.load(run))
    assert "\n" not in str(error.value)
    ledger.close()


def test_a_full_disk_is_one_line_and_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    other = Elsewhere(url, full_at=300_000)
    run = other.does("create", "much to keep")
    kept = 0

    def fill() -> None:
        nonlocal kept
        for n in range(1_000):
            other.does("step", run, f"s{n}", noise(10_000 + n))
            kept += 1

    with pytest.raises(AssertionError, match=r"^LedgerError: the ledger .* \(.+\)$") as error:
        fill()
    assert kept > 5
    assert "\n" not in str(error.value)
    other.dies()
    ledger = Ledger(url)
    writer = do(ledger.take(run))
    do(writer.step(result("one more"), "digest", 1, 1))
    record = do(ledger.load(run))
    assert [s.step for s in record.steps] == [*(f"s{n}" for n in range(kept)), "one more"]
    assert record.steps[kept - 1].result.value == noise(10_000 + kept - 1)
    ledger.close()


def test_a_writer_waits_for_another_process_that_is_writing(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'runs.db'}")
    writer = create(ledger)
    other = sqlite3.connect(tmp_path / "runs.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    ended = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    ended.start()
    do(writer.step(result("s1"), "digest", 1, 1))
    ended.join()
    other.close()
    ledger.close()


@pytest.mark.parametrize("at_work", [False, True], ids=["between two writes", "while others write"])
def test_a_database_server_may_be_restarted(postgres_ledger_url: str, at_work: bool) -> None:
    ledger = Ledger(postgres_ledger_url)
    writer = create(ledger)
    large = noise(5_000)
    do(writer.step(result("s1", "before"), "digest", 1, 1))
    if at_work:
        restarting = threading.Thread(target=postgres.restart, args=[postgres_ledger_url])
        restarting.start()
        n = 0
        while restarting.is_alive():
            n += 1
            do(writer.outcome(f"k{n}", "s1", "tool", "t", {"text": f"{n}{large}"}, Usage(), intended=False))
        restarting.join()
        record = do(ledger.load(writer.run))
        assert [call.outcome for call in record.calls.values()] == [{"text": f"{k}{large}"} for k in range(1, n + 1)]
    else:
        postgres.restart(postgres_ledger_url)
    do(writer.step(result("s2", large), "digest", 1, 1))
    assert [s.result.value for s in do(ledger.load(writer.run)).steps] == ["before", large]
    ledger.close()


def test_a_connection_that_breaks_in_a_transaction_loses_no_part_of_it(postgres_ledger_url: str) -> None:
    ledger = Ledger(postgres_ledger_url)
    writer = create(ledger)
    sql(
        postgres_ledger_url,
        "CREATE SEQUENCE deaths",
        """CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('deaths') = 1 THEN
           PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NEW; END $$""",
        "CREATE TRIGGER dying BEFORE INSERT ON bottega_steps FOR EACH ROW EXECUTE FUNCTION die()",
    )
    do(writer.step(result("s1", noise(5_000)), "digest", 1, 1))
    assert sql(postgres_ledger_url, "SELECT last_value FROM deaths") == [(2,)]
    assert [s.result.value for s in do(ledger.load(writer.run)).steps] == [noise(5_000)]
    ledger.close()


# Anything, in any order


class Model:
    """A run as it has to be."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.status = "running"
        self.answer: str | None = None
        self.state: dict[str, Any] = {}
        self.plan: int | None = None
        self.steps: dict[tuple[str, int], Any] = {}
        self.calls: dict[str, tuple[str, Any]] = {}
        self.questions: dict[str, str | None] = {}
        self.cancel: list[str] = []
        self.fence = 1
        self.leased = False
        """To somebody whose lease does not end while this is looked at."""

    def take_back(self, *waits: str) -> None:
        """Nobody waits any more for answers to other questions."""
        self.questions = {id: said for id, said in self.questions.items() if said is not None or id in waits}


class LedgerMachine(RuleBasedStateMachine):
    """Processes come, work and die; others take over. What the ledger says is what a plain dict says."""

    url = ""
    writers = Bundle("writers")

    def __init__(self) -> None:
        super().__init__()
        self.patient = Ledger(self.url, lease=3600.0)
        """Its leases last."""
        self.hasty = Ledger(self.url, lease=0.0)
        """Its processes are as good as dead: what they work on is anybody's."""
        self.patient.prepare()
        sql(self.url, *(f"DELETE FROM {table.name}" for table in (*tables.OF_A_RUN, tables.runs)))
        self.models: dict[str, Model] = {}
        self.count = 0

    def _new(self) -> int:
        self.count += 1
        return self.count

    @rule(target=writers, lasting=st.booleans())
    def create(self, lasting: bool) -> Any:
        writer = do((self.patient if lasting else self.hasty).create("any", "/", Budget()))
        self.models[writer.run] = Model(writer.run)
        self.models[writer.run].leased = lasting
        return (writer, 1)

    @rule(target=writers, before=writers, lasting=st.booleans())
    def take(self, before: tuple[RunWriter, int], lasting: bool) -> Any:
        model = self.models.get(before[0].run)
        work = (self.patient if lasting else self.hasty).take(before[0].run)
        if model is None:
            with pytest.raises(UsageError):
                do(work)
            return multiple()
        if model.leased:
            with pytest.raises(RunBusy):
                do(work)
            return multiple()
        writer = do(work)
        model.fence += 1
        model.status, model.leased, model.cancel = "running", lasting, []
        return (writer, model.fence)

    def _written(self, who: tuple[RunWriter, int], work: Coroutine[Any, Any, T]) -> tuple[Model | None, T | None]:
        """Does a write that only the owner may do; the model to change where it was done."""
        model = self.models.get(who[0].run)
        if model is None or model.fence != who[1]:
            with pytest.raises(RunBusy):
                do(work)
            return None, None
        return model, do(work)

    @rule(who=writers, at=st.sampled_from(["route", "plan"]), plan=st.booleans())
    def save(self, who: tuple[RunWriter, int], at: str, plan: bool) -> None:
        number = self._new()
        made = ("", PLAN.model_copy(update={"revision": number})) if plan else None
        model, _ = self._written(who, who[0].save({"at": at, "n": number}, plan=made))
        if model:
            model.state = {"at": at, "n": number}
            model.plan = number if plan else model.plan

    @rule(who=writers, step=st.sampled_from("ab"), attempt=st.integers(1, 2), size=st.sampled_from([1, 700]))
    def step(self, who: tuple[RunWriter, int], step: str, attempt: int, size: int) -> None:
        value = f"{self._new()}" * size
        model, _ = self._written(who, who[0].step(result(step, value), "digest", attempt, 1))
        if model:
            model.steps.setdefault((step, attempt), value)

    @rule(who=writers, key=st.sampled_from("xy"))
    def intend(self, who: tuple[RunWriter, int], key: str) -> None:
        model, _ = self._written(who, who[0].intend(key, "a", "tool", "t"))
        if model:
            model.calls.setdefault(key, ("intended", None))

    @rule(who=writers, key=st.sampled_from("xy"), state=st.sampled_from(["done", "uncertain"]), intended=st.booleans())
    def outcome(self, who: tuple[RunWriter, int], key: str, state: str, intended: bool) -> None:
        gave = {"n": self._new()}
        work = who[0].outcome(key, "a", "tool", "t", gave, Usage(), intended=intended, state=state)
        model, _ = self._written(who, work)
        if not model:
            return
        if not intended:
            model.calls.setdefault(key, (state, gave))
        elif key in model.calls:
            model.calls[key] = (state, gave)

    @rule(who=writers)
    def ask(self, who: tuple[RunWriter, int]) -> None:
        id = f"ask-{self._new()}"
        model, _ = self._written(who, who[0].ask(question(id)))
        if model:
            model.questions[id] = None

    @precondition(lambda self: any(model.questions for model in self.models.values()))
    @rule(data=st.data(), decision=st.sampled_from(["once", "deny", "text"]))
    def answer(self, data: st.DataObject, decision: Any) -> None:
        ids = sorted(id for model in self.models.values() for id in model.questions)
        id = data.draw(st.sampled_from(ids))
        (model,) = [model for model in self.models.values() if id in model.questions]
        work = self.patient.answer(id, Answer(decision=decision))
        if decision == "text" or model.questions[id] is not None:
            with pytest.raises(UsageError):
                do(work)
            return
        assert do(work).run == model.run
        model.questions[id] = decision

    @rule(who=writers, step=st.sampled_from([None, "a"]))
    def cancel(self, who: tuple[RunWriter, int], step: str | None) -> None:
        model = self.models.get(who[0].run)
        done = do(self.hasty.cancel(who[0].run, step))
        if model is None or model.status in ENDED:
            assert not done
        elif model.leased:
            assert done
            model.cancel.append(step or "*")
        else:
            assert done == (step is None)
            if done:
                model.status, model.fence = "cancelled", model.fence + 1
                model.take_back()

    @rule(who=writers)
    def beat(self, who: tuple[RunWriter, int]) -> None:
        model, wanted = self._written(who, who[0].beat())
        if model:
            assert wanted == model.cancel

    @rule(who=writers, status=st.sampled_from(["succeeded", "waiting", "exhausted"]), waits=st.booleans())
    def finish(self, who: tuple[RunWriter, int], status: Any, waits: bool) -> None:
        answer, before = f"{self._new()}", self.models.get(who[0].run)
        kept = list(before.questions)[:1] if before and waits else []
        model, _ = self._written(who, who[0].finish(status, answer, 1.0, waits=kept))
        if model:
            model.status, model.answer, model.leased = status, answer, False
            model.take_back(*kept)

    @rule(keep=st.integers(0, 3))
    def prune(self, keep: int) -> None:
        ended = [model.run for model in list(self.models.values())[::-1][keep:] if model.status in ENDED]
        assert do(self.patient.prune(older_than=-60.0, keep=keep)) == ended
        for run in ended:
            del self.models[run]

    @invariant()
    def the_ledger_says_what_was_done(self) -> None:
        listed = do(self.patient.runs(limit=100))
        assert [run.id for run in listed] == list(self.models)[::-1]
        for run in listed:
            model, record = self.models[run.id], do(self.hasty.load(run.id))
            open_ = sum(answer is None for answer in model.questions.values())
            assert (run.status, run.owner is not None, run.waiting) == (model.status, model.leased, open_)
            assert record.summary == run
            assert (record.state, record.answer) == (model.state, model.answer)
            assert {goal: plan.revision for goal, plan in record.plans.items()} == (
                {"": model.plan} if model.plan else {}
            )
            assert {(s.step, s.attempt): s.result.value for s in record.steps} == model.steps
            assert {key: (call.state, call.outcome) for key, call in record.calls.items()} == model.calls
            asked = {id: a.answer.decision if a.answer else None for id, a in record.questions.items()}
            assert asked == model.questions

    def teardown(self) -> None:
        self.patient.close()
        self.hasty.close()


def test_runs_takes_writes_deaths_and_questions_in_any_order_are_what_a_dict_says(ledger_url: str) -> None:
    class Machine(LedgerMachine):
        url = ledger_url

    examples = 12 if ledger_url.startswith("sqlite") else 5
    run_machine(Machine, settings=settings(max_examples=examples, stateful_step_count=25))
