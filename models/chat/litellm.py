"""The client for what only LiteLLM reaches: Anthropic, Bedrock, Vertex and many more. Needs the extra `litellm`."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from ...core.errors import MissingExtra, ModelError, UsageError
from .carrying import Carrier, Patience
from .failures import Failure, asked_wait, refusal, shortened
from .protocol import ChatReply, ChatRequest, Json, OnText
from .wire import Assembly

TROJANED = ("1.82.7", "1.82.8")
"""Releases that an attacker uploaded in March 2026; they steal keys."""

_PREFIX = re.compile(r"^(litellm\.)?(\w+Error: )*(\w+Exception - )?")


class LiteLLMChat:
    """A language model by its LiteLLM name, such as `anthropic/claude-sonnet-4-5`.

    `price` is what a million tokens cost, read and written, in US dollars; without one, LiteLLM's own list is asked.
    `options` are further arguments of each call. Without `api_key` LiteLLM looks into the environment, as the tools of
    the providers do.

    Raises `MissingExtra` where LiteLLM is not installed, `ModelError` where it is a release that does harm.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        price: tuple[float, float] | None = None,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
        options: Mapping[str, Json] | None = None,
    ) -> None:
        if not model:
            raise UsageError("the name of the model is empty", hint="it looks like anthropic/claude-sonnet-4-5")
        try:
            version = metadata.version("litellm")
        except metadata.PackageNotFoundError:
            raise MissingExtra(model, "litellm") from None
        if version in TROJANED:
            raise ModelError(
                f"litellm {version} is not used: an attacker uploaded it",
                hint="uninstall it, replace every key this machine holds, then install another version",
            )
        self._model = model
        self._place = {"api_base": base_url, "api_key": api_key}
        self._priced = price is not None
        self._carrier = Carrier(
            model=model,
            name=f"{model} by LiteLLM",
            price=price or (0.0, 0.0),
            secrets=(api_key,) if api_key else (),
            patience=patience,
            options=dict(options or {}),
        )

    @property
    def model(self) -> str:
        return self._model

    @property
    def price(self) -> tuple[float, float]:
        return self._carrier.price

    async def complete(self, request: ChatRequest, on_text: OnText | None = None) -> ChatReply:
        """The reply; streamed where `on_text` is given.

        Raises `ModelError` for what the model or its server refuses, `ServerError` for a server that is not there, is
        silent, or cut its reply. Nothing is tried again once a part of the reply was shown.
        """
        return await self._carrier.carry(request, on_text, self._send)

    async def close(self) -> None:
        """LiteLLM keeps its connections to itself, for all clients of the process."""

    async def _send(self, body: dict[str, Json], on_text: OnText | None) -> Assembly:
        litellm = _library()
        if not self._priced:
            self._priced, self._carrier.price = True, _listed_price(litellm, self._model)
        silence = self._carrier.patience.silence
        given = {name: value for name, value in self._place.items() if value}
        assembly = Assembly()
        answer = await self._told(litellm.acompletion(**body, **given, timeout=silence, num_retries=0, max_retries=0))
        if on_text is None:
            assembly.add(answer.model_dump())
            return assembly
        pieces = aiter(answer)
        while (piece := await self._told(anext(pieces, None))) is not None:
            if text := assembly.add(piece.model_dump()):
                on_text(text)
        if getattr(answer, "received_finish_reason", assembly.finish) is None:
            assembly.finish = ""  # LiteLLM makes up a `stop` for a stream that was cut
        return assembly

    async def _told(self, work: Any) -> Any:
        """What LiteLLM gives; whatever it raises is a `Failure`."""
        silence = self._carrier.patience.silence
        try:
            async with asyncio.timeout(silence):
                return await work
        except TimeoutError:
            raise Failure(f"said nothing for {silence:g} s", away=True) from None
        except Exception as error:
            raise _failure(error) from None


def _library() -> Any:
    """LiteLLM, imported without the price list that it would fetch from the network, and quiet."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.suppress_debug_info = True
    return litellm


def _listed_price(litellm: Any, model: str) -> tuple[float, float]:
    """Dollars per million tokens read and written, by LiteLLM's list; nothing for a model that is not on it."""
    listed = litellm.model_cost.get(model) or litellm.model_cost.get(model.partition("/")[2]) or {}
    return tuple(float(listed.get(f"{side}_cost_per_token") or 0.0) * 1e6 for side in ("input", "output"))  # type: ignore[return-value]


def _failure(error: Exception) -> Failure:
    """The failure behind an exception of LiteLLM, which are those of the library `openai` with a status."""
    status = getattr(error, "status_code", None)
    if not isinstance(status, int):
        return Failure(f"failed: {shortened(f'{type(error).__name__}: {error}')}")
    kind = type(error).__name__
    words = _PREFIX.sub("", str(getattr(error, "message", "") or error).partition(" Original exception:")[0])
    wait = None
    for holder in (getattr(error, "litellm_response_headers", None), getattr(error, "response", None)):
        headers = getattr(holder, "headers", holder)
        wait = wait if wait is not None or headers is None else asked_wait(headers)
    lost = kind in ("APIConnectionError", "MidStreamFallbackError")
    return refusal(words, str(getattr(error, "code", None) or ""), None if lost else status, wait)
