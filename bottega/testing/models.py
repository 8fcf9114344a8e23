"""A language model that does as it is told."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable

from ..core.usage import Usage
from ..models.chat import ChatReply, ChatRequest, OnText
from .script import Script, counted, numbered, words

Say = str | ChatReply | BaseException


class ScriptedModel:
    """A `ChatClient` that gives the replies it was made with, or those that a function makes of each request.

        model = ScriptedModel([wants("calc__calculate", expression="1 + 1"), "It is 2."])

    A reply is text, a `ChatReply`, or an error to raise; the function may be asynchronous. Where a reply tells no
    usage, every word counts as a token. `requests` holds what it was asked. More requests than replies are an
    `AssertionError`. `price` is in US dollars per million tokens read and written.
    """

    def __init__(
        self,
        replies: Iterable[Say] | Callable[[ChatRequest], Say | Awaitable[Say]],
        *,
        model: str = "scripted",
        price: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self._script: Script[ChatRequest, Say | Awaitable[Say]] = Script(replies)
        self._model = model
        self._price = price

    @property
    def model(self) -> str:
        return self._model

    @property
    def requests(self) -> list[ChatRequest]:
        return self._script.asked

    @property
    def price(self) -> tuple[float, float]:
        return self._price

    async def complete(self, request: ChatRequest, on_text: OnText | None = None) -> ChatReply:
        """The next reply, word by word where `on_text` is given. Raises what the script says."""
        said = self._script.next(request)
        if inspect.isawaitable(said):
            said = await said
        if isinstance(said, BaseException):
            raise said
        reply = numbered(said, len(self.requests))
        if on_text:
            for piece in words(reply.text):
                on_text(piece)
        usage = reply.usage if reply.usage != Usage() else _usage(request, reply, self._price)
        return reply.model_copy(update={"usage": usage, "model": reply.model or self._model})

    async def close(self) -> None:
        """Nothing is open."""

    def assert_done(self) -> None:
        """Raises `AssertionError` where replies are left that nobody asked for."""
        self._script.assert_done()


def _usage(request: ChatRequest, reply: ChatReply, price: tuple[float, float]) -> Usage:
    read, written = sum(len(message.content.split()) for message in request.messages), counted(reply)
    cost = (read * price[0] + written * price[1]) / 1e6
    return Usage(model_calls=1, input_tokens=read, output_tokens=written, cost=cost)
