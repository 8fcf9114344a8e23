"""Another process at a ledger, which does what it is told line by line. A program: tests of the ledger start it.

    python elsewhere.py URL LEASE [MACHINE]    # then lines like ["take", "run-..."] on standard input

Each line is answered by a line: what the call gave, or the error it raised. With MACHINE it passes for a process of
another machine.
"""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from bottega.agents.plan import Answer, Budget, StepResult
from bottega.core.errors import BottegaError
from bottega.graphs.ledger import Ledger, RunWriter


class Elsewhere:
    """The other process, as a test has it in hand."""

    def __init__(self, url: str, lease: float = 10.0, machine: str = "", full_at: int | None = None) -> None:
        """With `full_at` no file of it may grow beyond so many bytes, as on a disk that is full there."""
        limit = None if full_at is None else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (full_at, full_at))
        self._process = subprocess.Popen(
            [sys.executable, __file__, url, str(lease), machine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=limit,
        )
        self.pid = self._process.pid

    def does(self, what: str, *arguments: Any) -> Any:
        """What a call there gives. Raises `AssertionError` with the error's name and text where it raises one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([what, *arguments]) + "\n")
        self._process.stdin.flush()
        gave: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert "error" not in gave, gave["error"]
        return gave["value"]

    def freezes(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaws(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def dies(self) -> None:
        """Kills it, at once and for good."""
        self._process.kill()
        self._process.communicate()


async def serve(url: str, lease: float) -> None:
    ledger = Ledger(url, lease=lease)
    writers: dict[str, RunWriter] = {}

    async def do(what: str, *rest: Any) -> Any:
        match what, *rest:
            case "create", request:
                writer = await ledger.create(request, str(Path.cwd()), Budget())
                writers[writer.run] = writer
                return writer.run
            case "take", run:
                writers[run] = await ledger.take(run)
                return None
            case "beat", run:
                return list(await writers[run].beat())
            case "step", run, id, *value:
                gave = StepResult(step=id, status="succeeded", value=value[0] if value else None)
                return await writers[run].step(gave, digest=id, attempt=1, round=1)
            case "cancel", run, step:
                return await ledger.cancel(run, step)
            case "answer", id, answer:
                return (await ledger.answer(id, Answer.model_validate(answer))).run
        raise AssertionError(f"it cannot {what}")

    for line in sys.stdin:
        try:
            told = {"value": await do(*json.loads(line))}
        except BottegaError as error:
            told = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    if sys.argv[3]:
        socket.gethostname = lambda: sys.argv[3]
    asyncio.run(serve(sys.argv[1], float(sys.argv[2])))
