"""What a scripted model or server is told to say: replies one after the other, or by a function of what it is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from ..models.chat import ChatReply, ToolUse
from ..models.chat.protocol import Json

Asked = TypeVar("Asked")
Said = TypeVar("Said")


def wants(tool: str, arguments: str | None = None, /, **named: Json) -> ChatReply:
    """A reply that wants one call of `tool`; `arguments` is text as a model might write it, good or bad.

        wants("calc__calculate", expression="1 + 1")

    The call gets its id from who says the reply. Several calls at once are a `ChatReply` with several `tool_uses`.
    """
    text = json.dumps(named) if arguments is None else arguments
    return ChatReply(tool_uses=(ToolUse(id="", name=tool, arguments=text),), finish="tool_calls")


def numbered(said: str | ChatReply, turn: int) -> ChatReply:
    """`said` as a reply whose calls have ids."""
    reply = ChatReply(text=said) if isinstance(said, str) else said
    if all(use.id for use in reply.tool_uses):
        return reply
    uses = [use.model_copy(update={"id": use.id or f"call_{turn}_{n}"}) for n, use in enumerate(reply.tool_uses)]
    return reply.model_copy(update={"tool_uses": tuple(uses)})


class Script(Generic[Asked, Said]):
    """Replies in their order, or a function that makes one of what is asked. `asked` holds what was asked."""

    def __init__(self, replies: Iterable[Said] | Callable[[Asked], Said]) -> None:
        self.asked: list[Asked] = []
        self._function = replies if callable(replies) else None
        self._left = [] if callable(replies) else list(replies)

    def next(self, asked: Asked) -> Said:
        """What to say now. Raises `AssertionError` where all was said."""
        self.asked.append(asked)
        if self._function:
            return self._function(asked)
        assert self._left, f"the script has no reply left for call {len(self.asked)}"
        return self._left.pop(0)

    def assert_done(self) -> None:
        """Raises `AssertionError` where replies are left that nobody asked for."""
        assert not self._left, f"{len(self._left)} replies were never asked for: {self._left!r:.300}"


def words(text: str) -> list[str]:
    """`text` in pieces of a word with the space after it, as models give it."""
    pieces = [word + " " for word in text.split(" ")]
    pieces[-1] = pieces[-1][:-1]
    return [piece for piece in pieces if piece]


def counted(reply: ChatReply) -> int:
    """Tokens of a scripted reply: as its usage says, else a word counts as one."""
    said = [reply.text, *(f"{use.name} {use.arguments}" for use in reply.tool_uses)]
    return reply.usage.output_tokens or sum(len(text.split()) for text in said)
