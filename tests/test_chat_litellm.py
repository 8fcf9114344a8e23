"""The client for what LiteLLM reaches. The first tests need no LiteLLM; the others run where the extra is installed."""

from __future__ import annotations

import asyncio
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from chat_support import KEY, LOOKUP, QUICK, SCHEMA, ask, say

from bottega.core.errors import MissingExtra, ModelError, ServerError, UsageError
from bottega.models.chat import LiteLLMChat, Patience, open_chat
from bottega.testing import ChatServer, Cut, Garbled, Refused, Silent, wants

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
installed = pytest.mark.skipif(not find_spec("litellm"), reason="needs the extra litellm")


def pretend(version: str | None, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """What `pip` knows: a release of LiteLLM, or nothing at all."""
    if version is None:
        patch.setattr(sys, "path", [str(folder)])
    else:
        (folder / f"litellm-{version}.dist-info").mkdir()
        text = f"Metadata-Version: 2.1\nName: litellm\nVersion: {version}\n"
        (folder / f"litellm-{version}.dist-info" / "METADATA").write_text(text)
        patch.syspath_prepend(str(folder))


@pytest.mark.parametrize("version", ["1.82.7", "1.82.8"])
def test_a_release_of_the_attacker_is_refused(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(version, tmp_path, monkeypatch)
    with pytest.raises(ModelError, match=rf"litellm {version} is not used.*replace every key"):
        LiteLLMChat("anthropic/claude-x")
    assert "litellm" not in sys.modules or find_spec("litellm")


def test_a_missing_extra_is_one_line_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(None, tmp_path, monkeypatch)
    with pytest.raises(MissingExtra, match=r"anthropic/claude-x needs the extra 'litellm' \(pip install 'bottega\[li"):
        open_chat("anthropic/claude-x")


def test_an_empty_name_is_an_error() -> None:
    with pytest.raises(UsageError):
        LiteLLMChat("")


def lite(model: str, **options: Any) -> LiteLLMChat:
    return LiteLLMChat(f"openai/{model}", **options)


@installed
@BOTH
def test_litellm_brings_text_usage_and_cost(stream: bool) -> None:
    done = ask(["Good day to you."], stream=stream, make=lite, price=(2.0, 10.0))
    usage = done.reply.usage
    assert done.error is None
    assert (done.reply.text, done.reply.finish) == ("Good day to you.", "stop")
    assert (usage.model_calls, usage.input_tokens, usage.output_tokens) == (1, 4, 4)
    assert usage.cost == pytest.approx((4 * 2.0 + 4 * 10.0) / 1e6)
    assert "".join(done.heard) == ("Good day to you." if stream else "")


@installed
def test_litellm_knows_prices_that_nobody_gave() -> None:
    assert ask(["Good day to you."], make=lite, model="gpt-4o").reply.usage.cost > 0
    assert ask(["Good day to you."], make=lite, model="nobody-knows-me").reply.usage.cost == 0


@installed
@BOTH
def test_litellm_brings_calls(stream: bool) -> None:
    done = ask([wants("lookup", town="Pisa")], say(tools=(LOOKUP,)), stream=stream, make=lite)
    [use] = done.reply.tool_uses
    assert (use.name, use.arguments, done.reply.finish) == ("lookup", '{"town": "Pisa"}', "tool_calls")
    assert done.server.requests[0]["tools"][0]["function"]["name"] == "lookup"


@installed
def test_litellm_asks_for_json_as_the_server_understands_it() -> None:
    def answer(body: dict[str, Any]) -> Any:
        return Refused(400, "response_format is not supported") if "response_format" in body else '{"town": "Pisa"}'

    assert ask(answer, say(output=SCHEMA), make=lite).reply.text == '{"town": "Pisa"}'


@installed
@BOTH
@pytest.mark.parametrize(
    "fault",
    [
        Refused(429, retry_after=0.01),
        Refused(500),
        Garbled(),
        "",
        Cut("no no", pieces=1, how="ended"),
        Cut("no no", pieces=1, how="dropped"),
    ],
    ids=lambda fault: str(fault)[:24],
)
def test_litellm_is_asked_again_where_it_may_help(fault: Any, stream: bool) -> None:
    if isinstance(fault, Cut) and fault.how == "ended" and not stream:
        pytest.skip("LiteLLM makes up the missing finish reason of a reply that is not streamed")
    done = ask([fault, "fine now"], stream=stream, make=lite)
    assert (done.error, done.reply.text, done.server.calls) == (None, "fine now", 2)


@installed
@pytest.mark.parametrize("how", ["dropped", "ended", "stalled"])
def test_a_stream_that_litellm_calls_finished_is_still_cut(how: Any) -> None:
    patience = Patience(retries=1, first_wait=0.001, silence=2.0)
    done = ask([Cut("one two three", pieces=3, how=how), "too late"], stream=True, make=lite, patience=patience)
    assert isinstance(done.error, ServerError)
    assert "after a part of the reply was shown" in str(done.error)
    assert "".join(done.heard) == "one two "


@installed
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Refused(401, f"Incorrect API key provided: {KEY}"), "refused the key"),
        (Refused(404, "The model does not exist"), "use a model that the server has"),
        (Refused(400, "maximum context length is 8", "context_length_exceeded"), "longer context"),
        (Refused(400, "odd"), "refused the request (400): odd"),
    ],
)
def test_what_litellm_is_refused_says_what_to_do_in_one_line(fault: Refused, said: str) -> None:
    done = ask([fault], make=lite)
    assert isinstance(done.error, ModelError)
    text = str(done.error)
    assert said in text
    assert "\n" not in text
    assert KEY not in text
    assert done.server.calls == 1


@installed
def test_litellm_is_told_when_to_come_back() -> None:
    done = ask([Refused(429, "slow down", retry_after=900)], make=lite)
    assert isinstance(done.error, ServerError)
    assert "try again in 900 s" in str(done.error)
    assert done.server.calls == 1


@installed
@BOTH
def test_silence_behind_litellm_is_an_error(stream: bool) -> None:
    done = ask([Silent()], stream=stream, make=lite, patience=Patience(silence=0.5))
    assert isinstance(done.error, ServerError)
    assert "said nothing for 0.5 s" in str(done.error)


@installed
def test_a_provider_that_litellm_does_not_know_is_one_line() -> None:
    with pytest.raises(ModelError, match="refused the request") as raised:
        asyncio.run(open_chat("litellm/nobody/some-model", patience=QUICK).complete(say()))
    assert "\n" not in str(raised.value)


@installed
def test_an_error_of_who_listens_is_not_litellms() -> None:
    def hear(text: str) -> None:
        raise KeyError(text)

    async def go() -> None:
        async with ChatServer(["one two"]) as server:
            with pytest.raises(KeyError):
                await lite("any", base_url=server.url, api_key=KEY, patience=QUICK).complete(say(), hear)

    asyncio.run(go())
