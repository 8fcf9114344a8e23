"""`bottega runs ablate`: which specialists help, on your requests."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..settings import Settings
from .options import engine_options, opened, run_async, workshop_options
from .output import columns, print_json
from .text import one_line

if TYPE_CHECKING:
    from ..workshop import Bottega


@click.command()
@click.argument("requests", type=click.Path(path_type=Path, dir_okay=False))
@workshop_options
@engine_options
@click.option("--only", metavar="NAME", multiple=True, help="Leave out only this specialist; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def ablate(requests: Path, settings: Settings, only: tuple[str, ...], as_json: bool) -> int:
    """Repeat requests without each specialist in turn, and tell which are indispensable, useless or harmful.

    REQUESTS is a JSON Lines file: {"request": "...", "answer": "..."} a line. The answer has to hold that text, or one
    of a list; without it, to succeed is enough. Every request is done in a copy of the folder; nothing in it is
    changed. Run it once for each --model: who helps one may hinder another.

        bottega runs ablate requests.jsonl --yes --model gpt-5-mini
    """
    from ..ablation import Finding, compared, read_tasks, trials
    from ..core.errors import UsageError

    tasks = read_tasks(requests)

    def open_(folder: Path, without: Sequence[str]) -> Bottega:
        return opened(dataclasses.replace(settings, workspace=folder, ledger=":memory:"), without=without)

    async def work() -> int:
        names = [specialist.name for specialist in open_(settings.workspace, ()).specialists]
        if unknown := [name for name in only if name not in names]:
            raise UsageError(f"there is no specialist {unknown[0]!r}", hint=f"there are {', '.join(names)}")
        everybody = None
        findings: list[Finding] = []
        async for trial in trials(tasks, only or names, settings.workspace, open_):
            who = f"without {trial.without}" if trial.without else "with everybody"
            print(f"{who}: {sum(trial.right)} of {len(tasks)} right", file=sys.stderr, flush=True)
            if everybody is None:
                everybody = trial
            else:
                findings.append(compared(tasks, everybody, trial))
        assert everybody is not None
        if as_json:
            print_json(
                {
                    "model": settings.model,
                    "requests": len(tasks),
                    "right": sum(everybody.right),
                    "specialists": [
                        {**dataclasses.asdict(f), "verdict": f.verdict, "chance": f.chance} for f in findings
                    ],
                }
            )
            return 0
        rows = [("specialist", "verdict", "steps", "lost", "gained", "chance")]
        for f in findings:
            counts = (str(f.steps), str(len(f.lost)), str(len(f.gained)))
            rows.append((f.specialist, f.verdict, *counts, f"{f.chance:.2f}"))
        for line in columns(rows, 100):
            print(line)
        for f in findings:
            for request in f.lost:
                print(f"{f.specialist} is needed for: {one_line(request, 100)}")
            for request in f.gained:
                print(f"{f.specialist} is in the way of: {one_line(request, 100)}")
        return 0

    return run_async(work())
