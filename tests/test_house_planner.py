"""The house planner with the shipped models, on tools that no model was trained on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import pytest

from bottega.agents.plan import Each, Plan, Reference, StepResult, ToolCall
from bottega.agents.planners import HousePlanner
from bottega.agents.planning import Binding, PlanningContext
from bottega.tools import Tool, Toolset, Workspace, tool
from bottega.tools.house import house_toolsets


@tool(read_only=True)
def tank_temperature(
    tank: Literal["Coral", "Lagoon", "Kelp"], unit: Literal["celsius", "fahrenheit"] = "celsius"
) -> dict[str, float]:
    """Water temperature of a tank of the aquarium right now.

    Args:
        tank: name of the tank
        unit: unit of the answer
    """
    return {"temperature": 24.5}


@tool(read_only=True)
def find_animal(name: str) -> dict[str, object]:
    """Look up an animal of the aquarium by its name; gives the animal id, its species and its tank.

    Args:
        name: name of the animal
    """
    return {"animal_id": 412, "species": "otter"}


@tool(read_only=True)
def last_weight(animal_id: int) -> dict[str, float]:
    """The weight of an animal at its last check, in kilograms.

    Args:
        animal_id: the animal's id
    """
    return {"kilograms": 31.5}


@tool
def order_feed(kind: str, kilograms: int, express: bool = False) -> dict[str, bool]:
    """Order feed for the animals from the supplier.

    Args:
        kind: which feed, such as squid
        kilograms: how much to order
        express: deliver by express
    """
    return {"ordered": True}


AQUARIUM = Toolset.of("aquarium", "An aquarium", [tank_temperature, find_animal, last_weight, order_feed])


@pytest.fixture(scope="module")
def planner(tmp_path_factory: pytest.TempPathFactory) -> HousePlanner:
    return HousePlanner(tmp_path_factory.mktemp("cache") / "vectors.npz")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kiln.log").write_text("INFO start\nERROR door open\n")
    (tmp_path / "archive").mkdir()
    return tmp_path


def plan(planner: HousePlanner, folder: Path, request: str, own: Toolset = AQUARIUM) -> Plan:
    tools: tuple[Tool, ...] = (*own, *(t for toolset in house_toolsets() for t in toolset))
    context = PlanningContext(Workspace.at(folder), tools, (), lambda level, text: None)
    return asyncio.run(planner.plan(request, context)).check()


def test_a_tool_never_seen_is_found_by_what_it_does_and_filled(planner: HousePlanner, folder: Path) -> None:
    (step,) = plan(planner, folder, "How warm is the water in the Lagoon tank?").steps
    assert (step.tool, step.arguments) == ("aquarium/tank_temperature", {"tank": "Lagoon"})


def test_numbers_and_switches_of_a_call_are_read_from_the_request(planner: HousePlanner, folder: Path) -> None:
    (step,) = plan(planner, folder, "Order 40 kilograms of squid by express").steps
    assert step.tool == "aquarium/order_feed"
    assert step.arguments == {"kind": "squid", "kilograms": 40, "express": True}


def test_two_goals_become_two_steps(planner: HousePlanner, folder: Path) -> None:
    made = plan(planner, folder, "How warm is the Coral tank, and how many lines does kiln.log have?")
    assert [s.tool for s in made.steps] == ["aquarium/tank_temperature", "files/count_lines"]
    assert all(s.needs == () for s in made.steps)


def test_a_result_flows_into_the_next_step(planner: HousePlanner, folder: Path) -> None:
    made = plan(planner, folder, "Count the lines of kiln.log and write the count to lines.txt")
    assert [s.tool for s in made.steps] == ["files/count_lines", "files/write_file"]
    assert made.steps[1].arguments == {"path": "lines.txt", "content": Reference(**{"from": "s1"})}


def test_an_id_that_nobody_said_is_looked_up_first(planner: HousePlanner, folder: Path) -> None:
    made = plan(planner, folder, "How much did the otter Mathilda weigh at the last check?")
    assert [s.tool for s in made.steps] == ["aquarium/find_animal", "aquarium/last_weight"]
    assert made.steps[1].arguments == {"animal_id": Reference(**{"from": made.steps[0].id})}
    assert not made.steps[0].reported


@tool(read_only=True)
def port_code(city: str) -> dict[str, str]:
    """Get the code of the ferry port of a city.

    Args:
        city: name of the city
    """
    return {"port_code": "TRS"}


@tool(read_only=True)
def sailings(port_code: str) -> dict[str, list[str]]:
    """Ferries that leave from a port today.

    Args:
        port_code: code of the port
    """
    return {"sailings": []}


@tool(read_only=True)
def search_members(name: str) -> dict[str, object]:
    """Search for a member of the library by name; returns member number, address and email.

    Args:
        name: full name of the member
    """
    return {"member_number": 7}


@tool(read_only=True)
def list_loans(member_number: int) -> dict[str, list[str]]:
    """Books that a member has on loan.

    Args:
        member_number: number of the member
    """
    return {"books": []}


LIBRARY = Toolset.of("library", "A library", [search_members, list_loans])
FERRIES = Toolset.of("ferries", "Ferries", [port_code, sailings])


@pytest.mark.parametrize(
    ("request_text", "tools"),
    [
        ("Which ferries leave from Trieste today?", ["ferries/port_code", "ferries/sailings"]),
        ("Show the sailings from Split.", ["ferries/port_code", "ferries/sailings"]),
        ("Which ferries leave from the port with the code TRS-4 today?", ["ferries/sailings"]),
        ("What is the port code of Trieste?", ["ferries/port_code"]),
    ],
)
def test_a_name_in_the_place_of_a_code_is_what_the_code_is_looked_up_by(
    planner: HousePlanner, folder: Path, request_text: str, tools: list[str]
) -> None:
    assert [s.tool for s in plan(planner, folder, request_text, FERRIES).steps] == tools


def test_what_is_to_be_written_down_may_have_to_be_looked_up_twice(planner: HousePlanner, folder: Path) -> None:
    made = plan(planner, folder, "Save the weight of the otter Mathilda at the last check to weight.txt")
    assert [s.tool for s in made.steps] == ["aquarium/find_animal", "aquarium/last_weight", "files/write_file"]
    assert [s.needs for s in made.steps] == [(), ("s1",), ("s2",)]


def test_a_lookup_is_not_the_end_where_a_tool_that_needs_it_fits_too(planner: HousePlanner, folder: Path) -> None:
    made = plan(planner, folder, "Which books has Ingrid Solheim borrowed?", LIBRARY)
    assert [s.tool for s in made.steps] == ["library/search_members", "library/list_loans"]
    made = plan(planner, folder, "Search for the member Ingrid Solheim", LIBRARY)
    assert [s.tool for s in made.steps] == ["library/search_members"]


def test_a_step_waits_for_the_file_that_another_one_writes(planner: HousePlanner, folder: Path) -> None:
    made = plan(planner, folder, "Write 'hello' to note.txt, then copy note.txt into the archive folder.")
    assert [s.tool for s in made.steps] == ["files/write_file", "files/copy_file"]
    assert made.steps[1].after == (made.steps[0].id,)


def test_what_no_tool_does_is_said_to_be_so(planner: HousePlanner, folder: Path) -> None:
    (step,) = plan(planner, folder, "Play some relaxing jazz in the living room").steps
    assert step.tool is None
    assert step.problem is not None
    assert "would help" in step.problem


def test_tools_are_found_in_words_that_are_not_theirs(planner: HousePlanner) -> None:
    tools = tuple(t for toolset in house_toolsets() for t in toolset)
    found = asyncio.run(planner.find_tools("a tool that shows who changed the code last", tools, 5))
    assert any(t.server == "git" for t in found)


def test_a_value_that_a_tool_does_not_take_rules_it_out(planner: HousePlanner, folder: Path) -> None:
    (step,) = plan(planner, folder, "Order 12 kilograms of squid").steps
    assert step.tool == "aquarium/order_feed", "squid is no unit, so nothing is converted"


@pytest.mark.parametrize(
    "request_text",
    ["How warm is the water in Coral and Lagoon?", "What temperature do Coral and Lagoon have, in fahrenheit?"],
)
def test_every_one_of_several_names_is_asked_about(planner: HousePlanner, folder: Path, request_text: str) -> None:
    steps = plan(planner, folder, request_text).steps
    assert {s.tool for s in steps} == {"aquarium/tank_temperature"}
    asked = [s.arguments["tank"] for s in steps]
    assert {t for a in asked for t in (a.each if isinstance(a, Each) else (a,))} == {"Coral", "Lagoon"}
    assert len({str(s.arguments.get("unit")) for s in steps}) == 1, "the unit holds for both"


def test_pairs_of_values_are_a_call_each(planner: HousePlanner, folder: Path) -> None:
    steps = plan(planner, folder, "Order 40 kilograms of squid and 12 kilograms of krill").steps
    assert [s.tool for s in steps] == ["aquarium/order_feed"] * 2
    assert [(s.arguments["kind"], s.arguments["kilograms"]) for s in steps] == [("squid", 40), ("krill", 12)]


def test_what_only_announces_is_no_step(planner: HousePlanner, folder: Path) -> None:
    request = (
        "Can you help me with a few things? First, how warm is the Coral tank? Second, order 9 kilograms of squid."
    )
    assert [s.tool for s in plan(planner, folder, request).steps] == [
        "aquarium/tank_temperature",
        "aquarium/order_feed",
    ]


def test_a_request_in_quotation_marks_is_read_as_if_without(planner: HousePlanner, folder: Path) -> None:
    (step,) = plan(planner, folder, '"How warm is the water in the Lagoon tank?"').steps
    assert (step.tool, step.arguments) == ("aquarium/tank_temperature", {"tank": "Lagoon"})


def test_a_list_of_numbers_is_a_call_each(planner: HousePlanner, folder: Path) -> None:
    (step,) = plan(planner, folder, "Convert 10, 20 and 30 miles to km").steps
    assert step.tool == "units/convert_units"
    assert step.arguments["value"] == Each(each=(10, 20, 30))


def bind(planner: HousePlanner, folder: Path, instruction: str, *earlier: StepResult) -> Binding:
    tools: tuple[Tool, ...] = (*AQUARIUM, *(t for toolset in house_toolsets() for t in toolset))
    return asyncio.run(planner.bind(instruction, earlier, tools, Workspace.at(folder)))


def test_one_instruction_is_bound_with_what_has_to_be_looked_up_for_it(planner: HousePlanner, folder: Path) -> None:
    found = bind(planner, folder, "How much did the otter Mathilda weigh at the last check?")
    assert [s.tool for s in found.steps] == ["aquarium/find_animal", "aquarium/last_weight"]
    assert found.steps[1].arguments == {"animal_id": Reference(**{"from": found.steps[0].id})}
    assert 0 < found.confidence <= 1


def test_what_lies_in_the_folder_is_known_to_whoever_binds(planner: HousePlanner, folder: Path) -> None:
    (folder / "LICENCE").write_text("yours")
    (step,) = bind(planner, folder, "How many lines does LICENCE have?").steps
    assert (step.tool, step.arguments) == ("files/count_lines", {"path": "LICENCE"})


def test_a_bound_instruction_says_how_much_of_it_no_argument_takes_up(planner: HousePlanner, folder: Path) -> None:
    assert bind(planner, folder, "How many lines does kiln.log have?").unused == 0
    assert bind(planner, folder, "How many lines does kiln.log have, and archive/old.log, 'hot' ones?").unused > 0


def test_an_instruction_that_no_tool_does_comes_back_with_the_reason(planner: HousePlanner, folder: Path) -> None:
    found = bind(planner, folder, "Play some relaxing jazz in the living room")
    assert found.steps == ()
    assert "would help" in (found.problem or "")


def test_an_instruction_may_take_up_the_result_of_an_earlier_one(planner: HousePlanner, folder: Path) -> None:
    call = ToolCall(tool="files/count_lines", arguments={"path": "kiln.log"}, text="2")
    counted = StepResult(step="s1", status="succeeded", value=2, text="2", calls=(call,))
    (step,) = bind(planner, folder, "write the count to lines.txt", counted).steps
    assert step.arguments == {"path": "lines.txt", "content": Reference(**{"from": "s1"})}


def test_the_parts_of_an_instruction_are_what_asks_for_one_thing_each(planner: HousePlanner) -> None:
    parts = asyncio.run(planner.clauses("How warm is the Coral tank, and how many lines does kiln.log have?"))
    assert list(parts) == ["How warm is the Coral tank", "how many lines does kiln.log have?"]
