"""The names under which a gateway shows tools of many servers: `server__tool`, each one's for ever."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

LONGEST = 64
"""Characters; some language models take no more in the name of a function."""
_HASH = 8
_OTHER = re.compile(r"[^A-Za-z0-9_-]")


def wire_name(server: str, tool: str) -> str:
    """The name of one tool, which depends on nothing but the two names.

    It is `server__tool` where that fits, has only letters, digits, `_` and `-`, and can be parted again. Else it ends
    in eight hexadecimal digits of the SHA-256 of `server/tool`.
    """
    plain = f"{server}__{tool}"
    if len(plain) <= LONGEST and not _OTHER.search(plain) and "__" not in server and not server.endswith("_"):
        return plain
    digest = hashlib.sha256(f"{server}/{tool}".encode("utf-8", "surrogatepass")).hexdigest()[:_HASH]
    room = LONGEST - _HASH - 1
    return f"{_OTHER.sub('_', plain)[:room]}_{digest}"


def wire_names(tools: Iterable[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Name -> (server, tool), sorted by name. Of two tools whose hashes are the same, only the first has a name."""
    found: dict[str, tuple[str, str]] = {}
    for server, tool in tools:
        found.setdefault(wire_name(server, tool), (server, tool))
    return dict(sorted(found.items()))
