"""POSTs that keep their connection open, with as little between as there can be.

On this machine's own loopback an HTTP library takes longer than the call itself, so there the few lines of HTTP/1.1
that are needed are written here. Anywhere else, where proxies and TLS are, the library does it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from ...core.errors import NotSent, ServerError
from .process import MAX_LINE

if TYPE_CHECKING:
    import httpx2

_IDLE = 2.0
"""Seconds after which a kept connection is not used again: servers close idle ones, some after few seconds."""
_KEPT = 16
"""Connections kept open, at most."""
_HEAD = 65_536


class Answer(Protocol):
    """What a POST is answered with; to be read inside the block that it was given for."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""

    async def read(self) -> bytes:
        """The whole body. Raises `ServerError` where it is cut short or longer than `MAX_LINE`."""
        ...

    def events(self) -> AsyncIterator[bytes]:
        """The data of each server-sent event. Raises like `read`."""
        ...


class Poster(Protocol):
    """Posts to one URL."""

    def post(self, headers: Mapping[str, str], body: bytes) -> AbstractAsyncContextManager[Answer]:
        """Raises `NotSent` where nothing has been sent, `ServerError` where nobody knows."""
        ...


def is_loopback(url: str) -> bool:
    """Whether a URL is plain HTTP to this machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1") and not parts.username


class LoopbackPoster:
    """Posts to a server on this machine."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._fixed = {"host": parts.netloc, **{name.lower(): value for name, value in headers.items()}}
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    @asynccontextmanager
    async def post(self, headers: Mapping[str, str], body: bytes) -> AsyncIterator[Answer]:
        reader, writer = await self._connection()
        lines = [f"POST {self._path} HTTP/1.1"]
        lines += [f"{name}: {_safe(value)}" for name, value in {**self._fixed, **headers}.items()]
        lines.append(f"content-length: {len(body)}\r\n\r\n")
        answer = None
        try:
            try:
                writer.write("\r\n".join(lines).encode("latin-1") + body)
                if writer.transport.get_write_buffer_size():
                    await writer.drain()
                answer = await _head(reader)
            except (OSError, EOFError, asyncio.LimitOverrunError) as error:
                raise ServerError(f"broke the connection off: {error or type(error).__name__}") from None
            yield answer
        finally:
            if answer is not None and answer.complete and answer.keep and len(self._idle) < _KEPT:
                self._idle.append((time.monotonic(), reader, writer))
            else:
                writer.close()

    async def close(self) -> None:
        """Closes the connections that are kept."""
        while self._idle:
            self._idle.pop()[2].close()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        now = time.monotonic()
        while self._idle:
            used, reader, writer = self._idle.pop()
            if now - used < _IDLE and not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        try:
            return await asyncio.open_connection(self._host, self._port, limit=_HEAD)
        except OSError as error:
            reason = error.strerror or str(error)
            raise NotSent(f"cannot be reached at {self._host}:{self._port}: {reason}") from None


def _safe(value: str) -> str:
    if "\r" in value or "\n" in value or "\0" in value:
        raise NotSent("cannot be called: a header has a line break in it")
    return value


async def _head(reader: asyncio.StreamReader) -> _Answer:
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        parts = head[0].split(" ", 2)
        if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdecimal():
            raise ServerError("does not answer in HTTP")
        if (status := int(parts[1])) >= 200:
            break
    headers = {}
    for line in head[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return _Answer(status, headers, reader)


class _Answer:
    def __init__(self, status: int, headers: dict[str, str], reader: asyncio.StreamReader) -> None:
        self.status = status
        self.headers: Mapping[str, str] = headers
        self._reader = reader
        self._chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        length = headers.get("content-length", "")
        self._length = int(length) if length.isdecimal() and not self._chunked else None
        self.keep = headers.get("connection", "").lower() != "close"
        self.complete = status in (204, 304) or self._length == 0

    async def read(self) -> bytes:
        if self._length is not None and self._length <= MAX_LINE:
            try:
                body = await self._reader.readexactly(self._length)
            except (OSError, EOFError):
                raise ServerError("broke its answer off") from None
            self.complete = True
            return body
        return await _whole(self._chunks())

    async def events(self) -> AsyncIterator[bytes]:
        async for event in _events(self._chunks()):
            yield event

    async def _chunks(self) -> AsyncIterator[bytes]:
        try:
            if self._chunked:
                while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
                    if size > MAX_LINE:
                        raise ServerError("gave an answer that is too long")
                    chunk = await self._reader.readexactly(size + 2)
                    yield chunk[:-2]
                while (await self._reader.readuntil(b"\r\n")) != b"\r\n":
                    pass
                self.complete = True
            else:
                left = self._length
                while left is None or left:
                    chunk = await self._reader.read(min(left or _HEAD, _HEAD))
                    if not chunk:
                        break
                    left = left - len(chunk) if left is not None else None
                    yield chunk
                self.complete = left == 0
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            raise ServerError("broke its answer off") from None


async def _whole(chunks: AsyncIterator[bytes]) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_LINE:
            raise ServerError("gave an answer that is too long")
    return bytes(body)


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The data of server-sent events; lines may end in any of the three ways."""
    rest, data = b"", []
    size = 0
    async for chunk in chunks:
        lines = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
        rest = lines.pop()
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
                size += len(line)
            elif not line and data:
                yield b"\n".join(data)
                data, size = [], 0
        if size + len(rest) > MAX_LINE:
            raise ServerError("gave an answer that is too long")


class LibraryPoster:
    """Posts with the HTTP library: through proxies, over TLS."""

    def __init__(self, url: str, client: httpx2.AsyncClient) -> None:
        self._url = url
        self._client = client

    @asynccontextmanager
    async def post(self, headers: Mapping[str, str], body: bytes) -> AsyncIterator[Answer]:
        import httpx2

        request = self._client.build_request("POST", self._url, headers=dict(headers), content=body)
        try:
            response = await self._client.send(request, stream=True)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise NotSent(f"cannot be reached: {error or type(error).__name__}") from None
        except httpx2.HTTPError as error:
            raise ServerError(f"broke the connection off: {error or type(error).__name__}") from None
        try:
            yield _LibraryAnswer(response)
        finally:
            with suppress(httpx2.HTTPError):
                await response.aclose()


class _LibraryAnswer:
    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def read(self) -> bytes:
        return await _whole(self._chunks())

    async def events(self) -> AsyncIterator[bytes]:
        async for event in _events(self._chunks()):
            yield event

    async def _chunks(self) -> AsyncIterator[bytes]:
        import httpx2

        try:
            async for chunk in self._response.aiter_bytes():
                yield chunk
        except httpx2.HTTPError:
            raise ServerError("broke its answer off") from None
