"""`bottega plan`: shows what would be done."""

from __future__ import annotations

import click

from ..core.errors import UsageError
from ..settings import Settings
from .options import opened, run_async, workshop_options
from .output import print_json, print_plan
from .text import read_request
from .workflows import workflow_options, workflow_plan


@click.command()
@click.argument("request", nargs=-1)
@workshop_options
@workflow_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as one JSON object.")
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Print the plan as a Mermaid flowchart.")
def plan(
    request: tuple[str, ...],
    settings: Settings,
    workflow: str | None,
    inputs: tuple[str, ...],
    as_json: bool,
    as_mermaid: bool,
) -> int:
    """Show how REQUEST would be done: its steps, their tools, and whose results they use. Nothing is called.

    A filled dot is a step with its tool, an empty one a step whose specialist finds the tool, a diamond a goal that is
    planned when it is reached. Lines lead from a step to those that use its result.

    Exit code 1 if there is a step that nobody can do.
    """
    if as_json and as_mermaid:
        raise UsageError("--json and --mermaid are two forms of one plan", hint="choose one")
    if inputs and workflow is None:
        raise UsageError("--input is for a workflow, and none is named", hint="add --workflow FILE")
    text = read_request(request) if workflow is None else ""

    async def work() -> int:
        async with opened(settings) as bottega:
            found = await (
                bottega.plan(text) if workflow is None else workflow_plan(bottega, workflow, inputs, request)
            )
        if as_json:
            print_json(found.model_dump(mode="json"))
        elif as_mermaid:
            from ..agents.mermaid import mermaid

            print(mermaid(found), end="")
        else:
            print_plan(found)
        return 1 if any(step.problem for step in found.steps) else 0

    return run_async(work())
