"""Where an API is: the server that the configuration or the document names, and no other."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import SplitResult, urljoin, urlsplit

_PORTS = {"http": 80, "https": 443}


class NoAddress(Exception):
    """Why it is not known where an API is."""


def base_of(servers: Sequence[str], given: str | None, document: str | None) -> str:
    """The URL that paths are put after: `given`, else the first of `servers`, which may be relative to `document`.

    `document` is the URL that the document was fetched from, None for a file. Such a document cannot send calls, and
    what is secret in them, to another host than its own. Raises `NoAddress`.
    """
    if given is not None:
        return _checked(given).rstrip("/")
    named = servers[0] if servers else "/"
    if "{" in named:
        raise NoAddress(f"the server {named!r} has a variable without default")
    url = urljoin(document, named) if document else named
    if not url.startswith(("http://", "https://")):
        raise NoAddress("the document does not name the host of its server")
    if document and origin(url) != origin(document):
        raise NoAddress(f"the document was fetched from {_shown(document)}, and names another server, {_shown(url)}")
    return _checked(url).rstrip("/")


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(scheme, 0)


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine."""
    host = (urlsplit(url).hostname or "").lower()
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_url(text: str) -> bool:
    """Whether it is a web address, and not a file."""
    return text.lower().startswith(("http://", "https://"))


def _checked(url: str) -> str:
    try:
        parts: SplitResult = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise NoAddress(f"{url[:120]!r} is no web address") from None
    if parts.scheme.lower() not in _PORTS or not parts.hostname or port == 0:
        raise NoAddress(f"{url[:120]!r} is no web address")
    if parts.username is not None:
        raise NoAddress("a server's address cannot hold a name and password; give them as headers or credentials")
    if parts.query or parts.fragment:
        raise NoAddress(f"{_shown(url)} is to be given without what follows its path")
    return url.strip()


def _shown(url: str) -> str:
    scheme, host, port = origin(url)
    return f"{scheme}://{host}" + (f":{port}" if port != _PORTS.get(scheme) else "")
