"""What orchestration itself costs: one job in Bottega, in its peers, and by hand with the bare openai client.

    python benchmarks/orchestration.py --venvs DIR --setup          makes a venv for each peer
    python benchmarks/orchestration.py --venvs DIR                  all figures; --json FILE keeps them
    python benchmarks/orchestration.py                              Bottega and the bare client only

A supervisor asks its workers, each worker makes one tool call and answers, the supervisor answers. The model is a
script behind an OpenAI-compatible server in a process of its own (`orchestration/server.py`), and costs a fixed latency
or nothing: what is left is the framework. Each framework runs in a process of its own that stays for all runs; the runs
of all of them take turns, so that a disturbance of the machine hits all alike.

Ends with 1 if a target is missed. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).with_name("orchestration")
FLOOR = "openai_client"
OURS = ("bottega_supervisor", "bottega_plan_first")

PEERS = {
    "langchain": ["langchain", "langgraph", "langchain-openai"],
    "langgraph_supervisor": ["langgraph-supervisor", "langchain-openai"],
    "openai_agents": ["openai-agents"],
    "agent_framework": ["agent-framework-core", "agent-framework-openai"],
    "pydantic_ai": ["pydantic-ai-slim[openai]"],
}
"""Adapter -> what its venv is made of."""

TITLES = {
    FLOOR: "bare openai client",
    "bottega_supervisor": "**Bottega**, supervisor",
    "bottega_plan_first": "**Bottega**, plan first",
    "langchain": "LangChain `create_agent`",
    "langgraph_supervisor": "langgraph-supervisor",
    "openai_agents": "OpenAI Agents `as_tool`",
    "agent_framework": "Agent Framework `as_tool`",
    "pydantic_ai": "Pydantic AI",
}

SLOW = {"langgraph_supervisor"}
"""One worker after the other: with 32 of them a run takes half a minute, so that they stay with four."""

QUIET = {
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "LANGSMITH_TRACING": "false",
    "OTEL_SDK_DISABLED": "true",
    "PYTHONWARNINGS": "ignore",
    "NO_PROXY": "127.0.0.1",
}
"""Whatever would send telemetry or print is switched off."""


@dataclass(frozen=True)
class Scene:
    """One way to run the job. `latency` of the model in seconds; `chunks` of the supervisor's answer, when streamed."""

    workers: int = 4
    latency: float = 0.0
    chunks: int = 0

    @property
    def title(self) -> str:
        streamed = f", answer streamed in {self.chunks:,} piece{'s' * (self.chunks > 1)}" if self.chunks else ""
        return f"{self.workers} workers, {self.latency * 1000:.0f} ms a model call{streamed}"


AT_ONCE, SLOW_MODEL, WIDE = Scene(), Scene(latency=0.2), Scene(workers=32, latency=0.2)
SHORT_STREAM, LONG_STREAM = Scene(chunks=1), Scene(chunks=2_000)
SCENES = (AT_ONCE, SLOW_MODEL, SHORT_STREAM, LONG_STREAM, WIDE)


@dataclass
class Measured:
    """What a framework took in a scene: seconds a run, and what the server saw of the last one."""

    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    calls: int = 0
    peak: int = 0
    bytes: int = 0
    cold: float = 0.0
    memory: float = 0.0
    """MB that the process had at most."""
    problem: str = ""

    @property
    def wall(self) -> float:
        return statistics.median(self.walls) if self.walls else float("nan")

    @property
    def least(self) -> float:
        return min(self.walls, default=float("nan"))

    @property
    def cpu(self) -> float:
        return statistics.median(self.cpus) if self.cpus else float("nan")


class Server:
    """The scripted server, in its own process."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self._connection = http.client.HTTPConnection("127.0.0.1", port)

    def set(self, scene: Scene) -> None:
        self._ask("POST", "/set", {"latency": scene.latency, "chunks": max(1, scene.chunks)})

    def reset(self) -> None:
        self._ask("POST", "/reset", {})

    def stats(self) -> Any:
        return self._ask("GET", "/stats")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        self._connection.request(method, path, None if body is None else json.dumps(body))
        return json.loads(self._connection.getresponse().read())


class Client:
    """A framework at work, in its own process."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self._process = process
        try:
            self.versions: dict[str, str] = _line(process)
        except ChildProcessError as error:
            raise SystemExit(f"{name} did not start: {error}; --setup makes the venvs") from None

    def run(self, scene: Scene) -> Any:
        """One run: seconds of wall and processor, and whether the answer was complete."""
        assert self._process.stdin is not None
        print(json.dumps({"stream": scene.chunks > 0}), file=self._process.stdin, flush=True)
        return _line(self._process)


def _line(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    while line := process.stdout.readline():
        if line.startswith("{"):
            return json.loads(line)
    raise ChildProcessError(f"it ended with {process.wait()}")


@contextmanager
def started(command: Sequence[str | Path]) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended with the block."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **QUIET}
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def scripted_server() -> Iterator[Server]:
    """`orchestration/server.py` at work."""
    with started([sys.executable, HERE / "server.py"]) as process:
        assert process.stdout is not None
        yield Server(int(process.stdout.readline()))


@dataclass
class Found:
    """All figures by scene and adapter, and the versions of each client's packages."""

    figures: dict[Scene, dict[str, Measured]] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)


def measure(names: Sequence[str], venvs: Path | None, scenes: Sequence[Scene], runs: int) -> Found:
    """Runs all scenes with these adapters, and prints a table for each."""
    found = Found()
    for workers in dict.fromkeys(scene.workers for scene in scenes):
        with ExitStack() as stack:
            server = stack.enter_context(scripted_server())
            processes = {}
            for name in [n for n in names if n not in SLOW or workers <= 4]:
                command = [_python(name, venvs), HERE / "client.py", HERE / "adapters" / f"{name}.py"]
                processes[name] = stack.enter_context(started([*command, server.address, str(workers)]))
            clients = [Client(name, process) for name, process in processes.items()]
            found.versions |= {client.name: client.versions for client in clients}
            for scene in [s for s in scenes if s.workers == workers]:
                found.figures[scene] = compare(server, clients, scene, runs)
                print(table(scene, found.figures[scene]), flush=True)
    return found


def compare(server: Server, clients: Sequence[Client], scene: Scene, runs: int) -> dict[str, Measured]:
    """The clients in turn, `runs` times and once before to warm up."""
    server.set(scene)
    found = {client.name: Measured() for client in clients}
    for turn in range(runs + 1):
        for client in clients:
            measured = found[client.name]
            if measured.problem:
                continue
            server.reset()
            try:
                run = client.run(scene)
            except ChildProcessError as error:
                measured.problem = str(error)
                continue
            seen = server.stats()
            if not run["complete"]:
                measured.problem = f"incomplete answer: {run['answer']!r}"
            if not turn:
                measured.cold = run["wall"]
                continue
            measured.walls.append(run["wall"])
            measured.cpus.append(run["cpu"])
            measured.memory = run["memory"]
            measured.calls, measured.peak, measured.bytes = seen["calls"], seen["peak"], seen["bytes"]
    return found


def _python(name: str, venvs: Path | None) -> Path:
    return venvs / name / "bin" / "python" if venvs and name in PEERS else Path(sys.executable)


def table(scene: Scene, figures: dict[str, Measured]) -> str:
    """A scene's figures in Markdown, the fastest first; ratios are to the bare client."""
    floor = figures[FLOOR]
    lines = [
        f"\n### {scene.title}\n",
        "| | model calls | most at once | wall ms (least) | × bare | CPU ms | × bare | first run ms | sent kB | MB |",
        "|" + " --- |" * 10,
    ]
    for name, m in sorted(figures.items(), key=lambda item: item[1].wall):
        lines.append(
            f"| {TITLES.get(name, name)} | {m.calls} | {m.peak} | {m.wall * 1e3:,.1f} ({m.least * 1e3:,.1f}) "
            f"| {m.wall / floor.wall:.2f} | {m.cpu * 1e3:,.1f} | {m.cpu / floor.cpu:.2f} "
            f"| {m.cold * 1e3:,.0f} | {m.bytes / 1e3:,.1f} | {m.memory:,.0f} |"
        )
    lines += [f"\n{name}: {m.problem}" for name, m in figures.items() if m.problem]
    return "\n".join(lines)


def make_venvs(folder: Path) -> None:
    """A venv for each peer, with the newest versions that pip finds."""
    for name, packages in PEERS.items():
        print(f"{folder / name}: {', '.join(packages)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder / name], check=True)
        pip = [folder / name / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True)


def engine(postgres: str | None, runs: int) -> Any:
    """The figures of `orchestration/engine.py`."""
    command = [sys.executable, HERE / "engine.py", "--runs", str(runs), *(["--postgres", postgres] if postgres else [])]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])


def engine_lines(found: Any) -> str:
    """The engine's figures in Markdown."""
    lines = ["\n### The engine\n"]
    lines += [
        "| steps | wall ms a step | CPU ms a step | file kB | × payload | PostgreSQL: wall ms a step |",
        "|" + " --- |" * 6,
    ]
    for one in found["long"]:
        count, file = one["steps"], one["file"]
        far = f"{one['postgres'] / count * 1e3:.2f}" if "postgres" in one else ""
        lines.append(
            f"| {count:,} | {one['wall'] / count * 1e3:.2f} | {one['cpu'] / count * 1e3:.2f} | {file / 1e3:,.0f} "
            f"| {file / one['payload']:.2f} | {far} |"
        )
    lines += ["", "| ledger, ms | a step | a step with an effect | a run |", "| --- | --- | --- | --- |"]
    for name, cost in found["ledger"].items():
        lines.append(f"| {name} | {cost['step']:.2f} | {cost['step with an effect']:.2f} | {cost['run']:.2f} |")
    walls = found["straggler"]
    return "\n".join([*lines, f"\nStraggler (1.10 s): {statistics.median(walls):.3f} s (least {min(walls):.3f} s)"])


def targets(figures: dict[Scene, dict[str, Measured]], engine: Any | None) -> bool:
    """Prints what is wanted beside what was measured; whether all of it is kept."""
    kept: list[bool] = []

    def row(what: str, figure: float, most: float, unit: str = "x") -> None:
        kept.append(figure <= most)
        print(f"{what:<64} {figure:8.2f} {unit:<2}  at most {most:g} {unit:<2}  {'ok' if kept[-1] else 'MISSED'}")

    print("\n### Targets\n")
    supervisor, plan_first = OURS
    if supervisor in figures[AT_ONCE]:
        for scene, most in ((AT_ONCE, 1.4), (SLOW_MODEL, 1.01), (WIDE, 1.05)):
            row(f"supervisor, {scene.title}", _ratio(figures[scene], supervisor), most)
        chunk = _chunk(figures, supervisor) / _chunk(figures, FLOOR)
        row(f"supervisor, a streamed chunk ({_chunk(figures, supervisor) * 1e6:.0f} us)", chunk, 1.1)
    if plan_first in figures[SLOW_MODEL]:
        row(f"plan first, {SLOW_MODEL.title}", _ratio(figures[SLOW_MODEL], plan_first), 0.55)
        row("plan first, model calls", figures[SLOW_MODEL][plan_first].calls, 2, "")
    if engine is not None:
        long = {one["steps"]: one for one in engine["long"]}
        row("straggler plan of 1.10 s", statistics.median(engine["straggler"]), 1.15, "s")
        row("1,000 steps, a step", long[1000]["wall"], 2.0, "ms")
        row("1,000 steps, file by payload", long[1000]["file"] / long[1000]["payload"], 3.0)
        row("file a step, of 1,000 steps by 250", long[1000]["file"] / long[250]["file"] / 4, 1.1)
        for name, most in (("SQLite", 1.0), ("PostgreSQL", 6.0)):
            if name in engine["ledger"]:
                row(f"ledger, a step in {name}", engine["ledger"][name]["step"], most, "ms")
    return all(kept)


def _ratio(figures: dict[str, Measured], name: str) -> float:
    return figures[name].wall / figures[FLOOR].wall


def _chunk(figures: dict[Scene, dict[str, Measured]], name: str) -> float:
    """Seconds that a chunk more takes."""
    return (figures[LONG_STREAM][name].wall - figures[SHORT_STREAM][name].wall) / (LONG_STREAM.chunks - 1)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure what orchestration costs.")
    parser.add_argument("--venvs", type=Path, help="a folder with a venv for each peer")
    parser.add_argument("--setup", action="store_true", help="make those venvs, and end")
    parser.add_argument("--only", default="", help="these adapters alone, with the bare client")
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--postgres", help="a database URL, for the ledger there too")
    parser.add_argument("--no-engine", action="store_true", help="leave out what concerns Bottega's engine alone")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    given = parser.parse_args()
    if given.setup:
        make_venvs(given.venvs)
        return 0
    names = given.only.split(",") if given.only else [*OURS, *(PEERS if given.venvs else ())]
    load = os.getloadavg()[0]
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f}; medians of {given.runs} runs")
    found = measure([FLOOR, *names], given.venvs, SCENES, given.runs)
    costs = None if given.no_engine else engine(given.postgres, max(3, given.runs // 4))
    if costs is not None:
        print(engine_lines(costs))
    print(
        "\n### Versions\n\n"
        + "\n".join(f"- {TITLES[name]}: {_listed(versions)}" for name, versions in found.versions.items())
    )
    if given.json:
        scenes = [{**asdict(s), "figures": {n: asdict(m) for n, m in f.items()}} for s, f in found.figures.items()]
        given.json.write_text(json.dumps({"versions": found.versions, "scenes": scenes, "engine": costs}, indent=1))
    return 0 if targets(found.figures, costs) else 1


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


if __name__ == "__main__":
    sys.exit(main())
