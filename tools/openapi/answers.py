"""What an API answered, as the result of a call: bounded in size, in plain words where it is an error."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...core.redaction import redact
from ..mcp.definitions import MAX_TEXT, as_result, clean
from ..tool import ToolResult
from .media import kind_of
from .styles import written

if TYPE_CHECKING:
    from httpx import Response

Json = Any
MOST_BYTES = 4 * MAX_TEXT
"""What is read of an answer."""
_SAID = 600
_MESSAGES = ("message", "detail", "error_description", "error", "title", "reason", "errors", "description", "msg")


async def read_body(response: Response, secrets: tuple[str, ...], most: int = MOST_BYTES) -> tuple[bytes, bool]:
    """The body of an answer without what is secret, and whether it was cut because it has more than `most` bytes."""
    body = bytearray()
    cut = False
    async for chunk in response.aiter_bytes():
        body += chunk
        if cut := len(body) > most:
            break
    content = bytes(body[:most])
    for secret in secrets:
        content = content.replace(secret.encode(), b"[redacted]")
    return content, cut


def result_of(response: Response, body: bytes, cut: bool) -> ToolResult:
    """The result of a call that went well: JSON as data too, text as text, other content by its kind and size."""
    media = response.headers.get("content-type", "").split(";")[0].strip().lower()
    if not body:
        return ToolResult("Done.")
    kind = kind_of(media) if media else "text"
    if kind not in ("json", "text") and not _looks_like_text(body):
        return ToolResult(f"[{clean(media)}, {'more than ' if cut else ''}{len(body)} bytes]")
    text = _decoded(response, body)
    if cut:
        text = f"{text[: MAX_TEXT - 100]}\n[cut here: the answer has more than {MOST_BYTES:,} bytes]"
    result = as_result({"content": [{"type": "text", "text": text}]})
    if kind != "json" or cut:
        return replace(result, data=None)
    # Written anew, without escapes; but not what was cut.
    shown = result.text if result.data is None or len(text) > MAX_TEXT else written(result.data)
    return replace(result, text=shown)


def error_of(response: Response, body: bytes, secrets: tuple[str, ...]) -> str:
    """An answer that is an error, in one line: the status, and what the server says about it."""
    status = f"HTTP {response.status_code} {response.reason_phrase}".strip()
    said = " ".join(clean(_said(response, body)).split())
    if len(said) > _SAID:
        said = f"{said[: _SAID - 3]}..."
    return redact(f"{status}: {said}" if said else status, secrets)


def _said(response: Response, body: bytes) -> str:
    text = _decoded(response, body[:20_000])
    media = response.headers.get("content-type", "").split(";")[0].lower()
    if "html" in media or text.lstrip()[:15].lower().startswith(("<!doctype html", "<html")):
        found = re.search(r"<title[^>]*>(.*?)</title>", text, re.I | re.S)
        return found[1] if found else ""
    data = as_result({"content": [{"type": "text", "text": text}]}).data
    return _message(data) or text


def _message(data: Json) -> str:
    """The words in a JSON value that tell a person what is wrong; "" where none can be told from the rest."""
    if isinstance(data, str):
        return data
    if isinstance(data, list):
        return "; ".join(filter(None, map(_message, data[:5])))
    if not isinstance(data, dict):
        return ""
    where = data.get("loc") or data.get("field") or data.get("param")
    if isinstance(where, list):
        where = ".".join(str(part) for part in where if part != "body")
    for key in _MESSAGES:
        if (said := _message(data.get(key))) and not said.isdigit():
            return f"{where}: {said}" if isinstance(where, str) and where else said
    return ""


def _decoded(response: Response, body: bytes) -> str:
    try:
        return body.decode(response.charset_encoding or "utf-8", errors="replace")
    except LookupError:
        return body.decode("utf-8", errors="replace")


def _looks_like_text(body: bytes) -> bool:
    head = body[:2000]
    if b"\0" in head:
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4
    return True
