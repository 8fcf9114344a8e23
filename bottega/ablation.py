"""Who helps? Does requests again without each specialist in turn, and compares.

PublicAgent (arXiv 2511.03023) found that some agents of a team help every model and others only some. Whether one of
yours does is measured here, on your requests and with your model.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .core.errors import UsageError

if TYPE_CHECKING:
    from .workshop import Bottega

Verdict = Literal["indispensable", "helpful", "useless", "harmful"]

Open = Callable[[Path, Sequence[str]], "Bottega"]
"""Opens a workshop on a folder, without the specialists of these names."""


@dataclass(frozen=True)
class Task:
    """A request and how to tell that it was done right: it succeeded, and the answer holds one of these texts."""

    request: str
    answers: tuple[str, ...] = ()

    def is_right(self, status: str, answer: str) -> bool:
        """Whether a run's end is right."""
        told = answer.casefold()
        return status == "succeeded" and (not self.answers or any(a.casefold() in told for a in self.answers))


@dataclass(frozen=True)
class Trial:
    """How the tasks went with everybody, or without the one specialist `without`."""

    without: str | None
    right: tuple[bool, ...]
    steps: Counter[str] = field(default_factory=Counter)
    """Specialist -> steps that it did."""


@dataclass(frozen=True)
class Finding:
    """What the team loses and gains without a specialist.

    `lost` and `gained` are requests; `chance` is how likely a difference of this size is by chance alone (exact sign
    test, two-sided).
    """

    specialist: str
    steps: int
    lost: tuple[str, ...]
    gained: tuple[str, ...]

    @property
    def chance(self) -> float:
        n, fewer = len(self.lost) + len(self.gained), min(len(self.lost), len(self.gained))
        return min(1.0, sum(comb(n, k) for k in range(fewer + 1)) / 2 ** (n - 1)) if n else 1.0

    @property
    def verdict(self) -> Verdict:
        """`indispensable`: something fails without it, nothing gets better; `harmful`: more gets better than worse."""
        if len(self.gained) > len(self.lost):
            return "harmful"
        if not self.lost or len(self.gained) == len(self.lost):
            return "useless"
        return "helpful" if self.gained else "indispensable"


def read_tasks(path: Path) -> list[Task]:
    """The tasks of a JSON Lines file: `request`, and `answer`, a text or a list of them of which one has to be said.

    Raises `UsageError` that names the line.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    tasks: list[Task] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            answers = row.get("answer", [])
            given = [answers] if isinstance(answers, str | int | float) else list(answers)
            tasks.append(Task(str(row["request"]), tuple(str(answer) for answer in given)))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(
                f"line {number} of {path} is no request", hint='one a line: {"request": "...", "answer": "..."}'
            ) from None
    if not tasks:
        raise UsageError(f"{path} holds no requests")
    return tasks


async def trials(tasks: Sequence[Task], names: Iterable[str], folder: Path, open_: Open) -> AsyncIterator[Trial]:
    """How the tasks go with everybody, then without each of `names`. Every request has its own copy of `folder`."""
    for without in (None, *names):
        right: list[bool] = []
        steps: Counter[str] = Counter()
        for task in tasks:
            with tempfile.TemporaryDirectory(prefix="bottega-") as place:
                copy = Path(place) / "workspace"
                shutil.copytree(folder, copy, symlinks=True, ignore=shutil.ignore_patterns(".bottega"))
                async with open_(copy, [without] if without else []) as bottega:
                    async for event in bottega.stream(task.request):
                        if event.type == "step_started" and event.specialist:
                            steps[event.specialist] += 1
                        elif event.type == "run_finished":
                            right.append(task.is_right(event.result.status, event.result.answer))
        yield Trial(without, tuple(right), steps)


def compared(tasks: Sequence[Task], everybody: Trial, trial: Trial) -> Finding:
    """What a trial without a specialist says about it."""
    assert trial.without is not None
    rows = list(zip(tasks, everybody.right, trial.right, strict=True))
    return Finding(
        trial.without,
        everybody.steps[trial.without],
        lost=tuple(task.request for task, before, after in rows if before and not after),
        gained=tuple(task.request for task, before, after in rows if after and not before),
    )
