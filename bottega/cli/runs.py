"""`bottega runs`: the runs of a folder: lists and shows them, answers what they ask, resumes, cancels, removes them."""

from __future__ import annotations

import math
import shutil
import sys
from typing import TYPE_CHECKING

import click

from ..core.errors import UsageError
from ..settings import Settings
from .ablate import ablate
from .asking import answer_of, shown
from .following import Form, follow, form_options
from .options import engine_options, opened, run_async, workshop_options
from .output import columns, plan_lines, print_json
from .rows import UNITS, ago, run_row, status
from .text import one_line, plain

if TYPE_CHECKING:
    from ..graphs.ledger import RunSummary


@click.group(invoke_without_command=True)
@click.pass_context
def runs(ctx: click.Context) -> int | None:
    """List, show, resume, answer, cancel and prune runs.

    RUN is an id, the end of one, or `last`. Without a command, the runs of this folder are listed.
    """
    code: int | None = None if ctx.invoked_subcommand else ctx.invoke(list_)
    return code


@runs.command("list")
@workshop_options
@click.option("--limit", default=20, show_default=True, help="How many, the newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(settings: Settings, limit: int, as_json: bool) -> int:
    """List runs, the newest first."""

    async def work() -> int:
        async with opened(settings) as bottega:
            found = await bottega.runs(limit)
        if as_json:
            print_json([_summary(run) for run in found])
        else:
            for line in columns([run_row(run) for run in found], _width()):
                print(line)
            if not found:
                print("no runs are kept here", file=sys.stderr)
        return 0

    return run_async(work())


@runs.command()
@click.argument("run", default="last")
@workshop_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def show(run: str, settings: Settings, as_json: bool) -> int:
    """Show a run: its plan, what its steps gave, what it waits for, what it cost."""

    async def work() -> int:
        async with opened(settings) as bottega:
            record = await bottega.record(run)
        last = {kept.step: kept for kept in record.steps}
        if as_json:
            print_json(
                {
                    **_summary(record.summary),
                    "answer": record.answer,
                    "plan": record.plans[""].model_dump(mode="json") if "" in record.plans else None,
                    "steps": [
                        {"attempt": kept.attempt, **kept.result.model_dump(mode="json")} for kept in last.values()
                    ],
                    "questions": [asked.question.model_dump(mode="json") for asked in record.questions.values()],
                    "usage": record.usage.model_dump(mode="json"),
                }
            )
            return 0
        print(f"{record.summary.id} · {status(record.summary)} · {ago(record.summary.updated)}")
        print(one_line(record.summary.request, 500))
        if (plan := record.plans.get("")) is not None:
            print(f"plan (revision {plan.revision})")
            for line in plan_lines(plan, record.plans):
                print(f"  {line}")
        for kept in last.values():
            told = kept.result.text if kept.result.status == "succeeded" else kept.result.error or kept.result.text
            print(f"{kept.result.status:<10} {kept.step:<4} {one_line(told, 160)}")
        for call in record.calls.values():
            if call.state != "done":
                print(f"{'uncertain':<10} {call.step:<4} {call.name}: it may have been done or not")
        for asked in record.questions.values():
            answer = asked.answer.decision if asked.answer else "waits for an answer"
            print(f"{asked.question.id}: {one_line(shown(asked.question), 200)} · {answer}")
        if record.answer:
            print(plain(record.answer))
        used = record.usage
        print(
            f"{used.tool_calls} tool calls, {used.model_calls} model calls, "
            f"{used.input_tokens + used.output_tokens} tokens, ${used.cost:.4f}, {used.seconds:.1f} s"
        )
        return 0

    return run_async(work())


@runs.command()
@click.argument("run", default="last")
@workshop_options
@engine_options
@form_options
def resume(run: str, settings: Settings, as_json: bool, output: Form, quiet: bool) -> int:
    """Go on with a run that was broken off or waits. What is finished is not done again."""
    form: Form = "json" if as_json else output
    return run_async(follow(settings, lambda bottega: bottega.stream(resume=run), "", form, quiet))


@runs.command()
@click.argument("run", default="last")
@workshop_options
@click.option("--step", metavar="ID", help="Cancel only this step.")
def cancel(run: str, settings: Settings, step: str | None) -> int:
    """Cancel a run, whatever process works on it. What is finished is kept."""

    async def work() -> int:
        async with opened(settings) as bottega:
            done = await bottega.cancel(run, step)
        print("it is being cancelled" if done else "there is nothing to cancel", file=sys.stderr)
        return 0 if done else 1

    return run_async(work())


@runs.command()
@workshop_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def questions(settings: Settings, as_json: bool) -> int:
    """List what runs wait for."""

    async def work() -> int:
        async with opened(settings) as bottega:
            found = await bottega.questions()
        if as_json:
            print_json([{"run": asked.run, **asked.question.model_dump(mode="json")} for asked in found])
            return 0
        for asked in found:
            print(f"{asked.question.id} · {asked.run} · {ago(asked.asked)}")
            for line in shown(asked.question).splitlines():
                print(f"  {line}")
        if not found:
            print("no run waits for an answer", file=sys.stderr)
        return 0

    return run_async(work())


@runs.command()
@click.argument("question")
@click.argument("words", nargs=-1, required=True, metavar="ANSWER")
@workshop_options
def answer(question: str, words: tuple[str, ...], settings: Settings) -> int:
    """Answer a question by its id, in any order.

    To an approval: y (once), a (such calls for the rest of the run), p (always in this folder), e JSON (with other
    arguments), n REASON. To a plan: y, e JSON (another plan), n REASON. To a call that may have been done: done RESULT,
    again, n. To any other question: the answer.

        bottega runs answer ask-1f00c3aa52 n "not in this folder"
    """

    async def work() -> int:
        async with opened(settings) as bottega:
            waiting = {asked.question.id: asked for asked in await bottega.questions()}
            if question not in waiting:
                raise UsageError(f"no question {question!r} waits", hint="`bottega runs questions` lists them")
            asked = waiting.pop(question)
            await bottega.answer(question, answer_of(words, asked.question))
        left = sum(other.run == asked.run for other in waiting.values())
        then = f"{left} more wait{'s' * (left == 1)}" if left else f"to go on: bottega runs resume {asked.run}"
        print(f"answered; {then}", file=sys.stderr)
        return 0

    return run_async(work())


@runs.command()
@workshop_options
@click.option("--older-than", metavar="AGE", default="30d", show_default=True, help="Such as 12h, 30d, 8w; 0s for all.")
@click.option("--keep", default=0, show_default=True, help="Keep the newest ones whatever their age.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
def prune(settings: Settings, older_than: str, keep: int, dry_run: bool) -> int:
    """Remove ended runs, and give their room back. Runs that may still go on are kept."""
    seconds = _seconds(older_than)

    async def work() -> int:
        async with opened(settings) as bottega:
            gone = await bottega.prune(seconds, keep, dry_run=dry_run)
        for run in gone:
            print(run)
        number = "1 run" if len(gone) == 1 else f"{len(gone)} runs"
        done = "would be" if dry_run else "was" if len(gone) == 1 else "were"
        print(f"{number} {done} removed", file=sys.stderr)
        return 0

    return run_async(work())


def _seconds(age: str) -> float:
    unit = UNITS.get(age[-1:])
    try:
        if unit is None or not math.isfinite(number := float(age[:-1])) or number < 0:
            raise ValueError
    except ValueError:
        raise UsageError(f"{age!r} is no age", hint="a number and one of s, m, h, d, w: 30d") from None
    return number * unit


def _summary(run: RunSummary) -> dict[str, object]:
    return {
        "run_id": run.id,
        "request": run.request,
        "workspace": run.workspace,
        "status": status(run),
        "created": run.created,
        "updated": run.updated,
        "owner": run.owner,
        "questions": run.waiting,
    }


def _width() -> int:
    return shutil.get_terminal_size().columns


runs.add_command(ablate)
