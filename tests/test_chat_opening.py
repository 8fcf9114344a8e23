"""From the name of a model to its client."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec

import pytest
from chat_support import say

from bottega.core.errors import MissingExtra, ModelError, UsageError
from bottega.models.chat import LiteLLMChat, OpenAIChat, open_chat
from bottega.testing import ChatServer

KEY = "sk-averysecretkey0123456789"


@pytest.mark.parametrize(
    ("model", "name", "address"),
    [
        ("gpt-5-mini", "gpt-5-mini", "https://api.openai.com/v1"),
        ("openai/gpt-5-mini", "gpt-5-mini", "https://api.openai.com/v1"),
        ("openrouter/qwen/qwen3-8b", "qwen/qwen3-8b", "https://openrouter.ai/api/v1"),
        ("ollama/qwen3:8b", "qwen3:8b", "http://127.0.0.1:11434/v1"),
    ],
)
def test_providers_that_speak_like_openai_are_reached_directly(model: str, name: str, address: str) -> None:
    chat = open_chat(model, api_key=None if "127.0.0.1" in address else KEY)
    assert isinstance(chat, OpenAIChat)
    assert (chat.model, chat.address) == (name, address)


def test_with_a_base_url_the_name_is_the_servers_own() -> None:
    with ChatServer(["hello"]) as server:
        chat = open_chat("openai/gpt-oss-20b", base_url=server.url)
        reply = asyncio.run(chat.complete(say()))
    assert reply.text == "hello"
    assert server.requests[0]["model"] == "openai/gpt-oss-20b"


@pytest.mark.parametrize("model", ["litellm/anthropic/claude-x", "anthropic/claude-x", "bedrock/some.model"])
def test_other_providers_are_reached_by_litellm(model: str) -> None:
    if find_spec("litellm"):
        chat = open_chat(model)
        assert isinstance(chat, LiteLLMChat)
        assert chat.model == model.removeprefix("litellm/")
    else:
        with pytest.raises(MissingExtra, match=r"bottega\[litellm\]"):
            open_chat(model)


@pytest.mark.parametrize("model", ["", "claude-x", "qwen3", "nobody/knows", "openai/", "/x", "litellm/", "o", "ollama"])
def test_a_model_that_nobody_knows_is_an_error_that_says_what_is_known(model: str) -> None:
    with pytest.raises(UsageError, match=r"give the base URL of its server, or write PROVIDER/NAME.*anthropic.*openai"):
        open_chat(model)


def test_a_provider_that_needs_a_key_says_so_before_any_call() -> None:
    with pytest.raises(UsageError, match="openai needs an API key"):
        open_chat("gpt-5-mini")


def test_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(UsageError):
        open_chat("gpt-5-mini")


def test_errors_of_opening_are_usage_errors_or_model_errors() -> None:
    with pytest.raises((UsageError, ModelError)):
        open_chat("any", base_url="not a url")
