"""The one way to a language model in a run: calls are paid, journalled, told as events, and made once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..agents.plan import Step
from ..core.errors import BottegaError, UsageError
from ..core.redaction import redact
from ..core.sound import sound
from ..core.usage import Usage
from ..models.chat import ChatClient, ChatReply, ChatRequest
from .budget import Account
from .events import Emit, ModelCalled, ModelReturned, TextStreamed
from .journal import Journal

SHOWN = 2_000
"""Characters of a reply that an event carries."""

ONE = Usage(model_calls=1)

REPLY_TOKENS = 4_096
"""What a reply may have where the budget counts tokens and the request does not say."""


@dataclass(frozen=True)
class Completions:
    """Asks language models on behalf of steps. With `stream`, replies are told as events while they come."""

    run: str
    client: ChatClient | None
    journal: Journal
    account: Callable[[str], Account]
    emit: Emit
    stream: bool = False

    async def __call__(self, step: Step, request: ChatRequest, client: ChatClient | None = None) -> ChatReply:
        """The reply, from the journal where the step has asked this before. Raises as `agents.Completer` says."""
        return await self.ask(step.id, request, client)

    async def ask(self, step: str, request: ChatRequest, client: ChatClient | None = None) -> ChatReply:
        """`__call__` for who is no step: `plan`, `report`."""
        client = client or self.client
        if client is None:
            raise UsageError("there is no language model", hint="name one: --model, or Bottega(model=...)")
        text = request.model_dump_json(exclude_defaults=True)
        key = self.journal.key(step, "model", client.model, text)
        call = key[:12]
        self.emit(
            ModelCalled(
                run=self.run,
                step=step,
                call=call,
                model=client.model,
                messages=len(request.messages),
                tools=len(request.tools),
            )
        )
        known = self.journal.known(key)
        if known is not None and known.outcome is not None:
            reply = ChatReply.model_validate(known.outcome)
            self._returned(step, call, client.model, reply, 0.0, kept=True)
            return reply
        start = time.perf_counter()
        try:
            reply = await self._paid(step, call, request, client, len(text.encode("utf-8", "surrogatepass")))
            await self.journal.outcome(key, step, "model", client.model, reply.model_dump(mode="json"), reply.usage)
        except BottegaError as error:
            self._returned(step, call, client.model, error, time.perf_counter() - start)
            raise
        self._returned(step, call, client.model, reply, time.perf_counter() - start)
        return reply

    async def _paid(self, step: str, call: str, request: ChatRequest, client: ChatClient, size: int) -> ChatReply:
        """The reply of a call that fits the budget whatever it says.

        A token is at least a byte of text, so that a prompt has no more tokens than bytes.
        """
        account = self.account(step)
        counted = account.unspent("tokens") != float("inf") or account.unspent("cost") != float("inf")
        read, written = client.price

        def fitting() -> Usage:
            """What the call uses at most if its reply is as long as there is room for now."""
            tokens = min(request.max_tokens or REPLY_TOKENS, account.unspent("tokens") - size)
            if written > 0:
                # One less, so that no rounding makes it a call too dear.
                tokens = min(tokens, (account.unspent("cost") * 1e6 - size * read) // written - 1)
            tokens = max(1, int(tokens))
            cost = (size * read + tokens * written) / 1e6
            return Usage(model_calls=1, input_tokens=size, output_tokens=tokens, cost=cost)

        most = await account.reserve(fitting if counted else lambda: ONE)
        if counted:
            request = request.model_copy(update={"max_tokens": most.output_tokens})
        used = most  # where nobody knows what was used, it is what was set aside
        try:
            reply = sound(await client.complete(request, self._heard(step, call) if self.stream else None))
            used = reply.usage
            return reply
        except BottegaError as error:
            used = error.usage or most
            raise
        finally:
            account.settle(most, used)

    def _heard(self, step: str, call: str) -> Callable[[str], None]:
        return lambda text: self.emit(TextStreamed(run=self.run, step=step, call=call, text=text))

    def _returned(
        self,
        step: str,
        call: str,
        model: str,
        reply: ChatReply | BottegaError,
        seconds: float,
        *,
        kept: bool = False,
    ) -> None:
        if isinstance(reply, BottegaError):
            told = ModelReturned(
                run=self.run, step=step, call=call, model=model, seconds=seconds, error=redact(str(reply))
            )
        else:
            told = ModelReturned(
                run=self.run,
                step=step,
                call=call,
                model=reply.model or model,
                text=redact(reply.text[:SHOWN]),
                tools=tuple(use.name for use in reply.tool_uses),
                finish=reply.finish,
                usage=reply.usage,
                seconds=seconds,
                kept=kept,
            )
        self.emit(told)
