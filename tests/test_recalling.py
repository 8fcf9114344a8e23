"""A language model that plans is shown plans that succeeded for requests like the one it is asked for."""

from __future__ import annotations

import json
from pathlib import Path

from bottega import Bottega, Rule, tool
from bottega.testing import ScriptedModel


@tool(read_only=True)
def price_of(article: str) -> int:
    """Tell the price of an article."""
    return len(article)


DENIED = Rule("price_of", "deny")


def plan(article: str) -> str:
    step = {"id": "s1", "instruction": "look", "tool": "price_of", "arguments": {"article": article}}
    return json.dumps({"steps": [step]})


def test_a_plan_that_succeeded_is_shown_for_a_request_like_it_also_by_another_process(tmp_path: Path) -> None:
    model = ScriptedModel([plan("vase"), "It is 4 [s1].", plan("bowl"), "It is 4 [s1]."])
    for request in ("What does the vase cost?", "What does the bowl cost?"):
        with Bottega(tmp_path, servers={}, tools=[price_of], model=model, planner="llm") as bottega:
            assert bottega.run(request).status == "succeeded"
    first, _, second, _ = model.requests
    assert "vase" not in "".join(m.content for m in second.messages if m.role == "system")
    assert "What does the vase cost?" not in "".join(m.content for m in first.messages[:1])
    assert "What does the vase cost?" in "".join(m.content for m in second.messages)


def test_a_run_that_failed_is_not_shown(tmp_path: Path) -> None:
    model = ScriptedModel([plan("vase"), plan("bowl"), "It is 4 [s1]."])
    with Bottega(tmp_path, servers={}, tools=[price_of], model=model, planner="llm", rules=[DENIED]) as bottega:
        assert bottega.run("What does the vase cost?").status == "stopped"
    with Bottega(tmp_path, servers={}, tools=[price_of], model=model, planner="llm") as bottega:
        bottega.run("What does the bowl cost?")
    assert not any("vase" in m.content for request in model.requests[1:] for m in request.messages)
