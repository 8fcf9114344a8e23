"""`bottega run`: does a request, shows how on stderr, prints the answer on stdout."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Literal

import click

from ..settings import Settings
from .options import ask, can_ask, opened, run_async, workshop_options
from .output import argument, plan_lines, print_json
from .progress import Progress
from .record import Record
from .text import one_line, plain, read_request

if TYPE_CHECKING:
    from ..graphs.approvals import ApprovalRequest

Form = Literal["text", "json", "stream-json"]
FORMS = click.Choice(["text", "json", "stream-json"])


@click.command()
@click.argument("request", nargs=-1)
@workshop_options
@click.option("--yes", is_flag=True, help="Approve side effects inside the folder, and the tools of your servers.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("--output", type=FORMS, default="text", help="stream-json: one event a line.")
@click.option("--quiet", is_flag=True, help="Print nothing but the answer.")
@click.option("--dry-run", is_flag=True, help="Print the plan and do nothing.")
def run(request: tuple[str, ...], settings: Settings, as_json: bool, output: Form, quiet: bool, dry_run: bool) -> int:
    """Do REQUEST and print the answer.

    REQUEST is in plain words; `-` stands for standard input. Progress goes to stderr, the answer alone to stdout.

    Exit codes: 0 done, 1 failed or cannot, 2 usage, 3 an approval nobody could give, 5 partial, 130 cancelled.
    """
    text = read_request(request)
    form: Form = "json" if as_json else output
    if dry_run:
        return run_async(_dry_run(text, settings, form))
    return run_async(_run(text, settings, form, quiet))


async def _run(request: str, settings: Settings, form: Form, quiet: bool) -> int:
    from ..graphs.events import RunFinished

    progress = None if quiet else Progress()

    async def approve(asked: ApprovalRequest) -> bool:
        if progress is not None:
            progress.pause()
        return await ask(approval_question(asked))

    record = Record(request)
    try:
        async with (
            opened(settings, approve if can_ask() else None) as bottega,
            aclosing(bottega.stream(request)) as events,
        ):
            async for event in events:
                record(event)
                if form == "stream-json":
                    print(event.model_dump_json(), flush=True)
                if progress is not None:
                    progress(event)
    except asyncio.CancelledError:
        pass  # what was done until then is told below
    finally:
        if progress is not None:
            progress.pause()
    result = record.result or record.cancelled()
    if form == "json":
        print_json(result.to_json())
    elif form == "text":
        print(plain(result.answer))
    elif record.result is None:
        print(RunFinished(run=result.run, result=result).model_dump_json())
    return result.exit_code


async def _dry_run(request: str, settings: Settings, form: Form) -> int:
    async with opened(settings) as bottega:
        plan = await bottega.plan(request)
    if form == "text":
        for line in plan_lines(plan):
            print(line)
    else:
        print_json(plan.model_dump(mode="json"))
    return 0


def approval_question(asked: ApprovalRequest) -> str:
    """What a person is asked: the tool with its arguments, and why."""
    arguments = " ".join(f"{name}={argument(value)}" for name, value in asked.arguments.items())
    return f"{asked.step}: {one_line(f'{asked.tool} {arguments}', 400)}\n{one_line(asked.reason)}. Do it?"
