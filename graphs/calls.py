"""The one way to a tool in a run: calls are judged, approved, paid, journalled, told as events, and made once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from ..agents.plan import Json, Step
from ..core.errors import BottegaError, NotSent, PermissionNeeded, ServerError
from ..core.redaction import redact
from ..core.sound import sound
from ..core.usage import Usage
from ..tools import Tool, ToolContext, ToolResult
from ..tools.policy import Policy
from .approvals import Approvals
from .budget import Account
from .events import Emit, ToolCalled, ToolReturned
from .journal import Journal
from .ledger import Call, digest_of

SHOWN = 2_000
"""Characters of a tool's output, or of one argument, that an event carries."""

ONE = Usage(tool_calls=1)


@dataclass(frozen=True)
class Calls:
    """Calls tools on behalf of steps; `limit` holds how many calls of the run are under way at once."""

    run: str
    context: ToolContext
    policy: Policy
    approvals: Approvals
    journal: Journal
    account: Callable[[str], Account]
    """Step -> what it may spend."""
    limit: asyncio.Semaphore
    emit: Emit

    async def __call__(self, step: Step, tool: Tool, arguments: dict[str, Json]) -> ToolResult:
        """What the tool gave, now or in an earlier process; a failing tool is a result too.

        Raises `PermissionNeeded` for a call that is not permitted or not approved, `BudgetExceeded` for one that cannot
        be paid, `Halt` where a person has to answer first.
        """
        arguments = sound(arguments)
        key = self.journal.key(step.id, "tool", tool.id, arguments)
        permitted: dict[str, Json] | None = None
        while True:
            known = self.journal.known(key)
            if known is None:
                if permitted is None:
                    permitted = await self.permit(step, tool, arguments)
                if (result := await self._paid(step, tool, permitted, key)) is not None:
                    return result
                continue
            if known.state == "done":
                return self._from_before(step, tool, arguments, key, known)
            permitted = self.approvals.edited(step, tool, arguments)
            why = known.outcome["text"] if known.outcome else "the run was broken off during the call"
            answer = await self.approvals.uncertain(step, tool, permitted, key, why)
            if answer.decision == "text":
                return await self._taken(step, tool, key, answer.text)
            key = again(key)

    async def permit(self, step: Step, tool: Tool, arguments: dict[str, Json]) -> dict[str, Json]:
        """The arguments of a call that may be made, as a person may have changed them.

        Raises `PermissionNeeded` where it may not, `Halt` while nobody has answered.
        """
        verdict = self.policy.judge(tool)
        if verdict.decision == "ask":
            return await self.approvals.permit(step, tool, arguments, verdict.reason)
        if verdict.decision == "deny":
            raise PermissionNeeded(verdict.reason, hint=verdict.hint)
        return arguments

    async def _paid(self, step: Step, tool: Tool, arguments: dict[str, Json], key: str) -> ToolResult | None:
        """The result of a call that is made now. None where nobody knows whether it was."""
        account = self.account(step.id)
        await account.reserve(lambda: ONE)
        used = Usage()
        try:
            async with self.limit:
                used = ONE
                return await self._make(step, tool, arguments, key)
        finally:
            account.settle(ONE, used)

    async def _make(self, step: Step, tool: Tool, arguments: dict[str, Json], key: str) -> ToolResult | None:
        repeatable = tool.annotations.read_only or tool.annotations.idempotent or tool.annotations.keyed
        if not repeatable:
            await self.journal.intend(key, step.id, "tool", tool.id)
        self._tell(step, tool, key, arguments)
        start = time.perf_counter()
        context = replace(self.context, key=key)
        uncertain = False
        try:
            result = await self._call(tool, arguments, context, 2 if repeatable and tool.remote else 1)
            result = replace(result, text=sound(result.text), data=sound(result.data))
        except ServerError as error:
            # It reached the server, and nobody knows what came of it.
            uncertain = not repeatable
            result = ToolResult(sound(str(error)), is_error=True)
        await self._keep(step, tool, key, result, intended=not repeatable, uncertain=uncertain)
        self._told(step, tool, key, result, time.perf_counter() - start)
        return None if uncertain else result

    async def _call(self, tool: Tool, arguments: dict[str, Json], context: ToolContext, tries: int) -> ToolResult:
        try:
            return await tool(context, **arguments)
        except NotSent as error:
            if tries > 1:
                return await self._call(tool, arguments, context, tries - 1)
            return ToolResult(f"{tool.id}: {error}", is_error=True)
        except ServerError:
            if tries > 1:
                return await self._call(tool, arguments, context, tries - 1)
            raise
        except BottegaError as error:
            return ToolResult(str(error), is_error=True)
        except Exception as error:
            return ToolResult(f"{tool.id} broke: {type(error).__name__}: {error}", is_error=True)

    def _from_before(self, step: Step, tool: Tool, arguments: dict[str, Json], key: str, call: Call) -> ToolResult:
        """The result of a call that an earlier process made."""
        kept = dict(call.outcome or {})
        result = ToolResult(**{**kept, "files": tuple(kept.get("files", ()))})
        self._tell(step, tool, key, arguments)
        self._told(step, tool, key, result, 0.0, kept=True)
        return result

    async def _taken(self, step: Step, tool: Tool, key: str, text: str) -> ToolResult:
        """The result of a call that a person says was made."""
        result = ToolResult(text or "Done.")
        await self._keep(step, tool, key, result, intended=True)
        return result

    async def _keep(
        self, step: Step, tool: Tool, key: str, result: ToolResult, *, intended: bool = False, uncertain: bool = False
    ) -> None:
        await self.journal.outcome(
            key, step.id, "tool", tool.id, asdict(result), ONE, intended=intended, uncertain=uncertain
        )

    def _tell(self, step: Step, tool: Tool, key: str, arguments: dict[str, Json]) -> None:
        shown = {k: _shown(v) for k, v in arguments.items()}
        self.emit(ToolCalled(run=self.run, step=step.id, call=key[:12], tool=tool.id, arguments=shown))

    def _told(
        self, step: Step, tool: Tool, key: str, result: ToolResult, seconds: float, *, kept: bool = False
    ) -> None:
        self.emit(
            ToolReturned(
                run=self.run,
                step=step.id,
                call=key[:12],
                tool=tool.id,
                text=_shown(result.text),
                is_error=result.is_error,
                seconds=seconds,
                kept=kept,
            )
        )


def again(key: str) -> str:
    """The key of a call that a person wants made again; should its end stay unknown too, they are asked again."""
    return digest_of(key, "again")


def _shown(value: Json) -> Json:
    """`value` as an event may carry it: short, and without secrets."""
    if isinstance(value, str):
        return redact(value if len(value) <= SHOWN else f"{value[:SHOWN]}… ({len(value) - SHOWN} more characters)")
    if isinstance(value, dict):
        return {k: _shown(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_shown(v) for v in value[:100]]
    return value
