"""The router: who takes a request, and what a new specialist changes about it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest

from bottega.agents.plan import Route
from bottega.agents.planning import PlanningContext
from bottega.agents.router import Known, Router
from bottega.agents.specialist import Specialist
from bottega.core.errors import ModelError, UsageError
from bottega.models.house.router import PATH, RouterModel
from bottega.tools import Tool, ToolContext, ToolResult, Workspace

HOUSE = {
    "What is 17 times 23?": "operator",
    "Convert 12 kilometres to miles": "operator",
    "What time is it in Lima when it is noon in Rome?": "operator",
    "Which region in sales.csv has the highest turnover?": "analyst",
    "How many rows does customers.csv have where the city is Oslo?": "analyst",
    "Copy draft.txt to the folder archive": "writer",
    "Count the words in essay.txt": "writer",
}
BAKER = Known(
    "baker",
    "Answers questions about bread and cakes: recipes, flour, yeast, oven temperatures.",
    (
        "How long does rye bread have to rise?",
        "Which flour is best for baguettes?",
        "Why did my sponge cake collapse?",
        "At what temperature do I bake croissants?",
        "Can I use dry yeast in place of fresh yeast?",
    ),
)
BREAD = [
    "How hot should the oven be for a sourdough loaf?",
    "How much yeast goes into pizza dough?",
    "My bread crust is too soft, what went wrong?",
    "What flour do I need for a Victoria sponge?",
]


@pytest.fixture(scope="module")
def router() -> Router:
    return Router.open()


def who(route: Route) -> str:
    return route.specialist or route.kind


def test_requests_go_to_the_specialists_of_the_house(router: Router) -> None:
    found = {request: who(router.decide(request)) for request in HOUSE}
    assert sum(found[request] == role for request, role in HOUSE.items()) >= len(HOUSE) - 1, found


def test_several_things_at_once_are_planned(router: Router) -> None:
    request = "Find who earns most in payroll.csv, write the name to best.txt and then copy that file to the archive"
    assert router.decide(request).kind == "plan"


def test_what_nobody_here_can_do_is_refused_with_a_reason(router: Router) -> None:
    route = router.decide("Order two pizzas and have them delivered to my flat at eight")
    assert route.kind == "cannot"
    assert "server" in (route.reason or "")


def test_the_scores_of_all_outcomes_add_up_to_one(router: Router) -> None:
    for known in ((), (BAKER,)):
        route = Router(router.model, known).decide("What is 17 times 23?")
        assert {"operator", "analyst", "reader", "writer", "plan", "cannot"} <= route.scores.keys()
        assert sum(route.scores.values()) == pytest.approx(1, abs=1e-4)
        assert route.confidence == route.scores[who(route)]


def test_a_new_specialist_gets_its_requests_from_a_description_and_five_examples(router: Router) -> None:
    told = Router.fit([BAKER], router.model)
    assert [who(told.decide(request)) for request in BREAD] == ["baker"] * len(BREAD)


def test_a_new_specialist_takes_nothing_from_the_house(router: Router) -> None:
    told = Router.fit([BAKER], router.model)
    for request in HOUSE:
        assert who(told.decide(request)) == who(router.decide(request))


def test_two_new_specialists_are_told_apart(router: Router) -> None:
    gardener = (
        "gardener",
        "Knows about plants, soil, watering and pests in the garden.",
        ["When do I plant tulips?", "My roses have aphids", "How often should I water basil?"],
    )
    told = Router.fit([BAKER, gardener], router.model)
    assert who(told.decide("How often should I water my tomatoes?")) == "gardener"
    assert who(told.decide(BREAD[0])) == "baker"


def test_a_server_makes_possible_what_the_house_cannot_do(router: Router) -> None:
    request = "Order two pizzas and have them delivered to my flat at eight"

    async def call(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        return ToolResult("done")

    schema: dict[str, Any] = {"type": "object", "properties": {}}
    pizzeria = Tool(
        "order_pizza", "Order pizzas and have them delivered to an address.", schema, call, server="pizzeria"
    )
    assert router.decide(request).kind == "cannot"
    assert router.decide(request, tools=[pizzeria]).kind != "cannot"


def test_the_specialists_and_tools_of_a_run_decide_its_route(router: Router, tmp_path: Path) -> None:
    people = (Specialist("operator", "Uses tools."), Specialist(BAKER.name, BAKER.description, (), BAKER.examples))
    context = PlanningContext(Workspace.at(tmp_path), (), people, cast(Any, lambda level, text: None))
    route = asyncio.run(router.route(BREAD[0], context))
    assert who(route) == "baker"
    assert "analyst" not in route.scores


def test_what_names_a_file_that_is_there_is_left_to_the_planner(router: Router, tmp_path: Path) -> None:
    people = (Specialist("operator", "Uses tools."),)
    context = PlanningContext(Workspace.at(tmp_path), (), people, cast(Any, lambda level, text: None))
    request = "Fax contract.txt to the tax office"
    assert asyncio.run(router.route(request, context)).kind == "cannot"
    (tmp_path / "contract.txt").touch()
    assert asyncio.run(router.route(request, context)).kind == "plan"


def test_specialists_that_cannot_be_learned_are_refused(router: Router) -> None:
    with pytest.raises(UsageError, match="two specialists are called 'baker'"):
        Router.fit([BAKER, BAKER], router.model)
    with pytest.raises(UsageError, match="neither description nor examples"):
        Router.fit([("nobody", " ", [])], router.model)


def test_a_damaged_router_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "router.safetensors").write_bytes(PATH.read_bytes()[:-100])
    with pytest.raises(ModelError, match="damaged"):
        RouterModel.open(tmp_path / "router.safetensors")
    with pytest.raises(ModelError, match="missing"):
        RouterModel.open(tmp_path / "gone.safetensors")


def test_the_card_tells_the_figure_beside_the_untrained_backbone() -> None:
    card = json.loads(PATH.with_suffix(".json").read_text())
    assert card["figure"] > card["baseline"] + 0.3
    assert card["details"]["test"]["auroc_cannot"] > 0.9
    assert card["command"].startswith("python -m bottega.models.training.router")
