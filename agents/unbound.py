"""A step that nobody has bound: which of a specialist's tools do it, as the run's binder finds, and the doing of it.

Where one call needs what another gives, both are made inside the step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..core.errors import ToolError
from ..core.usage import Usage
from ..tools import Tool
from .calling import call_for
from .plan import Step, StepResult

if TYPE_CHECKING:
    from .planning import Binding
    from .specialist import StepContext

NOTHING_FITS = "no tool here fits this"


async def bound(
    step: Step, inputs: Mapping[str, StepResult], tools: Sequence[Tool], context: StepContext
) -> Binding | None:
    """How `tools` would do `step`, whose `inputs` its arguments may refer to; None without a binder."""
    if context.binder is None:
        return None
    return await context.binder.bind(step.instruction, list(inputs.values()), tools, context.workspace)


async def carry_out(
    step: Step,
    binding: Binding | None,
    inputs: Mapping[str, StepResult],
    tools: Sequence[Tool],
    context: StepContext,
) -> StepResult:
    """Does `step` by the calls of its binding, one after the other; the result is that of the last.

    The first that does not succeed is the last. Raises `ToolError` for arguments that a tool cannot take, and for one
    that is none of `tools`.
    """
    if binding is None or not binding.steps:
        return StepResult(step=step.id, status="cannot", error=(binding and binding.problem) or NOTHING_FITS)
    by_id = {tool.id: tool for tool in tools}
    known, done = dict(inputs), list[StepResult]()
    for part in binding.steps:
        if (tool := by_id.get(part.tool or "")) is None:
            raise ToolError(f"there is no tool {part.tool!r}")
        # For the run, its calls are those of the step.
        done.append(await call_for(part.model_copy(update={"id": step.id}), tool, known, context))
        if done[-1].status != "succeeded":
            break
        known[part.id] = done[-1]
    return done[-1].model_copy(
        update={
            "calls": tuple(call for result in done for call in result.calls),
            "sources": tuple(dict.fromkeys(source for result in done for source in result.sources)),
            "files": tuple(dict.fromkeys(file for result in done for file in result.files)),
            "usage": sum((result.usage for result in done), Usage()),
        }
    )
