"""Replies recorded once and given again."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from chat_support import LOOKUP, say

from bottega.core.errors import ModelError, UsageError
from bottega.models.chat import ChatReply, ChatRequest, OpenAIChat, RecordingChat, ReplayChat
from bottega.testing import ChatServer, ScriptedModel, wants


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    return tmp_path / "tapes" / "talk.jsonl"


def record(tape: Path, *said: tuple[ChatRequest, str | ChatReply]) -> list[ChatReply]:
    async def go() -> list[ChatReply]:
        async with ChatServer([reply for _, reply in said]) as server:
            chat = RecordingChat(OpenAIChat("gpt-x", base_url=server.url), tape)
            replies = [await chat.complete(request) for request, _ in said]
            await chat.close()
            return replies

    return asyncio.run(go())


def test_the_same_requests_get_the_same_replies_without_a_model(tape: Path) -> None:
    tooled = say("What is it worth?", tools=(LOOKUP,))
    recorded = record(tape, (say("Hello"), "Hello yourself"), (tooled, wants("lookup", town="Pisa")))
    chat, heard = ReplayChat(tape), []
    assert chat.model == "gpt-x"
    assert asyncio.run(chat.complete(tooled)) == recorded[1]
    assert asyncio.run(chat.complete(say("Hello"), heard.append)) == recorded[0]
    assert heard == ["Hello yourself"]


def test_a_request_made_twice_gets_its_replies_in_their_order(tape: Path) -> None:
    record(tape, (say(), "first"), (say(), "second"))
    chat = ReplayChat(tape)
    assert [asyncio.run(chat.complete(say())).text for _ in range(2)] == ["first", "second"]
    with pytest.raises(UsageError, match="not recorded more than 2 times"):
        asyncio.run(chat.complete(say()))


def test_a_request_that_was_not_recorded_is_a_clear_error(tape: Path) -> None:
    record(tape, (say("Hello"), "Hello yourself"))
    with pytest.raises(UsageError, match=r"no reply to 'Goodbye': it was not recorded .* \(record it again"):
        asyncio.run(ReplayChat(tape).complete(say("Goodbye")))


@pytest.mark.parametrize("change", [{"temperature": 0.5}, {"max_tokens": 5}, {"tools": (LOOKUP,)}, {"output": {}}])
def test_every_part_of_a_request_counts(tape: Path, change: dict[str, object]) -> None:
    record(tape, (say("Hello"), "Hello yourself"))
    with pytest.raises(UsageError, match="not recorded"):
        asyncio.run(ReplayChat(tape).complete(say("Hello", **change)))


def test_secrets_are_not_kept_and_the_request_is_still_known(tape: Path) -> None:
    secret = "sk-averysecretkey0123456789"
    record(tape, (say(f"My key is {secret}"), f"You said {secret}"))
    assert secret not in tape.read_text()
    assert asyncio.run(ReplayChat(tape).complete(say(f"My key is {secret}"))).text == "You said [redacted]"


def test_errors_are_not_recorded(tape: Path) -> None:
    chat = RecordingChat(ScriptedModel([ModelError("no"), "yes"]), tape)
    with pytest.raises(ModelError):
        asyncio.run(chat.complete(say()))
    asyncio.run(chat.complete(say()))
    assert [json.loads(line)["reply"]["text"] for line in tape.read_text().splitlines()] == ["yes"]


@pytest.mark.parametrize("line", ["{", "[]", '{"digest": "x"}', "\x00"])
def test_a_broken_file_is_named_with_its_line(tape: Path, line: str) -> None:
    record(tape, (say(), "first"))
    tape.write_text(tape.read_text() + "\n" + line)
    with pytest.raises(UsageError, match=r"line 3 of .*talk.jsonl"):
        ReplayChat(tape)


def test_a_file_that_is_not_there_or_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        ReplayChat(tmp_path / "missing.jsonl")
    with pytest.raises(UsageError, match="cannot be written"):
        asyncio.run(RecordingChat(ScriptedModel(["hi"]), tmp_path).complete(say()))
