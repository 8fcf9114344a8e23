"""Runs the steps of a plan: each the moment its inputs exist, as many at once as allowed. No waves, no shared state."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from ..agents.plan import Plan, Step, StepResult
from ..core.errors import FATAL
from .slots import Slots

Perform = Callable[[Step, dict[str, StepResult]], Awaitable[StepResult]]
"""Does one step, given the results of the steps it needs."""

UNFINISHED = ("waiting", "uncertain", "exhausted")
"""Statuses of steps that may yet go on: what depends on them is neither started nor skipped."""


async def run_steps(
    plan: Plan,
    perform: Perform,
    *,
    finished: Mapping[str, StepResult] | None = None,
    slots: Slots | None = None,
    done: Callable[[StepResult], None] = lambda result: None,
) -> dict[str, StepResult]:
    """The results of the steps of `plan`, by id; those that wait for an unfinished one have none.

    `finished` holds results that steps may refer to, and of steps that are not to be done again; `done` hears of each
    new result before the steps that depend on it start. `slots` is how many steps are under way at once; a goal, which
    is only as busy as its own steps are, does not count. A step that raises has failed; steps that need one which did
    not succeed are skipped. When this call is cancelled, every step under way is cancelled and awaited.
    """
    slots = slots or Slots(8)
    results = dict(finished or {})
    todo = {s.id: s for s in plan.steps if s.id not in results}
    missing = {s.id: sum(need not in results for need in s.needs) for s in todo.values()}
    needed_by: dict[str, list[Step]] = {}
    for step in todo.values():
        for need in step.needs:
            needed_by.setdefault(need, []).append(step)

    def settle(result: StepResult) -> None:
        """Takes a result in, and starts or skips what waited for it alone."""
        settled = [result]
        while settled:
            result = settled.pop()
            results[result.step] = result
            done(result)
            if result.status in UNFINISHED:
                continue
            for step in needed_by.get(result.step, ()):
                missing[step.id] -= 1
                if not missing[step.id]:
                    settled.extend(start(step))

    def start(step: Step) -> list[StepResult]:
        """Starts a step that has its inputs; gives its result where it is not to be done."""
        lost = [results[need] for need in step.needs if results[need].status != "succeeded"]
        if any(result.status in UNFINISHED for result in lost):
            return []
        if lost:
            return [_skipped(step, lost[0])]
        group.create_task(work(step), name=f"step {step.id}")
        return []

    async def work(step: Step) -> None:
        if step.goal:
            settle(await outcome(step))
            return
        async with slots:
            result = await outcome(step)
        settle(result)

    async def outcome(step: Step) -> StepResult:
        try:
            return await perform(step, {need: results[need] for need in step.needs})
        except FATAL:
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Something inside the step was cancelled, not the step: a connection that broke, for example.
            return StepResult(step=step.id, status="failed", error="it was broken off")
        except Exception as error:
            return StepResult(step=step.id, status="failed", error=f"{type(error).__name__}: {error}")

    try:
        async with asyncio.TaskGroup() as group:
            for step in [s for s in todo.values() if not missing[s.id]]:
                for result in start(step):
                    settle(result)
    except BaseExceptionGroup as group_error:
        fatal, _ = group_error.split(FATAL)
        raise fatal.exceptions[0] if fatal else group_error from None
    return {s.id: results[s.id] for s in plan.steps if s.id in results}


def _skipped(step: Step, lost: StepResult) -> StepResult:
    return StepResult(step=step.id, status="skipped", error=f"it needs {lost.step}, which did not succeed")
