"""Replies kept in a file of JSON lines, and given again in tests: same request, same reply, no model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ...core.errors import UsageError
from ...core.redaction import redact
from .protocol import ChatClient, ChatReply, ChatRequest, Json, OnText


class _Recorded(BaseModel):
    """A line of the file. `request` is there for people to read; only its digest is compared."""

    model_config = ConfigDict(extra="forbid")

    digest: str
    model: str
    request: Json
    reply: ChatReply


def digest(request: ChatRequest) -> str:
    """The SHA-256 of a request: of all that is asked, whoever is asked."""
    text = json.dumps(request.model_dump(exclude_defaults=True), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class RecordingChat:
    """A client that asks another one and appends each reply to the file `path`, without secrets.

    Raises `UsageError` where the file cannot be written.
    """

    def __init__(self, client: ChatClient, path: str | Path) -> None:
        self._client = client
        self._path = Path(path)

    @property
    def model(self) -> str:
        return self._client.model

    @property
    def price(self) -> tuple[float, float]:
        return self._client.price

    async def complete(self, request: ChatRequest, on_text: OnText | None = None) -> ChatReply:
        """The other client's reply, and its errors, which are not recorded."""
        reply = await self._client.complete(request, on_text)
        asked = request.model_dump(mode="json", exclude_defaults=True)
        line = _Recorded(digest=digest(request), model=self.model, request=asked, reply=reply)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(_redacted(line.model_dump(mode="json")), ensure_ascii=False) + "\n")
        except OSError as error:
            raise UsageError(f"{self._path} cannot be written: {error.strerror}") from None
        return reply

    async def close(self) -> None:
        await self._client.close()


class ReplayChat:
    """A client that gives the replies recorded in the file `path`. A request that was recorded several times gets its
    replies in their order.

    Raises `UsageError` for a file that cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._model = ""
        self._replies: dict[str, list[ChatReply]] = {}
        for line in self._lines():
            self._model = self._model or line.model
            self._replies.setdefault(line.digest, []).append(line.reply)
        self._given: dict[str, int] = {}

    @property
    def model(self) -> str:
        """The name of the model that was recorded first."""
        return self._model

    @property
    def price(self) -> tuple[float, float]:
        return 0.0, 0.0

    async def complete(self, request: ChatRequest, on_text: OnText | None = None) -> ChatReply:
        """The recorded reply, in one piece where `on_text` is given.

        Raises `UsageError` for a request that was not recorded, or not so often.
        """
        key = digest(request)
        replies, given = self._replies.get(key, []), self._given.get(key, 0)
        if given == len(replies):
            asked = " ".join(request.messages[-1].content.split())[:80] if request.messages else ""
            often = f" more than {given} times" if given else ""
            raise UsageError(
                f"{self._path} has no reply to {asked!r}: it was not recorded{often} (request {key[:12]})",
                hint="record it again with RecordingChat, or see what changed in the request",
            )
        self._given[key] = given + 1
        if on_text and replies[given].text:
            on_text(replies[given].text)
        return replies[given]

    async def close(self) -> None:
        """Nothing is open."""

    def _lines(self) -> Iterator[_Recorded]:
        try:
            text = self._path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{self._path} cannot be read: {getattr(error, 'strerror', None) or error}",
                hint="record it with RecordingChat",
            ) from None
        for n, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                yield _Recorded.model_validate_json(line)
            except ValidationError:
                raise UsageError(f"line {n} of {self._path} is no recorded reply", hint="remove it") from None


def _redacted(value: Json) -> Json:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: _redacted(part) for name, part in value.items()}
    return [_redacted(part) for part in value] if isinstance(value, list) else value
