"""Who is on the other side of a gateway: a client, and one call of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from ...tools.mcp.wire import CAPABILITIES_KEY, METHOD_NOT_FOUND, MODERN, VERSION_KEY, Message, Refused

Json = Any
LOG_LEVEL_KEY = "io.modelcontextprotocol/logLevel"

Ask = Callable[[str, Message], Awaitable[Message]]
Say = Callable[[str, Message], None]

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

_NEEDED = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}
ASKABLE = frozenset(_NEEDED.values())
"""The capabilities of a client that let servers ask it something."""


@dataclass(eq=False)
class Client:
    """A client, as it introduced itself. One of the newer protocol does so with each request, and is new each time."""

    version: str = ""
    capabilities: Message = field(default_factory=dict)
    name: str = ""
    level: str = "debug"
    """The least important log message that it wants."""

    @property
    def modern(self) -> bool:
        """Whether it speaks the newer protocol, which asks clients nothing while a request is being answered."""
        return self.version >= MODERN


@dataclass(eq=False)
class Call:
    """A request of a client while it is being answered; what servers say meanwhile goes through here."""

    client: Client
    say: Say
    """Sends a notification that belongs to the request. Does not wait, and may drop it."""
    ask: Ask | None = None
    """Sends the client a request and waits for the result; None where its protocol has no way for that."""
    token: str | int | None = None
    """The token under which the client wants to hear of progress."""
    level: str | None = None
    """The least important log message that the client wants for this request; None for none."""
    limit: asyncio.Timeout | None = None
    idle: float = 0.0
    """Seconds without progress after which the call is given up, where there is a `limit`."""
    last: float = 0.0
    """When it is given up at the latest, in the time of the event loop."""

    @classmethod
    def of(cls, params: Message, client: Client, say: Say, ask: Ask | None = None) -> Call:
        """The call of a request's parameters."""
        meta = params.get("_meta")
        meta = meta if isinstance(meta, dict) else {}
        token = meta.get("progressToken")
        level = meta.get(LOG_LEVEL_KEY) if client.modern else client.level
        return cls(
            client,
            say,
            ask,
            token if isinstance(token, str | int) else None,
            level if level in LEVELS else None,
        )

    @property
    def askable(self) -> frozenset[str]:
        """What the client can be asked during the call."""
        return ASKABLE.intersection(self.client.capabilities) if self.ask is not None else frozenset()

    def levelled(self, params: Message) -> Message:
        """The parameters for a server of the newer protocol, which sends the log messages that a request asks for."""
        if self.client.modern or self.level is None:
            return params
        meta = params.get("_meta")
        return {**params, "_meta": {LOG_LEVEL_KEY: self.level, **(meta if isinstance(meta, dict) else {})}}

    def progress(self, done: float, total: float | None, message: str) -> None:
        """Tells the client how far it is, where it wants to be told."""
        params: Message = {"progress": done, "message": message}
        self.hear("notifications/progress", params if total is None else {**params, "total": total})

    def hear(self, method: str, params: Message) -> None:
        if method == "notifications/progress":
            if self.limit is not None:
                now = asyncio.get_running_loop().time()
                self.limit.reschedule(min(now + self.idle, self.last))
            if self.token is not None:
                self.say(method, {"progressToken": self.token, **params})
        elif method == "notifications/message":
            level = params.get("level")
            if self.level is not None and level in LEVELS and LEVELS.index(level) >= LEVELS.index(self.level):
                self.say(method, params)

    async def answer(self, method: str, params: Message) -> Message:
        needed = _NEEDED.get(method)
        if self.ask is None or needed not in self.client.capabilities:
            raise Refused(METHOD_NOT_FOUND, f"the client cannot be asked for {method}")
        if self.limit is not None:
            # A person may take as long as they like, up to the last moment.
            self.limit.reschedule(self.last)
        return await self.ask(method, params)


def introduced(params: Message) -> Client | None:
    """The client of a request of the newer protocol; None where it does not say what the newer protocol wants said."""
    meta = params.get("_meta")
    if not isinstance(meta, dict):
        return None
    version, capabilities = meta.get(VERSION_KEY), meta.get(CAPABILITIES_KEY)
    if version != MODERN or not isinstance(capabilities, dict):
        return None
    info = meta.get("io.modelcontextprotocol/clientInfo")
    name = info.get("name") if isinstance(info, dict) else None
    return Client(version, capabilities, name if isinstance(name, str) else "")
