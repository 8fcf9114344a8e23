"""An OpenAI-compatible server on loopback whose model is a script for `job.py`. Prints its port, runs until killed.

It keeps no conversation: the next reply follows from the request alone, so that any framework can do the job in its
own way. Who the model is comes from the system text; a worker calls `lookup`, then tells what it gave; the supervisor
calls a tool for each worker that it has not asked yet (one whose name has the worker's name in it, or that takes such a
name), then tells what came back. Who asks for a plan gets one; who asks for a report gets all values of the results.

    POST /v1/chat/completions    replies, streamed or not
    POST /set                    {"latency": seconds before each reply, "chunks": pieces of the supervisor's answer}
    POST /reset, GET /stats      counters: calls, peak (in flight), bytes (of request bodies), tools (bytes of schemas)
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import job

Json = Any


@dataclass
class Settings:
    latency: float = 0.0
    chunks: int = 1


@dataclass
class Stats:
    calls: int = 0
    peak: int = 0
    bytes: int = 0
    tools: int = 0
    busy: float = 0.0
    """Seconds of the server's own work on calls."""


@dataclass
class Reply:
    text: str = ""
    calls: tuple[tuple[str, Json], ...] = ()
    chunks: int = 1


def decide(request: Json) -> Reply:
    """What the scripted model says."""
    messages = request["messages"]
    whole = "\n".join(_text(m) for m in messages if m["role"] in ("system", "developer"))
    rest = "\n".join(_text(m) for m in messages if m["role"] not in ("system", "developer"))
    tools = {t["function"]["name"]: t["function"].get("parameters") or {} for t in request.get("tools") or ()}
    made = [(c["function"]["name"], c["function"].get("arguments") or "") for m in messages for c in _calls(m)]
    if found := re.search(r"You are the worker (\w+)", whole):
        return _worker(found.group(1), tools, made, rest)
    if "response_format" in request:
        return _planner(rest)
    if "write the answer to a request" in whole:
        return _reporter(rest)
    reply = _supervisor(job.asked_names(whole + rest), tools, made, rest)
    return replace(reply, calls=reply.calls[:1]) if request.get("parallel_tool_calls") is False else reply


def _worker(name: str, tools: dict[str, Json], made: list[tuple[str, str]], rest: str) -> Reply:
    lookup = next((t for t in tools if "lookup" in t), None)
    if lookup and not any(called == lookup and name in arguments for called, arguments in made):
        return Reply(calls=((lookup, _filled(tools[lookup], name)),))
    return Reply(f"{name}={job.value(name)}" if job.value(name) in rest else f"{name} is not known")


def _supervisor(names: list[str], tools: dict[str, Json], made: list[tuple[str, str]], rest: str) -> Reply:
    calls = []
    for name in names:
        if any(name in called or name in arguments for called, arguments in made):
            continue
        own = [t for t in tools if name in re.split(r"[^a-z0-9]+", t)]
        for_all = [t for t, parameters in tools.items() if _takes(parameters, name)]
        if tool := next(iter(own + for_all), None):
            calls.append((tool, _filled(tools[tool], name)))
    if calls:
        return Reply(calls=tuple(calls))
    known = [name for name in names if f"{name}={job.value(name)}" in rest]
    return Reply("All values: " + ", ".join(f"{name}={job.value(name)}" for name in known), chunks=settings.chunks)


def _planner(rest: str) -> Reply:
    """A plan with a call for each name, by the tool of the list that looks things up."""
    tool = re.findall(r"^- (\S*lookup\S*):", rest, re.M)[0]
    steps = [
        {"id": f"s{n}", "instruction": f"Look up {name}", "tool": tool, "arguments": {"key": name}}
        for n, name in enumerate(job.asked_names(rest), 1)
    ]
    return Reply(json.dumps({"steps": steps}))


def _reporter(rest: str) -> Reply:
    """All values, each with its step behind it."""
    done = re.findall(r"^Step (\w+): Look up (\w+)", rest, re.M)
    known = [f"{name}={job.value(name)} [{step}]" for step, name in done if job.value(name) in rest]
    return Reply("All values: " + ", ".join(known), chunks=settings.chunks)


def _takes(parameters: Json, name: str) -> bool:
    """Whether a tool has a parameter that may be this worker's name."""
    return any(name in (p.get("enum") or ()) for p in (parameters.get("properties") or {}).values())


def _filled(parameters: Json, name: str) -> Json:
    """Arguments that satisfy a schema, made for a worker."""
    arguments: dict[str, Json] = {}
    properties = parameters.get("properties") or {}
    for key in parameters.get("required") or properties:
        schema = properties.get(key) or {}
        if name in (schema.get("enum") or ()) or key in ("name", "key", "q", "query"):
            arguments[key] = name
        else:
            plain = {"integer": 1, "number": 1.0, "boolean": False, "array": [], "object": {}}
            arguments[key] = plain.get(schema.get("type"), f"Look up {name} and report its value.")
    return arguments


def _text(message: Json) -> str:
    content = message.get("content") or ""
    if isinstance(content, list):
        return "\n".join(part.get("text", "") for part in content if isinstance(part, dict))
    return str(content)


def _calls(message: Json) -> list[Json]:
    return message.get("tool_calls") or [] if message["role"] == "assistant" else []


class Connection(asyncio.Protocol):
    """One client's connection: requests come one after the other, and it stays open."""

    in_flight = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:])
            body_end = end + 4 + int(headers.get("content-length", 0))
            if len(self._buffer) < body_end:
                return
            body = bytes(self._buffer[end + 4 : body_end])
            del self._buffer[:body_end]
            self._handle(head[0].split(" ")[1], body)

    def _handle(self, path: str, body: bytes) -> None:
        if path.endswith("/chat/completions"):
            self._complete(body)
        elif path == "/set":
            for name, value in json.loads(body).items():
                setattr(settings, name, value)
            self._send(b"{}")
        elif path == "/reset":
            stats.__init__()  # type: ignore[misc]
            self._send(b"{}")
        elif path == "/stats":
            self._send(json.dumps(asdict(stats)).encode())
        else:
            self._send(b'{"error": {"message": "no such path"}}', b"404 Not Found")

    def _complete(self, body: bytes) -> None:
        begun = time.perf_counter()
        request = json.loads(body)
        Connection.in_flight += 1
        stats.calls += 1
        stats.bytes += len(body)
        stats.tools += len(json.dumps(request.get("tools") or []))
        stats.peak = max(stats.peak, Connection.in_flight)
        reply = decide(request)
        written = _streamed(request, reply, stats.calls) if request.get("stream") else _written(request, reply)
        stats.busy += time.perf_counter() - begun
        if settings.latency:
            asyncio.get_running_loop().call_later(settings.latency, self._answer, written)
        else:
            self._answer(written)

    def _answer(self, written: bytes) -> None:
        Connection.in_flight -= 1
        self._transport.write(written)

    def _send(self, body: bytes, status: bytes = b"200 OK") -> None:
        self._transport.write(_headed(body, status))


def _headed(body: bytes, status: bytes = b"200 OK") -> bytes:
    form = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    return form % (status, len(body), body)


def _written(request: Json, reply: Reply) -> bytes:
    """A reply in one piece, as an HTTP response."""
    message = {"role": "assistant", "content": reply.text or None}
    if reply.calls:
        message["tool_calls"] = _tool_calls(reply)
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if reply.calls else "stop"}
    body = {**_base(request, "chat.completion"), "choices": [choice], "usage": USAGE}
    return _headed(json.dumps(body).encode())


def _streamed(request: Json, reply: Reply, number: int) -> bytes:
    """A reply in pieces, as a chunked HTTP response; `reply.chunks` are pieces of its text."""
    base = _base(request, "chat.completion.chunk")

    def piece(delta: Json, finish: str | None = None) -> bytes:
        return _event(json.dumps({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).encode())

    parts = [piece({"role": "assistant", "content": ""})]
    if reply.text:
        parts += [piece({"content": reply.text}), piece({"content": " and"}) * (reply.chunks - 1)]
    parts += [piece({"tool_calls": [{"index": n, **c}]}) for n, c in enumerate(_tool_calls(reply))]
    parts.append(piece({}, "tool_calls" if reply.calls else "stop"))
    if (request.get("stream_options") or {}).get("include_usage"):
        parts.append(_event(json.dumps({**base, "choices": [], "usage": USAGE}).encode()))
    parts.append(_event(b"[DONE]"))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(parts) + b"0\r\n\r\n"


def _event(data: bytes) -> bytes:
    line = b"data: %b\n\n" % data
    return b"%x\r\n%b\r\n" % (len(line), line)


def _tool_calls(reply: Reply) -> list[Json]:
    return [
        {
            "id": f"call_{time.monotonic_ns()}_{n}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for n, (name, arguments) in enumerate(reply.calls)
    ]


def _base(request: Json, kind: str) -> dict[str, Json]:
    return {"id": f"chatcmpl-{stats.calls}", "object": kind, "created": 0, "model": request.get("model", job.MODEL)}


USAGE = {"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 60}

settings = Settings()
stats = Stats()


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(130)
