"""What the ledger knows, as it is handed out: runs, calls, questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ...agents.plan import Answer, Budget, Json, Plan, Question, Route, RunStatus, StepResult
from ...core.usage import Usage

CallState = Literal["intended", "done", "uncertain"]


@dataclass(frozen=True)
class AskedQuestion:
    """A question with its run, and its answer once it has one."""

    run: str
    question: Question
    asked: float
    answer: Answer | None = None


@dataclass(frozen=True)
class Call:
    """A call of a tool or a model, as the journal knows it."""

    key: str
    step: str
    kind: str
    name: str
    state: CallState
    outcome: Mapping[str, Json] | None = None
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True)
class StepRecord:
    """The end of one attempt at a step."""

    step: str
    digest: str
    attempt: int
    round: int
    """See `Run.round`."""
    result: StepResult


@dataclass(frozen=True)
class RunSummary:
    """A run in a list. Times are seconds since the epoch; `owner` works on it now."""

    id: str
    request: str
    workspace: str
    status: RunStatus
    created: float
    updated: float
    owner: str | None = None
    waiting: int = 0
    """Questions without an answer."""


@dataclass(frozen=True)
class RunRecord:
    """All that is known of a run."""

    summary: RunSummary
    state: Mapping[str, Json]
    budget: Budget
    seconds: float
    route: Route | None
    answer: str | None
    plans: Mapping[str, Plan]
    """Goal -> its plan in the last revision; the run's own under the empty text."""
    steps: tuple[StepRecord, ...]
    calls: Mapping[str, Call]
    questions: Mapping[str, AskedQuestion]

    @property
    def usage(self) -> Usage:
        """What was spent on it."""
        return sum((call.usage for call in self.calls.values()), Usage(seconds=round(self.seconds, 3)))
