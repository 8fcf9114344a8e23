"""The dataflow scheduler: order, parallelism, failures, cancellation."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.agents.plan import Plan, Reference, Step, StepResult
from bottega.graphs.scheduler import run_steps
from bottega.graphs.slots import Slots


def step(id: str, *needs: str) -> Step:
    return Step(id=id, instruction=id, arguments={need: Reference(from_=need) for need in needs})


def plan(*steps: Step) -> Plan:
    return Plan(request="test", steps=steps).check()


def ok(step: Step) -> StepResult:
    return StepResult(step=step.id, status="succeeded", value=step.id)


@dataclass(frozen=True)
class Case:
    plan: Plan
    limit: int
    turns: dict[str, int]
    """How many turns of the event loop each step takes."""
    bad: frozenset[str]
    raising: frozenset[str]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    n = draw(st.integers(0, 12))
    ids = [f"s{i}" for i in range(n)]
    steps = [
        step(id, *draw(st.lists(st.sampled_from(ids[:i]), unique=True, max_size=3)) if i else ())
        for i, id in enumerate(ids)
    ]
    order = draw(st.permutations(steps))
    some = st.frozensets(st.sampled_from(ids), max_size=3) if ids else st.just(frozenset[str]())
    turns = {id: draw(st.integers(0, 4)) for id in ids}
    return Case(plan(*order), draw(st.integers(1, 4)), turns, draw(some), draw(some))


@given(cases())
def test_any_plan_runs_in_order_once_each_and_never_more_at_once_than_allowed(case: Case) -> None:
    began: list[str] = []
    running: set[str] = set()
    most = 0
    told: list[str] = []

    async def perform(step: Step, inputs: dict[str, StepResult]) -> StepResult:
        nonlocal most
        assert set(inputs) == set(step.needs)
        assert all(r.status == "succeeded" for r in inputs.values())
        began.append(step.id)
        running.add(step.id)
        most = max(most, len(running))
        for _ in range(case.turns[step.id]):
            await asyncio.sleep(0)
        running.remove(step.id)
        if step.id in case.raising:
            raise ValueError("broken")
        return ok(step) if step.id not in case.bad else StepResult(step=step.id, status="failed", error="bad")

    results = asyncio.run(run_steps(case.plan, perform, slots=Slots(case.limit), done=lambda r: told.append(r.step)))

    assert list(results) == [s.id for s in case.plan.steps]
    assert sorted(told) == sorted(results)
    assert len(began) == len(set(began))
    assert most <= case.limit
    for s in case.plan.steps:
        lost = any(results[need].status != "succeeded" for need in s.needs)
        failing = s.id in case.bad | case.raising
        assert results[s.id].status == ("skipped" if lost else "failed" if failing else "succeeded")
        assert (s.id in began) == (not lost)
        for need in s.needs:
            assert told.index(need) < told.index(s.id)


def test_a_step_starts_when_its_inputs_exist_and_waits_for_nobody_else() -> None:
    async def main() -> None:
        slow_may_end = asyncio.Event()

        async def perform(step: Step, inputs: dict[str, StepResult]) -> StepResult:
            if step.id == "slow":
                await slow_may_end.wait()
            if step.id == "last of the chain":
                slow_may_end.set()
            return ok(step)

        chain = plan(step("slow"), step("a"), step("b", "a"), step("last of the chain", "b"))
        results = await run_steps(chain, perform)
        assert {r.status for r in results.values()} == {"succeeded"}

    asyncio.run(main())


def test_all_free_steps_run_at_once_up_to_the_limit() -> None:
    async def main() -> None:
        together = asyncio.Barrier(4)

        async def perform(step: Step, inputs: dict[str, StepResult]) -> StepResult:
            await together.wait()
            return ok(step)

        await run_steps(plan(*(step(f"s{i}") for i in range(8))), perform, slots=Slots(4))

    asyncio.run(main())


def test_what_is_finished_is_not_done_again() -> None:
    async def perform(step: Step, inputs: dict[str, StepResult]) -> StepResult:
        assert step.id == "b"
        return StepResult(step="b", status="succeeded", value=inputs["a"].value)

    before = StepResult(step="a", status="succeeded", value=5)
    results = asyncio.run(run_steps(plan(step("a"), step("b", "a")), perform, finished={"a": before}))
    assert results["a"] is before
    assert results["b"].value == 5


def test_a_skipped_step_says_whose_failure_it_is() -> None:
    async def perform(step: Step, inputs: dict[str, StepResult]) -> StepResult:
        return StepResult(step=step.id, status="failed", error="no")

    results = asyncio.run(run_steps(plan(step("a"), step("b", "a"), step("c", "b")), perform))
    assert results["c"].status == "skipped"
    assert "b" in (results["c"].error or "")


def test_a_cancelled_run_leaves_nothing_running_and_starts_nothing_more() -> None:
    async def main() -> None:
        cleaned: list[str] = []
        both_run = asyncio.Barrier(3)

        async def perform(step: Step, inputs: dict[str, StepResult]) -> StepResult:
            try:
                await both_run.wait()
                await asyncio.Event().wait()
            finally:
                cleaned.append(step.id)
            return ok(step)

        before = asyncio.all_tasks()
        task = asyncio.create_task(run_steps(plan(step("a"), step("b"), step("c", "a")), perform))
        await both_run.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(cleaned) == ["a", "b"]
        assert asyncio.all_tasks() == before

    asyncio.run(main())


def test_something_cancelled_inside_a_step_fails_that_step_only() -> None:
    async def perform(step: Step, inputs: dict[str, StepResult]) -> StepResult:
        if step.id == "a":
            raise asyncio.CancelledError
        return ok(step)

    results = asyncio.run(run_steps(plan(step("a"), step("b")), perform))
    assert (results["a"].status, results["b"].status) == ("failed", "succeeded")
