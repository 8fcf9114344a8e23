"""What the workshop remembers: plans of earlier runs that succeeded, as demonstrations for who plans the next one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .agents.again import shape
from .agents.plan import Plan
from .minds import encoder
from .retrieval import Demonstrations

if TYPE_CHECKING:
    from .graphs.ledger import Ledger

RUNS = 200
"""The newest runs that are looked at."""


class Recalling:
    """Finds plans for requests like one that is to be planned, among the runs of a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: set[str] = set()
        self._demonstrations: Demonstrations[Plan] = Demonstrations(encoder(), shape)

    async def __call__(self, request: str) -> tuple[Plan, ...]:
        """Plans that succeeded for requests like this one, the likest first. Raises `LedgerError`, `ModelError`."""
        found = await self._ledger.succeeded(RUNS)
        for run, asked, plan in reversed(found):
            if run not in self._known:
                self._known.add(run)
                self._demonstrations.add(run, asked, plan)
        nearest = await asyncio.to_thread(self._demonstrations.nearest, request)
        return tuple(one.value for one in nearest)
