"""Asks for what the policy does not simply allow, and remembers the answers of one run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Literal

from pydantic import Field

from ..agents.plan import Frozen, Json, Step
from ..core.errors import PermissionNeeded
from ..core.ids import new_id
from ..tools import Tool


class ApprovalRequest(Frozen):
    """A call that waits for a yes: which tool, with which arguments, for which step, and why it has to be asked."""

    id: str = Field(default_factory=lambda: new_id("ask"))
    step: str
    instruction: str
    tool: str
    arguments: dict[str, Json]
    reason: str


Approve = Literal["all"] | Callable[[ApprovalRequest], Awaitable[bool]] | None
"""Who answers: `"all"` says yes to everything, a coroutine function decides, None means there is nobody to ask."""


class Approvals:
    """The questions and answers of one run. The same call of the same step is asked about once."""

    def __init__(
        self,
        approve: Approve,
        asked: Callable[[ApprovalRequest], None],
        given: Callable[[ApprovalRequest, bool], None],
    ) -> None:
        self._approve = approve
        self._asked = asked
        self._given = given
        self._answers: dict[str, bool] = {}
        self._one_at_a_time = asyncio.Lock()

    async def ask(self, step: Step, tool: Tool, arguments: dict[str, Json], reason: str) -> None:
        """Returns once the call is approved; raises `PermissionNeeded` when it is not."""
        if self._approve is None:
            raise PermissionNeeded(
                f"{reason}, and there was nobody to ask",
                hint="run with --yes to permit it, or give Bottega(approve=...)",
            )
        key = json.dumps([step.id, tool.id, arguments], sort_keys=True, default=str)
        async with self._one_at_a_time:
            if key not in self._answers:
                request = ApprovalRequest(
                    step=step.id, instruction=step.instruction, tool=tool.id, arguments=arguments, reason=reason
                )
                self._asked(request)
                await asyncio.sleep(0)  # whoever shows the events shows the plan before the question
                self._answers[key] = self._approve == "all" or bool(await self._approve(request))
                self._given(request, self._answers[key])
        if not self._answers[key]:
            raise PermissionNeeded(f"{tool.id} was not approved")
