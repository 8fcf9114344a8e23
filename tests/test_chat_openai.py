"""The client for OpenAI-compatible servers: what it says, what it understands, and what it does when that fails."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import pytest
from chat_support import KEY, LOOKUP, QUICK, SCHEMA, Outcome, ask, ask_raw, http, raw, say

from bottega.core.errors import ModelError, ServerError, UsageError
from bottega.core.usage import Usage
from bottega.models.chat import ChatReply, Message, OpenAIChat, Patience, ToolUse
from bottega.testing import ChatServer, Cut, Garbled, Refused, Silent, Slow, wants

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
TWO = ChatReply(
    tool_uses=(
        ToolUse(id="a", name="lookup", arguments='{"town": "Pisa"}'),
        ToolUse(id="b", name="lookup", arguments='{"town": "Lucca"}'),
    ),
    finish="tool_calls",
)


# --- what is said and understood -------------------------------------------------------------------------------------


@BOTH
def test_a_reply_brings_its_text_its_usage_and_its_cost(stream: bool) -> None:
    done = ask(["Good day to you."], stream=stream, price=(2.0, 10.0), model="gpt-x")
    usage = done.reply.usage
    assert done.reply.text == "Good day to you."
    assert done.reply.finish == "stop"
    assert done.reply.model == "gpt-x"
    assert (usage.model_calls, usage.input_tokens, usage.output_tokens) == (1, 4, 4)
    assert usage.cost == pytest.approx((4 * 2.0 + 4 * 10.0) / 1e6)
    assert usage.seconds > 0
    assert done.heard == (["Good ", "day ", "to ", "you."] if stream else [])


@BOTH
def test_calls_that_the_model_wants_come_whole(stream: bool) -> None:
    done = ask([TWO], say(tools=(LOOKUP,)), stream=stream)
    assert done.reply.tool_uses == TWO.tool_uses
    assert done.reply.finish == "tool_calls"
    assert done.reply.message == Message(role="assistant", tool_uses=TWO.tool_uses)


@BOTH
@pytest.mark.parametrize("arguments", ['{"town": ', "", "not JSON", '{"city": 7}'])
def test_arguments_are_handed_on_as_the_model_wrote_them(arguments: str, stream: bool) -> None:
    done = ask([wants("nobody_offered_this", arguments)], say(tools=(LOOKUP,)), stream=stream)
    [use] = done.reply.tool_uses
    assert (use.name, use.arguments) == ("nobody_offered_this", arguments or "{}")
    assert use.id


def test_the_request_is_said_in_the_words_of_chat_completions() -> None:
    messages = (
        Message(role="user", content="Where?"),
        Message(role="assistant", tool_uses=(ToolUse(id="c1", name="lookup", arguments='{"town": "Pisa"}'),)),
        Message(role="tool", tool_use="c1", content="There."),
    )
    request = say(tools=(LOOKUP,), max_tokens=50, temperature=0.5).model_copy(update={"messages": messages})
    [body] = ask(["ok"], request, options={"seed": 7}, model="gpt-x").server.requests
    function = {"name": "lookup", "arguments": '{"town": "Pisa"}'}
    assert body == {
        "model": "gpt-x",
        "messages": [
            {"role": "user", "content": "Where?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "There."},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "lookup", "description": "Looks a value up.", "parameters": SCHEMA},
            }
        ],
        "max_tokens": 50,
        "temperature": 0.5,
        "seed": 7,
    }


def test_broken_arguments_are_not_said_back_as_servers_choke_on_them() -> None:
    said = Message(role="assistant", tool_uses=(ToolUse(id="c1", name="lookup", arguments='{"town": '),))
    request = say().model_copy(update={"messages": (said, Message(role="tool", tool_use="c1", content="not JSON"))})
    [body] = ask(["ok"], request).server.requests
    assert body["messages"][0]["tool_calls"][0]["function"]["arguments"] == "{}"


@pytest.mark.parametrize("closed", [True, False])
def test_json_is_asked_for_by_schema_strictly_where_the_schema_allows_it(closed: bool) -> None:
    schema = SCHEMA if closed else {**SCHEMA, "required": []}
    done = ask(['{"town": "Pisa"}'], say(output=schema))
    [body] = done.server.requests
    assert body["response_format"]["json_schema"] == {"name": "answer", "schema": schema, "strict": closed}
    assert done.reply.text == '{"town": "Pisa"}'


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"town": "Pisa"}\n```',
        'Here it is:\n{"town": "Pisa"}\nGood luck!',
        '<think>{"or": "Lucca"?}</think> {"town": "Pisa"}',
    ],
)
def test_json_is_taken_out_of_what_models_wrap_it_in(text: str) -> None:
    assert ask([text], say(output=SCHEMA)).reply.text == '{"town": "Pisa"}'


def test_text_without_json_is_handed_on_for_whoever_asks_again() -> None:
    assert ask(["I would say {Pisa}."], say(output=SCHEMA)).reply.text == "I would say {Pisa}."


# --- servers that do not understand everything -----------------------------------------------------------------------


def answers_unless(*refused: str) -> Callable[[dict[str, Any]], Any]:
    """A server that refuses some ways of asking for JSON."""

    def answer(body: dict[str, Any]) -> Any:
        kind = body.get("response_format", {}).get("type", "none")
        return Refused(400, f"response_format {kind} is not supported") if kind in refused else '{"town": "Pisa"}'

    return answer


@pytest.mark.parametrize(
    ("refused", "left"), [(["json_schema"], "json_object"), (["json_schema", "json_object"], None)]
)
def test_a_server_without_schemas_is_asked_in_words_and_not_tried_again(refused: list[str], left: str | None) -> None:
    async def go() -> list[dict[str, Any]]:
        async with ChatServer(answers_unless(*refused)) as server:
            chat = OpenAIChat("any", base_url=server.url, patience=QUICK)
            for _ in range(2):
                assert (await chat.complete(say(output=SCHEMA))).text == '{"town": "Pisa"}'
            await chat.close()
            return server.requests

    bodies = asyncio.run(go())
    assert len(bodies) == len(refused) + 2
    for body in bodies[-2:]:
        assert body.get("response_format", {}).get("type") == left
        assert body["messages"][0]["content"].startswith("Be brief.\n\nAnswer with JSON only")
        assert json.dumps(SCHEMA) in body["messages"][0]["content"]


def test_parallel_requests_learn_the_same_together() -> None:
    async def go() -> int:
        async with ChatServer(answers_unless("json_schema", "json_object"), latency=0.01) as server:
            chat = OpenAIChat("any", base_url=server.url, patience=QUICK)
            replies = await asyncio.gather(*(chat.complete(say(output=SCHEMA)) for _ in range(5)))
            await chat.close()
            assert {reply.text for reply in replies} == {'{"town": "Pisa"}'}
            return server.calls

    assert asyncio.run(go()) == 15


def test_a_schema_that_is_invalid_there_is_said_in_words_for_this_request_only() -> None:
    def answer(body: dict[str, Any]) -> Any:
        odd = "odd" in str(body.get("response_format"))
        return Refused(400, "Invalid schema for response_format 'answer': odd") if odd else '{"town": "Pisa"}'

    async def go() -> list[dict[str, Any]]:
        async with ChatServer(answer) as server:
            chat = OpenAIChat("any", base_url=server.url, patience=QUICK)
            await chat.complete(say(output={**SCHEMA, "odd": True}))
            await chat.complete(say(output=SCHEMA))
            await chat.close()
            return server.requests

    formats = [body["response_format"]["type"] for body in asyncio.run(go())]
    assert formats == ["json_schema", "json_object", "json_schema"]


def test_a_server_that_does_not_tell_usage_in_streams_is_counted_for() -> None:
    def answer(body: dict[str, Any]) -> Any:
        return Refused(422, "extra field: stream_options") if "stream_options" in body else "one two three"

    done = ask(answer, stream=True, price=(1.0, 1.0))
    assert done.reply.text == "one two three"
    assert done.server.calls == 2
    assert done.reply.usage.model_calls == 1
    assert done.reply.usage.input_tokens > 0
    assert done.reply.usage.output_tokens > 0
    assert done.reply.usage.cost > 0


def test_newer_names_and_missing_options_are_learned_from_the_refusal() -> None:
    def answer(body: dict[str, Any]) -> Any:
        if "max_tokens" in body:
            return Refused(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        return Refused(400, "'temperature' does not support 0.5") if "temperature" in body else "ok"

    last = ask(answer, say(max_tokens=9, temperature=0.5)).server.requests[-1]
    assert last["max_completion_tokens"] == 9
    assert "temperature" not in last


def test_a_reply_that_comes_whole_although_a_stream_was_asked_for_is_taken() -> None:
    body = {"choices": [{"message": {"content": "all at once"}, "finish_reason": "stop"}], "model": "m"}
    done = ask_raw(http(json.dumps(body)), stream=True)
    assert (done.reply.text, done.heard) == ("all at once", ["all at once"])


def events(*pieces: dict[str, Any]) -> bytes:
    return http("".join(f"data: {json.dumps(piece)}\r\n\r\n" for piece in pieces), "text/event-stream")


def delta(finish: str | None = None, **said: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": said, "finish_reason": finish}]}


def test_odd_streams_of_real_servers_are_understood() -> None:
    call = {"id": "x", "function": {"name": "lookup", "arguments": {"town": "Pisa"}}}  # no index, arguments not text
    other = {
        "index": 0,
        "id": "x",
        "function": {"name": "lookup", "arguments": '{"town"'},
    }  # the same id, the same index
    more = {"index": 0, "id": "y", "function": {"name": "lookup", "arguments": "{}"}}
    stream = events(
        delta(role="assistant", content=None, reasoning_content="hm"),
        delta(content=[{"type": "text", "text": "par"}, {"type": "text", "text": "ts"}]),
        delta(tool_calls=[call]),
        delta(tool_calls=[more]),
        delta(tool_calls=[{**other, "index": 5}]),
        delta(tool_calls=[{"index": 5, "function": {"arguments": ': "Siena"}'}}]),
        {"choices": [], "usage": None},
        delta("eos"),
    )
    done = ask_raw(stream, stream=True)
    assert done.error is None
    assert done.reply.text == "parts"
    assert done.reply.finish == "tool_calls"
    assert [use.arguments for use in done.reply.tool_uses] == ['{"town": "Pisa"}', "{}", '{"town": "Siena"}']
    assert len({use.id for use in done.reply.tool_uses}) == 3


def test_a_refusal_in_a_structured_reply_is_its_text() -> None:
    body = {"choices": [{"message": {"content": None, "refusal": "I will not."}, "finish_reason": "stop"}]}
    reply = ask_raw(http(json.dumps(body))).reply
    assert (reply.text, reply.finish) == ("I will not.", "content_filter")


def test_half_characters_do_no_harm() -> None:
    body = '{"choices": [{"message": {"content": "a\\ud83d b"}, "finish_reason": "stop"}], "model": "\\ude00"}'
    assert ask_raw(http(body)).reply.text == "a? b"


# --- faults that pass ------------------------------------------------------------------------------------------------

PASSING = {
    "429 with Retry-After": Refused(429, retry_after=0.01),
    "429 without": Refused(429),
    "500": Refused(500),
    "503 with Retry-After": Refused(503, retry_after=0.01),
    "broken JSON": Garbled(),
    "not a reply": Garbled("[1, 2]"),
    "HTML": Garbled("<html>gateway</html>"),
    "an error in place of a reply": Garbled('{"error": {"message": "overloaded", "code": 503}}'),
    "cut by the connection": Cut("never seen", pieces=1, how="dropped"),
    "without a finish reason": Cut("never seen", pieces=1, how="ended"),
    "an empty reply": "",
}


@BOTH
@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_is_tried_again(fault: Any, stream: bool) -> None:
    done = ask([fault, "fine now"], stream=stream)
    assert done.error is None
    assert done.reply.text == "fine now"
    assert "".join(done.heard) == ("fine now" if stream else "")
    assert done.server.calls == 2


def test_an_empty_reply_is_paid_for() -> None:
    usage = ask(["", "fine now"], price=(1.0, 1.0)).reply.usage
    assert (usage.model_calls, usage.input_tokens, usage.output_tokens) == (2, 8, 2)


def test_a_retry_never_comes_before_the_server_asked_for_it() -> None:
    came: list[float] = []

    def answer(body: dict[str, Any]) -> Any:
        came.append(time.perf_counter())
        return Refused(429, retry_after=0.2) if len(came) < 3 else "fine now"

    assert ask(answer).reply.text == "fine now"
    assert all(later - earlier >= 0.2 for earlier, later in pairwise(came))


def test_retries_of_many_do_not_come_at_once() -> None:
    came: dict[str, list[float]] = {}

    def answer(body: dict[str, Any]) -> Any:
        times = came.setdefault(body["messages"][1]["content"], [])
        times.append(time.perf_counter())
        return Refused(500) if len(times) == 1 else "fine now"

    async def go() -> None:
        async with ChatServer(answer) as server:
            chat = OpenAIChat("any", base_url=server.url, patience=Patience(first_wait=0.2))
            await asyncio.gather(*(chat.complete(say(f"request {n}")) for n in range(20)))
            await chat.close()

    asyncio.run(go())
    waits = [second - first for first, second in came.values()]
    assert len(waits) == 20
    assert max(waits) - min(waits) > 0.02


def test_a_slow_stream_that_goes_on_is_fine() -> None:
    patience = Patience(retries=0, silence=0.3)
    done = ask([Slow("one two three four", 0.1)], stream=True, patience=patience)
    assert done.reply.text == "one two three four"
    assert done.reply.usage.seconds > 0.3


# --- faults that stay ------------------------------------------------------------------------------------------------


def one_line(done: Outcome, kind: type[Exception], *parts: str) -> str:
    """The error of an outcome, which has to be one line that names the server, says what to do and keeps the key."""
    assert type(done.error) is kind, done.error
    text = str(done.error)
    assert "\n" not in text
    assert text.isprintable()
    assert len(text) < 600
    assert KEY not in text
    assert done.error is not None
    assert done.error.hint or "refused the request" in text
    for part in parts:
        assert part in text
    return text


STAYING = {name: fault for name, fault in PASSING.items() if fault}


@BOTH
@pytest.mark.parametrize("fault", STAYING.values(), ids=STAYING)
def test_what_does_not_pass_is_an_error_of_one_line(fault: Any, stream: bool) -> None:
    done = ask(lambda body: fault, stream=stream)
    one_line(done, ServerError, "any at http://127.0.0.1", "try again")
    assert done.server.calls == 1 + QUICK.retries
    assert done.heard == []


@BOTH
def test_two_empty_replies_are_an_error_that_tells_what_they_cost(stream: bool) -> None:
    done = ask(["", "", "too late"], stream=stream)
    one_line(done, ModelError, "empty reply twice")
    assert done.error is not None
    assert done.error.usage is not None
    assert (done.error.usage.model_calls, done.error.usage.input_tokens) == (2, 8)
    assert done.server.calls == 2


@pytest.mark.parametrize(("finish", "said"), [("length", "used up its tokens"), ("content_filter", "content filter")])
def test_an_empty_reply_with_a_reason_is_not_asked_for_again(finish: Any, said: str) -> None:
    done = ask([ChatReply(finish=finish), "too late"])
    one_line(done, ModelError, said)
    assert done.server.calls == 1


@pytest.mark.parametrize("how", ["dropped", "ended", "stalled"])
def test_a_stream_that_is_cut_after_text_was_shown_is_an_error(how: Any) -> None:
    patience = Patience(retries=3, first_wait=0.001, silence=0.2)
    done = ask([Cut("one two three", pieces=3, how=how), "too late"], stream=True, patience=patience)
    one_line(done, ServerError, "after a part of the reply was shown")
    assert done.heard == ["one ", "two "]
    assert done.server.calls == 1


@BOTH
def test_silence_is_an_error_in_time(stream: bool) -> None:
    start = time.perf_counter()
    done = ask([Silent()], stream=stream, patience=Patience(silence=0.2))
    one_line(done, ServerError, "said nothing for 0.2 s")
    assert time.perf_counter() - start < 3


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_wait_that_is_too_long_is_told_instead(form: str) -> None:
    then = datetime.now(UTC) + timedelta(seconds=3600)
    done = ask(
        [Refused(429, "slow down", retry_after=3600 if form == "seconds" else format_datetime(then, usegmt=True))]
    )
    text = one_line(done, ServerError, "slow down", "try again in 3")
    assert f"{then:%H:%M:}" in text
    assert done.server.calls == 1


REFUSALS = {
    "wrong key": (Refused(401, f"Incorrect API key provided: {KEY}."), "refused the key"),
    "forbidden": (Refused(403, "not yours"), "refused the key"),
    "unknown model": (Refused(404, "The model 'any' does not exist"), "use a model that the server has"),
    "no such place": (Refused(404, "Not Found"), "check the base URL"),
    "too long": (Refused(400, "maximum context length is 8 tokens", "context_length_exceeded"), "longer context"),
    "body too big": (Refused(413, "Request Entity Too Large"), "longer context"),
    "no credit": (Refused(429, "You exceeded your current quota", "insufficient_quota"), "add credit"),
    "payment": (Refused(402, "pay"), "add credit"),
    "odd": (Refused(400, "line\none\x1b[31m" + "x" * 5_000), "refused the request (400): line one"),
}


@BOTH
@pytest.mark.parametrize(("fault", "said"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_says_what_to_do_and_is_not_tried_again(fault: Refused, said: str, stream: bool) -> None:
    done = ask([fault, "too late"], stream=stream)
    one_line(done, ModelError, said)
    assert done.server.calls == 1


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>\n<b>no</b></html>",
        '{"detail": [{"loc": ["body"], "msg": "bad"}]}',
        "[]",
        "null",
        '"x"',
        '{"error": 7}',
    ],
)
def test_a_refusal_of_any_form_is_one_line(body: str) -> None:
    one_line(ask_raw(http(body, status=400)), ModelError, "refused the request (400)")


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    chat = OpenAIChat("any", base_url=f"http://me:hidden-word@127.0.0.1:{port}/v1?key=hidden", patience=QUICK)
    with pytest.raises(ServerError, match=f"http://127.0.0.1:{port}/v1 cannot be reached") as raised:
        asyncio.run(chat.complete(say()))
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://x/v1", "http://", "http://a b/v1", "http://x:99999/v1", "http://[::1/v1"]
)
def test_a_base_url_that_cannot_be_one_is_refused_at_once(url: str) -> None:
    with pytest.raises(UsageError):
        OpenAIChat("any", base_url=url)


@pytest.mark.parametrize("key", ["two words", "end\n", "schlüssel"])
def test_a_key_that_cannot_be_one_is_refused_without_being_repeated(key: str) -> None:
    with pytest.raises(UsageError) as raised:
        OpenAIChat("any", base_url="http://127.0.0.1:1/v1", api_key=key)
    assert key not in str(raised.value)


def test_an_error_of_who_listens_is_theirs() -> None:
    def hear(text: str) -> None:
        raise KeyError(text)

    async def go() -> None:
        async with ChatServer(["one two", "fine"]) as server:
            chat = OpenAIChat("any", base_url=server.url, patience=QUICK)
            with pytest.raises(KeyError):
                await chat.complete(say(), hear)
            assert (await chat.complete(say())).text == "fine"
            await chat.close()

    asyncio.run(go())


# --- connections -----------------------------------------------------------------------------------------------------


def test_connections_are_used_again() -> None:
    async def go() -> int:
        async with ChatServer(lambda body: "ok then") as server:
            chat = OpenAIChat("any", base_url=server.url)
            for n in range(20):
                await chat.complete(say(), (lambda text: None) if n % 2 else None)
            await chat.close()
            return server.connections

    assert asyncio.run(go()) == 1


def test_many_requests_are_under_way_at_once() -> None:
    async def go() -> int:
        async with ChatServer(lambda body: "ok", latency=0.2) as server:
            chat = OpenAIChat("any", base_url=server.url)
            await asyncio.gather(*(chat.complete(say()) for _ in range(64)))
            await chat.close()
            return server.peak

    assert asyncio.run(go()) == 64


def test_a_client_works_in_one_event_loop_after_the_other() -> None:
    with ChatServer(["first", "second"]) as server:
        chat = OpenAIChat("any", base_url=server.url)
        assert asyncio.run(chat.complete(say())).text == "first"
        assert asyncio.run(chat.complete(say())).text == "second"
        asyncio.run(chat.close())


def test_a_cancelled_request_lets_go_and_the_client_goes_on() -> None:
    async def go() -> None:
        async with ChatServer([Silent(), "fine"]) as server:
            chat = OpenAIChat("any", base_url=server.url)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(chat.complete(say()), 0.1)
            assert (await chat.complete(say())).text == "fine"
            await chat.close()

    asyncio.run(go())


def test_what_the_environment_says_about_openai_is_not_told_to_other_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, "from-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")

    async def go() -> str:
        async with raw(http('{"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}')) as server:
            chat = OpenAIChat("any", base_url=server.url)
            await chat.complete(say())
            await chat.close()
            return server.heads[0]

    assert "from-the-environment" not in asyncio.run(go())


def test_a_proxy_of_the_environment_is_not_asked_for_ones_own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert ask(["reached"]).reply.text == "reached"


def test_the_library_is_imported_by_the_first_request_only() -> None:
    code = (
        "import sys; from bottega.models.chat import open_chat;"
        "open_chat('any', base_url='http://127.0.0.1:1/v1');"
        "print({'openai', 'litellm', 'httpx', 'httpx2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_usage_adds_up_to_what_the_server_counted() -> None:
    async def go() -> tuple[Usage, ChatServer]:
        async with ChatServer(lambda body: "four words are here") as server:
            chat = OpenAIChat("any", base_url=server.url)
            replies = await asyncio.gather(*(chat.complete(say("word " * n)) for n in range(10)))
            await chat.close()
            return sum((reply.usage for reply in replies), Usage()), server

    usage, server = asyncio.run(go())
    assert (usage.input_tokens, usage.output_tokens) == (server.input_tokens, server.output_tokens)
    assert usage.model_calls == server.calls == 10
