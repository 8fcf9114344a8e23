"""How soon Bottega is there: each figure beside what it is compared with, medians of interleaved runs on this machine.

    python benchmarks/start_up.py [--runs N]

Ends with 1 if a target is missed. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import os
import pty
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PYTHON = sys.executable
BOTTEGA = str(Path(PYTHON).with_name("bottega"))
OFFICE = Path(__file__).parents[1] / "examples" / "office"
REQUEST = "How many lines of kiln.log contain ERROR?"


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the start-up of Bottega.")
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(OFFICE, folder, dirs_exist_ok=True)
        Path(folder, ".mcp.json").unlink()
        peaks: list[float] = []
        measured: dict[str, Callable[[], float]] = {
            "bare": lambda: seconds([PYTHON, "-c", "pass"], folder),
            "version": lambda: seconds([BOTTEGA, "--version"], folder),
            "help": lambda: seconds([BOTTEGA, "--help"], folder),
            "import": lambda: seconds([PYTHON, "-c", "import bottega"], folder),
            "prompt": lambda: prompt_seconds(folder),
            "langgraph": lambda: seconds([PYTHON, "-c", "import langgraph.graph"], folder),
            "run": lambda: seconds([BOTTEGA, "run", "--json", REQUEST], folder, peaks),
        }
        samples: dict[str, list[float]] = {name: [] for name in measured}
        for turn in range(runs + 1):
            for name, measure in measured.items():
                taken = measure()
                if turn:  # the first round only warms the disk
                    samples[name].append(taken)
    figures = {name: statistics.median(taken) for name, taken in samples.items()}
    peak = max(peaks)

    bare, langgraph = figures["bare"], figures["langgraph"]
    print(f"medians of {runs} runs; python -c pass {bare:.3f} s, import langgraph.graph {langgraph:.3f} s")
    kept = [
        row("bottega --version, above python -c pass", figures["version"] - bare, 0.05, "s"),
        row("bottega --help, above python -c pass", figures["help"] - bare, 0.12, "s"),
        row("import bottega, above python -c pass", figures["import"] - bare, 0.05, "s"),
        row("the console's prompt", figures["prompt"], 0.4, "s"),
        row("bottega run --json, by import langgraph.graph", figures["run"] / langgraph, 1.5, "x"),
        row("peak memory of that run", peak, 350, "MB"),
    ]
    return 0 if all(kept) else 1


def row(what: str, figure: float, target: float, unit: str) -> bool:
    """Prints a figure beside its target; whether it is kept."""
    kept = figure <= target
    digits = 0 if unit == "MB" else 3
    print(f"{what:<46} {figure:8.{digits}f} {unit:<2}  at most {target:g} {unit:<2}  {'ok' if kept else 'MISSED'}")
    return kept


def seconds(command: list[str], folder: str, peaks: list[float] | None = None) -> float:
    """Wall time of a command that has to succeed; its peak memory in MB goes to `peaks`."""
    start = time.perf_counter()
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, stdin=nothing, stdout=nothing, stderr=subprocess.PIPE)
    assert process.stderr is not None
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    taken = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {error.decode()}")
    if peaks is not None:
        peaks.append(usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))
    return taken


def prompt_seconds(folder: str) -> float:
    """Until `bottega` alone shows its prompt in a terminal of its own."""
    start = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ["TERM"] = "xterm"
        os.execv(BOTTEGA, [BOTTEGA])
    shown = b""
    while "›".encode() not in shown:
        if not select.select([terminal], [], [], 30)[0]:
            raise SystemExit("no prompt within 30 s")
        part = os.read(terminal, 65536)
        if b"\x1b[6n" in part:  # it asks where the cursor is
            os.write(terminal, b"\x1b[1;1R")
        shown += part
    taken = time.perf_counter() - start
    os.write(terminal, b"\x04")
    while True:
        try:
            if not os.read(terminal, 65536):
                break
        except OSError:  # the terminal of a process that has ended
            break
    os.close(terminal)
    os.waitpid(pid, 0)
    return taken


if __name__ == "__main__":
    sys.exit(main())
