"""What can go wrong with a server of language models, for `ChatServer` to do by script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..models.chat import ChatReply


@dataclass(frozen=True)
class Refused:
    """An HTTP error: 401 for a wrong key, 429 for too many requests, 500 and above for a server in trouble.

    `retry_after`: the header of that name, seconds or a date.
    """

    status: int
    message: str = "refused by the script"
    code: str | None = None
    retry_after: float | str | None = None


@dataclass(frozen=True)
class Garbled:
    """A body that is no reply: by default JSON that breaks off. In a stream, a piece that is not JSON."""

    body: str = '{"choices": [{"message": {"content": "half a'


@dataclass(frozen=True)
class Cut:
    """A reply of which only `pieces` of its stream come, then nothing more: `dropped` with the connection, `ended` as
    if it were whole, but without a reason, or `stalled`, the connection open. Not streamed, its body is cut."""

    reply: str | ChatReply
    pieces: int = 1
    how: Literal["dropped", "ended", "stalled"] = "dropped"


@dataclass(frozen=True)
class Slow:
    """A reply with a pause of `seconds` before each piece of its stream, or before all of it."""

    reply: str | ChatReply
    seconds: float


@dataclass(frozen=True)
class Silent:
    """No answer at all: the request is taken, and the connection stays open until the client leaves."""


Fault = Refused | Garbled | Cut | Slow | Silent
