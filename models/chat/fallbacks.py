"""Several clients as one: where the first does not answer, the next one does."""

from __future__ import annotations

from collections.abc import Iterable

from ...core.errors import BottegaError, ModelError, ServerError, UsageError
from ...core.usage import Usage
from .protocol import ChatClient, ChatReply, ChatRequest, OnText


class Fallbacks:
    """Asks `clients` in their order until one answers. Which one it was is the reply's `model`.

    Raises `UsageError` without any client.
    """

    def __init__(self, clients: Iterable[ChatClient]) -> None:
        self._clients = tuple(clients)
        if not self._clients:
            raise UsageError("there are no models to fall back on", hint="give at least one")

    @property
    def model(self) -> str:
        """The name of the first; the others only stand in for it."""
        return self._clients[0].model

    @property
    def price(self) -> tuple[float, float]:
        """That of the dearest, which may have to answer."""
        prices = [client.price for client in self._clients]
        return max(read for read, _ in prices), max(written for _, written in prices)

    async def complete(self, request: ChatRequest, on_text: OnText | None = None) -> ChatReply:
        """The reply of the first client that has one; what the others spent in vain is in its usage.

        Raises what the last one raised, with the reasons of all: `ServerError` if a server was away, else `ModelError`.
        An error after a part of the reply was shown is raised at once, as no other model could go on with it.
        """
        shown = False

        def hear(text: str) -> None:
            nonlocal shown
            shown = True
            if on_text:
                on_text(text)

        errors: list[BottegaError] = []
        spent = Usage()
        for client in self._clients:
            try:
                reply = await client.complete(request, hear if on_text else None)
            except (ServerError, ModelError) as error:
                spent += error.usage or Usage()
                errors.append(error)
                if shown:
                    break
            else:
                return reply.model_copy(update={"usage": spent + reply.usage}) if errors else reply
        raise _all_of(errors, spent)

    async def close(self) -> None:
        """Lets the connections of all clients go."""
        for client in self._clients:
            await client.close()


def _all_of(errors: list[BottegaError], spent: Usage) -> BottegaError:
    """The errors of all clients as one, on one line."""
    if len(errors) == 1:
        error = errors[0]
    else:
        kind = ServerError if any(isinstance(error, ServerError) for error in errors) else ModelError
        text = f"none of {len(errors)} models answered: {'; '.join(error.message for error in errors)}"
        error = kind(text, hint=errors[-1].hint)
    error.usage = spent
    return error
