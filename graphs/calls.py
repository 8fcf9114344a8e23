"""The one way to a tool in a run: calls are judged, approved, told as events, made, and made again where safe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..agents.plan import Json, Step
from ..core.errors import BottegaError, PermissionNeeded, ServerError
from ..core.ids import new_id
from ..core.redaction import redact
from ..tools import Tool, ToolContext, ToolResult
from ..tools.policy import Policy
from .approvals import Approvals

SHOWN = 2_000
"""Characters of a tool's output, or of one argument, that an event carries."""


@dataclass(frozen=True)
class Calls:
    """Calls tools on behalf of steps; `limit` holds how many calls of the run are under way at once."""

    context: ToolContext
    policy: Policy
    approvals: Approvals
    limit: asyncio.Semaphore
    called: Callable[[str, str, str, dict[str, Json]], None]
    returned: Callable[[str, str, str, str, bool, float], None]

    async def __call__(self, step: Step, tool: Tool, arguments: dict[str, Json]) -> ToolResult:
        """What the tool gave; a failing tool is a result too.

        Raises `PermissionNeeded` for a call that is not permitted or not approved.
        """
        await self.permit(step, tool, arguments)
        tries = 2 if tool.annotations.read_only and tool.id in self.policy.remote else 1
        async with self.limit:
            call = new_id("call")
            self.called(step.id, call, tool.id, {k: _shown(v) for k, v in arguments.items()})
            start = time.perf_counter()
            result = await self._call(tool, arguments, tries)
            self.returned(step.id, call, tool.id, _shown(result.text), result.is_error, time.perf_counter() - start)
        return result

    async def permit(self, step: Step, tool: Tool, arguments: dict[str, Json]) -> None:
        """Returns when the call may be made; raises `PermissionNeeded` otherwise."""
        verdict = self.policy.judge(tool)
        if verdict.decision == "ask":
            await self.approvals.ask(step, tool, arguments, verdict.reason)
        elif verdict.decision == "deny":
            raise PermissionNeeded(verdict.reason, hint=verdict.hint)

    async def _call(self, tool: Tool, arguments: dict[str, Json], tries: int) -> ToolResult:
        try:
            return await tool(self.context, **arguments)
        except (ServerError, OSError) as error:
            if tries > 1:
                return await self._call(tool, arguments, tries - 1)
            return ToolResult(f"{tool.id}: {error}", is_error=True)
        except BottegaError as error:
            return ToolResult(str(error), is_error=True)
        except Exception as error:
            return ToolResult(f"{tool.id} broke: {type(error).__name__}: {error}", is_error=True)


def _shown(value: Json) -> Json:
    """`value` as an event may carry it: short, and without secrets."""
    if isinstance(value, str):
        return redact(value if len(value) <= SHOWN else f"{value[:SHOWN]}… ({len(value) - SHOWN} more characters)")
    if isinstance(value, dict):
        return {k: _shown(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_shown(v) for v in value[:100]]
    return value
