"""What every client does around a try: says the request so that the server understands it, tries again, counts."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ...core.errors import BottegaError, ModelError
from ...core.usage import Usage
from .failures import Failure, error_of
from .protocol import ChatReply, ChatRequest, Json, OnText
from .wire import Assembly, Dialect, json_in

Send = Callable[[dict[str, Json], OnText | None], Awaitable[Assembly]]
"""Sends a body once, and gives what came back. Raises `Failure`."""


@dataclass(frozen=True)
class Patience:
    """How long a client goes on. Seconds.

    It tries again up to `retries` times, at first after about `first_wait`, then after twice as long each time, or
    when the server said. It waits no longer than `longest_wait`: then the error says when to try again. It gives up a
    connection that is not there after `connect`, and a reply of which nothing comes for `silence`: not tried again.
    """

    retries: int = 3
    first_wait: float = 0.5
    longest_wait: float = 60.0
    connect: float = 5.0
    silence: float = 300.0


@dataclass
class Carrier:
    """Carries requests to one model. `name` is how errors name it, `price` dollars per million tokens in and out."""

    model: str
    name: str
    price: tuple[float, float]
    secrets: tuple[str, ...]
    patience: Patience
    options: dict[str, Json]
    dialect: Dialect = field(default_factory=Dialect)

    async def carry(self, request: ChatRequest, on_text: OnText | None, send: Send) -> ChatReply:
        """The reply to `request`, which `send` brings.

        Raises `ModelError` and `ServerError`, whose `usage` is what was spent in vain.
        """
        start = time.perf_counter()
        heard = _Heard(on_text) if on_text else None
        spent = Usage()
        failed = empty = 0
        dialect = self.dialect
        try:
            while True:
                body = dialect.body(self.model, request, heard is not None) | self.options
                try:
                    assembly = await send(body, heard)
                    reply = assembly.reply(len(request.messages))
                except Failure as failure:
                    if heard and heard.anything:
                        raise _broken_off(failure) from failure
                    if failure.said and (less := dialect.without(failure.said, body)):
                        dialect = less
                        if "invalid schema" not in failure.said:  # that is about this schema, not about the server
                            self.dialect = self.dialect.without(failure.said, body) or self.dialect
                        continue
                    failed += 1
                    await self._wait(failure, failed)
                    continue
                spent += self._usage(assembly, reply, body)
                if reply.text or reply.tool_uses:
                    return self._told(reply, request, spent, time.perf_counter() - start)
                empty += 1
                self._check_empty(reply, empty)
        except Failure as failure:
            error = error_of(failure, self.name, self.secrets)
        except BottegaError as problem:
            error = problem
        error.usage = spent.model_copy(update={"seconds": time.perf_counter() - start})
        raise error from None

    async def _wait(self, failure: Failure, failed: int) -> None:
        """Waits for the next try; raises `failure` where there is none."""
        patience = self.patience
        if not failure.again or failed > patience.retries or (failure.wait or 0) > patience.longest_wait:
            raise failure
        if failure.wait is None:
            wait = min(patience.longest_wait, patience.first_wait * 2 ** (failed - 1)) * random.uniform(0.75, 1.25)
        else:  # never earlier than asked, and not all at once
            wait = failure.wait * random.uniform(1.0, 1.1)
        await asyncio.sleep(wait)

    def _check_empty(self, reply: ChatReply, empty: int) -> None:
        """Returns where it makes sense to ask again after a reply that says nothing; raises `ModelError` otherwise."""
        if reply.finish == "length":
            raise ModelError(f"{self.name} used up its tokens and said nothing", hint="allow more tokens for the reply")
        if reply.finish == "content_filter":
            raise ModelError(f"{self.name} held its reply back by a content filter", hint="ask in other words")
        if empty > 1:
            raise ModelError(f"{self.name} gave an empty reply twice", hint="ask in other words, or use another model")

    def _usage(self, assembly: Assembly, reply: ChatReply, body: dict[str, Json]) -> Usage:
        """What a reply cost. A server that does not count is counted for, at four characters a token."""
        counts = assembly.tokens()
        if counts is None:
            said = len(reply.text) + sum(len(use.name) + len(use.arguments) for use in reply.tool_uses)
            counts = len(str(body["messages"])) // 4 + len(str(body.get("tools", ""))) // 4 + 1, said // 4 + 1
        cost = (counts[0] * self.price[0] + counts[1] * self.price[1]) / 1e6
        return Usage(model_calls=1, input_tokens=counts[0], output_tokens=counts[1], cost=cost)

    def _told(self, reply: ChatReply, request: ChatRequest, spent: Usage, seconds: float) -> ChatReply:
        return reply.model_copy(
            update={
                "text": json_in(reply.text) if request.output is not None else reply.text,
                "usage": spent.model_copy(update={"seconds": seconds}),
                "model": reply.model or self.model,
            }
        )


class _Heard:
    """Passes text on, and knows whether there was any."""

    def __init__(self, on_text: OnText) -> None:
        self.anything = False
        self._on_text = on_text

    def __call__(self, text: str) -> None:
        self.anything = True
        self._on_text(text)


def _broken_off(failure: Failure) -> Failure:
    """A failure after which nothing is tried again, as a part of the reply was shown already."""
    return Failure(f"{failure}, after a part of the reply was shown", away=True, wait=failure.wait, hint="ask again")
