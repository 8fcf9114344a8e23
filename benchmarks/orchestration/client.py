"""Does the job again and again with one framework, in its own process and venv, each time a line on stdin tells it to.

    python client.py ADAPTER SERVER WORKERS

ADAPTER is a file of `adapters/` with `PACKAGES` (whose versions are told), `setup(server, names)`, which gives what can
be made before the first request, and `async run(what_setup_gave, stream)`, which does the job and gives the answer. A
line on stdin is `{"stream": bool}`; each gives a line on stdout.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import job


def main() -> None:
    file, server, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    names = job.workers(count)
    asyncio.run(serve(load(file), server, names))


def load(file: Path) -> ModuleType:
    """The adapter in a file. Its folder is not searched for modules: it holds names of frameworks."""
    spec = importlib.util.spec_from_file_location(f"adapter_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def serve(adapter: ModuleType, server: str, names: tuple[str, ...]) -> None:
    """One event loop for all runs, so that connections stay open between them."""
    made = adapter.setup(server, names)
    tell(**{name: version(name) for name in adapter.PACKAGES})
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        wanted = json.loads(line)
        wall, cpu = time.perf_counter(), time.process_time()
        answer = await adapter.run(made, wanted["stream"])
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        complete = job.is_complete(str(answer), names)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        tell(wall=wall, cpu=cpu, complete=complete, answer=str(answer)[:300], memory=peak)


def tell(**words: Any) -> None:
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    main()
