"""How replies are put together from what comes over the wire, whatever comes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bottega.models.chat.events import Events
from bottega.models.chat.failures import Failure, failure_of
from bottega.models.chat.wire import Assembly, json_in

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=8,
)
"""Any JSON value."""

WORDS = st.sampled_from(
    [
        *("choices", "delta", "message", "content", "tool_calls", "function", "arguments", "name", "id", "index"),
        *("usage", "finish_reason", "prompt_tokens", "completion_tokens", "error", "code", "refusal", "model", "text"),
    ]
)
LIKE_A_REPLY = st.recursive(
    ANY_JSON,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(WORDS, inside, max_size=5),
    max_leaves=30,
)
"""JSON in the words of replies, in any order."""


def either(value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what it should be, sometimes anything."""
    return st.integers(0, 19).flatmap(lambda dice: value if dice else LIKE_A_REPLY)


FUNCTION = st.fixed_dictionaries({"name": either(st.text(max_size=3)), "arguments": either(st.text())})
CALL = st.fixed_dictionaries(
    {},
    optional={
        "index": either(st.integers(0, 2)),
        "id": either(st.sampled_from(["", "a", "b", "call_0_1"])),
        "function": either(FUNCTION),
    },
)
SAID = st.fixed_dictionaries(
    {}, optional={"content": either(st.text()), "tool_calls": either(st.lists(either(CALL), max_size=3))}
)
ENDED = either(st.sampled_from([None, "stop", "tool_calls", "length", "eos", "error"]))
CHOICE = st.fixed_dictionaries({"delta": either(SAID), "finish_reason": ENDED})
PIECE = either(
    st.fixed_dictionaries(
        {"choices": either(st.lists(CHOICE, max_size=2))},
        optional={"usage": either(st.none()), "model": either(st.just("m"))},
    )
)
"""A piece of a reply, with something wrong here and there."""


@given(st.lists(PIECE, max_size=5))
def test_whatever_a_server_sends_is_a_reply_or_a_failure(pieces: list[Any]) -> None:
    assembly = Assembly()
    try:
        heard = [assembly.add(piece) for piece in pieces]
        reply = assembly.reply(0)
    except Failure:
        return
    assert reply.text.startswith("".join(heard))
    assert reply.finish in ("stop", "tool_calls", "length", "content_filter")
    assert len({use.id for use in reply.tool_uses}) == len(reply.tool_uses)
    assembly.tokens()


@given(
    st.dictionaries(WORDS, LIKE_A_REPLY, max_size=4) | LIKE_A_REPLY,
    st.none() | st.integers(300, 599),
    st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms"]), st.text(max_size=8)),
)
def test_whatever_a_server_refuses_with_is_a_failure_of_one_short_line(body: Any, status: Any, headers: Any) -> None:
    failure = failure_of(body, status, headers)
    assert str(failure).isprintable()
    assert len(str(failure)) < 400
    assert failure.wait is None or failure.wait >= 0


@given(
    st.lists(st.text(max_size=30), max_size=5),
    st.lists(st.integers(0, 400), max_size=8),
    st.sampled_from(["\n", "\r\n"]),
)
def test_events_are_the_same_in_whatever_portions_they_come(texts: list[str], cuts: list[int], end: str) -> None:
    wanted = [json.dumps({"text": text}, ensure_ascii=False).encode() for text in texts]
    stream = f": a comment{end}{end}".encode() + b"".join(
        b"event: piece" + end.encode() + b"data: " + data + (end * 2).encode() for data in wanted
    )
    events, found, start = Events(), [], 0
    for cut in [*sorted(cut for cut in cuts if cut < len(stream)), len(stream)]:
        found += events.feed(stream[start:cut])
        start = cut
    assert found + events.end() == wanted


def test_an_event_of_several_lines_is_one_and_the_last_needs_no_end() -> None:
    events = Events()
    assert events.feed(b'data: {"a":\ndata: 1}\n\ndata: [DO') == [b'{"a":\n1}']
    assert events.feed(b"NE]") == []
    assert events.end() == [b"[DONE]"]


@given(LIKE_A_REPLY, st.sampled_from(["{}", "```json\n{}\n```", "<think>{{}}</think>{}", "It is: {}."]))
def test_an_object_is_found_in_whatever_surrounds_it(value: Any, around: str) -> None:
    text = json.dumps({"value": value})
    assert json_in(around.replace("{{}}", "[1, {").replace("{}", text)) == text


@given(st.text(alphabet='{}[]",:1a \n'))
def test_json_in_gives_json_or_the_text_itself(text: str) -> None:
    found = json_in(text)
    if found != text:
        json.loads(found)
