"""LLMock, other people's server of faults, watches what the client does about them and finds nothing to complain about.

Its strict verdict fails a client that comes back too early, without backoff, for what cannot be mended, or that takes
half a stream for a whole one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from chat_support import LOOKUP, SCHEMA, say

from bottega.core.errors import ModelError, ServerError
from bottega.models.chat import ChatReply, ChatRequest, Message, OpenAIChat, Patience

pytest.importorskip("llmock", reason="needs LLMock")

PATIENCE = Patience(retries=2, first_wait=0.05, silence=1.0)
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def complete(llmock: Any, request: ChatRequest | None = None, stream: bool = False) -> ChatReply:
    async def go() -> ChatReply:
        chat = OpenAIChat("gpt-4o", base_url=llmock.base_url("openai"), api_key="any", patience=PATIENCE)
        try:
            return await chat.complete(request or say(), (lambda text: None) if stream else None)
        finally:
            await chat.close()

    return asyncio.run(go())


PASSING: dict[str, Callable[[Any], Any]] = {
    "rate limits": lambda mock: mock.rate_limit(times=1, retry_after=0.2),
    "server errors": lambda mock: mock.fail(500, times=2),
    "overload": lambda mock: mock.fail(503, times=1),
    "conflict": lambda mock: mock.fail(409),
    "nothing": lambda mock: mock,
    "a quota": lambda mock: mock.limits(rpm=600),
}


@BOTH
@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_is_waited_for_as_it_should_be(llmock: Any, fault: Callable[[Any], Any], stream: bool) -> None:
    fault(llmock)
    assert complete(llmock, stream=stream).text
    llmock.assert_resilient(strict=True)


@BOTH
def test_an_outage_is_an_error_after_a_few_tries(llmock: Any, stream: bool) -> None:
    llmock.outage()
    with pytest.raises(ServerError, match="503"):
        complete(llmock, stream=stream)
    assert len(llmock.requests) == 1 + PATIENCE.retries
    llmock.assert_resilient(strict=True)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_cannot_be_mended_is_not_tried_again(llmock: Any, status: int) -> None:
    llmock.fail(status)
    with pytest.raises(ModelError):
        complete(llmock)
    assert len(llmock.requests) == 1
    llmock.assert_resilient(strict=True)


def test_a_conversation_that_is_too_long_is_said_to_be(llmock: Any) -> None:
    llmock.context_overflow()
    with pytest.raises(ModelError, match="longer context"):
        complete(llmock)
    llmock.assert_resilient(strict=True)


@pytest.mark.parametrize("fault", ["disconnect", "truncate", "corrupt"])
@pytest.mark.parametrize("pieces", [0, 1])
def test_a_stream_that_breaks_before_its_text_is_tried_again_unseen(llmock: Any, fault: str, pieces: int) -> None:
    getattr(llmock, fault)(after_chunks=pieces)
    assert complete(llmock, stream=True).finish == "stop"
    assert len(llmock.requests) == 2
    llmock.assert_resilient(strict=True)


@pytest.mark.parametrize("fault", ["disconnect", "truncate", "corrupt"])
def test_a_stream_that_breaks_in_its_text_is_never_taken_for_whole(llmock: Any, fault: str) -> None:
    getattr(llmock, fault)(after_chunks=3)
    with pytest.raises(ServerError, match="after a part of the reply was shown"):
        complete(llmock, stream=True)
    assert complete(llmock, stream=True).text  # the caller asks again
    llmock.assert_resilient(strict=True)


def test_a_stalled_stream_is_left(llmock: Any) -> None:
    llmock.stall(after_chunks=3, seconds=3)
    with pytest.raises(ServerError, match="said nothing for 1 s"):
        complete(llmock, stream=True)
    llmock.assert_resilient(strict=True)


@BOTH
def test_a_tool_is_called_and_its_result_said_back(llmock: Any, stream: bool) -> None:
    first = complete(llmock, say("Look up the town.", tools=(LOOKUP,)), stream)
    [use] = first.tool_uses
    assert use.name == "lookup"
    messages = (*say("Look up the town.").messages, first.message)
    answered = ChatRequest(messages=(*messages, Message(role="tool", tool_use=use.id, content="Pisa")), tools=(LOOKUP,))
    assert complete(llmock, answered, stream).text
    llmock.assert_resilient(strict=True)


@pytest.mark.parametrize("kind", ["malformed_arguments", "unknown_tool"])
def test_a_broken_call_is_handed_on_to_whoever_offers_tools(llmock: Any, kind: str) -> None:
    llmock.break_tool_call(kind)
    assert complete(llmock, say(tools=(LOOKUP,))).tool_uses
    llmock.assert_resilient(strict=True)


def test_json_of_a_schema_comes_as_json(llmock: Any) -> None:
    assert '"town"' in complete(llmock, say(output=SCHEMA)).text
    llmock.assert_resilient(strict=True)
