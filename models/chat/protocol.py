"""What is said to a language model and what comes back: messages, a request, a reply; and `ChatClient`, who carries it.

The words are those of OpenAI's chat completions, which every server of language models understands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from ...core.usage import Usage

Json = Any
Finish = Literal["stop", "tool_calls", "length", "content_filter"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ToolUse(_Frozen):
    """A call that the model wants made. `arguments` is text as the model wrote it: JSON, or an attempt at it."""

    id: str
    name: str
    arguments: str


class Message(_Frozen):
    """One message. An `assistant` message may want calls; a `tool` message answers the call `tool_use`."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    tool_uses: tuple[ToolUse, ...] = ()
    tool_use: str | None = None


class ToolOffer(_Frozen):
    """A tool as a model is shown it. `name` is 1 to 64 of letters, digits, `_` and `-`; `parameters` a JSON Schema."""

    name: str
    description: str
    parameters: dict[str, Json]


class ChatRequest(_Frozen):
    """What is asked of a model.

    With `output` (a JSON Schema) the reply's text has to be JSON of that form. `max_tokens` bounds the reply.
    """

    messages: tuple[Message, ...]
    tools: tuple[ToolOffer, ...] = ()
    output: dict[str, Json] | None = None
    max_tokens: int | None = None
    temperature: float | None = None


class ChatReply(_Frozen):
    """What a model said. `finish` is `length` where it was cut at `max_tokens`."""

    text: str = ""
    tool_uses: tuple[ToolUse, ...] = ()
    finish: Finish = "stop"
    usage: Usage = Usage()
    model: str = ""

    @property
    def message(self) -> Message:
        """The reply as a message of the conversation that goes on."""
        return Message(role="assistant", content=self.text, tool_uses=self.tool_uses)


OnText = Callable[[str], None]
"""Hears the reply's text piece by piece as it comes."""


class ChatClient(Protocol):
    """Someone who carries requests to a language model.

    `model` is its name, as events and traces tell it; `price` what a million tokens cost, read and written, in US
    dollars, zeros where that is not known. A reply that was cut in the middle is an error, not a reply.
    """

    @property
    def model(self) -> str: ...

    @property
    def price(self) -> tuple[float, float]: ...

    async def complete(self, request: ChatRequest, on_text: OnText | None = None) -> ChatReply:
        """The reply; streamed where `on_text` is given.

        Raises `ModelError` for what the model or its server refuses, `ServerError` for a server that is not there.
        """
        ...

    async def close(self) -> None:
        """Lets connections go. The client is not used afterwards."""
        ...
