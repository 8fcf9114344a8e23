"""`bottega run`: does a request, shows how on stderr, prints the answer on stdout."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from ..settings import Settings
from .following import Form, follow, form_options
from .options import engine_options, opened, run_async, workshop_options
from .output import print_json, print_plan
from .text import read_request
from .workflows import workflow_options, workflow_plan

if TYPE_CHECKING:
    from ..agents.plan import Plan
    from ..graphs.events import Event
    from ..workshop import Bottega


@click.command()
@click.argument("request", nargs=-1)
@workshop_options
@engine_options
@form_options
@workflow_options
@click.option("--dry-run", is_flag=True, help="Print the plan and do nothing.")
def run(
    request: tuple[str, ...],
    settings: Settings,
    as_json: bool,
    output: Form,
    quiet: bool,
    workflow: str | None,
    inputs: tuple[str, ...],
    dry_run: bool,
) -> int:
    """Do REQUEST and print the answer.

    REQUEST is in plain words; `-` stands for standard input. Progress goes to stderr, the answer alone to stdout. The
    run is kept: `bottega runs` lists, shows and resumes what was begun.

    Exit codes: 0 done, 1 failed or cannot, 2 usage, 3 an approval or answer nobody could give, 4 budget, 5 partial,
    130 cancelled.
    """
    form: Form = "json" if as_json else output
    text = "" if workflow else read_request(request)

    async def planned(bottega: Bottega) -> Plan | None:
        return await workflow_plan(bottega, workflow, inputs, request) if workflow else None

    async def begin(bottega: Bottega) -> AsyncGenerator[Event, None]:
        plan = await planned(bottega)
        async with aclosing(bottega.stream(plan.request if plan else text, plan)) as events:
            async for event in events:
                yield event

    async def dry() -> int:
        async with opened(settings) as bottega:
            plan = await planned(bottega) or await bottega.plan(text)
        if form == "text":
            print_plan(plan)
        else:
            print_json(plan.model_dump(mode="json"))
        return 0

    return run_async(dry() if dry_run else follow(settings, begin, text, form, quiet))
