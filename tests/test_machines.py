"""Anything in any order: the budget, what people are asked, and plans that change while they are done, each held
against a model that is too simple to be wrong."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from engine_support import Bench, Crash, Planner, holds_crash, step
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from hypothesis.stateful import run_state_machine_as_test as run_machine

from bottega.agents.plan import Answer, Budget, Json, Plan, Question, Reference, Step, StepResult
from bottega.core.errors import BudgetExceeded, Halt, PermissionNeeded, ToolError
from bottega.core.usage import Usage
from bottega.graphs.approvals import Approvals
from bottega.graphs.budget import Account
from bottega.graphs.events import Event
from bottega.graphs.ledger import Ledger
from bottega.tools import Toolset, tool

T = TypeVar("T")


class Looped(RuleBasedStateMachine):
    """A machine with an event loop of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def settled(self) -> None:
        """Lets every task go as far as it can."""
        for _ in range(10):
            self.do(asyncio.sleep(0))

    def teardown(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.settled()
        self.loop.close()


# The budget

NAMES = ("tokens", "cost", "calls")


def usage(tokens: float, cost: float, calls: float) -> Usage:
    return Usage(input_tokens=int(tokens), cost=cost, tool_calls=int(calls))


@dataclass
class Purse:
    """What an account may be asked for, in the model."""

    account: Account
    limits: dict[str, float]
    whole: Purse | None
    spent: Counter[str] = field(default_factory=Counter)
    reserved: Counter[str] = field(default_factory=Counter)

    def chain(self) -> list[Purse]:
        return [self, *(self.whole.chain() if self.whole else [])]

    def left(self, name: str) -> float:
        return min(p.limits[name] - p.spent[name] - p.reserved[name] for p in self.chain())

    def fits(self, wanted: Mapping[str, float]) -> bool:
        return all(not wanted[name] or self.left(name) >= wanted[name] for name in NAMES)

    def never_fits(self, wanted: Mapping[str, float]) -> bool:
        return any(wanted[n] and p.spent[n] + wanted[n] > p.limits[n] for p in self.chain() for n in NAMES)


@dataclass
class Wish:
    purse: Purse
    wanted: dict[str, float]
    task: asyncio.Task[Usage]


INFINITE = float("inf")
# Eighths of a dollar and quarters of a budget: sums of them are exact.
amounts = st.tuples(st.integers(0, 40), st.integers(0, 24).map(lambda n: n / 8), st.integers(0, 3))


class AccountMachine(Looped):
    """Calls set aside, spend and give back, in an account and in portions of it."""

    purses = Bundle("purses")
    given = Bundle("given")

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Wish] = []
        self.all: list[Purse] = []

    @initialize(
        target=purses,
        tokens=st.none() | st.integers(0, 100),
        cost=st.none() | st.integers(0, 60).map(lambda n: n / 8),
        calls=st.none() | st.integers(0, 8),
        before=amounts,
    )
    def open(self, tokens: int | None, cost: float | None, calls: int | None, before: tuple[int, float, int]) -> Purse:
        budget = Budget(tokens=tokens, cost=cost, calls=calls)
        limits = {"tokens": tokens, "cost": cost, "calls": calls}
        purse = Purse(
            Account.of(budget, usage(*before)),
            {name: INFINITE if limit is None else limit for name, limit in limits.items()},
            None,
            Counter(dict(zip(NAMES, before, strict=True))),
        )
        self.all.append(purse)
        return purse

    @rule(target=purses, whole=purses, share=st.sampled_from([0.25, 0.5, 1.0]))
    def portion(self, whole: Purse, share: float) -> Purse:
        limits = {name: whole.left(name) * share for name in NAMES}
        self.all.append(Purse(whole.account.portion(share), limits, whole))
        return self.all[-1]

    @rule(target=given, purse=purses, most=amounts)
    def reserve(self, purse: Purse, most: tuple[int, float, int]) -> Any:
        wanted = dict(zip(NAMES, most, strict=True))
        task = self.loop.create_task(purse.account.reserve(lambda: usage(*most)))
        self.waiting.append(Wish(purse, wanted, task))
        return multiple(*self._served())

    @rule(target=given, wish=consumes(given), parts=st.tuples(*[st.sampled_from([0, 0.5, 1])] * 3))
    def settle(self, wish: Wish, parts: tuple[float, float, float]) -> Any:
        used = {name: wish.wanted[name] * part for name, part in zip(NAMES, parts, strict=True)}
        used = {name: amount if name == "cost" else int(amount) for name, amount in used.items()}
        wish.purse.account.settle(usage(**wish.wanted), usage(**used))
        for purse in wish.purse.chain():
            purse.reserved.subtract(wish.wanted)
            purse.spent.update(used)
        return multiple(*self._served())

    @precondition(lambda self: self.waiting)
    @rule(target=given, data=st.data())
    def leave(self, data: st.DataObject) -> Any:
        wish = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(wish)
        wish.task.cancel()
        return multiple(*self._served())

    def _served(self) -> list[Wish]:
        """The wishes that were granted meanwhile. Whoever was refused had to be."""
        self.settled()
        served: list[Wish] = []
        for wish in [w for w in self.waiting if w.task.done()]:
            self.waiting.remove(wish)
            if wish.task.exception() is None:
                for purse in wish.purse.chain():
                    purse.reserved.update(wish.wanted)
                served.append(wish)
            else:
                assert isinstance(wish.task.exception(), BudgetExceeded)
                assert wish.purse.never_fits(wish.wanted)
        return served

    @invariant()
    def nothing_is_ever_promised_twice(self) -> None:
        for purse in self.all:
            for name in NAMES:
                # What was spent before a run is resumed may be more than it may spend now.
                assert purse.reserved[name] == 0 or purse.spent[name] + purse.reserved[name] <= purse.limits[name]
                assert purse.account.left(name) == purse.left(name)

    @invariant()
    def nobody_waits_for_what_there_is_or_cannot_be(self) -> None:
        for wish in self.waiting:
            assert not wish.purse.fits(wish.wanted)
            assert any(purse.reserved.total() for purse in wish.purse.chain())


def test_nothing_is_spent_beyond_a_budget_and_nobody_waits_in_vain() -> None:
    run_machine(AccountMachine, settings=settings(max_examples=60, stateful_step_count=30))


@given(st.lists(st.floats(0.001, 0.2), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_what_floats_leave_over_is_not_waited_for(costs: list[float], random: Any) -> None:
    async def main() -> None:
        account = Account.of(Budget(cost=3.0), Usage())
        held = [await account.reserve(lambda cost=cost: Usage(cost=cost)) for cost in costs]  # type: ignore[misc]
        random.shuffle(held)
        for most in held:
            account.settle(most, Usage())
        async with asyncio.timeout(5):
            await account.reserve(lambda: Usage(cost=3.0))

    asyncio.run(main())


# What people are asked


def note(text: str, n: int = 0) -> str:
    """Note something."""
    return text


TOOLS = {name: Toolset.of("desk", "A desk.", [tool(name=name)(note)]).tools[0] for name in ("send", "put")}
CALLS = list(itertools.product(("s1", "s2"), TOOLS, ({"text": "a"}, {"text": "b"}, {"text": "a", "n": 1})))
EDITED = {"text": "edited"}
Call = tuple[str, str, dict[str, Json]]


def key_of(call: Call) -> str:
    return json.dumps(call)


def form_of(call: Call) -> str:
    return json.dumps([call[1], sorted(call[2])])


def question_of(step_id: str) -> str:
    return f"Which one, {step_id}?"


decisions = st.sampled_from(["once", "run", "always", "edit", "deny"])


class ApprovalsMachine(Looped):
    """A run asks, dies and comes again; people answer at the terminal or from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger("sqlite://")
        self.writer = self.do(self.ledger.create("any", "/", Budget()))
        self.kept: dict[str, str | None] = {}
        """Question -> the decision that the ledger has, in the model."""
        self.seen: dict[str, str] = {}
        """What the process that lives now knows of it."""
        self.forms: set[str] = set()
        self.says = "once"
        self.asked: list[str] = []
        self.begin("later")

    @rule(mode=st.sampled_from(["later", "person", "nobody", "all"]))
    def begin(self, mode: str) -> None:
        """Another process goes on with the run."""
        self.mode = mode
        approve: Any = {"later": "later", "all": "all", "nobody": None, "person": self._person}[mode]
        known = self.do(self.ledger.load(self.writer.run)).questions
        self.approvals = Approvals(approve, self.writer, known, lambda event: None)
        self.seen = {key: decision for key, decision in self.kept.items() if decision is not None}
        calls = {key_of(call): call for call in CALLS}
        self.forms = {form_of(calls[key]) for key, said in self.seen.items() if said in ("run", "always")}

    async def _person(self, question: Question) -> Answer:
        self.asked.append(question.id)
        await asyncio.sleep(0)
        if question.kind == "question":
            return Answer(decision="text", text=question.text.upper())
        return Answer(decision=self.says, arguments=EDITED)  # type: ignore[arg-type]

    @rule(call=st.sampled_from(CALLS), says=decisions, times=st.integers(1, 3))
    def permit(self, call: Call, says: str, times: int) -> None:
        """Some calls, all the same, want to be made at once."""
        self.says = says
        key, form = key_of(call), form_of(call)
        before = len(self.asked)
        known = "form" if form in self.forms else self.seen.get(key)
        if known is None and self.mode == "person":
            known = self.kept[key] = self.seen[key] = says
            assert known is not None
        elif known is None and self.mode == "all":
            known = self.seen[key] = "once"  # not kept: another process asks for itself
        elif known is None and self.mode == "later":
            self.kept.setdefault(key, None)
            known = "wait"

        async def all_at_once() -> list[Any]:
            return await asyncio.gather(*(self._permit(call) for _ in range(times)), return_exceptions=True)

        asks = key not in self._ids() or not self._ids()[key]
        gave = self.do(all_at_once())
        expected: Any = {
            "form": call[2],
            "once": call[2],
            "run": call[2],
            "always": call[2],
            "edit": EDITED,
            "deny": PermissionNeeded,
            "wait": Halt,
            None: PermissionNeeded,
        }[known]
        for one in gave:
            assert one == expected if isinstance(expected, dict) else isinstance(one, expected), (known, gave)
        if known in ("run", "always"):
            self.forms.add(form)
        assert len(self.asked) - before <= 1
        assert asks or len(self.asked) == before or self.mode == "person"

    async def _permit(self, call: Call) -> dict[str, Json]:
        step_id, name, arguments = call
        return await self.approvals.permit(step(step_id), TOOLS[name], arguments, "it may destroy")

    @rule(step_id=st.sampled_from(["s1", "s2"]))
    def ask(self, step_id: str) -> None:
        """A step wants to know something."""
        text = question_of(step_id)
        known = self.seen.get(text)
        if known is None and self.mode == "person":
            known = self.kept[text] = self.seen[text] = "text"
        elif known is None and self.mode == "later":
            self.kept.setdefault(text, None)
            known = "wait"
        work = self.approvals.ask(step(step_id), text)
        if known == "text":
            assert self.do(work) == text.upper()
        else:
            with pytest.raises(Halt if known == "wait" else PermissionNeeded):
                self.do(work)

    @precondition(lambda self: None in self.kept.values())
    @rule(data=st.data(), decision=decisions)
    def answer(self, data: st.DataObject, decision: Any) -> None:
        """Somebody answers from elsewhere; the process that lives now does not hear of it."""
        key = data.draw(st.sampled_from(sorted(key for key, said in self.kept.items() if said is None)))
        text = key.startswith("Which")
        answer = Answer(decision="text", text=key.upper()) if text else Answer(decision=decision, arguments=EDITED)
        self.do(self.ledger.answer(next(iter(self._ids()[key])), answer))
        self.kept[key] = answer.decision

    def _ids(self) -> dict[str, set[str]]:
        """Call, or text of a question -> ids of the questions about it that the ledger has."""
        ids: dict[str, set[str]] = {}
        for asked in self.do(self.ledger.questions(unanswered=False)):
            q = asked.question
            key = q.text if q.kind == "question" else key_of((q.step, (q.tool or "")[5:], q.arguments or {}))
            ids.setdefault(key, set()).add(q.id)
        return ids

    @invariant()
    def the_queue_holds_each_question_once_with_its_last_answer(self) -> None:
        found = self.do(self.ledger.load(self.writer.run)).questions
        ids = self._ids()
        assert set(ids) == set(self.kept)
        for key, decision in self.kept.items():
            (id,) = ids[key]
            answer = found[id].answer
            assert (answer.decision if answer else None) == decision

    def teardown(self) -> None:
        self.ledger.close()
        super().teardown()


def test_a_question_is_asked_once_and_its_answer_holds_whoever_goes_on_with_the_run() -> None:
    run_machine(ApprovalsMachine, settings=settings(max_examples=25, stateful_step_count=20))


# Plans that change


@dataclass(frozen=True)
class Part:
    """A step, in the model: which one, in which form, and what it uses."""

    id: str
    form: int
    needs: tuple[str, ...]

    def step(self) -> Step:
        arguments = {"tag": f"{self.id}.{self.form}", "seen": [Reference(from_=need) for need in self.needs]}
        return step(self.id, "work", arguments=arguments)


Parts = tuple[Part, ...]


@st.composite
def plans(draw: st.DrawFn) -> Parts:
    made: list[Part] = []
    for n in range(draw(st.integers(2, 6))):
        needs = draw(st.lists(st.sampled_from([p.id for p in made]), unique=True, max_size=2)) if made else []
        made.append(Part(f"s{n}", 0, tuple(needs)))
    return tuple(made)


@st.composite
def changes(draw: st.DrawFn, plan: Parts) -> Parts:
    """Another plan: some steps stay, some are done otherwise, some use other results, some go, some are new."""
    made: list[Part] = []
    for part in plan:
        ids = [p.id for p in made]
        needs = tuple(need for need in part.needs if need in ids)
        match draw(st.sampled_from(["keep", "keep", "keep", "form", "needs", "drop"])):
            case "form":
                made.append(Part(part.id, part.form + 1, needs))
            case "needs" if ids:
                made.append(
                    Part(part.id, part.form, tuple(draw(st.lists(st.sampled_from(ids), unique=True, max_size=2))))
                )
            case "drop" if len(plan) > 1:
                pass
            case _:
                made.append(Part(part.id, part.form, needs))
    if not made or draw(st.booleans()):
        ids = [p.id for p in made]
        needs = draw(st.lists(st.sampled_from(ids), unique=True, max_size=2)) if ids else []
        new = next(f"s{n}" for n in itertools.count() if f"s{n}" not in {p.id for p in (*plan, *made)})
        made.append(Part(new, 0, tuple(needs)))
    return tuple(made)


def values(plan: Parts) -> dict[str, str]:
    """What each step of a plan has to give."""
    found: dict[str, str] = {}
    for part in plan:
        found[part.id] = f"{part.id}.{part.form}({','.join(found[need] for need in part.needs)})"
    return found


class PlansMachine(RuleBasedStateMachine):
    """A run is planned, fails, is planned anew, dies and is gone on with, until all of its last plan is done."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.bench = Bench(self.folder, f"sqlite:///{self.folder / 'runs.db'}")
        self.done: Counter[str] = Counter()
        """What a call gave that did not fail -> how often it was made."""
        self.failing: set[str] = set()
        self.failed: set[str] = set()
        """What may have failed in legs of this round: a run that died goes on as it was."""
        self.plan: Parts = ()
        self.ended = True

        @tool(read_only=True)
        async def work(tag: str, seen: list[Json]) -> str:
            """Do a part of the work."""
            if tag.partition(".")[0] in self.failing:
                raise ToolError(f"{tag} failed")
            gave = f"{tag}({','.join(map(str, seen))})"
            self.done[gave] += 1
            return gave

        self.tools = Toolset.of("desk", "A desk.", [work]).tools

    @precondition(lambda self: self.ended)
    @rule(plan=plans(), data=st.data())
    def begin(self, plan: Parts, data: st.DataObject) -> None:
        self.plan, self.ended = plan, False
        self.done.clear()
        self._leg(data, resume=None)

    @precondition(lambda self: not self.ended)
    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        self._leg(data, resume="last")

    def _leg(self, data: st.DataObject, resume: str | None) -> None:
        ids = [part.id for part in self.plan]
        self.failing = data.draw(st.just({ids[-1]}) | st.sets(st.sampled_from(ids), max_size=2), label="failing")
        self.failed |= self.failing
        other = data.draw(st.one_of(st.none(), *[changes(self.plan)] * 3), label="another plan")
        dies_at = data.draw(st.one_of(st.none(), st.none(), st.integers(1, 40)), label="dies at event")
        before = self.plan

        def revised(plan: Plan, results: Mapping[str, StepResult]) -> list[Step] | None:
            assert [s.id for s in plan.steps] == [part.id for part in before]
            assert any(result.status == "failed" for result in results.values())
            return None if other is None else [part.step() for part in other]

        count = 0

        def dies(event: Event) -> None:
            nonlocal count
            count += 1
            if count == dies_at:
                raise Crash
            if event.type == "planned" and event.plan.revision > 1 and other is not None:
                self.plan = other

        planner = Planner({"do it": [part.step() for part in self.plan]}, revision=revised)
        self.bench.on_event = dies
        try:
            result = self.bench.run(planner, resume=resume, tools=self.tools, concurrency=3)
        except BaseException as error:
            if not holds_crash(error):
                raise
            self.bench.expire()
            self.plan = self._kept_plan() or self.plan
            self.ended = self.bench.record().summary.status == "succeeded"  # it died telling so
            return
        finally:
            self.bench.on_event = lambda event: None
        self.plan = self._kept_plan() or self.plan
        expected, gave = values(self.plan), {r.step: r for r in result.results}
        assert list(gave) == list(expected)
        for part in self.plan:
            lost = any(gave[need].status != "succeeded" for need in part.needs)
            if gave[part.id].status == "succeeded":
                assert gave[part.id].value == expected[part.id]
            else:
                assert gave[part.id].status == ("skipped" if lost else "failed")
                assert lost or part.id in self.failed
        self.failed.clear()
        self.ended = result.status == "succeeded"
        assert self.ended == all(r.status == "succeeded" for r in gave.values())

    def _kept_plan(self) -> Parts | None:
        """The plan that the ledger has, as the model writes it."""
        plan = self.bench.record().plans.get("")
        if plan is None:
            return None
        return tuple(Part(s.id, int(s.arguments["tag"].rpartition(".")[2]), s.needs) for s in plan.steps)

    @invariant()
    def nothing_that_was_done_is_done_again(self) -> None:
        assert set(self.done.values()) <= {1}, self.done

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


def test_whatever_becomes_of_the_plan_what_is_finished_is_not_done_again() -> None:
    run_machine(PlansMachine, settings=settings(max_examples=12, stateful_step_count=6))
