"""`bottega plan`: shows what would be done."""

from __future__ import annotations

import click

from ..settings import Settings
from .options import opened, run_async, workshop_options
from .output import plan_lines, print_json
from .text import read_request


@click.command()
@click.argument("request", nargs=-1)
@workshop_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as one JSON object.")
def plan(request: tuple[str, ...], settings: Settings, as_json: bool) -> int:
    """Show how REQUEST would be done: its steps, their tools, and whose results they use. Nothing is called.

    Exit code 1 if there is a step that nobody can do.
    """
    text = read_request(request)

    async def work() -> int:
        async with opened(settings) as bottega:
            found = await bottega.plan(text)
        if as_json:
            print_json(found.model_dump(mode="json"))
        else:
            for line in plan_lines(found):
                print(line)
        return 1 if any(step.problem for step in found.steps) else 0

    return run_async(work())
