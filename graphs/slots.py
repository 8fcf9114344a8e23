"""How many steps of a run are under way at once."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType


class Slots:
    """A semaphore, first come first served, for steps that give their slot up while they wait for other steps."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Waits for a free slot and takes it."""
        if self._free > 0 and not self._waiting:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give()  # it was given to us and is not wanted any more
            raise

    def give(self) -> None:
        """Gives a slot to whoever has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    async def take_back(self) -> None:
        """`take` for who will `give` whatever happens: a cancellation leaves it with a slot too."""
        try:
            await self.take()
        except asyncio.CancelledError:
            self._free -= 1
            raise

    async def __aenter__(self) -> None:
        await self.take()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give()
