"""The bytes of the test server: requests read, responses written, replies in the words of chat completions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

from ..models.chat import ChatReply
from ..models.chat.protocol import Json
from .script import words

Body = dict[str, Json]


async def read_request(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """Path and body of the next request of a connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    path = head.split(b" ", 2)[1].split(b"?")[0].decode()
    start = (lower := head.lower()).find(b"\r\ncontent-length:")
    length = int(lower[start + 17 : lower.find(b"\r\n", start + 17)]) if start >= 0 else 0
    return path, await reader.readexactly(length)


def object_in(content: bytes) -> Body | None:
    """The JSON object of a body, None where it is none."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def write_json(writer: asyncio.StreamWriter, status: int, body: Body, headers: Mapping[str, str] | None = None) -> None:
    """A whole response of JSON."""
    write_whole(writer, status, json.dumps(body).encode(), headers)


def write_whole(
    writer: asyncio.StreamWriter,
    status: int,
    content: bytes,
    headers: Mapping[str, str] | None = None,
    missing: int = 0,
) -> None:
    """A whole response; or one whose last `missing` bytes never come."""
    head = _head(status, "application/json", {"Content-Length": str(len(content)), **(headers or {})})
    writer.write(head + content[: len(content) - missing])


def open_stream(writer: asyncio.StreamWriter) -> None:
    """The head of a response that goes on with chunks."""
    writer.write(_head(200, "text/event-stream", {"Transfer-Encoding": "chunked"}))


def _head(status: int, kind: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", f"Content-Type: {kind}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def write_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    """A part of a chunked body; an empty one ends it."""
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))


def write_event(writer: asyncio.StreamWriter, event: Body) -> None:
    """A server-sent event."""
    write_chunk(writer, b"data: %s\n\n" % json.dumps(event).encode())


def message_of(reply: ChatReply) -> Body:
    """A whole reply as the message of a choice."""
    message: Body = {"role": "assistant", "content": reply.text or None}
    if reply.tool_uses:
        message["tool_calls"] = [_use(n, reply) for n in range(len(reply.tool_uses))]
    return message


def _use(n: int, reply: ChatReply) -> Body:
    use = reply.tool_uses[n]
    return {"id": use.id, "type": "function", "function": {"name": use.name, "arguments": use.arguments}}


def pieces_of(reply: ChatReply) -> list[Body]:
    """The pieces of a streamed reply: its words, its calls with their arguments in halves, why it ends."""
    deltas: list[Body] = [{"role": "assistant", "content": ""}, *({"content": word} for word in words(reply.text))]
    for n, use in enumerate(reply.tool_uses):
        half = len(use.arguments) // 2
        function = {"name": use.name, "arguments": use.arguments[:half]}
        deltas.append({"tool_calls": [{"index": n, "id": use.id, "type": "function", "function": function}]})
        deltas.append({"tool_calls": [{"index": n, "function": {"arguments": use.arguments[half:]}}]})
    return [
        *({"delta": delta, "finish_reason": None} for delta in deltas),
        {"delta": {}, "finish_reason": reply.finish},
    ]


def words_in(body: Body) -> int:
    """How many words the messages of a request have."""
    return sum(len(str(message.get("content") or "").split()) for message in body.get("messages", []))
