"""Several models as one."""

from __future__ import annotations

import asyncio

import pytest
from chat_support import QUICK, say

from bottega.core.errors import BudgetExceeded, ModelError, ServerError, UsageError
from bottega.core.usage import Usage
from bottega.models.chat import ChatReply, Fallbacks, OnText, OpenAIChat
from bottega.testing import ChatServer, Cut, Refused, ScriptedModel


def complete(chat: Fallbacks, on_text: OnText | None = None) -> ChatReply:
    return asyncio.run(chat.complete(say(), on_text))


def test_the_next_model_takes_over_and_is_named() -> None:
    away = ScriptedModel([ServerError("first is away")], model="first")
    odd = ScriptedModel([ModelError("second does not know")], model="second")
    good = ScriptedModel(["from the third"], model="third")
    chat = Fallbacks([away, odd, good])
    reply = complete(chat)
    assert (reply.text, reply.model, chat.model) == ("from the third", "third", "first")
    for model in (away, odd, good):
        model.assert_done()


def test_the_first_model_that_answers_is_the_only_one_asked() -> None:
    spare = ScriptedModel(["not needed"])
    assert complete(Fallbacks([ScriptedModel(["at once"]), spare])).text == "at once"
    assert spare.requests == []


@pytest.mark.parametrize(
    ("errors", "kind"),
    [((ServerError("a away"), ModelError("b odd")), ServerError), ((ModelError("a"), ModelError("b odd")), ModelError)],
)
def test_when_nobody_answers_all_reasons_are_told_in_one_line(errors: tuple[Exception, ...], kind: type) -> None:
    with pytest.raises(kind, match=r"none of 2 models answered: a.*; b odd"):
        complete(Fallbacks([ScriptedModel([error]) for error in errors]))


def test_what_is_no_fault_of_the_model_is_raised_at_once() -> None:
    spare = ScriptedModel(["not needed"])
    with pytest.raises(BudgetExceeded):
        complete(Fallbacks([ScriptedModel([BudgetExceeded("spent")]), spare]))
    assert spare.requests == []


def test_what_was_spent_in_vain_is_in_the_usage() -> None:
    error = ModelError("empty twice")
    error.usage = Usage(model_calls=2, input_tokens=20)
    good = ScriptedModel([ChatReply(text="ok", usage=Usage(model_calls=1, input_tokens=10, output_tokens=1))])
    assert complete(Fallbacks([ScriptedModel([error]), good])).usage == Usage(
        model_calls=3, input_tokens=30, output_tokens=1
    )


def test_nobody_takes_over_in_the_middle_of_a_reply() -> None:
    async def go() -> None:
        async with ChatServer([Cut("one two three", pieces=3)]) as server:
            spare, heard = ScriptedModel(["not needed"]), []
            chat = Fallbacks([OpenAIChat("any", base_url=server.url, patience=QUICK), spare])
            with pytest.raises(ServerError, match="after a part of the reply was shown"):
                await chat.complete(say(), heard.append)
            assert heard == ["one ", "two "]
            assert spare.requests == []
            await chat.close()

    asyncio.run(go())


def test_two_servers_stand_in_for_each_other_in_a_stream() -> None:
    async def go() -> None:
        async with ChatServer(lambda body: Refused(500)) as bad, ChatServer(["from the good one"]) as good:
            heard: list[str] = []
            chat = Fallbacks(
                [OpenAIChat("a", base_url=bad.url, patience=QUICK), OpenAIChat("b", base_url=good.url, patience=QUICK)]
            )
            reply = await chat.complete(say(), heard.append)
            assert ("".join(heard), reply.model) == ("from the good one", "b")
            assert bad.calls == 1 + QUICK.retries
            await chat.close()

    asyncio.run(go())


def test_no_models_at_all_is_an_error() -> None:
    with pytest.raises(UsageError):
        Fallbacks([])
