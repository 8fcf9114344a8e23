"""Runs the steps of a plan: each the moment its inputs exist, as many at once as allowed. No waves, no shared state."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from ..agents.plan import Plan, Step, StepResult

Perform = Callable[[Step, dict[str, StepResult]], Awaitable[StepResult]]
"""Does one step, given the results of the steps it needs."""


async def run_steps(
    plan: Plan,
    perform: Perform,
    *,
    finished: Mapping[str, StepResult] | None = None,
    limit: int = 8,
    done: Callable[[StepResult], None] = lambda result: None,
) -> dict[str, StepResult]:
    """The results of all steps of `plan`, by id.

    `finished` holds results of steps that are not to be done again; `done` hears of each new result before the steps
    that depend on it start. A step that raises has failed; steps that need one which did not succeed are skipped.
    When this call is cancelled, every step under way is cancelled and awaited.
    """
    results = {id: result for id, result in (finished or {}).items() if any(s.id == id for s in plan.steps)}
    waiting = {s.id: s for s in plan.steps if s.id not in results}
    ready: deque[Step] = deque()
    running = 0

    def release() -> None:
        """Moves what has its inputs from waiting to ready; skips what never will have them."""
        moved = True
        while moved:
            moved = False
            for step in list(waiting.values()):
                if any(need not in results for need in step.needs):
                    continue
                del waiting[step.id]
                if lost := [results[n] for n in step.needs if results[n].status != "succeeded"]:
                    results[step.id] = _skipped(step, lost[0])
                    done(results[step.id])
                    moved = True
                else:
                    ready.append(step)

    def start() -> None:
        nonlocal running
        while ready and running < limit:
            running += 1
            group.create_task(work(ready.popleft()))

    async def work(step: Step) -> None:
        nonlocal running
        try:
            result = await perform(step, {need: results[need] for need in step.needs})
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Something inside the step was cancelled, not the step: a connection that broke, for example.
            result = StepResult(step=step.id, status="failed", error="it was broken off")
        except Exception as error:
            result = StepResult(step=step.id, status="failed", error=f"{type(error).__name__}: {error}")
        results[step.id] = result
        done(result)
        running -= 1
        release()
        start()

    async with asyncio.TaskGroup() as group:
        release()
        start()
    return {s.id: results[s.id] for s in plan.steps}


def _skipped(step: Step, lost: StepResult) -> StepResult:
    return StepResult(step=step.id, status="skipped", error=f"it needs {lost.step}, which did not succeed")
