"""`bottega run`: does a request, shows how on stderr, prints the answer on stdout."""

from __future__ import annotations

import click

from ..settings import Settings
from .following import Form, follow, form_options
from .options import engine_options, opened, run_async, workshop_options
from .output import plan_lines, print_json
from .text import read_request


@click.command()
@click.argument("request", nargs=-1)
@workshop_options
@engine_options
@form_options
@click.option("--workflow", metavar="FILE", help="Do this workflow; REQUEST may be left out.")
@click.option("--input", "inputs", metavar="NAME=VALUE", multiple=True, help="An input of the workflow.")
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
    plan = None
    if workflow is None:
        text = read_request(request)
    else:
        from .workflows import planned

        text, plan = planned(request, workflow, inputs)
    if dry_run:
        return run_async(_dry_run(text, settings, form))
    return run_async(follow(settings, lambda bottega: bottega.stream(text, plan), text, form, quiet))


async def _dry_run(request: str, settings: Settings, form: Form) -> int:
    async with opened(settings) as bottega:
        plan = await bottega.plan(request)
    if form == "text":
        for line in plan_lines(plan):
            print(line)
    else:
        print_json(plan.model_dump(mode="json"))
    return 0
