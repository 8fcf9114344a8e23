"""The engine as a whole, run after run: plans in plans, delegation, attempts, budgets, people, cancelling, crashes."""

from __future__ import annotations

import asyncio
import json
import random
import string
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import postgres
import pytest
from engine_support import Bench, Planner, World, leader, sql, step
from hypothesis import given, settings
from hypothesis import strategies as st

from bottega.agents.plan import Answer, Budget, Each, Plan, Question, Reference, RunResult, Step
from bottega.agents.specialist import Specialist
from bottega.core.errors import LedgerError, ModelError, RunBusy, UsageError
from bottega.core.usage import Usage
from bottega.graphs.events import Event
from bottega.graphs.ledger import Ledger
from bottega.graphs.run import Run
from bottega.models.chat import ChatReply, ChatRequest, ToolUse, open_chat
from bottega.testing import ChatServer, ScriptedModel, wants
from bottega.tools import ToolResult, Toolset, tool
from bottega.tools.policy import Rule


@pytest.fixture(scope="module", autouse=True)
def no_pauses() -> Iterator[None]:
    """Attempts follow each other at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bottega.graphs.steps.PAUSE", 0.0)
        yield


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    folder = tmp_path / "folder"
    folder.mkdir()
    return Bench(folder, f"sqlite:///{tmp_path / 'runs.db'}")


@pytest.fixture
def any_bench(tmp_path: Path, ledger_url: str) -> Bench:
    """On SQLite and on PostgreSQL."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return Bench(folder, ledger_url)


def from_(id: str, path: str = "") -> Reference:
    return Reference(from_=id, path=path)


# Any plan


@dataclass(frozen=True)
class Spec:
    """A step of a generated plan, and what becomes of it."""

    path: str
    needs: tuple[str, ...]
    turns: int
    fails: int
    retries: int
    goal: tuple[Spec, ...] = ()

    @property
    def id(self) -> str:
        return self.path.rpartition("/")[2]

    def step(self) -> Step:
        if self.goal:
            return Step(id=self.id, instruction=self.path, goal=True, after=self.needs)
        arguments = {"tag": self.path, "seen": [from_(need) for need in self.needs]}
        return step(self.id, arguments=arguments, retries=self.retries)


@st.composite
def specs(draw: st.DrawFn, above: str = "", depth: int = 2) -> tuple[Spec, ...]:
    made: list[Spec] = []
    for n in range(draw(st.integers(1, 5))):
        path = f"{above}{'/' if above else ''}s{n}"
        needs = draw(st.lists(st.sampled_from([s.id for s in made]), unique=True, max_size=3)) if made else []
        inner = draw(specs(above=path, depth=depth - 1)) if depth and draw(st.integers(0, 3)) == 0 else ()
        turns, fails, retries = draw(st.integers(0, 3)), draw(st.sampled_from([0, 0, 0, 1, 2])), draw(st.integers(0, 1))
        made.append(Spec(path, tuple(needs), turns, fails, retries, inner))
    return tuple(draw(st.permutations(made)))


def leaves(plan: Sequence[Spec]) -> Iterator[Spec]:
    for spec in plan:
        yield from leaves(spec.goal) if spec.goal else [spec]


def outcomes(plan: Sequence[Spec]) -> dict[str, str]:
    """What has to become of each step of a plan and of the plans in it, those that are never planned left out."""
    found: dict[str, str] = {}
    left = {spec.id: spec for spec in plan}
    here: dict[str, str] = {}
    while left:
        for spec in [s for s in left.values() if not any(need in left for need in s.needs)]:
            del left[spec.id]
            if any(here[need] != "succeeded" for need in spec.needs):
                here[spec.id] = "skipped"
            elif spec.goal:
                inner = outcomes(spec.goal)
                found |= inner
                good = all(inner[s.path] == "succeeded" for s in spec.goal)
                here[spec.id] = "succeeded" if good else "failed"
            else:
                here[spec.id] = "failed" if spec.fails > spec.retries else "succeeded"
            found[spec.path] = here[spec.id]
    return found


@settings(max_examples=60)
@given(specs(), st.integers(1, 4))
def test_any_plan_of_plans_does_each_step_once_after_its_inputs_and_never_too_many_at_once(
    tmp_path_factory: pytest.TempPathFactory, plan: tuple[Spec, ...], limit: int
) -> None:
    all_ = list(leaves(plan))
    world = World(turns={spec.path: spec.turns for spec in all_})
    world.fails.update({spec.path: spec.fails for spec in all_})
    plans: dict[str, list[Step]] = {"do it": [spec.step() for spec in plan]}

    def add(some: Sequence[Spec]) -> None:
        for spec in some:
            if spec.goal:
                plans[spec.path] = [inner.step() for inner in spec.goal]
                add(spec.goal)

    add(plan)
    bench = Bench(tmp_path_factory.getbasetemp(), "sqlite://", world)
    planner = Planner(plans)
    result = bench.run(planner, concurrency=limit, budget=Budget(depth=2))

    expected = outcomes(plan)
    assert {r.step: r.status for r in result.results} == {spec.id: expected[spec.path] for spec in plan}
    told = {e.result.step: e.result.status for e in bench.events if e.type == "step_finished"}
    assert told == expected
    assert sum(e.type == "step_finished" for e in bench.events) == len(expected)
    assert world.most <= limit
    assert len(planner.asked) == len(set(planner.asked))
    for spec in all_:
        attempts = min(spec.fails, spec.retries) + 1
        assert world.times(f"look {spec.path}") == (attempts if expected.get(spec.path, "skipped") != "skipped" else 0)
    _check_order(plan, bench.events)


def _check_order(plan: Sequence[Spec], events: Sequence[Event]) -> None:
    """Nothing of a step, or of the plan in it, begins before all that it needs has ended."""
    ends = {e.result.step: n for n, e in enumerate(events) if e.type == "step_finished"}
    begins = {e.step: n for n, e in reversed(list(enumerate(events))) if e.type == "step_started"}
    for spec in plan:
        above = spec.path.rpartition("/")[0]
        for need in spec.needs:
            ended = ends[f"{above}/{need}" if above else need]
            for id, begun in begins.items():
                if id == spec.path or id.startswith(f"{spec.path}/"):
                    assert begun > ended
        if spec.goal and spec.path in begins:
            _check_order(spec.goal, events)
            assert ends[spec.path] > max(ends[inner.path] for inner in spec.goal)


def test_three_hundred_steps_take_less_than_three_times_their_payload_and_grow_in_a_line(tmp_path: Path) -> None:
    sizes: dict[int, int] = {}
    for steps in (100, 300):
        folder = tmp_path / str(steps)
        folder.mkdir()

        @tool(read_only=True)
        def page(n: int) -> str:
            """Give 10 kB."""
            return "".join(random.Random(n).choices(string.ascii_letters + string.digits, k=10_000))

        bench = Bench(folder, f"sqlite:///{folder / 'runs.db'}")
        plan = [
            Step(
                id=f"s{n}", instruction="give a page", tool="a/page", arguments={"n": n}, after=(f"s{n - 3}",) * (n > 2)
            )
            for n in range(steps)
        ]
        assert bench.run(plan, tools=Toolset.of("a", "", [page]).tools).status == "succeeded"
        assert len(bench.record().steps) == steps
        sizes[steps] = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
        assert sizes[steps] < 3 * steps * 10_000
    assert sizes[300] - sizes[100] < 2.2 * sizes[100]


# Goals


def goal(id: str, **more: Any) -> Step:
    return step(id, None, goal=True, **more)


def test_a_goal_is_planned_when_it_is_reached_and_done_in_its_place(bench: Bench) -> None:
    inner = [step("a", arguments={"tag": "a", "seen": [from_("s1")]}), step("b", arguments={"tag": from_("a")})]
    planner = Planner({"do it": [step("s1"), goal("s2", after=("s1",)), step("s3", after=("s2",))], "do s2": inner})
    result = bench.run(planner)
    assert result.status == "succeeded"
    assert planner.asked == ["do it", "do s2"]
    assert planner.given == [[], ["s1"]]
    assert bench.world.made == ["look s1", "look a", "look look of a", "look s3"]
    assert bench.started() == ["s1", "s2", "s2/a", "s2/b", "s3"]
    parents = {e.step: e.parent for e in bench.events if e.type == "step_started"}
    assert parents == {"s1": None, "s2": None, "s2/a": "s2", "s2/b": "s2", "s3": None}
    assert [(e.goal, [s.id for s in e.plan.steps]) for e in bench.events if e.type == "planned"] == [
        ("", ["s1", "s2", "s3"]),
        ("s2", ["s2/a", "s2/b"]),
    ]
    assert bench.record().plans["s2"].steps[1].arguments == {"tag": from_("s2/a")}


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_plans_in_plans_end_at_the_depth_of_the_budget(bench: Bench, depth: int) -> None:
    ids = ["s1", *(f"s1{'/g' * n}" for n in range(1, 6))]
    planner = Planner(
        {"do it": [goal("s1")], "do s1": [goal("g", instruction="deeper")], "deeper": [goal("g", instruction="deeper")]}
    )
    result = bench.run(planner, budget=Budget(depth=depth))
    assert result.status == "failed"
    assert f"{depth} deep already" in result.answer
    assert bench.started() == ids[: depth + 1]
    assert len(planner.asked) == depth + 1


def test_a_goal_without_a_planner_or_with_a_plan_that_cannot_be_fails_alone(bench: Bench) -> None:
    plan = Plan(request="do it", steps=(goal("s1"), step("s2")))
    result = bench.run(None, plan=plan)
    assert [r.status for r in result.results] == ["failed", "succeeded"]
    assert "no planner" in result.answer
    circle = [step("a", after=("b",)), step("b", after=("a",))]
    for bad in (circle, [step("a", specialist="pilot")], [step("a", after=("zero",))], ModelError("no words")):
        result = bench.run(Planner({"do it": [goal("s1"), step("s2")], "do s1": bad}))
        assert [r.status for r in result.results] == ["failed", "succeeded"]
        assert "Traceback" not in result.answer


def test_a_goal_is_planned_once_however_often_the_run_dies(bench: Bench) -> None:
    plans = {"do it": [goal("s1")], "do s1": [step("a"), step("b", after=("a",)), step("c", after=("b",))]}
    planner = Planner(plans)
    bench.crashes(planner, lambda e: e.type == "step_finished" and e.result.step == "s1/a")
    bench.crashes(planner, lambda e: e.type == "step_finished" and e.result.step == "s1/b", resume="last")
    assert bench.run(planner, resume="last").status == "succeeded"
    assert planner.asked == ["do it", "do s1"]
    assert bench.world.made == ["look a", "look b", "look c"]


def test_a_goal_that_another_plan_changes_is_planned_anew(bench: Bench) -> None:
    bench.world.fails["a"] = 9
    planner = Planner(
        {"do it": [goal("s1", instruction="this way")], "this way": [step("a")], "that way": [step("b")]},
        revision=lambda plan, results: [goal("s1", instruction="that way")],
    )
    result = bench.run(planner)
    assert planner.asked == ["do it", "this way", "that way"]
    assert result.status == "succeeded"
    assert bench.world.made == ["look a", "look b"]


def test_a_goal_that_is_tried_again_does_what_failed_and_not_what_is_done(bench: Bench) -> None:
    bench.world.fails["b"] = 1
    plans = {"do it": [goal("s1", retries=1)], "do s1": [step("a"), step("b"), step("c", after=("b",))]}
    result = bench.run(Planner(plans))
    assert result.status == "succeeded"
    assert sorted(bench.world.made) == ["look a", "look b", "look b", "look c"]


def test_a_goal_that_failed_in_the_first_plan_keeps_its_finished_steps_in_the_second(bench: Bench) -> None:
    bench.world.fails["b"] = 1
    planner = Planner(
        {"do it": [goal("s1"), step("s2", after=("s1",))], "do s1": [step("a"), step("b", after=("a",))]},
        revision=lambda plan, results: plan.steps,
    )
    result = bench.run(planner)
    assert result.status == "succeeded"
    assert bench.world.made == ["look a", "look b", "look b", "look s2"]


# Delegation


def both(*replies: ChatReply) -> ChatReply:
    """One reply that wants the calls of several."""
    uses: tuple[ToolUse, ...] = tuple(use for reply in replies for use in reply.tool_uses)
    return ChatReply(tool_uses=uses, finish="tool_calls")


def worker(name: str, *says: Any) -> Specialist:
    return Specialist(name, f"{name} works.", tools=["desk"], prompt="Work.", chat=ScriptedModel(says, model=name))


def test_a_team_works_at_once_below_its_leader(bench: Bench) -> None:
    ann = worker("ann", wants("look", tag="a"), "a is there")
    bob = worker("bob", wants("look", tag="b"), "b is there")
    lead = ScriptedModel([both(wants("ask_ann", task="see a"), wants("ask_bob", task="see b")), "Both are there."])
    result = bench.run([step("s1", None, specialist="leader")], specialists=(leader(lead, ann, bob),), concurrency=1)
    assert result.answer.startswith("Both are there.")
    assert sorted(bench.started()) == ["s1", "s1/ann", "s1/bob"]
    assert sorted(bench.world.made) == ["look a", "look b"]
    assert bench.world.most == 1
    assert result.usage.model_calls == 6
    assert result.usage.tool_calls == 2


def test_one_who_leads_leaders_needs_no_slot_while_it_waits(bench: Bench) -> None:
    def boss(below: int) -> Specialist:
        if not below:
            return worker("boss", *[wants("look", tag="a"), "there"] * 2)
        chat = ScriptedModel([wants("ask_boss", task="go on"), wants("ask_boss", task="go on"), "done"][below - 1 :])
        return Specialist("boss", "Leads.", prompt="Lead.", chat=chat, team=(boss(below - 1),))

    result = bench.run([step("s1", None, specialist="boss")], specialists=(boss(2),), concurrency=1)
    assert result.status == "succeeded"
    assert bench.started() == ["s1", "s1/boss", "s1/boss/boss", "s1/boss/boss-2"]


def test_delegation_ends_at_the_depth_of_the_budget(bench: Bench) -> None:
    bottom = worker("low", "I did it")
    middle = leader(ScriptedModel([wants("ask_low", task="do"), "they could not"]), bottom)
    top = Specialist(
        "top", "Tops.", prompt="Lead.", chat=ScriptedModel([wants("ask_leader", task="do"), "no"]), team=(middle,)
    )
    bench.run([step("s1", None, specialist="top")], specialists=(top,), budget=Budget(depth=1))
    assert bench.started() == ["s1", "s1/leader"]


def test_a_leader_that_is_tried_again_has_nothing_done_twice(bench: Bench) -> None:
    ann = worker("ann", wants("send", tag="a"), "sent")
    lead = ScriptedModel(
        [wants("ask_ann", task="send a"), ModelError("gone"), wants("ask_ann", task="send a"), "Sent."]
    )
    plan = [step("s1", None, specialist="leader", retries=1)]
    result = bench.run(plan, specialists=(leader(lead, ann),))
    assert result.answer.startswith("Sent.")
    assert bench.world.made == ["send a"]


def test_a_colleague_that_failed_is_tried_again_with_its_leader(bench: Bench) -> None:
    ann = worker("ann", ModelError("gone"), "found")
    lead = ScriptedModel(
        [wants("ask_ann", task="find"), ModelError("gone"), wants("ask_ann", task="find"), "It was found."]
    )
    result = bench.run([step("s1", None, specialist="leader", retries=1)], specialists=(leader(lead, ann),))
    assert result.status == "succeeded"
    assert "found" in lead.requests[-1].messages[-1].content


def test_no_model_is_asked_again_after_a_crash(bench: Bench) -> None:
    ann = worker("ann", wants("send", tag="a"), "sent")
    lead = ScriptedModel([wants("ask_ann", task="send a"), "All sent."])
    more: dict[str, Any] = {"specialists": (leader(lead, ann),)}
    plan = [step("s1", None, specialist="leader")]
    bench.crashes(plan, lambda e: e.type == "model_returned" and e.text == "sent", **more)
    bench.crashes(plan, lambda e: e.type == "model_returned" and "All" in e.text, resume="last", **more)
    assert bench.run(plan, resume="last", **more).answer.startswith("All sent.")
    assert bench.world.made == ["send a"]
    lead.assert_done()
    assert len(lead.requests) == 2
    assert bench.record().usage.model_calls == 4


# Attempts


def test_a_step_is_tried_as_often_as_it_says(bench: Bench) -> None:
    bench.world.fails.update({"s1": 2, "s2": 3})
    result = bench.run([step("s1", retries=2), step("s2", retries=2), step("s3", retries=2)])
    assert [r.status for r in result.results] == ["succeeded", "failed", "succeeded"]
    assert [bench.world.times(f"look s{n}") for n in (1, 2, 3)] == [3, 3, 1]
    attempts = [e.attempt for e in bench.events if e.type == "step_started" and e.step == "s1"]
    assert attempts == [1, 2, 3]
    assert sum(e.type == "step_finished" for e in bench.events) == 3


def test_a_crash_between_two_attempts_takes_none_of_them_away(bench: Bench) -> None:
    bench.world.fails["s1"] = 2
    plan = [step("s1", retries=2)]
    bench.crashes(plan, lambda e: e.type == "step_started" and e.attempt == 2)
    assert bench.run(plan, resume="last").status == "succeeded"
    assert bench.world.times("look s1") == 3


def test_what_was_refused_or_cannot_be_is_not_tried_again(bench: Bench) -> None:
    plan = [step("s1", "send", retries=3), step("s2", None, retries=3, problem="nobody can fly")]
    result = bench.run(plan, approve=None)
    assert [r.status for r in result.results] == ["refused", "cannot"]
    assert bench.started() == ["s1", "s2"]


def test_a_failed_run_is_gone_on_with_where_it_failed(any_bench: Bench) -> None:
    bench = any_bench
    bench.world.fails["s2"] = 1
    plan = [step("s1", "send"), step("s2", after=("s1",)), step("s3", after=("s2",))]
    first = bench.run(plan)
    assert (first.status, first.exit_code) == ("partial", 5)
    second = bench.run(plan, resume=first.run)
    assert (second.status, second.run) == ("succeeded", first.run)
    assert bench.world.made == ["send s1", "look s2", "look s2", "look s3"]
    (resumed,) = [e for e in bench.events if e.type == "run_resumed"]
    assert resumed.steps == ("s1",)
    with pytest.raises(UsageError, match="has succeeded already"):
        bench.run(plan, resume=first.run)


def test_a_second_try_that_dies_or_waits_is_gone_on_with_as_a_second_try(bench: Bench) -> None:
    bench.world.fails.update({"s1": 1, "s2": 1})
    plan = [step("s1"), step("s2"), *unsafe("s3")]
    assert bench.run(plan, approve=None).status == "stopped"
    bench.crashes(plan, lambda e: e.type == "step_started", resume="last", approve="later")
    assert bench.run(plan, resume="last", approve="later").status == "waiting"
    bench.answer(bench.questions()[0].id, "once")
    assert bench.run(plan, resume="last", approve="later").status == "succeeded"
    assert sorted(bench.world.made) == ["look s1", "look s1", "look s2", "look s2", "send s3"]


# Budgets


def fan(count: int, kind: str = "look") -> list[Step]:
    return [step(f"s{n}", kind) for n in range(count)]


def test_a_budget_of_calls_is_spent_to_the_last_one_and_not_beyond(any_bench: Bench) -> None:
    bench = any_bench
    plan = [*fan(5), *(step(f"t{n}", after=(f"s{n}",)) for n in range(5))]
    first = bench.run(plan, budget=Budget(calls=7), concurrency=4)
    assert (first.status, first.exit_code) == ("exhausted", 4)
    assert len(bench.world.made) == 7
    assert first.usage.tool_calls == 7
    assert "7 of 7 calls used" in first.answer
    again = bench.run(plan, resume="last")  # a run keeps the budget it has
    assert (again.status, len(bench.world.made)) == ("exhausted", 7)
    last = bench.run(plan, resume="last", budget=Budget(calls=10))
    assert last.status == "succeeded"
    assert sorted(bench.world.made) == sorted(f"look {s.id}" for s in plan)
    assert last.usage.tool_calls == 10


def test_a_larger_budget_stays_with_the_run(bench: Bench) -> None:
    plan = [step("s1"), step("s2", after=("s1",)), step("s3", "send", after=("s1",))]
    assert bench.run(plan, budget=Budget(calls=1, depth=2)).status == "exhausted"
    assert bench.run(plan, resume="last", approve="later", budget=Budget(calls=3)).status == "waiting"
    bench.answer(bench.questions()[0].id, "once")
    assert bench.run(plan, resume="last").status == "succeeded"
    assert bench.record().budget == Budget(calls=3, depth=2)


def test_a_fan_out_that_cannot_be_paid_goes_on_with_the_calls_that_are_left(bench: Bench) -> None:
    plan = [step("s1", "send", arguments={"tag": Each(each=("a", "b", "c", "d"))})]
    assert bench.run(plan, budget=Budget(calls=2)).status == "exhausted"
    assert bench.world.made == ["send a", "send b"]
    result = bench.run(plan, resume="last", budget=Budget(calls=4))
    assert result.status == "succeeded"
    assert bench.world.made == ["send a", "send b", "send c", "send d"]
    assert result.results[0].value == ["send of a", "send of b", "send of c", "send of d"]


def thinker(say: Any, **more: Any) -> Specialist:
    return Specialist("thinker", "Thinks.", prompt="Think.", chat=ScriptedModel(say, **more))


def thoughts(count: int) -> list[Step]:
    return [step(f"s{n}", None, specialist="thinker") for n in range(count)]


def longest(request: ChatRequest) -> str:
    """As many words as the model may say."""
    return "word " * (min(request.max_tokens or 100_000, 3_000) - 1) + "end"


@given(st.integers(0, 30_000), st.integers(1, 4), st.lists(st.integers(1, 6_000), min_size=1, max_size=6))
@settings(max_examples=15)
def test_tokens_hold_to_the_last_one_whatever_is_said(
    tmp_path_factory: pytest.TempPathFactory, tokens: int, limit: int, lengths: list[int]
) -> None:
    said: list[int] = []

    async def say(request: ChatRequest) -> ChatReply:
        await asyncio.sleep(0)
        assert request.max_tokens is not None
        size = len(request.model_dump_json(exclude_defaults=True))  # the dearest prompt that it may be counted as
        said.append(min(lengths[len(said) % len(lengths)], request.max_tokens))
        usage = Usage(model_calls=1, input_tokens=size - 20, output_tokens=said[-1])
        return ChatReply(text=f"{said[-1]} tokens", usage=usage)

    bench = Bench(tmp_path_factory.getbasetemp(), "sqlite://")
    plan = thoughts(6)
    result = bench.run(plan, specialists=(thinker(say),), budget=Budget(tokens=tokens), concurrency=limit)
    spent = result.usage.input_tokens + result.usage.output_tokens
    assert spent <= tokens
    assert result.status in ("succeeded", "exhausted")
    if result.status == "exhausted":  # then there was no room for one more prompt and a word
        assert tokens - spent < 2_000


def test_a_reply_is_not_cut_short_by_what_others_have_only_set_aside(bench: Bench) -> None:
    asked: list[int | None] = []

    async def say(request: ChatRequest) -> str:
        asked.append(request.max_tokens)
        for _ in range(5):
            await asyncio.sleep(0)
        return "brief"

    result = bench.run(thoughts(6), specialists=(thinker(say),), budget=Budget(tokens=12_000))
    assert result.status == "succeeded"
    assert min(tokens or 0 for tokens in asked) == 4_096


@pytest.mark.parametrize("price", [(1.0, 3.0), (0.1, 0.7), (0.0, 2.5)])
def test_money_holds_to_the_cent(bench: Bench, price: tuple[float, float]) -> None:
    result = bench.run(thoughts(9), specialists=(thinker(longest, price=price),), budget=Budget(cost=0.012))
    assert result.usage.cost <= 0.012
    assert (result.status, result.exit_code) == ("exhausted", 4)
    assert "US dollars" in result.answer
    more = bench.run(thoughts(9), specialists=(thinker(longest, price=price),), resume="last", budget=Budget(cost=1.0))
    assert more.status == "succeeded"
    assert result.usage.cost < more.usage.cost < 1.0


def test_tokens_of_a_real_server_hold_too(bench: Bench) -> None:
    with ChatServer(lambda body: "word " * (body["max_tokens"] - 1) + "end") as server:
        chat = open_chat("any", base_url=server.url)
        who = Specialist("thinker", "Thinks.", prompt="Think.", chat=chat)
        result = bench.run(thoughts(4), specialists=(who,), budget=Budget(tokens=9_000))
        assert result.status == "exhausted"
        assert server.input_tokens + server.output_tokens <= 9_000
        assert (server.input_tokens, server.output_tokens) == (result.usage.input_tokens, result.usage.output_tokens)


def test_a_share_bounds_one_step_and_leaves_the_rest_to_the_others(bench: Bench) -> None:
    plans = {
        "do it": [goal("s1", share=0.3), goal("s2", share=0.5), step("s3")],
        "do s1": fan(9),
        "do s2": [step(f"t{n}") for n in range(9)],
    }
    result = bench.run(Planner(plans), budget=Budget(calls=10))
    assert [r.status for r in result.results] == ["exhausted", "exhausted", "succeeded"]
    assert result.status == "exhausted"
    made = [call.removeprefix("look ") for call in bench.world.made]
    assert sum(tag in {f"s{n}" for n in range(9)} - {"s3"} for tag in made) <= 3
    assert sum(tag.startswith("t") for tag in made) == 5
    assert len(made) == 9


def test_goals_and_colleagues_spend_from_the_one_budget(bench: Bench) -> None:
    ann = worker("ann", wants("look", tag="a"), wants("look", tag="b"), "seen")
    lead = ScriptedModel([wants("ask_ann", task="see"), "All seen."])
    plans = {"do it": [goal("s1")], "do s1": [step("a", None, specialist="leader"), step("b", after=("a",))]}
    team = (leader(lead, ann),)
    assert bench.run(Planner(plans), specialists=team, budget=Budget(calls=4)).status == "exhausted"
    assert bench.world.made == ["look a"]
    result = bench.run(Planner(plans), specialists=team, resume="last", budget=Budget(calls=8))
    assert result.status == "succeeded"
    assert bench.world.made == ["look a", "look b", "look b"]  # the last is that of the second step
    assert (result.usage.model_calls, result.usage.tool_calls) == (5, 3)


def test_when_its_seconds_are_over_a_run_stops_with_what_it_has(bench: Bench) -> None:
    plan = [step("s1"), step("s2", after=("s1",)), step("s3", after=("s2",))]

    async def main() -> RunResult:
        bench.world.gates["s2"] = asyncio.Event()
        return await bench.go(plan, budget=Budget(seconds=0.3))

    first = asyncio.run(main())
    assert (first.status, first.exit_code) == ("exhausted", 4)
    assert [r.step for r in first.results] == ["s1"]
    assert "0.3 seconds" in first.answer
    assert bench.record().seconds >= 0.3
    assert bench.run(plan, resume="last").status == "exhausted"  # the time that was worked counts
    bench.world.gates.clear()
    result = bench.run(plan, resume="last", budget=Budget(seconds=60))
    assert result.status == "succeeded"
    assert bench.world.made == ["look s1", "look s2", "look s2", "look s3"]
    assert result.usage.seconds >= 0.3


def test_a_budget_of_nothing_does_nothing(bench: Bench) -> None:
    assert bench.run([step("s1")], budget=Budget(calls=0)).status == "exhausted"
    assert bench.world.made == []
    assert bench.run([step("s1")], budget=Budget(tokens=0)).status == "succeeded"  # it needs none
    assert bench.run(thoughts(1), specialists=(thinker(longest),), budget=Budget(tokens=0)).status == "exhausted"


# Cancelling


async def cancelled(bench: Bench, plan: Any, *, step: str | None = None, at: str = "s2", **more: Any) -> RunResult:
    """Does a plan, of which another process cancels a step, or all, while the call with the tag `at` is under way."""
    bench.world.reached[at] = asyncio.Event()
    bench.world.gates[at] = asyncio.Event()
    task = asyncio.create_task(bench.go(plan, **more))
    await bench.world.reached[at].wait()
    other = Ledger(bench.url)
    assert await other.cancel(await other.resolve("last"), step)
    other.close()
    if step == "s2" and at == "s1":  # nothing tells that its worker has heard, but that it has looked twice since
        for _ in range(2):
            before = _lease(bench)
            while _lease(bench) == before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        bench.world.gates[at].set()
    try:
        return await task
    finally:
        bench.world.gates.clear()


def _lease(bench: Bench) -> Any:
    return sql(bench.url, "SELECT lease_until FROM bottega_runs ORDER BY created DESC LIMIT 1")


def test_a_run_is_cancelled_by_another_process_within_a_second(any_bench: Bench) -> None:
    async def main() -> tuple[RunResult, float]:
        start = time.perf_counter()
        result = await cancelled(any_bench, [step("s1"), step("s2", after=("s1",)), step("s3", after=("s2",))])
        return result, time.perf_counter() - start

    result, seconds = asyncio.run(main())
    assert (result.status, result.exit_code) == ("cancelled", 130)
    assert [r.step for r in result.results] == ["s1"]
    assert seconds < 2.0
    assert any_bench.record().summary.status == "cancelled"
    assert any_bench.world.under_way == 0
    plan = [step("s1"), step("s2", after=("s1",)), step("s3", after=("s2",))]
    assert any_bench.run(plan, resume="last").status == "succeeded"
    assert any_bench.world.made == ["look s1", "look s2", "look s2", "look s3"]


def test_one_step_is_cancelled_and_the_others_go_on(bench: Bench) -> None:
    bench.lease = 0.4
    plan = [step("s1"), step("s2"), step("s3", after=("s2",)), step("s4", after=("s1",))]
    result = asyncio.run(cancelled(bench, plan, step="s2"))
    assert [r.status for r in result.results] == ["succeeded", "cancelled", "skipped", "succeeded"]
    assert (result.status, result.exit_code) == ("partial", 5)
    assert bench.run(plan, resume="last").status == "succeeded"
    assert sorted(bench.world.made) == ["look s1", "look s2", "look s2", "look s3", "look s4"]


def test_a_step_that_was_not_begun_can_be_cancelled_too(bench: Bench) -> None:
    bench.lease = 0.4
    plan = [step("s1"), step("s2", after=("s1",)), step("s3", after=("s1",))]
    result = asyncio.run(cancelled(bench, plan, step="s2", at="s1"))
    assert [r.status for r in result.results] == ["succeeded", "cancelled", "succeeded"]
    assert bench.world.times("look s2") == 0


def test_a_step_of_a_goal_can_be_cancelled_and_the_goal_as_a_whole(bench: Bench) -> None:
    bench.lease = 0.4
    planner = Planner({"do it": [goal("s1"), step("s2")], "do s1": [step("a"), step("b")]})
    result = asyncio.run(cancelled(bench, planner, step="s1/a", at="a"))
    assert [r.status for r in result.results] == ["failed", "succeeded"]
    result = asyncio.run(cancelled(bench, planner, step="s1", at="a"))
    assert [r.status for r in result.results] == ["cancelled", "succeeded"]


@pytest.mark.parametrize("whole", [False, True])
def test_a_call_that_a_cancellation_met_is_asked_about_and_not_repeated(bench: Bench, whole: bool) -> None:
    bench.lease = 0.4
    plan = [step("s1", "send")]
    asyncio.run(cancelled(bench, plan, step=None if whole else "s1", at="s1"))
    result = bench.run(plan, resume="last")
    assert (result.status, [q.kind for q in result.questions]) == ("waiting", ["uncertain"])
    assert bench.world.made == ["send s1"]
    bench.answer(result.questions[0].id, "text", text="it was sent")
    result = bench.run(plan, resume="last")
    assert result.status == "succeeded"
    assert bench.world.made == ["send s1"]
    assert result.results[0].value == "it was sent"


def test_calls_that_were_done_before_a_step_was_cancelled_are_not_made_again(bench: Bench) -> None:
    bench.lease = 0.4
    plan = [step("s1", "send", arguments={"tag": Each(each=("a", "b", "c"))})]
    asyncio.run(cancelled(bench, plan, step="s1", at="b"))
    result = bench.run(plan, resume="last", approve=again_if_uncertain)
    assert result.status == "succeeded"
    assert bench.world.made == ["send a", "send b", "send b", "send c"]


async def again_if_uncertain(question: Question) -> bool:
    return True


# People


def unsafe(*ids: str) -> list[Step]:
    return [step(id, "send") for id in ids]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_questions_wait_and_are_answered_in_any_order_by_another_process(
    any_bench: Bench, order: Sequence[int]
) -> None:
    bench = any_bench
    plan = [*unsafe("s0", "s1", "s2"), step("s3"), step("s4", after=("s0", "s1"))]
    first = bench.run(plan, approve="later")
    assert (first.status, first.exit_code) == ("waiting", 3)
    assert sorted(q.step for q in first.questions) == ["s0", "s1", "s2"]
    assert all(q.id in first.answer for q in first.questions)
    assert bench.world.made == ["look s3"]  # what needs no answer is done
    by_step = {q.step: q.id for q in bench.questions()}
    for n, at in enumerate(order):
        bench.answer(by_step[f"s{at}"], "once")
        result = bench.run(plan, resume="last", approve="later")
        assert result.status == ("succeeded" if n == 2 else "waiting")
        assert sorted(c for c in bench.world.made if "send" in c) == sorted(f"send s{k}" for k in order[: n + 1])
    assert bench.world.times("look s3") == bench.world.times("look s4") == 1
    asked = [e.question.id for e in bench.events if e.type == "question_asked"]
    assert set(asked) == set(by_step.values())


def test_a_no_with_a_reason_refuses_the_step_and_says_why(bench: Bench) -> None:
    bench.run(unsafe("s1", "s2"), approve="later")
    for question in bench.questions():
        bench.answer(question.id, "deny" if question.step == "s1" else "once", text="not on a Sunday")
    result = bench.run(unsafe("s1", "s2"), resume="last", approve="later")
    assert [r.status for r in result.results] == ["refused", "succeeded"]
    assert (result.status, result.exit_code) == ("stopped", 3)
    assert "not on a Sunday" in result.answer
    assert bench.world.made == ["send s2"]


def test_edited_arguments_are_those_of_the_call_and_of_its_repetition(bench: Bench) -> None:
    plan = [step("s1", "send", arguments={"tag": "all of them"})]
    bench.run(plan, approve="later")
    bench.answer(bench.questions()[0].id, "edit", arguments={"tag": "Ada alone"})
    bench.crashes(plan, lambda e: e.type == "tool_called", resume="last", approve="later")
    uncertain = bench.run(plan, resume="last", approve="later")
    (question,) = uncertain.questions
    assert (question.kind, question.arguments) == ("uncertain", {"tag": "Ada alone"})
    bench.answer(question.id, "once")
    result = bench.run(plan, resume="last", approve="later")
    assert result.status == "succeeded"
    assert bench.world.made == ["send Ada alone"]


def test_arguments_edited_so_that_the_tool_cannot_take_them_refuse_the_step(bench: Bench) -> None:
    bench.run(unsafe("s1"), approve="later")
    bench.answer(bench.questions()[0].id, "edit", arguments={"colour": "red"})
    result = bench.run(unsafe("s1"), resume="last", approve="later")
    assert result.results[0].status == "refused"
    assert "edited" in result.answer
    assert bench.world.made == []


def test_an_answer_for_the_rest_of_the_run_covers_calls_of_that_form_and_outlives_the_process(bench: Bench) -> None:
    plan = [*unsafe("s1", "s2"), step("s3", "send", arguments={"tag": "s3", "seen": [1]})]
    bench.run(plan, approve="later")
    by_step = {q.step: q.id for q in bench.questions()}
    assert sorted(by_step) == ["s1", "s2", "s3"]
    bench.answer(by_step["s1"], "run")
    result = bench.run(plan, resume="last", approve="later")
    assert [r.status for r in result.results] == ["succeeded", "succeeded", "waiting"]
    assert [q.step for q in bench.questions()] == ["s3"]  # that of the second step is settled
    bench.answer(by_step["s3"], "once")
    assert bench.run(plan, resume="last", approve="later").status == "succeeded"
    assert bench.world.made == ["send s1", "send s2", "send s3"]
    assert bench.run(plan, approve="later").status == "waiting"  # another run asks anew


def test_an_answer_for_good_is_remembered_as_a_rule_and_covers_the_run(bench: Bench) -> None:
    rules: list[Rule] = []
    asked: list[str] = []

    async def approve(question: Question) -> Answer:
        asked.append(question.step)
        return Answer(decision="always")

    plan = [step("s1", "send"), step("s2", "send", after=("s1",)), step("s3", "put", after=("s2",))]
    assert bench.run(plan, approve=approve, remember=rules.append).status == "succeeded"
    assert rules == [Rule("desk/send", "allow"), Rule("desk/put", "allow")]
    assert asked == ["s1", "s3"]


def test_a_question_of_a_step_waits_for_its_answer_and_is_asked_once(bench: Bench) -> None:
    chat = ScriptedModel([wants("ask_person", question="Which lamp?"), "It is the red one."])
    who = Specialist("thinker", "Thinks.", prompt="Think.", chat=chat, asks=True)
    plan = [step("s1", None, specialist="thinker")]
    first = bench.run(plan, specialists=(who,), approve="later")
    assert (first.status, [q.text for q in first.questions]) == ("waiting", ["Which lamp?"])
    bench.answer(first.questions[0].id, "text", text="the red one")
    result = bench.run(plan, specialists=(who,), resume="last", approve="later")
    assert result.answer.startswith("It is the red one.")
    assert "The person answers: the red one" in chat.requests[-1].messages[-1].content
    assert len(chat.requests) == 2


def test_a_plan_is_asked_about_before_any_of_it_is_done(bench: Bench) -> None:
    plan = [step("s1"), *unsafe("s2")]
    first = bench.run(plan, approve="later", approve_plan=True)
    (question,) = first.questions
    assert (first.status, question.kind, bench.world.made) == ("waiting", "plan", [])
    assert question.plan is not None
    assert [s.id for s in question.plan.steps] == ["s1", "s2"]
    bench.answer(question.id, "deny", text="too much")
    result = bench.run(plan, resume="last", approve="later", approve_plan=True)
    assert (result.status, result.exit_code, bench.world.made) == ("stopped", 3, [])
    assert "too much" in result.answer


def test_a_plan_that_was_edited_is_done_as_edited_and_not_asked_about_again(bench: Bench) -> None:
    planner = Planner({"do it": [step("s1"), step("s2")]})
    first = bench.run(planner, approve="later", approve_plan=True)
    edited = Plan(request="do it", steps=(step("s1"), step("s3", after=("s1",))))
    bench.answer(first.questions[0].id, "edit", plan=edited)
    more: dict[str, Any] = {"resume": "last", "approve": "later", "approve_plan": True}
    bench.crashes(planner, lambda e: e.type == "step_started" and e.step == "s3", **more)
    result = bench.run(planner, **more)
    assert result.status == "succeeded"
    assert bench.world.made == ["look s1", "look s3"]
    assert planner.asked == ["do it"]
    assert result.plan is not None
    assert [s.id for s in result.plan.steps] == ["s1", "s3"]


def test_a_plan_edited_into_one_that_cannot_be_fails_in_words(bench: Bench) -> None:
    bench.run([step("s1")], approve="later", approve_plan=True)
    edited = Plan(request="do it", steps=(step("s1", after=("s2",)), step("s2", after=("s1",))))
    bench.answer(bench.questions()[0].id, "edit", plan=edited)
    result = bench.run([step("s1")], resume="last", approve="later", approve_plan=True)
    assert result.status == "failed"
    assert "wait for each other" in result.answer
    assert bench.world.made == []


def test_two_steps_that_want_the_same_are_two_questions_and_one_step_that_wants_it_twice_is_one(bench: Bench) -> None:
    asked: list[str] = []

    async def approve(question: Question) -> bool:
        asked.append(question.step)
        await asyncio.sleep(0)
        return True

    twice = step("s1", "send", arguments={"tag": Each(each=("a", "a"))})
    plan = [twice, step("s2", "send", arguments={"tag": "a"})]
    assert bench.run(plan, approve=approve).status == "succeeded"
    assert sorted(asked) == ["s1", "s2"]
    assert bench.world.made.count("send a") == 3


def test_who_is_being_asked_is_let_go_when_the_run_is_cancelled(bench: Bench) -> None:
    let_go: list[str] = []

    async def main() -> None:
        being_asked = asyncio.Event()

        async def approve(question: Question) -> bool:
            being_asked.set()
            try:
                await asyncio.Event().wait()
            finally:
                let_go.append(question.step)
            return True

        before = asyncio.all_tasks()
        task = asyncio.create_task(
            bench.go([step("s1", "send", arguments={"tag": from_("s0")}), step("s0")], approve=approve)
        )
        await being_asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == before

    asyncio.run(main())
    assert let_go == ["s1"]
    assert bench.world.made == ["look s0"]


# Calls of which nobody knows


@pytest.mark.parametrize("kind", ["send", "put", "look"])
def test_a_call_that_a_crash_met_is_repeated_only_where_that_does_no_harm(any_bench: Bench, kind: str) -> None:
    bench = any_bench
    plan = [step("s1", kind), step("s2", after=("s1",))]
    bench.crashes(plan, lambda e: e.type == "tool_called")
    result = bench.run(plan, resume="last")  # where all is approved: this is not
    if kind != "send":
        assert (result.status, bench.world.times(f"{kind} s1")) == ("succeeded", 1)
        return
    assert (result.status, result.results[0].status, result.exit_code) == ("waiting", "uncertain", 3)
    assert bench.world.made == []
    bench.answer(result.questions[0].id, "once")
    result = bench.run(plan, resume="last")
    assert result.status == "succeeded"
    assert bench.world.made == ["send s1", "look s2"]


def test_a_call_that_is_repeated_and_lost_again_is_asked_about_again(bench: Bench) -> None:
    bench.crashes(unsafe("s1"), lambda e: e.type == "tool_called")
    ids: list[str] = []
    for _ in range(3):
        result = bench.run(unsafe("s1"), resume="last")
        ids.append(result.questions[0].id)
        bench.answer(ids[-1], "once")
        bench.crashes(unsafe("s1"), lambda e: e.type == "tool_called", resume="last")
    result = bench.run(unsafe("s1"), resume="last")
    bench.answer(result.questions[0].id, "text", text="found it sent")
    result = bench.run(unsafe("s1"), resume="last")
    assert result.answer.startswith("found it sent")
    assert len(set(ids)) == 3


@pytest.mark.parametrize("answer", [True, "it was done", False])
def test_a_server_that_dies_in_a_call_is_asked_about(bench: Bench, answer: bool | str) -> None:
    asked: list[Question] = []

    async def approve(question: Question) -> bool | str:
        if question.kind == "approval":
            return True
        asked.append(question)
        return answer

    bench.world.lost["s1"] = 1
    result = bench.run(unsafe("s1"), approve=approve, budget=Budget(calls=2))
    (question,) = asked
    assert question.kind == "uncertain"
    assert "the server died" in question.text
    if answer is True:
        assert (result.status, bench.world.made) == ("succeeded", ["send s1", "send s1"])
        assert result.usage.tool_calls == 2
    elif answer:
        assert (result.status, result.results[0].value, bench.world.made) == ("succeeded", "it was done", ["send s1"])
    else:
        assert (result.status, result.results[0].status, bench.world.made) == ("stopped", "refused", ["send s1"])


def test_a_repeated_call_is_paid_for_too(bench: Bench) -> None:
    bench.world.lost["s1"] = 9

    async def approve(question: Question) -> bool:
        return True

    result = bench.run(unsafe("s1"), approve=approve, budget=Budget(calls=3))
    assert result.status == "exhausted"
    assert bench.world.made == ["send s1"] * 3


def test_the_key_of_a_call_is_the_same_after_a_crash_and_another_for_every_other_call(bench: Bench) -> None:
    plan = [step("s1", "put"), step("s2", "put", arguments={"tag": Each(each=("x", "x"))}, after=("s1",))]
    bench.crashes(plan, lambda e: e.type == "tool_returned" and e.step == "s2")
    before = list(bench.world.keys)
    bench.run(plan, resume="last")
    assert len(before) == len(set(before)) == 2
    assert len(bench.world.keys) == len(set(bench.world.keys)) == 3
    bench.run(plan)
    assert len(set(bench.world.keys)) == 6


def test_a_call_of_a_new_plan_is_made_though_one_like_it_failed_in_the_old(bench: Bench) -> None:
    bench.world.fails["x"] = 1
    old = step("s1", "send", arguments={"tag": "x"}, instruction="send it")
    new = step("s1", "send", arguments={"tag": "x"}, instruction="send it once more")
    planner = Planner({"do it": [old]}, revision=lambda plan, results: [new, step("s2", after=("s1",))])
    bench.crashes(planner, lambda e: e.type == "step_started" and e.step == "s2")
    result = bench.run(planner, resume="last")
    assert result.status == "succeeded"
    assert bench.world.made == ["send x", "send x", "look s2"]


# Processes


def test_of_two_processes_on_one_run_one_works_and_the_other_is_told(any_bench: Bench) -> None:
    bench = any_bench
    plan = [step("s1"), step("s2", after=("s1",))]

    async def main() -> RunResult:
        bench.world.gates["s1"] = asyncio.Event()
        bench.world.reached["s1"] = asyncio.Event()
        first = asyncio.create_task(bench.go(plan))
        await bench.world.reached["s1"].wait()
        for _ in range(2):
            with pytest.raises(RunBusy, match="works on run-"):
                await bench.go(plan, resume="last")
        bench.world.gates["s1"].set()
        return await first

    assert asyncio.run(main()).status == "succeeded"
    assert bench.world.made == ["look s1", "look s2"]


def test_a_process_whose_run_was_taken_over_stops_and_changes_nothing(any_bench: Bench) -> None:
    bench = any_bench
    plan = [step("s1"), step("s2", after=("s1",))]

    async def main() -> None:
        bench.world.gates["s1"] = asyncio.Event()
        bench.world.reached["s1"] = asyncio.Event()
        first = asyncio.create_task(bench.go(plan))
        await bench.world.reached["s1"].wait()
        sql(bench.url, "UPDATE bottega_runs SET lease_until = 0")  # as if it had been frozen
        bench.world.gates.clear()
        assert (await bench.go(plan, resume="last")).status == "succeeded"
        with pytest.raises(RunBusy, match="has taken run-"):
            await first

    asyncio.run(main())
    assert bench.record().summary.status == "succeeded"
    assert bench.world.made == ["look s1", "look s1", "look s2"]
    assert bench.world.under_way == 0


def test_a_run_outlives_a_restart_of_its_database(tmp_path: Path, postgres_ledger_url: str) -> None:
    bench = Bench(tmp_path, postgres_ledger_url, lease=0.4)  # so that it beats all the time

    async def main() -> RunResult:
        bench.world.gates["s1"] = asyncio.Event()
        bench.world.reached["s1"] = asyncio.Event()
        task = asyncio.create_task(bench.go([*unsafe("s1"), step("s2", after=("s1",))]))
        await bench.world.reached["s1"].wait()
        await asyncio.to_thread(postgres.restart, postgres_ledger_url)
        bench.world.gates["s1"].set()
        return await task

    assert asyncio.run(main()).status == "succeeded"
    assert bench.world.made == ["send s1", "look s2"]


def test_a_run_is_not_gone_on_with_in_another_folder(bench: Bench, tmp_path: Path) -> None:
    bench.world.fails["s1"] = 1
    first = bench.run([step("s1")])
    other = tmp_path / "other"
    other.mkdir()
    elsewhere = Bench(other, bench.url, bench.world)
    with pytest.raises(UsageError, match=r"works in .*folder, not in .*other"):
        elsewhere.run([step("s1")], resume=first.run)
    bench.folder.rename(tmp_path / "moved")
    assert Bench(tmp_path / "moved", bench.url, bench.world).run([step("s1")], resume="last").status == "succeeded"


def test_a_disk_that_is_full_ends_the_run_in_one_line(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sql(bench.url, "PRAGMA page_size = 512")
    first = bench.run([step("s1")])
    pages = sql(bench.url, "PRAGMA page_count")[0][0]

    async def main() -> None:
        ledger = Ledger(bench.url)
        ledger.prepare()
        await ledger._store.run(lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 4}"))
        plan = Planner({"do it": [step(f"s{n}", arguments={"tag": "x" * 400}) for n in range(20)]})
        try:
            await Run(bench.crew(ledger, plan), "do it", bench.emit).go()
        finally:
            ledger.close()

    with pytest.raises(LedgerError, match="full") as error:
        asyncio.run(main())
    assert "\n" not in str(error.value)
    assert bench.record(first.run).summary.status == "succeeded"


def test_a_planner_that_breaks_fails_the_run_and_lets_it_go(bench: Bench) -> None:
    for broken in (ValueError("no idea"), TimeoutError("too slow")):
        with pytest.raises(type(broken)):
            bench.run(Planner({"do it": broken}))
        summary = bench.record().summary
        assert (summary.status, summary.owner) == ("failed", None)
        assert bench.events[-1].type == "run_finished"
        assert bench.run([step("s1")], resume="last").status == "succeeded"


def test_halves_of_characters_harm_nobody(any_bench: Bench) -> None:
    bench = any_bench
    half = "\\ud83d"

    @tool
    def echo(text: str) -> ToolResult:
        """Give back what it is given."""
        return ToolResult(text + "\udc00", data={"said\udc00": text})

    use = ToolUse(id="u", name="echo", arguments=f'{{"text": "a{half}b"}}')
    chat = ScriptedModel([ChatReply(tool_uses=(use,), finish="tool_calls"), "said \ud83d"])
    who = Specialist("thinker", "Thinks.", prompt="Think.", chat=chat)
    plan = [
        step("s1", None, specialist="thinker", instruction="say \udfff"),
        step("s2", arguments={"tag": from_("s1")}),
    ]
    tools = (*bench.world.tools(), *Toolset.of("e", "", [echo]).tools)
    bench.run(plan, specialists=(who,), tools=tools, approve="later", approve_plan=True)
    bench.answer(bench.questions()[0].id, "once")
    bench.run(plan, specialists=(who,), tools=tools, approve="later", approve_plan=True, resume="last")
    bench.answer(bench.questions()[0].id, "once")
    result = bench.run(plan, specialists=(who,), tools=tools, approve="later", approve_plan=True, resume="last")
    assert result.status == "succeeded"
    for event in bench.events:
        event.model_dump_json()
    json.dumps(result.to_json()).encode()
    assert bench.world.made == ["look said \N{REPLACEMENT CHARACTER}"]
