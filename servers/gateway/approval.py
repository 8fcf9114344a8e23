"""Asks the person behind a client whether a tool may be called, in the way that the client's protocol has for it."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any, Literal

from ...tools import Tool
from ...tools.mcp.definitions import clean
from ...tools.mcp.wire import Message, Refused, encoded
from .client import Call

Json = Any
Said = Literal["once", "session", "no"]

_KEY = "io.bottega/approval"
_VALID = 600.0
"""Seconds for which an answer that came, or a question that was asked, counts."""
_SHOWN = 600
"""Characters of the arguments that a person is shown."""
_MOST = 1000


@dataclass(frozen=True)
class Asked:
    """The result that asks a client of the newer protocol to ask the person and to call again."""

    result: Message


class Approvals:
    """What people have allowed, for as long as this process lives."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._tools: set[str] = set()
        self._calls: dict[str, float] = {}

    async def ask(self, tool: Tool, arguments: Message, params: Message, call: Call) -> bool | Asked | None:
        """Whether a person allows the call; `Asked` where the answer comes with another call; None for nobody there.

        `params` are those of the request, in which the answer may be.
        """
        if tool.id in self._tools:
            return True
        digest = hashlib.sha256(f"{tool.id}\0".encode() + encoded(arguments)).hexdigest()
        if "elicitation" not in call.client.capabilities:
            return None
        if not call.client.modern:
            if call.ask is None:
                return None
            try:
                result = await call.ask("elicitation/create", _question(tool, arguments))
            except Refused:
                return None
            return self._understood(tool, digest, result)
        responses = params.get("inputResponses")
        if isinstance(responses, dict) and _KEY in responses and self._sealed(digest, params.get("requestState")):
            return self._understood(tool, digest, responses[_KEY])
        if "requestState" in params and self._calls.get(digest, 0) > time.monotonic():
            return True  # the server behind asks something of its own about a call that was allowed
        question = {"method": "elicitation/create", "params": {"mode": "form", **_question(tool, arguments)}}
        return Asked(
            {"resultType": "input_required", "inputRequests": {_KEY: question}, "requestState": self._state(digest)}
        )

    def _understood(self, tool: Tool, digest: str, result: Json) -> bool:
        content = result.get("content") if isinstance(result, dict) and result.get("action") == "accept" else None
        said = content.get("allow") if isinstance(content, dict) else None
        if said == "session":
            self._tools.add(tool.id)
        if said not in ("once", "session"):
            return False
        now = time.monotonic()
        if len(self._calls) >= _MOST:
            self._calls = {key: end for key, end in self._calls.items() if end > now}
        self._calls[digest] = now + _VALID
        return True

    def _state(self, digest: str) -> str:
        until = f"{time.monotonic() + _VALID:.0f}"
        return f"{until}.{self._mac(until, digest)}"

    def _sealed(self, digest: str, state: Json) -> bool:
        """Whether we have asked about this very call, not too long ago."""
        if not isinstance(state, str):
            return False
        until, _, mac = state.partition(".")
        right = hmac.compare_digest(mac.encode(), self._mac(until, digest).encode())
        return right and float(until) > time.monotonic()

    def _mac(self, until: str, digest: str) -> str:
        return hmac.new(self._secret, f"{until}.{digest}".encode(), "sha256").hexdigest()


def _question(tool: Tool, arguments: Message) -> Message:
    shown = clean(json.dumps(arguments, ensure_ascii=False))
    if len(shown) > _SHOWN:
        shown = f"{shown[:_SHOWN]} … ({len(shown)} characters)"
    what = "may destroy something" if tool.annotations.destructive else "changes something"
    return {
        "message": f"{tool.id} {what}. Call it with {shown}?",
        "requestedSchema": {
            "type": "object",
            "properties": {
                "allow": {
                    "type": "string",
                    "title": "Allow",
                    "enum": ["once", "session", "no"],
                    "enumNames": ["This call", "This tool, until the gateway ends", "No"],
                    "default": "once",
                }
            },
            "required": ["allow"],
        },
    }
