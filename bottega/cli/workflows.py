"""What the commands share that run or show a workflow: `--workflow`, `--input`, and the plan they make."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..core.errors import UsageError
from .text import checked

if TYPE_CHECKING:
    from ..agents.plan import Plan
    from ..workshop import Bottega

F = TypeVar("F", bound=Callable[..., Any])


def workflow_options(command: F) -> F:
    """`--workflow` and `--input`, given to the command as `workflow` and `inputs`."""
    wrapped: Any = command
    for option in (
        click.option(
            "--input", "inputs", metavar="NAME=VALUE", multiple=True, help="An input of the workflow; may be repeated."
        ),
        click.option(
            "--workflow", metavar="FILE", help="A workflow in a YAML file, or the name of one in .bottega/workflows."
        ),
    ):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]


async def workflow_plan(bottega: Bottega, workflow: str, inputs: Iterable[str], words: Iterable[str]) -> Plan:
    """The plan of a workflow with these inputs (`name=value`), checked against the tools that there are.

    Raises `ConfigError` for what is wrong in the file, `UsageError` for what is wrong with the inputs.
    """
    from ..agents.workflows import find_workflow

    found = find_workflow(workflow, bottega.workspace.root)
    plan = found.plan(read_inputs(inputs), checked(" ".join(words)))
    found.check(await bottega.catalog(), [specialist.name for specialist in bottega.specialists])
    return plan


def read_inputs(pairs: Iterable[str]) -> dict[str, str]:
    """The inputs of a command line by name. Raises `UsageError` for one that is no `name=value` or stands twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--input {pair!r} has no value", hint="write --input name=value")
        if name in found:
            raise UsageError(f"--input {name} stands twice", hint="write the items of a list with commas between them")
        found[name] = value
    return found
