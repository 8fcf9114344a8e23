"""The one place where async becomes sync: an event loop in a thread of its own, which lives as long as its owner."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for callers that have no event loop, or that must not block on their own."""

    def __init__(self) -> None:
        self._running = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), name="bottega", daemon=True)
        self._thread.start()
        self._running.wait()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for `work` and gives its result. Ctrl-C cancels it, and waits until it has cleaned up."""
        started: list[asyncio.Task[Any] | None] = []

        async def noted() -> T:
            started.append(asyncio.current_task())
            return await work

        async def settled() -> None:
            if tasks := [task for task in started if task is not None]:
                await asyncio.wait(tasks)

        future = asyncio.run_coroutine_threadsafe(noted(), self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            asyncio.run_coroutine_threadsafe(settled(), self._loop).result()
            raise

    def close(self) -> None:
        """Cancels what still runs and ends the thread. May be called twice."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            if threading.current_thread() is not self._thread:
                self._thread.join()

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._running.set()
        await self._stop.wait()
