"""Pages of the web as text: only where that is permitted, and never from a private network."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...core.errors import ToolError
from ..tool import ToolContext, ToolResult, tool
from .html import html_text

if TYPE_CHECKING:
    from httpx import URL, AsyncClient, Response

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_SECONDS = 20.0
_MOST_BYTES = 3_000_000
_MOST_CHARACTERS = 200_000
_MOST_REDIRECTS = 5
_TEXT = (
    "text/",
    "application/json",
    "application/xml",
    "application/xhtml+xml",
    "application/rss+xml",
    "application/atom+xml",
)


@tool(read_only=True, open_world=True)
async def fetch_page(context: ToolContext, url: str) -> ToolResult:
    """Fetch a page from the web (a URL) and show its text.

    Args:
        url: address of the page, such as https://example.org
    """
    if not context.web:
        raise ToolError("fetching pages is not permitted", hint="allow tools to reach the web, with --web or web=True")
    return await read_page(url)


def is_public(address: IPAddress) -> bool:
    """Whether an address is one of the public internet, and not of this machine or a network around it."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


async def read_page(url: str, *, allows: Callable[[IPAddress], bool] = is_public) -> ToolResult:
    """The text of a page. `ToolError` for an address that `allows` refuses, what is no text, and what takes long.

    Every host on the way is resolved once, its addresses checked, and one of these connected to: a name that
    changes its address in between leads nowhere else.
    """
    import httpx

    try:
        async with (
            asyncio.timeout(_SECONDS),
            httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=_SECONDS) as client,
        ):
            address = _checked(url)
            for _ in range(_MOST_REDIRECTS + 1):
                response = await _get(client, address, allows)
                if not response.is_redirect:
                    return _page(address, response)
                address = _checked(str(address.join(response.headers["location"])))
    except TimeoutError:
        raise ToolError(f"{url} took longer than {_SECONDS:g} seconds") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError, ValueError) as error:
        raise ToolError(f"{url} cannot be fetched: {str(error) or type(error).__name__}") from None
    raise ToolError(f"{url} redirects more than {_MOST_REDIRECTS} times")


def _checked(url: str) -> URL:
    import httpx

    try:
        address = httpx.URL(url.strip())
    except (httpx.InvalidURL, UnicodeError):
        raise ToolError(f"{url[:200]!r} is not a web address") from None
    if address.scheme not in ("http", "https") or not address.host:
        raise ToolError(f"{url[:200]!r} is not a web address", hint="it starts with https:// or http://")
    if address.userinfo:
        raise ToolError("a web address with a name and password in it is not fetched")
    return address


async def _get(client: AsyncClient, url: URL, allows: Callable[[IPAddress], bool]) -> Response:
    """One request, to an address that was checked, with at most so many bytes of the answer."""
    import httpx

    target = await _resolved(url, allows)
    request = client.build_request(
        "GET",
        url.copy_with(host=str(target)),
        headers={
            "Host": url.netloc.decode("ascii"),
            "User-Agent": "bottega (reads one page for a person)",
            "Accept": "text/html, text/*;q=0.9, application/json;q=0.8",
        },
        extensions={"sni_hostname": url.raw_host.decode("ascii").strip("[]")},
    )
    response = await client.send(request, stream=True)
    try:
        if response.is_redirect:
            return httpx.Response(response.status_code, headers=response.headers)
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _MOST_BYTES:
                raise ToolError(f"{url} is larger than {_MOST_BYTES // 1_000_000} MB")
        headers = {k: v for k, v in response.headers.items() if k.lower() == "content-type"}
        return httpx.Response(response.status_code, headers=headers, content=bytes(body))
    finally:
        await response.aclose()


async def _resolved(url: URL, allows: Callable[[IPAddress], bool]) -> IPAddress:
    """An address of the host. `ToolError` where any of them is not allowed."""
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ToolError(f"the host {url.host} is not known: {error.strerror or error}") from None
    addresses = [ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in found]
    for address in addresses:
        if not allows(address):
            raise ToolError(
                f"{url.host} is not on the public internet ({address})", hint="only public pages are fetched"
            )
    return addresses[0]


def _page(url: URL, response: Response) -> ToolResult:
    if response.is_error:
        raise ToolError(f"{url} answered {response.status_code} {response.reason_phrase}".strip())
    kind = response.headers.get("content-type", "text/html").split(";")[0].strip().lower()
    if not kind.startswith(_TEXT):
        raise ToolError(f"{url} is not a page of text but {kind}")
    body, title = _decoded(response), ""
    if "html" in kind:
        title, body = html_text(body)
    if len(body) > _MOST_CHARACTERS:
        body = body[:_MOST_CHARACTERS] + "\n… (cut)"
    return ToolResult(f"{title}\n\n{body}".strip(), data={"text": body, "title": title, "url": str(url)})


def _decoded(response: Response) -> str:
    """The text of an answer, in the encoding that its header or its first bytes name."""
    import re

    declared = re.search(rb"<meta[^>]+charset=[\"']?([\w-]+)", response.content[:2048], re.I)
    encoding = response.charset_encoding or (declared[1].decode("ascii") if declared else "utf-8")
    try:
        return response.content.decode(encoding, errors="replace")
    except LookupError:
        return response.content.decode("utf-8", errors="replace")


TOOLS = (fetch_page,)
