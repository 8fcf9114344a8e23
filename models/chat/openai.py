"""The client for OpenAI and for every server that speaks like it, by the library `openai`, of which it uses the low
level: making its typed parameters and replies would cost more than all the rest of a call."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ...core.errors import UsageError
from .carrying import Carrier, Patience
from .events import Events
from .failures import Failure, failure_of, shortened
from .protocol import ChatReply, ChatRequest, Json, OnText
from .wire import Assembly

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI = "https://api.openai.com/v1"

LAST_BYTES = 1.0
"""Seconds that a server has for closing a stream that it said is done; then the connection is let go."""


class OpenAIChat:
    """A language model behind an OpenAI-compatible address.

    `price` is what a million tokens cost, read and written, in US dollars; without one, usage has no cost. `options`
    are further fields of each request's body, such as `{"reasoning_effort": "low"}`. What the server refuses (JSON
    Schemas, usage in streams) it is not asked for again.

    Raises `UsageError` for an address or a key that cannot be one.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str = OPENAI,
        api_key: str | None = None,
        price: tuple[float, float] = (0.0, 0.0),
        patience: Patience = Patience(),  # noqa: B008 (frozen)
        options: Mapping[str, Json] | None = None,
    ) -> None:
        if not model:
            raise UsageError("the name of the model is empty", hint="name one that the server has")
        try:
            address = urlsplit(base_url)
            usable = address.scheme in ("http", "https") and address.hostname and (address.port or 1) > 0
        except ValueError:
            usable = False
        if not usable or not base_url.isprintable() or " " in base_url:
            raise UsageError("the base URL is not one", hint="it looks like http://127.0.0.1:8000/v1")
        if api_key and not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
            raise UsageError("the API key has characters that no key has", hint="look for spaces or line ends in it")
        self._model = model
        self._base_url = base_url
        self._remote = address.hostname not in ("localhost", "127.0.0.1", "::1")  # no proxy leads to one's own machine
        self.address = f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"
        """Where the server is, without a password."""
        self._api_key = api_key
        self._carrier = Carrier(
            model=model,
            name=f"{model} at {self.address}",
            price=price,
            secrets=tuple(filter(None, (api_key, address.password))),
            patience=patience,
            options=dict(options or {}),
        )
        self._library: AsyncOpenAI | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

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
        """Lets connections go. The client is not used afterwards."""
        if self._library and self._loop is asyncio.get_running_loop():
            await self._library.close()
        self._library = None

    def _open(self) -> AsyncOpenAI:
        """The library's client for this event loop; connections of another one are of no use."""
        if self._library and self._loop is asyncio.get_running_loop():
            return self._library
        import openai

        patience = self._carrier.patience
        # Without TLS there is nobody to trust, and the certificates need not be read, which takes longer than a call.
        trusted = True if self._base_url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._loop = asyncio.get_running_loop()
        try:
            self._library = openai.AsyncOpenAI(
                base_url=self._base_url,
                api_key=self._api_key or "none",
                max_retries=0,
                http_client=openai.DefaultAsyncHttpxClient(
                    timeout=openai.Timeout(patience.silence, connect=patience.connect),
                    verify=trusted,
                    trust_env=self._remote,
                ),
            )
        except _http().InvalidURL as error:
            raise UsageError(f"the base URL is not one: {error}") from None
        # The library takes them from the environment; they are for OpenAI only, and this may be another server.
        self._library.organization = self._library.project = None
        return self._library

    async def _send(self, body: dict[str, Json], on_text: OnText | None) -> Assembly:
        library = self._open()
        import openai

        http = _http()
        content = json.dumps(body).encode()
        try:
            response: Any = await library.post(
                "/chat/completions",
                cast_to=http.Response,
                content=content,
                stream=on_text is not None,
                stream_cls=openai.AsyncStream[Any],
            )
            if on_text is None:
                return _whole(response.content)
            return await _streamed(response, on_text)
        except openai.APIStatusError as error:
            raise failure_of(error.body, error.status_code, error.response.headers) from None
        except (openai.APIConnectionError, http.RequestError) as error:
            raise self._lost(error) from None

    def _lost(self, error: Exception) -> Failure:
        """The failure of a connection: `error` is the library's, caused by that of HTTP, or the latter itself."""
        cause = error.__cause__ or error
        kind, patience = type(cause).__name__, self._carrier.patience
        if kind == "ReadTimeout":
            return Failure(f"said nothing for {patience.silence:g} s", away=True)
        if kind == "ConnectTimeout":
            return Failure(f"did not answer within {patience.connect:g} s", again=True, hint="check the base URL")
        if kind == "ConnectError":
            why = shortened(str(cause)) or "no connection"
            return Failure(f"cannot be reached: {why}", again=True, hint="check the base URL and that it is running")
        return Failure("broke the connection", again=True)


def _http() -> Any:
    """The HTTP library that the library stands on: since version 3 it is httpx2."""
    import openai

    if int(openai.__version__.split(".")[0]) >= 3:
        import httpx2

        return httpx2
    import httpx

    return httpx


def _whole(content: bytes) -> Assembly:
    assembly = Assembly()
    assembly.add(_json(content))
    return assembly


async def _streamed(response: Any, on_text: OnText) -> Assembly:
    """The reply put together from a stream of events; or from one piece, by a server that does not stream."""
    try:
        if "text/event-stream" not in response.headers.get("content-type", ""):
            assembly = Assembly()
            if text := assembly.add(_json(await response.aread())):
                on_text(text)
            return assembly
        assembly, events = Assembly(), Events()
        portions = response.aiter_bytes()
        async for portion in portions:
            for data in events.feed(portion):
                if data == b"[DONE]":
                    await _drain(portions)
                    return assembly
                if text := assembly.add(_json(data)):
                    on_text(text)
        for data in events.end():
            if data != b"[DONE]" and (text := assembly.add(_json(data))):
                on_text(text)
        return assembly
    finally:
        await response.aclose()


async def _drain(portions: Any) -> None:
    """Reads what comes after the end, mostly nothing, so that the connection can be used again."""
    try:
        async with asyncio.timeout(LAST_BYTES):
            async for _ in portions:
                pass
    except Exception:
        return  # the reply is here; how its connection ends is nobody's concern


def _json(data: bytes) -> Json:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise Failure("sent what is not JSON", again=True) from None
