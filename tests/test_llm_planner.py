"""The planner by a language model: what it is shown, which plans are taken, how bad ones are repaired and revised."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_support import SHOP, many

from bottega.agents.plan import Each, Plan, Reference, Route, Step, StepResult
from bottega.agents.planners import EscalatingPlanner, LLMPlanner
from bottega.agents.planners.reading import Faults, read_plan
from bottega.agents.planning import PlanningContext
from bottega.agents.specialist import Specialist, house_specialists
from bottega.core.errors import BudgetExceeded, ModelError, PlanError, ToolError
from bottega.models.chat import ChatReply
from bottega.testing import ScriptedModel, ScriptedPlanner
from bottega.tools import Tool, Workspace, tool

REQUEST = "How many pieces of L-204 and M-1 are there together?"
POET = Specialist("poet", "Writes poems.", prompt="Rhyme.", tools=("nothing",))


def a_step(
    id: str, tool: str | None = "shop/stock_level", instruction: str = "look it up", **more: Any
) -> dict[str, Any]:
    return {"id": id, "instruction": instruction, "tool": tool, "arguments": {"sku": "A"} if tool else {}} | more


def plan_text(*steps: dict[str, Any]) -> str:
    return json.dumps({"steps": list(steps)})


STOCK = [
    a_step("s1", arguments={"sku": "L-204"}, reported=False),
    a_step("s2", arguments={"sku": "M-1"}, reported=False),
    a_step("s3", "shop/add", arguments={"left": {"from": "s1", "path": "pieces"}, "right": {"from": "s2"}}),
]


@pytest.fixture
def folder(tmp_path: Path) -> Workspace:
    (tmp_path / "kiln.log").write_text("x")
    return Workspace.at(tmp_path)


def context_of(
    model: ScriptedModel | None, folder: Workspace, tools: Sequence[Tool] = SHOP, **more: Any
) -> PlanningContext:
    heard: list[str] = []
    return PlanningContext(
        folder,
        tuple(tools),
        (*house_specialists(), POET),
        lambda level, text: heard.append(text),
        complete=model.complete if model else None,
        **more,
    )


def planned(folder: Workspace, *replies: str | ChatReply | BaseException, request: str = REQUEST, **more: Any) -> Plan:
    model = ScriptedModel(replies)
    made = asyncio.run(LLMPlanner().plan(request, context_of(model, folder, **more)))
    model.assert_done()
    return made


def test_one_call_makes_a_plan_whose_steps_are_bound(folder: Workspace) -> None:
    model = ScriptedModel([plan_text(*STOCK)])
    plan = asyncio.run(LLMPlanner().plan(REQUEST, context_of(model, folder)))
    assert [s.tool for s in plan.steps] == ["shop/stock_level", "shop/stock_level", "shop/add"]
    assert plan.steps[2].arguments == {"left": Reference(from_="s1", path="pieces"), "right": Reference(from_="s2")}
    assert [s.reported for s in plan.steps] == [False, False, True]
    assert len(model.requests) == 1


def test_the_model_is_shown_all_that_a_plan_may_be_made_of(folder: Workspace) -> None:
    earlier = {"g/s4": StepResult(step="g/s4", status="succeeded", value={"sku": "L-204"})}
    before = Plan(request="How many of K?", steps=(Step(id="s1", instruction="k", tool="shop/add"),))
    model = ScriptedModel([plan_text(a_step("s1", arguments={"sku": {"from": "g/s4", "path": "sku"}}))])
    asked = context_of(
        model, folder, given=earlier, demonstrations=(before,), route=Route(kind="specialist", specialist="poet")
    )
    plan = asyncio.run(LLMPlanner().plan(REQUEST, asked))
    assert plan.steps[0].needs == ("g/s4",)
    shown = model.requests[0].messages[1].content
    assert "- shop/stock_level: How many pieces of an article are there.\n    sku (required, string)" in shown
    assert "Specialists:\n- poet: Writes poems.\n\n" in shown
    assert '<data from="g/s4">\n{"sku": "L-204"}\n</data>' in shown
    assert "kiln.log" in shown
    assert 'Request: How many of K?\n{"steps": [\n  {"id": "s1", "instruction": "k", "tool": "shop/add"}\n]}' in shown
    assert "specialist poet" in shown
    assert shown.endswith(f"Request: {REQUEST}")
    form = model.requests[0].output
    assert form is not None
    assert form["properties"]["steps"]["items"]["properties"]["tool"]["enum"][-2:] == ["shop/order", None]


def test_no_step_takes_the_id_of_a_result_that_is_given(folder: Workspace) -> None:
    """A reference to it would mean either."""
    earlier = {"s1": StepResult(step="s1", status="succeeded", value={"sku": "L-204"})}
    model = ScriptedModel([plan_text(a_step("s1")), plan_text(a_step("s2", arguments={"sku": {"from": "s1"}}))])
    plan = asyncio.run(LLMPlanner().plan(REQUEST, context_of(model, folder, given=earlier)))
    assert [s.id for s in plan.steps] == ["s2"]
    assert "take another one" in model.requests[1].messages[-1].content


def test_what_a_tool_says_of_its_parameters_is_shown(folder: Workspace) -> None:
    schema = {
        "type": "object",
        "properties": {
            "unit": {"enum": ["kg", "g"], "description": "The unit."},
            "question": {"type": "string", "x-source": "instruction"},
        },
        "required": ["question"],
    }
    odd = replace(SHOP[0], name="odd", input_schema=schema, output_schema={"properties": {"weight": {}}})
    model = ScriptedModel([plan_text(a_step("s1", "shop/odd", arguments={"unit": "kg"}))])
    asyncio.run(LLMPlanner().plan(REQUEST, context_of(model, folder, [odd])))
    shown = model.requests[0].messages[1].content
    assert '    unit ({"enum": ["kg", "g"]}): The unit.\n' in shown
    assert "question (leave it out" in shown
    assert "gives: weight" in shown


def test_of_many_tools_those_that_fit_any_part_of_the_request_are_shown(folder: Workspace) -> None:
    class Finder:
        async def find_tools(self, query: str, tools: Sequence[Tool], limit: int) -> Sequence[Tool]:
            asked.append(query)
            return sorted(tools, key=lambda t: t.name.split("_")[0] not in query.lower())[:limit]

    asked: list[str] = []
    model = ScriptedModel([plan_text(a_step("s1"))])
    request = "Look up the stock of L-204. Then order 3 pieces of it, and read the letter of Nora Beck!"
    asyncio.run(LLMPlanner(Finder()).plan(request, context_of(model, folder, many(500))))
    shown = model.requests[0].messages[1].content
    assert asked == [request, "Look up the stock of L-204", "Then order 3 pieces of it", "read the letter of Nora Beck"]
    assert all(f"- shop/{name}:" in shown for name in ("stock_level", "order", "read_letter"))
    assert shown.count("\n- crowd/") + shown.count("\n- shop/") == 16


@pytest.mark.parametrize(
    "text",
    [
        f"Here is the plan:\n```json\n{plan_text(*STOCK)}\n```\nIt has three steps.",
        f"<think>First [1] the stock, then {{add}}.</think>{plan_text(*STOCK)}",
        json.dumps(STOCK),
        json.dumps({"steps": [s | {"specialist": None, "after": None, "problem": None, "goal": None} for s in STOCK]}),
        json.dumps({"steps": [s | {"tool": s["tool"].replace("/", ".").upper(), "why": "because"} for s in STOCK]}),
        json.dumps({"steps": [s | {"tool": s["tool"].removeprefix("shop/")} for s in STOCK]}),
        json.dumps({"steps": [s | {"arguments": json.dumps(s["arguments"])} for s in STOCK]}),
        json.dumps({"steps": [s | {"specialist": "Poet", "goal": True} for s in STOCK]}),
        json.dumps({"steps": STOCK[::-1]}),
    ],
    ids=["fenced", "thought", "bare list", "nulls", "other signs", "no server", "quoted", "barred", "other order"],
)
def test_a_plan_is_read_however_it_is_written(text: str, folder: Workspace) -> None:
    plan = planned(folder, text)
    assert sorted((s.id, s.tool, s.specialist, s.goal) for s in plan.steps) == [
        ("s1", "shop/stock_level", None, False),
        ("s2", "shop/stock_level", None, False),
        ("s3", "shop/add", None, False),
    ]
    assert plan.steps[-1].needs == ("s1", "s2")


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("I will look it up.", "the plan cannot be read: it is not JSON"),
        ("", "the plan cannot be read"),
        ('{"plan": 1}', 'an object with a list "steps"'),
        (plan_text(a_step("s1", "shop/stok_level")), "there is no tool 'shop/stok_level'; there is shop/stock_level"),
        (plan_text(a_step("s1", arguments={})), "shop/stock_level needs 'sku'"),
        (plan_text(a_step("s1", arguments={"sku": "A", "x": 1})), "has no argument 'x'; it has sku"),
        (plan_text(a_step("s1", arguments={"sku": 7})), "cannot take this sku: 7 is not of type 'string'"),
        (plan_text(a_step("s1", arguments={"sku": {"each": ["A", 7]}})), "cannot take this sku: 7"),
        (plan_text(a_step("s1", arguments={"sku": {"from": "s9"}})), "uses the result of 's9', which is no step"),
        (plan_text(a_step("s1", after=["s2"]), a_step("s2", after=["s1"])), "wait for each other"),
        (plan_text(a_step("s1"), a_step("s1")), "share the id 's1'"),
        (plan_text(a_step("s/1")), "'s/1' is no id"),
        (plan_text(a_step("s1", None, specialist="poets")), "there is no specialist 'poets'; there is poet"),
        (plan_text(a_step("s1", None, "")), "step s1 has no instruction"),
        (plan_text(a_step("s1", after=7)), "step s1: after"),
        (json.dumps({"steps": ["look it up"]}), "step 1 has to be an object"),
        (json.dumps({"steps": [{}] * 3_000}), "more than 2000"),
    ],
)
def test_a_plan_that_cannot_be_used_is_sent_back_once_with_what_is_wrong(
    bad: str, told: str, folder: Workspace
) -> None:
    model = ScriptedModel([bad, plan_text(*STOCK)])
    plan = asyncio.run(LLMPlanner().plan(REQUEST, context_of(model, folder)))
    assert len(plan.steps) == 3
    repair = model.requests[1].messages
    assert told in repair[-1].content
    assert [m.content for m in repair if m.role == "assistant"] == ([bad] if bad else [])
    with pytest.raises(PlanError, match="no plan that can be used"):
        planned(folder, bad, bad)


def test_all_faults_are_told_at_once(folder: Workspace) -> None:
    model = ScriptedModel([plan_text(a_step("s1", "shop/fly"), a_step("s2", arguments={})), plan_text(*STOCK)])
    asyncio.run(LLMPlanner().plan(REQUEST, context_of(model, folder)))
    assert model.requests[1].messages[-1].content.count("\n- ") == 2


def test_what_a_tool_itself_refuses_is_a_fault(folder: Workspace) -> None:
    def unit(text: str) -> None:
        if text != "kg":
            raise ToolError(f"{text!r} is no unit")

    @tool(read_only=True, checks={"unit": unit})
    def weigh(unit: str) -> float:
        """Weigh."""
        return 1.0

    model = ScriptedModel([plan_text(a_step("s1", "weigh", arguments={"unit": u})) for u in ("stones", "kg")])
    asyncio.run(LLMPlanner().plan(REQUEST, context_of(model, folder, [weigh])))
    assert "'stones' is no unit" in model.requests[1].messages[-1].content


def test_a_plan_cut_off_is_asked_for_again_and_an_empty_one_is_none(folder: Workspace) -> None:
    cut = ChatReply(text=plan_text(*STOCK)[:40], finish="length")
    assert len(planned(folder, cut, plan_text(*STOCK)).steps) == 3
    with pytest.raises(PlanError, match="no step"):
        planned(folder, plan_text())


def test_what_nothing_here_can_do_is_a_step_that_says_so(folder: Workspace) -> None:
    plan = planned(folder, plan_text(a_step("s1", None, "fly to Rome", problem="no tool flies")))
    assert plan.steps[0].problem == "no tool flies"


def test_steps_without_a_tool_go_to_specialists_and_goals_stay_goals(folder: Workspace) -> None:
    text = plan_text(
        a_step("s1"),
        a_step("s2", None, "write a poem", specialist="poet", after=["s1"]),
        a_step("s3", None, "sell it", goal=True, after=["s2"]),
        a_step("s4", arguments={"sku": {"each": {"from": "s1"}}}),
    )
    plan = planned(folder, text)
    assert (plan["s2"].specialist, plan["s2"].needs) == ("poet", ("s1",))
    assert plan["s3"].goal
    assert plan["s4"].arguments["sku"] == Each(each=Reference(from_="s1"))


def test_without_a_model_there_is_no_plan(folder: Workspace) -> None:
    with pytest.raises(PlanError, match="no language model"):
        asyncio.run(LLMPlanner().plan(REQUEST, context_of(None, folder)))


@pytest.mark.parametrize("error", [ModelError("ill"), BudgetExceeded("spent")])
def test_errors_of_the_model_go_up(error: Exception, folder: Workspace) -> None:
    with pytest.raises(type(error)):
        planned(folder, error)


OLD = Plan(
    request=REQUEST,
    steps=(
        Step(id="s1", instruction="look up L-204", tool="shop/stock_level", arguments={"sku": "L-204"}),
        Step(id="s2", instruction="read the letter", tool="shop/read_letter", arguments={"name": "M"}),
        Step(id="s3", instruction="order", tool="shop/order", arguments={"sku": Reference(from_="s2"), "pieces": 1}),
        Step(id="s4", instruction="order it", tool="shop/order", arguments={"sku": "Z", "pieces": 1}),
    ),
)
FATES = {
    "s1": StepResult(step="s1", status="succeeded", value={"sku": "L-204", "pieces": 35}),
    "s2": StepResult(step="s2", status="failed", error="the letter is lost"),
    "s3": StepResult(step="s3", status="skipped", error="it needs s2"),
    "s4": StepResult(step="s4", status="refused", error="not approved"),
}


def revised(
    folder: Workspace, *replies: str, results: Mapping[str, StepResult] = FATES
) -> tuple[Plan | None, ScriptedModel]:
    model = ScriptedModel(replies)
    return asyncio.run(LLMPlanner().revise(OLD, results, context_of(model, folder))), model


def test_a_revision_keeps_what_is_not_lost_and_goes_another_way_to_the_rest(folder: Workspace) -> None:
    text = plan_text(
        a_step("s5", arguments={"sku": "M"}),
        a_step("s6", "shop/order", arguments={"sku": {"from": "s1", "path": "sku"}, "pieces": {"from": "s5"}}),
    )
    plan, model = revised(folder, text)
    assert plan is not None
    assert [s.id for s in plan.steps] == ["s1", "s4", "s5", "s6"]
    assert (plan["s1"], plan["s4"]) == (OLD["s1"], OLD["s4"])
    assert plan.revision == 2
    shown = model.requests[0].messages[1].content
    assert '- s2 (lost): failed\n<data from="s2">\nfailed: the letter is lost' in shown
    assert "- s3 (lost): skipped" in shown
    assert "- s4: refused" in shown
    assert "ids from s5 on" in shown


def test_new_steps_never_take_the_ids_of_old_ones(folder: Workspace) -> None:
    """Also when the model writes the finished steps again, and numbers its own from the beginning."""
    text = plan_text(
        a_step("s1", arguments={"sku": "L-204"}, instruction="look it up once more"),
        a_step("s2", arguments={"sku": {"from": "s1", "path": "sku"}}),
        a_step("s3", "shop/order", arguments={"sku": {"from": "s2"}, "pieces": 2}, after=["s2"]),
    )
    plan, _ = revised(folder, text)
    assert plan is not None
    assert [s.id for s in plan.steps] == ["s1", "s4", "s5", "s6"]
    assert plan["s1"] == OLD["s1"]
    assert plan["s5"].arguments == {"sku": Reference(from_="s1", path="sku")}
    assert plan["s6"].needs == ("s5",)


def test_no_other_way_and_nothing_to_mend_are_no_plan(folder: Workspace) -> None:
    assert revised(folder, plan_text())[0] is None
    good = {id: r.model_copy(update={"status": "succeeded"}) for id, r in FATES.items()}
    plan, model = revised(folder, results=good | {"s4": FATES["s4"]})
    assert plan is None
    assert model.requests == []


def test_a_revision_may_not_use_what_is_lost(folder: Workspace) -> None:
    bad = plan_text(a_step("s5", arguments={"sku": {"from": "s2"}}))
    plan, model = revised(folder, bad, plan_text(a_step("s5")))
    assert plan is not None
    assert "'s2', which is no step" in model.requests[1].messages[-1].content


def house(*steps: Step) -> ScriptedPlanner:
    return ScriptedPlanner(steps, revision=[Step(id="s9", instruction="the house again")])


SURE = Step(id="s1", instruction="a", tool="shop/add", confidence=0.9)


@pytest.mark.parametrize(
    ("step", "escalates"),
    [
        (SURE, False),
        (SURE.model_copy(update={"confidence": 0.1}), True),
        (Step(id="s1", instruction="a", problem="no tool fits"), True),
    ],
)
def test_the_model_plans_only_where_the_house_is_not_sure(step: Step, escalates: bool, folder: Workspace) -> None:
    model = ScriptedModel([plan_text(*STOCK)] * escalates)
    planner = EscalatingPlanner(house(step), LLMPlanner())
    plan = asyncio.run(planner.plan(REQUEST, context_of(model, folder)))
    assert len(plan.steps) == (3 if escalates else 1)
    model.assert_done()
    assert asyncio.run(planner.plan(REQUEST, context_of(None, folder))).steps == (step,)


def test_the_plan_of_the_house_is_used_after_all_when_the_model_fails(folder: Workspace) -> None:
    unsure = SURE.model_copy(update={"confidence": 0.1})
    heard: list[str] = []
    planner = EscalatingPlanner(house(unsure), LLMPlanner())
    asked = replace(
        context_of(ScriptedModel([ModelError("the model is ill")]), folder),
        notice=lambda level, text: heard.append(text),
    )
    assert asyncio.run(planner.plan(REQUEST, asked)).steps == (unsure,)
    assert heard == ["planned without the language model: the model is ill"]
    with pytest.raises(BudgetExceeded):
        asyncio.run(planner.plan(REQUEST, context_of(ScriptedModel([BudgetExceeded("spent")]), folder)))


def test_the_model_plans_where_the_house_cannot(folder: Workspace) -> None:
    class Lost(ScriptedPlanner):
        async def plan(self, request: str, context: PlanningContext) -> Plan:
            raise PlanError("no models")

    planner = EscalatingPlanner(Lost([]), LLMPlanner())
    model = ScriptedModel([plan_text(*STOCK)])
    assert len(asyncio.run(planner.plan(REQUEST, context_of(model, folder))).steps) == 3
    with pytest.raises(PlanError, match="no models"):
        asyncio.run(planner.plan(REQUEST, context_of(None, folder)))


def test_the_model_revises_where_there_is_one(folder: Workspace) -> None:
    planner = EscalatingPlanner(house(SURE), LLMPlanner())
    with_model = asyncio.run(planner.revise(OLD, FATES, context_of(ScriptedModel([plan_text(a_step("s5"))]), folder)))
    without = asyncio.run(planner.revise(OLD, FATES, context_of(None, folder)))
    ill = asyncio.run(planner.revise(OLD, FATES, context_of(ScriptedModel([ModelError("ill")]), folder)))
    assert with_model is not None
    assert [s.id for s in with_model.steps] == ["s1", "s4", "s5"]
    assert without is not None
    assert ill is not None
    assert [s.id for s in (*without.steps, *ill.steps)] == ["s9", "s9"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.sampled_from(["s1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["from", "path", "each", "sku", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["id", "instruction", "tool", "arguments", "specialist", "after", "expects", "goal", "problem"]
)
STEPS = st.lists(
    st.dictionaries(FIELDS, JSON | st.sampled_from(["shop/add", "shop/stock_level", "s2", "poet"]), max_size=6) | JSON,
    max_size=4,
)


@given(STEPS)
def test_whatever_json_a_model_writes_is_a_plan_or_is_said_to_be_none(steps: list[Any]) -> None:
    try:
        plan = read_plan(json.dumps({"steps": steps}), REQUEST, SHOP, [POET], ["g1"])
    except Faults:
        return
    done = {"g1"}
    for step in plan.steps:
        assert set(step.needs) <= done
        assert step.tool is None or step.tool in {t.id for t in SHOP}
        done.add(step.id)


@given(st.text() | st.from_regex(r"[{\[\]},:\"steps1 ]{0,60}"))
def test_whatever_text_a_model_writes_is_a_plan_or_is_said_to_be_none(text: str) -> None:
    with contextlib.suppress(Faults):
        assert read_plan(text, REQUEST, SHOP, [POET]).request == REQUEST
