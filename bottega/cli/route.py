"""`bottega route`: shows who would take a request."""

from __future__ import annotations

import click

from ..settings import Settings
from .options import opened, run_async, workshop_options
from .output import columns, print_json
from .text import one_line, read_request


@click.command()
@click.argument("request", nargs=-1)
@workshop_options
@click.option("--json", "as_json", is_flag=True, help="Print the route as one JSON object.")
def route(request: tuple[str, ...], settings: Settings, as_json: bool) -> int:
    """Show who would take REQUEST: one specialist, the planner, or nobody, with the router's scores."""
    text = read_request(request)

    async def work() -> int:
        async with opened(settings) as bottega:
            found = await bottega.route(text)
        if as_json:
            print_json(found.model_dump(mode="json"))
            return 0
        who = found.specialist if found.kind == "specialist" else found.kind
        print(f"{who} ({found.confidence:.2f})" + (f": {one_line(found.reason)}" if found.reason else ""))
        scores = sorted(found.scores.items(), key=lambda item: -item[1])
        for line in columns([("", name, f"{score:.3f}") for name, score in scores], 80):
            print(line)
        return 0

    return run_async(work())
