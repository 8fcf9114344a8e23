"""What Bottega offers to its users' tests: a scripted model, and a server of models with faults by script."""

from __future__ import annotations

import asyncio
import http.client
import json
import urllib.error
import urllib.request
from typing import Any

import openai
import pytest
from chat_support import say

from bottega.core.errors import ServerError
from bottega.core.usage import Usage
from bottega.models.chat import ChatReply, ChatRequest, OpenAIChat, ToolUse
from bottega.testing import ChatServer, Cut, Garbled, Refused, ScriptedModel, Slow, wants


def complete(model: ScriptedModel, text: str = "hello there", heard: list[str] | None = None) -> ChatReply:
    return asyncio.run(model.complete(say(text), None if heard is None else heard.append))


# --- the model -------------------------------------------------------------------------------------------------------


def test_a_model_says_what_it_is_told_in_order_and_keeps_what_it_was_asked() -> None:
    model = ScriptedModel([wants("calc__add", left=1), "It is 2."], model="mine")
    first, second = complete(model, "add"), complete(model, "and?")
    assert first.tool_uses == (ToolUse(id="call_1_0", name="calc__add", arguments='{"left": 1}'),)
    assert (second.text, second.model) == ("It is 2.", "mine")
    assert [request.messages[-1].content for request in model.requests] == ["add", "and?"]
    model.assert_done()


def test_a_model_streams_word_by_word_and_counts_words() -> None:
    heard: list[str] = []
    reply = complete(ScriptedModel(["one two  three"]), "what is it", heard)
    assert heard == ["one ", "two ", " ", "three"]
    assert reply.usage == Usage(model_calls=1, input_tokens=5, output_tokens=3)


def test_a_model_raises_and_a_function_decides() -> None:
    async def decide(request: ChatRequest) -> str | Exception:
        await asyncio.sleep(0)
        return ServerError("away") if "fail" in request.messages[-1].content else "fine"

    model = ScriptedModel(decide)
    assert complete(model).text == "fine"
    with pytest.raises(ServerError):
        complete(model, "fail now")


def test_a_usage_of_ones_own_is_kept() -> None:
    told = ChatReply(text="x", usage=Usage(model_calls=1, input_tokens=100, cost=0.5))
    assert complete(ScriptedModel([told])).usage == told.usage


def test_too_many_and_too_few_requests_are_told() -> None:
    model = ScriptedModel(["one", "two"])
    complete(model)
    with pytest.raises(AssertionError, match="1 replies were never asked for"):
        model.assert_done()
    complete(model)
    with pytest.raises(AssertionError, match="no reply left for call 3"):
        complete(model)


# --- the server ------------------------------------------------------------------------------------------------------


def test_the_server_is_what_openais_own_client_expects() -> None:
    replies = [wants("add", left=1), wants("add", left=1), "whole reply", "streamed reply"]
    with ChatServer(replies) as server, openai.OpenAI(base_url=server.url, api_key="any") as client:
        ask: Any = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
        [call] = client.chat.completions.create(**ask).choices[0].message.tool_calls or []
        assert (call.function.name, call.function.arguments) == ("add", '{"left": 1}')
        parts = [chunk.choices[0] for chunk in client.chat.completions.create(**ask, stream=True)]
        arguments = [p.delta.tool_calls[0].function.arguments for p in parts if p.delta.tool_calls]
        assert "".join(arguments) == '{"left": 1}'
        assert parts[-1].finish_reason == "tool_calls"
        whole = client.chat.completions.create(**ask)
        assert (whole.choices[0].message.content, whole.usage.completion_tokens) == ("whole reply", 2)
        chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "streamed reply"
        assert chunks[-1].usage.completion_tokens == 2
        assert [model.id for model in client.models.list()] == ["scripted"]
        server.assert_done()
    assert server.calls == 4
    assert (server.input_tokens, server.output_tokens) == (4, 10)


def test_faults_come_as_they_are_ordered() -> None:
    def get(body: bytes) -> tuple[int, bytes, Any]:
        request = urllib.request.Request(f"{server.url}/chat/completions", body, method="POST")
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, response.read(), response.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers

    whole, stream = b'{"messages": []}', b'{"messages": [], "stream": true}'
    with ChatServer(
        [
            Refused(429, "slow down", retry_after=3),
            Garbled("{"),
            Garbled("{"),
            Cut("one two", how="ended"),
            Cut("one two"),
        ]
    ) as server:
        status, body, headers = get(whole)
        assert (status, json.loads(body)["error"]["message"], headers["Retry-After"]) == (429, "slow down", "3")
        assert get(whole)[1] == b"{"
        assert get(stream)[1] == b"data: {\n\n"
        assert b"[DONE]" not in get(stream)[1]
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            get(stream)
        assert get(b"not JSON")[0] == 400
        assert get(b"[]")[0] == 400
        assert get(whole)[0] == 400  # nothing left
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{server.url}/elsewhere")


def test_a_script_that_breaks_fails_the_request_with_its_reason() -> None:
    def answer(body: dict[str, Any]) -> str:
        return body["nothing of the kind"]

    with ChatServer(answer) as server, openai.OpenAI(base_url=server.url, api_key="any") as client:
        with pytest.raises(openai.BadRequestError, match="KeyError"):
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
        assert server.calls == 1


def test_latency_and_pauses_are_waited_and_calls_under_way_are_counted() -> None:
    async def go() -> None:
        async with ChatServer(lambda body: Slow("one two", 0.05), latency=0.05) as server:
            chat = OpenAIChat("any", base_url=server.url)
            replies = await asyncio.gather(*(chat.complete(say(), lambda text: None) for _ in range(8)))
            await chat.close()
            assert all(reply.usage.seconds >= 0.05 * 5 for reply in replies)
            assert (server.calls, server.peak, server.connections) == (8, 8, 8)

    asyncio.run(go())


def test_an_endless_wish_for_tools_is_a_function() -> None:
    with ChatServer(lambda body: wants("again")) as server:
        chat = OpenAIChat("any", base_url=server.url)

        async def go() -> set[str]:
            return {(await chat.complete(say())).tool_uses[0].id for _ in range(5)}

        assert len(asyncio.run(go())) == 5
