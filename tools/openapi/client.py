"""Sends requests to the server of an API and to no other: bounded in time and size, telling no secret."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ...core.errors import NotSent, ServerError, ToolError
from ...core.redaction import redact
from ..mcp.config import ServerConfig
from .addresses import is_loopback, origin
from .answers import MOST_BYTES, read_body
from .requests import Outgoing

if TYPE_CHECKING:
    from httpx import AsyncClient, Request, Response

_HEADERS = {"Accept": "application/json, */*;q=0.5", "User-Agent": "bottega"}
_REDIRECTS = 5
_LONGEST_PAUSE = 10.0
"""Seconds that a server may ask us to wait before it is asked again."""
_PAUSES = 2


@dataclass(frozen=True)
class Answer:
    """What a server answered. `cut` is whether it is longer than `body`."""

    response: Response
    body: bytes
    cut: bool


class Client:
    """The connections to one API, opened when they are needed. To be used in one event loop."""

    def __init__(self, config: ServerConfig) -> None:
        self.secrets = secrets_of(config)
        """What must not be shown, in each of the forms in which it is sent."""
        self._config = config
        self._clients: dict[tuple[bool, bool], AsyncClient] = {}

    async def send(self, outgoing: Outgoing, base: str, most: int = MOST_BYTES) -> Answer:
        """The answer to a request, of at most `most` bytes, after redirects that stay with the server at `base`.

        A server that first wants a short pause (429 or 503 with Retry-After) gets it. Raises `NotSent` where it cannot
        be connected to, `ServerError` where it was and did not answer, `ToolError` for what cannot be sent.
        """
        for pauses in range(_PAUSES + 1):
            answer = await self._exchanged(outgoing, base, most)
            pause = _pause(answer.response)
            if pause is None or pauses == _PAUSES:
                break
            await asyncio.sleep(pause)
        return answer

    async def close(self) -> None:
        """Ends the connections; they are opened again when needed."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    async def _exchanged(self, outgoing: Outgoing, base: str, most: int) -> Answer:
        import httpx

        name = self._config.name
        try:
            request: Request | None = self._request(outgoing, base)
            for _ in range(_REDIRECTS + 1):
                assert request is not None
                response = await self._opened(base).send(request, stream=True)
                try:
                    further = response.next_request
                    if further is None or origin(str(further.url)) != origin(base):
                        return Answer(response, *await read_body(response, self.secrets, most))
                finally:
                    await response.aclose()
                if "cookie" in request.headers:
                    further.headers["cookie"] = request.headers["cookie"]
                request = further
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            reason = redact(str(error) or "no connection in time", self.secrets)
            raise NotSent(f"server {name!r} cannot be reached at {base}: {reason}") from None
        except (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ToolError(f"the request cannot be sent: {redact(str(error), self.secrets)}") from None
        except (httpx.HTTPError, OSError) as error:
            reason = redact(str(error) or type(error).__name__, self.secrets)
            raise ServerError(f"server {name!r} did not answer: {reason}") from None
        raise ServerError(f"server {name!r} sends us from one of its addresses to the next without end")

    def _request(self, outgoing: Outgoing, base: str) -> Request:
        import httpx

        class Unshown(httpx.URL):
            """A URL that logs show without its query, which may hold a key."""

            def __str__(self) -> str:
                return super().__str__().split("?")[0]

        given = {name.lower() for name in outgoing.headers}
        headers = {name: value for name, value in _HEADERS.items() if name.lower() not in given} | outgoing.headers
        request = self._opened(base).build_request(
            outgoing.method,
            outgoing.url,
            headers=[(name.encode("utf-8"), value.encode("utf-8", "replace")) for name, value in headers.items()],
            content=outgoing.content,
            files=outgoing.parts,
        )
        if origin(str(request.url)) != origin(base):
            raise ToolError("the request would go to another server than the one that is configured")
        request.url = Unshown(request.url)
        return request

    def _opened(self, base: str) -> AsyncClient:
        local, secure = is_loopback(base), base.lower().startswith("https:")
        if (local, secure) not in self._clients:
            import httpx

            self._clients[local, secure] = httpx.AsyncClient(
                timeout=httpx.Timeout(None, connect=self._config.startup_timeout),  # the caller bounds the whole
                trust_env=not local,
                verify=secure,  # certificates take a while to be read
                follow_redirects=False,
                cookies=_no_cookies(),
            )
        return self._clients[local, secure]


def secrets_of(config: ServerConfig) -> tuple[str, ...]:
    """What must not be shown, in each of the forms in which it is sent; the longest first."""
    found = set(config.secrets)
    for value in config.headers.values():
        found.update(value.split())
    for value in config.credentials.values():
        found.update((value, quote(value, safe=""), base64.b64encode(value.encode()).decode(), *value.split(":")))
    return tuple(sorted((value for value in found if len(value) >= 8), key=len, reverse=True))


def _pause(response: Response) -> float | None:
    """Seconds after which the server wants to be asked again, having done nothing; None where it does not say."""
    if response.status_code not in (429, 503) or (said := response.headers.get("retry-after")) is None:
        return None
    try:
        seconds = float(said) if said.strip().isdigit() else _until(said)
    except (ValueError, TypeError):
        return None
    return max(0.0, seconds) if seconds <= _LONGEST_PAUSE else None


def _until(date: str) -> float:
    return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()


def _no_cookies() -> Any:
    """A jar that keeps nothing: no call depends on the one before it."""
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))
