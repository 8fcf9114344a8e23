"""A step that is bound to a tool: its calls are made, and what they gave becomes its result. No model takes part."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..core.errors import FATAL, BottegaError, Halt, PermissionNeeded
from ..core.usage import Usage
from ..tools import Tool, ToolResult
from .arguments import calls_of, check
from .plan import Json, Step, StepResult, ToolCall
from .readable import Nearness, asked_fields, clean, readable

if TYPE_CHECKING:
    from .specialist import Caller, StepContext

SHOWN_PER_CALL = 2_000
"""Characters of a call's text that its record keeps."""

SHORT = 20_000
"""Characters of text that are gone through at once."""

GOES_UP = (Halt, *FATAL)
"""What no specialist makes a result of: it concerns the run."""

MOST_VALUE = 5_000_000
"""Characters of text that a result may hand on to other steps."""


async def call_for(step: Step, tool: Tool, inputs: Mapping[str, StepResult], context: StepContext) -> StepResult:
    """The result of `step` by `tool`: one call, or one for each value where its arguments fan out.

    Calls that only read are made at once, others in order. Raises `ToolError` for arguments that the tool cannot take,
    before any call is made.
    """
    planned = calls_of(step, tool, inputs)
    for arguments in planned:
        check(tool, arguments)
    if tool.annotations.read_only:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_outcome(step, tool, arguments, context.call)) for arguments in planned]
        outcomes = [task.result() for task in tasks]
    else:
        outcomes = []
        for arguments in planned:
            outcomes.append(await _outcome(step, tool, arguments, context.call))
            if isinstance(outcomes[-1], GOES_UP):
                break
    for outcome in outcomes:
        if isinstance(outcome, GOES_UP):
            raise outcome
    made = [ToolResult(str(o), is_error=True) if isinstance(o, Exception) else o for o in outcomes]
    refused = any(isinstance(o, PermissionNeeded) for o in outcomes)
    near = context.nearness if tool.annotations.read_only else None  # of what was done, all is told
    if all(map(_is_plain, made)):
        result = _result(step, tool, planned, made, near)
    else:  # to look through structured values may take a model, or long
        result = await asyncio.to_thread(_result, step, tool, planned, made, near)
    done = Usage(tool_calls=sum(isinstance(o, ToolResult) for o in outcomes))
    return result.model_copy(update={"usage": done} | ({"status": "refused"} if refused else {}))


def _is_plain(result: ToolResult) -> bool:
    """Whether a result is a short text or a single value."""
    scalar = result.data is None or isinstance(result.data, str | int | float)
    return scalar and len(result.text) <= SHORT and result.text.lstrip()[:1] not in ("{", "[")


def recorded(tool: Tool, arguments: dict[str, Json], result: ToolResult) -> ToolCall:
    """A call as its step's result keeps it: what came back is shortened."""
    text = clean(result.text, SHOWN_PER_CALL)
    return ToolCall(tool=tool.id, arguments=arguments, text=text, is_error=result.is_error)


def sources_of(tool: Tool, arguments: Mapping[str, Json]) -> list[str]:
    """The workspace paths and addresses among the arguments."""
    return [
        value
        for name, value in arguments.items()
        if isinstance(value, str) and (tool.parameters.get(name) or {}).get("format") in ("path", "uri")
    ]


async def _outcome(
    step: Step, tool: Tool, arguments: dict[str, Json], call: Caller
) -> ToolResult | BottegaError | Halt:
    """A call's result, or the error that kept it from being made: one of several must not take the others along."""
    try:
        return await call(step, tool, arguments)
    except (BottegaError, Halt) as error:
        return error


def _result(
    step: Step,
    tool: Tool,
    planned: Sequence[dict[str, Json]],
    made: Sequence[ToolResult],
    nearness: Nearness | None,
) -> StepResult:
    good = [(arguments, result) for arguments, result in zip(planned, made, strict=True) if not result.is_error]
    bad = [(arguments, result) for arguments, result in zip(planned, made, strict=True) if result.is_error]
    values = [_value(result) for _, result in good]
    fanned = len(planned) > 1
    files = tuple(dict.fromkeys(f for _, result in good for f in result.files))
    return StepResult(
        step=step.id,
        status="failed" if bad else "succeeded",
        value=(values if fanned else values[0]) if values else None,
        text="\n".join(clean(result.text) for _, result in good),
        fields=asked_fields(step.instruction, values[0], good[0][0], nearness) if values else (),
        error=_why(bad, fanned) if bad else None,
        sources=tuple(dict.fromkeys(s for a in planned for s in sources_of(tool, a) if s not in files)),
        files=files,
        calls=tuple(recorded(tool, arguments, result) for arguments, result in zip(planned, made, strict=True)),
        confidence=step.confidence,
    )


def _value(result: ToolResult) -> Json:
    """The JSON value of a result: its data, the JSON in its text, or the text."""
    if result.data is not None:
        return result.data
    text = result.text[:MOST_VALUE]
    if text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            pass
    return text


def _why(bad: Sequence[tuple[dict[str, Json], ToolResult]], fanned: bool) -> str:
    if not fanned:
        return clean(bad[0][1].text, 1_000) or "the tool failed and did not say why"
    return "; ".join(f"{readable(arguments)}: {clean(result.text, 200)}" for arguments, result in bad[:5])
