"""Specialists without a planner: who is asked, who does it, what is never done twice, and what is learned from it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.agents.network import HandOver, Network
from bottega.agents.plan import Reference, Step, StepResult
from bottega.agents.planners import HousePlanner
from bottega.agents.planning import Binding
from bottega.agents.specialist import Specialist, StepContext, house_specialists
from bottega.agents.weights import RATE, UNTRIED, Weights
from bottega.core.errors import Halt, ModelError, PermissionNeeded, ToolError
from bottega.tools import Tool, ToolAnnotations, ToolContext, ToolResult, Workspace
from bottega.tools.house import house_toolsets


def a_tool(name: str, server: str, reads: bool = True) -> Tool:
    async def call(arguments: dict[str, Any], context: Any) -> ToolResult:
        return ToolResult(f"{name} by {server}", data={"value": f"{name} by {server}"})

    schema = {"type": "object", "properties": {"of": {}}}
    return Tool(name, f"It can {name}.", schema, call, ToolAnnotations(read_only=reads), server=server)


class Names:
    """A binder that takes the first word of an instruction for the name of a tool; `fit` is how sure it is of which."""

    def __init__(self, fit: dict[str, float] | None = None, unused: Sequence[str] = ()) -> None:
        self.fit = fit or {}
        self.unused = unused
        self.asked: list[tuple[str, str]] = []
        """(instruction, server of the tools) of each question."""

    async def bind(
        self,
        instruction: str,
        earlier: Sequence[StepResult],
        tools: Sequence[Tool],
        workspace: Workspace | None = None,
    ) -> Binding:
        self.asked.append((instruction, tools[0].server if tools else ""))
        tool = next((t for t in tools if instruction in (t.name, f"{t.name} it")), None)
        if tool is None:
            return Binding(problem=f"nobody knows how to {instruction}")
        arguments = {"of": Reference(from_=earlier[-1].step)} if instruction.endswith(" it") else {}
        step = Step(
            id="x",
            instruction=instruction,
            tool=tool.id,
            arguments=arguments,
            confidence=self.fit.get(tool.id, 1.0),
        )
        return Binding((step,), unused=int(tool.id in self.unused))

    async def clauses(self, instruction: str) -> Sequence[str]:
        return instruction.split(", ")


class Shop:
    """Specialists with these tools each, and what came of giving them something to do."""

    def __init__(
        self,
        skills: dict[str, Sequence[str]],
        *,
        changes: Sequence[str] = (),
        errors: dict[str, Exception] | None = None,
        near: dict[str, float] | None = None,
        binder: Names | None = None,
    ) -> None:
        own = {who: [a_tool(name, who, reads=name not in changes) for name in some] for who, some in skills.items()}
        # One that nobody asks for tells the tools of one from those of another.
        self.staff = [Specialist(who, who, tools=[a_tool("idle", who), *tools]) for who, tools in own.items()]
        self.tools = tuple(t for s in self.staff for t in s.own_tools)
        self.errors = errors or {}
        self.near = near or {}
        self.binder = binder or Names()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.handed: list[HandOver] = []
        self.network = Network(told=self.handed.append)

    def do(self, request: str, first: str | None = None) -> StepResult:
        step = Step(id="s1", instruction=request, specialist=first)
        context = StepContext(self.tools, self._call, self.binder, self._nearness)
        return asyncio.run(self.network.perform(step, {}, context, self.staff))

    def _nearness(self, text: str, others: Sequence[str]) -> list[float]:
        return [self.near.get(other, 0.5) for other in others]

    async def _call(self, step: Step, tool: Tool, arguments: dict[str, Any]) -> ToolResult:
        assert step.id == "s1", "for the run, all of it is the one step"
        self.calls.append((tool.id, arguments))
        if (error := self.errors.get(tool.id)) is not None:
            if isinstance(error, ToolError):
                return ToolResult(str(error), is_error=True)
            raise error
        return await tool(ToolContext(Workspace.at(".")), **arguments)


def test_whoever_is_named_does_what_it_can() -> None:
    shop = Shop({"ann": ["saw"], "bob": ["saw"]})
    result = shop.do("saw", first="bob")
    assert (result.step, result.status, result.value) == ("s1", "succeeded", {"value": "saw by bob"})
    assert shop.handed == []


def test_the_nearest_begins_where_nobody_is_named() -> None:
    shop = Shop({"ann": ["saw"], "bob": ["saw"]}, near={"bob": 0.9})
    assert shop.do("saw").value == {"value": "saw by bob"}


def test_what_one_cannot_do_is_passed_on_until_one_can() -> None:
    shop = Shop({"ann": [], "bob": [], "cyd": ["saw"]}, near={"ann": 0.9, "bob": 0.8})
    assert shop.do("saw").value == {"value": "saw by cyd"}
    assert shop.handed == [HandOver("ann", "bob", "saw", False), HandOver("bob", "cyd", "saw", True)]


def test_where_nobody_can_each_was_asked_once_and_the_reason_is_told() -> None:
    shop = Shop({"ann": [], "bob": [], "cyd": []})
    result = shop.do("fly")
    assert (result.status, result.error) == ("cannot", "nobody knows how to fly")
    assert Counter(who for _, who in shop.binder.asked) == {"ann": 1, "bob": 1, "cyd": 1}
    assert shop.network.weights == Weights(), "that nobody can tells nothing about anyone"


def test_who_is_not_sure_lets_others_go_first_and_does_it_where_nobody_is_surer() -> None:
    shop = Shop({"ann": ["saw"], "bob": ["saw"]}, near={"ann": 0.9}, binder=Names({"ann/saw": 0.5, "bob/saw": 0.9}))
    assert shop.do("saw").value == {"value": "saw by bob"}
    shop = Shop({"ann": ["saw"], "bob": ["saw"]}, near={"ann": 0.9}, binder=Names({"ann/saw": 0.5, "bob/saw": 0.3}))
    assert shop.do("saw").value == {"value": "saw by ann"}
    assert shop.handed == [HandOver("ann", "bob", "saw", False)]


def test_who_would_leave_something_unsaid_lets_others_go_first() -> None:
    shop = Shop({"ann": ["saw"], "bob": ["saw"]}, near={"ann": 0.9}, binder=Names(unused=["ann/saw"]))
    assert shop.do("saw").value == {"value": "saw by bob"}


def test_what_fails_for_one_is_tried_by_another() -> None:
    shop = Shop({"ann": ["saw"], "bob": ["saw"]}, near={"ann": 0.9}, errors={"ann/saw": ToolError("no blade")})
    assert shop.do("saw").value == {"value": "saw by bob"}
    assert [tool for tool, _ in shop.calls] == ["ann/saw", "bob/saw"]


def test_what_fails_for_all_tells_of_the_first_failure() -> None:
    errors = {"ann/saw": ToolError("no blade"), "bob/saw": ToolError("no wood")}
    shop = Shop({"ann": ["saw"], "bob": ["saw"], "cyd": []}, near={"ann": 0.9}, errors=errors)
    result = shop.do("saw")
    assert (result.status, result.error) == ("failed", "no blade")


def test_what_failed_after_a_guess_is_not_guessed_at_again() -> None:
    binder = Names({"bob/saw": 0.5})
    shop = Shop({"ann": ["saw"], "bob": ["saw"]}, near={"ann": 0.9}, errors={"ann/saw": ToolError("no")}, binder=binder)
    assert shop.do("saw").status == "failed"
    assert [tool for tool, _ in shop.calls] == ["ann/saw"]


def test_what_failed_and_may_have_changed_something_is_not_tried_again() -> None:
    shop = Shop(
        {"ann": ["saw"], "bob": ["saw"]}, near={"ann": 0.9}, changes=["saw"], errors={"ann/saw": ToolError("stuck")}
    )
    assert shop.do("saw").status == "failed"
    assert [tool for tool, _ in shop.calls] == ["ann/saw"]


def test_what_was_refused_is_not_tried_by_another() -> None:
    shop = Shop({"ann": ["saw"], "bob": ["saw"]}, near={"ann": 0.9}, errors={"ann/saw": PermissionNeeded("no")})
    result = shop.do("saw")
    assert (result.status, result.error) == ("refused", "no")
    assert [tool for tool, _ in shop.calls] == ["ann/saw"]


def test_what_keeps_the_run_from_going_on_goes_up_to_it() -> None:
    shop = Shop({"ann": ["saw"], "bob": ["saw"]}, near={"ann": 0.9}, errors={"ann/saw": Halt("waiting", "for a yes")})
    with pytest.raises(Halt):
        shop.do("saw")
    assert [tool for tool, _ in shop.calls] == ["ann/saw"]
    assert shop.handed == []


def test_the_parts_of_a_request_go_to_whoever_can_do_them_and_build_on_each_other() -> None:
    shop = Shop({"ann": ["saw"], "bob": ["paint"]}, near={"ann": 0.9})
    result = shop.do("saw, paint it")
    assert result.status == "succeeded"
    assert shop.calls == [("ann/saw", {}), ("bob/paint", {"of": "saw by ann"})]
    assert result.value == [{"value": "saw by ann"}, {"value": "paint by bob"}]
    assert "saw by ann" in result.text
    assert "paint by bob" in result.text
    assert result.usage.tool_calls == 2


def test_a_part_that_nobody_can_do_leaves_the_others_done_and_is_told() -> None:
    shop = Shop({"ann": ["saw"], "bob": ["measure"]})
    result = shop.do("saw, fly, measure")
    assert result.status == "failed"
    assert result.value == [{"value": "saw by ann"}, {"value": "measure by bob"}]
    assert result.error == "fly: nobody knows how to fly"


def test_nothing_is_changed_after_a_part_that_it_may_have_needed() -> None:
    shop = Shop({"ann": ["saw"], "bob": ["paint"]}, changes=["paint"])
    result = shop.do("fly, paint")
    assert shop.calls == []
    assert "may need what came before" in (result.error or "")


def test_parts_that_nobody_can_do_alone_are_read_together() -> None:
    shop = Shop({"ann": ["hold. saw"]})
    assert shop.do("hold, saw").value == {"value": "hold. saw by ann"}


def test_one_that_labels_texts_does_what_it_is_named_for_and_is_handed_nothing() -> None:
    shop = Shop({"ann": []})
    shop.staff.append(Specialist("judge", "", model="no-such-model"))
    assert shop.do("fly").status == "cannot"
    assert shop.do("fly", first="judge").status == "failed", "it was asked, and its model is not there"


def test_a_name_that_nobody_has_is_an_error() -> None:
    result = Shop({"ann": []}).do("saw", first="zoe")
    assert result.status == "failed"
    assert "zoe" in (result.error or "")


def test_without_anybody_nothing_can_be_done() -> None:
    assert Shop({}).do("saw").status == "cannot"


def test_models_that_cannot_be_opened_are_told_of() -> None:
    class Broken(Names):
        async def bind(self, *given: Any, **named: Any) -> Binding:
            raise ModelError("the weights are gone")

        async def clauses(self, instruction: str) -> Sequence[str]:
            raise ModelError("the weights are gone")

    result = Shop({"ann": ["saw"]}, binder=Broken()).do("saw")
    assert (result.status, result.error) == ("cannot", "the weights are gone")


def test_who_ends_what_it_is_handed_comes_to_be_asked_before_who_is_nearer() -> None:
    shop = Shop({"ann": [], "bob": [], "cyd": ["saw"]}, near={"ann": 0.9, "bob": 0.6, "cyd": 0.5})
    shop.do("saw", first="ann")
    assert shop.network.weights.of("ann", "bob") < UNTRIED < shop.network.weights.of("bob", "cyd")
    shop.handed.clear()
    for _ in range(3):
        shop.do("saw", first="ann")
    assert shop.handed[-1] == HandOver("ann", "cyd", "saw", True)
    assert shop.network.weights.of("ann", "cyd") > UNTRIED


SKILLS = ["saw", "paint", "glue", "nail"]


@given(
    staff=st.lists(st.sets(st.sampled_from(SKILLS)), max_size=6),
    parts=st.lists(st.sampled_from([*SKILLS, "fly"]), min_size=1, max_size=5),
    fit=st.lists(st.floats(0, 1), min_size=4, max_size=4),
    near=st.lists(st.floats(-1, 1), min_size=6, max_size=6),
)
def test_each_is_asked_at_most_once_about_each_part_and_what_somebody_can_is_done_once(
    staff: list[set[str]], parts: list[str], fit: list[float], near: list[float]
) -> None:
    skills = {f"p{n}": sorted(some) for n, some in enumerate(staff)}
    sure = {f"{who}/{name}": fit[SKILLS.index(name)] for who, some in skills.items() for name in some}
    shop = Shop(skills, near={f"p{n}": near[n] for n in range(len(staff))}, binder=Names(sure))
    result = shop.do(", ".join(parts))
    times = Counter(parts)
    for (text, _), asked in Counter(shop.binder.asked).items():
        assert asked <= max(1, times[text])
    can = [part for part in parts if any(part in some for some in staff)]
    assert [tool.rpartition("/")[2] for tool, _ in shop.calls] == can
    assert result.status == ("succeeded" if can == parts else "failed" if can else "cannot")
    assert all(0 <= weight <= 1 for weight in shop.network.weights.edges.values())


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), st.booleans()), max_size=60))
def test_weights_stay_between_0_and_1_and_move_only_their_own_edge(hand_overs: list[tuple[str, str, bool]]) -> None:
    weights = Weights()
    for giver, taker, success in hand_overs:
        after = weights.updated(giver, taker, success)
        assert 0 <= after.of(giver, taker) <= 1
        assert (after.of(giver, taker) - weights.of(giver, taker)) * (1 if success else -1) >= 0
        others = set(weights.edges) - {(giver, taker)}
        assert all(after.edges[edge] == weights.edges[edge] for edge in others)
        weights = after


@given(st.booleans(), st.integers(0, 40), st.floats(0, 1))
def test_an_edge_that_always_ends_alike_comes_nearer_to_it_by_the_same_share(
    success: bool, times: int, start: float
) -> None:
    weights = Weights({("a", "b"): start})
    for _ in range(times):
        weights = weights.updated("a", "b", success)
    assert weights.of("a", "b") == pytest.approx(success + (start - success) * (1 - RATE) ** times)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_an_edge_follows_the_share_of_hand_overs_that_go_well(rate: float) -> None:
    chance, weights, seen = random.Random(7), Weights(), list[float]()
    for _ in range(4_000):
        weights = weights.updated("a", "b", chance.random() < rate)
        seen.append(weights.of("a", "b"))
    assert sum(seen[100:]) / len(seen[100:]) == pytest.approx(rate, abs=0.03)


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_weight_that_is_none_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="from a to b"):
        Weights({("a", "b"): weight})


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> HousePlanner:
    return HousePlanner(tmp_path_factory.mktemp("cache") / "vectors.npz")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kiln.log").write_text("INFO start\nERROR door open\nERROR too hot\n")
    (tmp_path / "glazes.csv").write_text("glaze,price\nash,12\ncobalt,30\n")
    return tmp_path


@pytest.mark.parametrize("first", [None, "reader", "analyst", "writer", "operator"])
@pytest.mark.parametrize(
    ("request_text", "tool", "said"),
    [
        ("How many lines does kiln.log have?", "files/count_lines", "3"),
        ("What is the average price in glazes.csv?", "tables/ask_table", "21"),
        ("Convert 3 km to miles", "units/convert_units", "1.86"),
    ],
)
def test_the_specialists_of_the_house_do_it_whoever_begins(
    house: HousePlanner, folder: Path, request_text: str, tool: str, said: str, first: str | None
) -> None:
    tools = tuple(t for toolset in house_toolsets() for t in toolset)
    workspace = Workspace.at(folder)

    async def call(step: Step, tool: Tool, arguments: dict[str, Any]) -> ToolResult:
        return await tool(ToolContext(workspace), **arguments)

    context = StepContext(tools, call, house, house.nearness, house, workspace=workspace)
    step = Step(id="s1", instruction=request_text, specialist=first)
    result = asyncio.run(Network().perform(step, {}, context, house_specialists()))
    assert result.status == "succeeded"
    assert said in result.text
    assert [c.tool for c in result.calls] == [tool]
