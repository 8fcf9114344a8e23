"""What a gateway costs: each call beside the same call made directly, and beside other gateways, in one run.

    python benchmarks/gateway.py [--fastmcp PYTHON] [--mcp-proxy PYTHON] [--calls N] [--leak N] [--only PART]

PYTHON is that of an environment with fastmcp, or with mcp-proxy; without one its rows are left out. All are asked in
turns, a block of calls each, so that whatever else the machine does falls on all of them. Times are the client's; CPU
is that of the processes between, the server included, from /proc. Ends with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

HERE = Path(__file__).parent / "gateways"
PYTHON = sys.executable
SERVER = str(HERE / "server.py")
BOTTEGA = [PYTHON, "-m", "bottega", "serve", "mcp", "--gateway"]
AT_ONCE = 8
BLOCK = 50
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Subject:
    """One way to call `echo`."""

    name: str
    client: Client
    tool: str
    pids: Callable[[], list[int]]
    seconds: list[float] = field(default_factory=list)
    blocks: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    cpu: float = 0.0
    calls: int = 0

    async def call(self) -> None:
        result = await self.client.call_tool(self.tool, {"text": "hello"})
        if result.is_error or result.content[0].text != "hello":  # type: ignore[union-attr]
            raise SystemExit(f"{self.name} answered {result}")

    async def one_by_one(self, count: int) -> None:
        before = cpu_seconds(self.pids())
        taken = []
        for _ in range(count):
            start = time.perf_counter()
            await self.call()
            taken.append(time.perf_counter() - start)
        self.cpu += cpu_seconds(self.pids()) - before
        self.calls += count
        self.seconds += taken
        self.blocks.append(statistics.median(taken))

    async def at_once(self, count: int) -> None:
        left = iter(range(count))

        async def worker() -> None:
            for _ in left:
                await self.call()

        start = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
        self.rates.append(count / (time.perf_counter() - start))


async def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the gateway.")
    parser.add_argument("--fastmcp", metavar="PYTHON")
    parser.add_argument("--mcp-proxy", metavar="PYTHON")
    parser.add_argument("--calls", type=int, default=400, help="calls one by one, of each")
    parser.add_argument("--leak", type=int, default=10_000, help="calls after which nothing may have leaked")
    parser.add_argument("--servers", type=int, default=50)
    parser.add_argument("--only", choices=["calls", "first", "leak"])
    options = parser.parse_args()
    kept = True
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if options.only in (None, "calls"):
            for path in ("stdio to stdio", "http to stdio", "http to http"):
                kept &= await calls(path, folder, options)
        if options.only in (None, "first"):
            kept &= await first_answer(folder, options.servers)
        if options.only in (None, "leak"):
            kept &= await leaks(folder, options.leak)
    return 0 if kept else 1


async def calls(path: str, folder: Path, options: argparse.Namespace) -> bool:
    """One table: direct, ours, and the others that can do this path."""
    near, far = path.split(" to ")
    async with contextlib.AsyncExitStack() as stack:
        subjects = await _subjects(stack, near, far, folder, options)
        for subject in subjects:
            await subject.one_by_one(BLOCK)
            subject.seconds, subject.blocks, subject.cpu, subject.calls = [], [], 0.0, 0
        for _ in range(max(1, options.calls // BLOCK)):
            for subject in subjects:
                await subject.one_by_one(BLOCK)
        for _ in range(3):
            for subject in subjects:
                await subject.at_once(BLOCK * 4)
    direct, ours = subjects[0], subjects[1]
    print(f"\n{path}, {direct.calls} calls each            p50 ms   x direct   calls/s at {AT_ONCE}   CPU ms a call")
    for one in subjects:
        ratio = statistics.median(a / b for a, b in zip(one.blocks, direct.blocks, strict=True))
        rate = statistics.median(one.rates)
        p50, cpu = statistics.median(one.seconds) * 1e3, one.cpu / one.calls * 1e3
        print(f"  {one.name:34} {p50:8.2f} {ratio:9.2f} {rate:14.0f} {cpu:14.2f}")
    ratio = statistics.median(a / b for a, b in zip(ours.blocks, direct.blocks, strict=True))
    ahead = all(statistics.median(ours.seconds) < statistics.median(other.seconds) for other in subjects[2:])
    verdict(f"through the gateway, {path}: {ratio:.2f} x direct", ratio <= 1.3, "<= 1.3")
    if len(subjects) > 2:
        verdict("ahead of the other gateways", ahead, "")
    return ratio <= 1.3 and ahead


async def _subjects(
    stack: contextlib.AsyncExitStack, near: str, far: str, folder: Path, options: argparse.Namespace
) -> list[Subject]:
    """The servers and gateways of one path, running, with a client each."""

    async def at(name: str, command: list[str] | None, url: str | None, tool: str, pids: list[int]) -> Subject:
        before = set(children(os.getpid()))
        if command is not None:
            target: Any = stdio_client(
                StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ)), errlog=quiet
            )
        else:
            target = url
        client = await stack.enter_async_context(Client(target, read_timeout_seconds=60))
        own = [pid for pid in children(os.getpid()) if pid not in before] if command is not None else []
        return Subject(name, client, tool, lambda: [p for root in [*own, *pids] for p in [root, *children(root)]])

    quiet = stack.enter_context(Path(os.devnull).open("w"))  # noqa: ASYNC230, SIM115
    backend = [PYTHON, SERVER]
    entry: dict[str, Any] = {"command": PYTHON, "args": [SERVER]}
    behind: list[int] = []
    if far == "http":
        port = free_port()
        behind = [await running(stack, [PYTHON, SERVER, "--http", str(port)], port)]
        entry = {"url": f"http://127.0.0.1:{port}/mcp"}
    workspace = folder / f"{near}-{far}"
    workspace.mkdir()
    file = workspace / ".mcp.json"
    file.write_text(json.dumps({"mcpServers": {"s": entry}}))

    subjects = []
    if near == "stdio":
        subjects.append(await at("direct", backend, None, "echo", []))
        ours = [*BOTTEGA, "--all-tools", "--workspace", str(workspace)]
        subjects.append(await at("bottega", ours, None, "s__echo", behind))
        if options.fastmcp:
            peer = [options.fastmcp, str(HERE / "fastmcp_proxy.py"), str(file)]
            subjects.append(await at("fastmcp, one connection kept", peer, None, "echo", behind))
    else:
        direct = behind or [await running(stack, [PYTHON, SERVER, "--http", str(port := free_port())], port)]
        url = entry["url"] if behind else f"http://127.0.0.1:{port}/mcp"
        subjects.append(await at("direct", None, url, "echo", direct))

        async def served(name: str, command: list[str], port: int, tool: str) -> None:
            pid = await running(stack, command, port)
            subjects.append(await at(name, None, f"http://127.0.0.1:{port}/mcp", tool, [pid, *behind]))

        port = free_port()
        ours = [*BOTTEGA, "--all-tools", "--workspace", str(workspace), "--http", "--port", str(port)]
        await served("bottega", ours, port, "s__echo")
        if options.fastmcp:
            port = free_port()
            peer = [options.fastmcp, str(HERE / "fastmcp_proxy.py"), str(file), "--http", str(port)]
            await served("fastmcp, one connection kept", peer, port, "echo")
            if far == "http":  # over stdio this starts the server anew for each request
                port = free_port()
                peer = [options.fastmcp, str(HERE / "fastmcp_proxy.py"), str(file), "--fresh", "--http", str(port)]
                await served("fastmcp, as it comes", peer, port, "echo")
        if options.mcp_proxy and far == "stdio":
            port = free_port()
            program = str(Path(options.mcp_proxy).with_name("mcp-proxy"))
            peer = [program, "--host", "127.0.0.1", "--port", str(port), "--", *backend]
            await served("mcp-proxy", peer, port, "echo")
    for name, python in (("fastmcp", options.fastmcp), ("mcp-proxy", options.mcp_proxy)):
        if not python:
            print(f"{name} is left out: --{name} names no Python that has it", file=sys.stderr)
    return subjects


async def first_answer(folder: Path, servers: int) -> bool:
    """From the start of the process to its first answers, in front of many servers of which none runs."""
    workspace = folder / "many"
    workspace.mkdir()
    entry = {"command": PYTHON, "args": [SERVER, "--plain", "--tools", "20"]}
    (workspace / ".mcp.json").write_text(json.dumps({"mcpServers": {f"s{n:02}": entry for n in range(servers)}}))
    command = [*BOTTEGA, "--workspace", str(workspace)]
    start = time.perf_counter()
    async with talking(command) as talk:
        text = await all_listed(talk)
        unlisted = time.perf_counter() - start
        listed = text.count("\n") + 1
    print(f"\n{servers} servers with 20 tools each: listed for the first time, and indexed, in {unlisted:.1f} s")
    assert listed >= 10, text
    figures: dict[str, list[float]] = {"tools/list": [], "find_tools": []}
    for _ in range(5):
        for method, taken in figures.items():
            start = time.perf_counter()
            async with talking(command) as talk:
                if method == "tools/list":
                    await talk.request("tools/list", {})
                else:
                    await talk.text("find_tools", {"query": "a tool that counts parcels"})
                taken.append(time.perf_counter() - start)
                started = [pid for pid in children(talk.pid) if "server.py" in command_line(pid)]
                assert not started, "a server was started"
    slowest = max(statistics.median(taken) for taken in figures.values())
    for method, taken in figures.items():
        print(f"  process start to first answer, {method:10}: {statistics.median(taken):.2f} s")
    verdict("first answer, nothing connected", slowest <= 1, "<= 1 s")
    return slowest <= 1


async def leaks(folder: Path, count: int) -> bool:
    """What a gateway holds after many calls, beside what it held after the first tenth of them."""
    workspace = folder / "leak"
    workspace.mkdir()
    entry = {"command": PYTHON, "args": [SERVER, "--plain"]}
    (workspace / ".mcp.json").write_text(json.dumps({"mcpServers": {f"s{n}": entry for n in range(3)}}))
    async with talking([*BOTTEGA, "--workspace", str(workspace)]) as talk:
        await all_listed(talk)

        async def some(number: int) -> None:
            left = iter(range(number))

            async def worker() -> None:
                for n in left:
                    arguments = {"tool": f"s{n % 3}/echo", "arguments": {"text": f"{n}"}}
                    assert await talk.text("call_tool", arguments) == str(n)

            await asyncio.gather(*(worker() for _ in range(AT_ONCE)))

        await some(count // 10)
        before = held(talk.pid)
        start = time.perf_counter()
        await some(count)
        rate = count / (time.perf_counter() - start)
        after = held(talk.pid)
    print(f"\n{count} calls at {rate:.0f} a second, to 3 servers; before and after:")
    for name in before:
        print(f"  {name:12} {before[name]:8} {after[name]:8}")
    grown = after["memory kB"] - before["memory kB"]
    same = all(after[name] == before[name] for name in ("descriptors", "threads", "processes"))
    verdict("nothing leaks", same and grown < 4096, "< 4 MB more, all else the same")
    return same and grown < 4096


async def all_listed(talk: Talk) -> str:
    """Searches until the gateway knows all its servers; the last answer."""
    while "listed so far" in (text := await talk.text("find_tools", {"query": "count parcels"})):  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    return text


class Talk:
    """A client of few lines, so that what is measured is the gateway."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.pid = process.pid
        self._process = process
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._count = 0

    async def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        self._count += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[self._count] = answer
        message = {"jsonrpc": "2.0", "id": self._count, "method": method, "params": params}
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        return await answer

    async def text(self, tool: str, arguments: dict[str, Any]) -> str:
        result = await self.request("tools/call", {"name": tool, "arguments": arguments})
        return str(result["content"][0]["text"])

    async def read(self) -> None:
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            message = json.loads(line)
            if (answer := self._waiting.pop(message.get("id"), None)) is not None:
                answer.set_result(message.get("result") or message)


@contextlib.asynccontextmanager
async def talking(command: list[str]) -> AsyncIterator[Talk]:
    """A gateway on pipes, greeted. It reports to nobody's terminal."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
    talk = Talk(process)
    reading = asyncio.create_task(talk.read())
    try:
        info = {"name": "benchmark", "version": "1"}
        await talk.request("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info})
        yield talk
    finally:
        assert process.stdin
        process.stdin.close()
        await process.wait()
        await reading


async def running(stack: contextlib.AsyncExitStack, command: list[str], port: int) -> int:
    """Runs a server until the end, once it can be reached; its process id."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
    stack.callback(process.wait)
    stack.callback(process.terminate)
    for _ in range(1200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
            return process.pid
        if process.poll() is not None:
            raise SystemExit(f"{command} ended with {process.returncode}")
        await asyncio.sleep(0.05)
    raise SystemExit(f"{command} cannot be reached")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def children(pid: int) -> list[int]:
    """All processes below one."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                found += [int(child), *children(int(child))]
    return found


def command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def cpu_seconds(pids: list[int]) -> float:
    total = 0
    for pid in set(pids):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def held(pid: int) -> dict[str, int]:
    """What a process holds."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {
        "memory kB": int(status["VmRSS"].split()[0]),
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "threads": int(status["Threads"]),
        "processes": len(children(pid)),
    }


def verdict(what: str, kept: bool, target: str) -> None:
    print(f"  {'ok  ' if kept else 'MISS'} {what}{f' (target {target})' if target else ''}")


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
