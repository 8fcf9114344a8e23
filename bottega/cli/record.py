"""What a run has come to so far, put together from its events: for runs that are stopped before their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..agents.plan import Plan, Route, RunResult, StepResult
    from ..graphs.events import Event


class Record:
    """Takes the events of one run."""

    def __init__(self, request: str) -> None:
        self._request = request
        self._run = ""
        self._route: Route | None = None
        self._plan: Plan | None = None
        self._results: dict[str, StepResult] = {}
        self.result: RunResult | None = None
        """The end of the run, once it is there."""

    def __call__(self, event: Event) -> None:
        self._run = event.run
        match event.type:
            case "routed":
                self._route = event.route
            case "planned":
                self._plan = event.plan
            case "step_finished":
                self._results[event.result.step] = event.result
            case "run_finished":
                self.result = event.result

    def cancelled(self) -> RunResult:
        """The result of a run that was stopped here: what is done stays done, and the answer says what that is."""
        from ..agents.plan import RunResult
        from ..core.usage import Usage

        results = tuple(self._results.values())
        done = [result for result in results if result.status == "succeeded"]
        files = dict.fromkeys(name for result in done for name in result.files)
        answer = f"Cancelled; done before: {', '.join(result.step for result in done) or 'nothing'}."
        if files:
            answer += f" Written: {', '.join(files)}."
        return RunResult(
            run=self._run,
            request=self._request,
            status="cancelled",
            answer=answer,
            route=self._route,
            plan=self._plan,
            results=results,
            usage=sum((result.usage for result in results), Usage()),
        )
