"""The hand-written corpus: every file loads, every template expands, every fill says exactly where a value stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bottega.models.house.slots import Card
from bottega.models.training import public
from bottega.models.training.corpus import (
    CORPUS,
    HOUSE_TOOLS,
    Example,
    Expander,
    Fill,
    Server,
    compounds,
    house_cards,
    impossible_requests,
    kept,
    read_servers,
    singles,
)
from bottega.tools.house.__main__ import main as print_house_tools

SLOT = re.compile(r"\{([^{}]+)\}")


@pytest.fixture(scope="module")
def servers() -> list[Server]:
    return read_servers()


def test_the_list_of_house_tools_is_in_step_with_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    print_house_tools()
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads(HOUSE_TOOLS.read_text("utf-8")), "python -m bottega.tools.house > " + str(HOUSE_TOOLS)


def test_every_file_is_read(servers: list[Server]) -> None:
    files = [
        p.stem
        for folder in ("house", "servers")
        for p in (CORPUS / folder).glob("*.yaml")
        if p.stem not in ("impossible", "aliases")
    ]
    assert len(servers) == len(files)
    assert {s.name for s in servers} >= {id.partition("/")[0] for id in house_cards()}
    assert len(impossible_requests()) > 100


def test_held_out_servers_share_no_tool_with_the_others(servers: list[Server]) -> None:
    held = {id for s in servers if s.held_out for id in s.cards}
    assert held
    assert not held & {id for s in servers if not s.held_out for id in s.cards}


def test_every_house_tool_has_requests(servers: list[Server]) -> None:
    asked = {id for s in servers for id, templates in s.requests.items() if templates}
    asked |= {call["tool"] for s in servers for clauses in s.compounds for call in clauses}
    assert set(house_cards()) <= asked


def templates(servers: list[Server]) -> Iterator[tuple[Server, str, str]]:
    for server in servers:
        for id, found in server.requests.items():
            yield from ((server, id, template) for template in found)


def test_every_template_expands(servers: list[Server]) -> None:
    expander = Expander(servers)
    failed = [(id, template) for s, id, template in templates(servers) if expander.single(s, id, template) is None]
    assert not failed
    failed += [(s.name, str(c)) for s in servers for c in s.compounds if expander.compound(s, c) is None]
    assert not failed


def test_every_slot_names_a_parameter_of_its_tool(servers: list[Server]) -> None:
    wrong = []
    cards = Expander(servers).cards
    whole = whole_instruction()
    for _, id, template in templates(servers):
        known = {p.name for p in cards[id].parameters} | whole.get(id, set())
        for slot in SLOT.findall(template):
            name = re.split(r"[:=<]", slot)[0]
            if not name.startswith(("~", "@")) and name not in known:
                wrong.append(f"{id}: {{{slot}}}")
    assert not wrong


def whole_instruction() -> dict[str, set[str]]:
    """The parameters that take the whole instruction, which cards leave out."""
    listing = json.loads(HOUSE_TOOLS.read_text("utf-8"))
    return {
        f"{t['server']}/{t['name']}": {p for p, s in t["input_schema"]["properties"].items() if "x-source" in s}
        for t in listing
    }


def test_fills_of_the_corpus_stand_where_they_say(servers: list[Server]) -> None:
    """Each template, with its values put in by what the fills say, is the instruction again."""
    expander = Expander(servers, seed=3)
    for server, id, template in templates(servers):
        example = expander.single(server, id, template)
        assert example
        check_places(example, expander.cards[id])
        assert matches(template, example), (template, example)


def matches(template: str, example: Example) -> bool:
    """Is the instruction the template with each span's own words in place? First letter and last stop may differ."""
    pattern, at = "", 0
    for slot in SLOT.finditer(template):
        pattern += re.escape(template[at : slot.start()])
        at = slot.end()
        name, shown = re.split(r"[:=<]", slot[1])[0], slot[1].partition("|")
        fill = example.fills.get(name)
        words = example.instruction[fill.begin : fill.end] if fill and fill.kind == "span" else None
        pattern += re.escape(words) if words else re.escape(shown[2]) if shown[1] else r".+?"
    pattern += re.escape(template[at:])
    bare = pattern[:-2] if pattern.endswith(r"\.") or pattern.endswith(r"\?") else pattern.removesuffix("!")
    return bool(re.fullmatch(f"{bare}[.?!]?", example.instruction, re.I | re.S))


def check_places(example: Example, card: Card) -> None:
    parameters = {p.name: p for p in card.parameters}
    for name, fill in example.fills.items():
        words = example.instruction[fill.begin : fill.end]
        if fill.kind == "span":
            assert 0 <= fill.begin < fill.end <= len(example.instruction), example
            assert words == words.strip(), example
        if fill.kind == "option":
            assert 0 <= fill.index < len(parameters[name].options), example
        if fill.kind == "earlier":
            assert 0 <= fill.index < len(example.earlier), example


def test_compounds_begin_their_clauses_where_they_say(servers: list[Server]) -> None:
    cards = Expander(servers).cards
    for compound in compounds(servers, 1, seed=5):
        assert compound.starts[0] == 0
        assert list(compound.starts) == sorted(set(compound.starts))
        assert len(compound.starts) == len(compound.calls)
        for n, (start, call) in enumerate(zip(compound.starts, compound.calls, strict=True)):
            end = [*compound.starts, len(compound.text)][n + 1]
            assert call.instruction in compound.text[start:end]
            assert call.earlier == tuple(c.instruction for c in compound.calls[:n])
            check_places(call, cards[call.tool])


def test_the_same_seed_makes_the_same_examples_and_another_seed_others(servers: list[Server]) -> None:
    some = servers[:4]
    assert list(singles(some, 2, 1)) == list(singles(some, 2, 1))
    assert list(singles(some, 2, 1)) != list(singles(some, 2, 2))


LIBRARY = """
server: library
pools:
  members: [Olga Petrov, Sam Okafor, Li Wei]
tools:
- name: lend
  description: Lends a book.
  parameters:
    member: {type: string, description: who, pool: members}
    days: {type: integer, description: how long, optional: true, values: [30]}
    branch: {type: string, description: where, optional: true, enum: [north, centre]}
    express: {type: boolean, description: by express, optional: true}
  requests: []
"""


def a_server(tmp_path: Path, text: str = LIBRARY) -> Server:
    (tmp_path / "house").mkdir()
    (tmp_path / "servers").mkdir()
    (tmp_path / "servers" / "library.yaml").write_text(text)
    (server,) = read_servers(tmp_path)
    return server


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("Lend it to {member}, please", {"member": "span"}),
        ("For {days} days from {branch}", {"days": "span", "branch": "option"}),
        ("At the {branch=north|northern} branch {express=true|by express}", {"branch": "option", "express": "option"}),
        ("Lend {~members} the book of {@lend.member}", {}),
        ("For {member=Olga Petrov|her}", {"member": "span"}),
        ("For {member:members}", {"member": "span"}),
    ],
)
def test_each_kind_of_slot_fills_what_the_format_says(tmp_path: Path, template: str, filled: dict[str, str]) -> None:
    server = a_server(tmp_path)
    expander = Expander([server])
    for _ in range(20):
        example = expander.single(server, "library/lend", template)
        assert example
        assert {n: f.kind for n, f in example.fills.items() if f.kind != "absent"} == filled
        assert matches(template, example)
        assert "{" not in example.instruction


def test_a_clause_refers_to_the_result_of_an_earlier_one(tmp_path: Path) -> None:
    server = a_server(tmp_path)
    clauses = [{"tool": "lend", "text": "Lend to {member}"}, {"tool": "lend", "text": ", then for {days<1.loan|that}."}]
    compound = Expander([server]).compound(server, clauses)
    assert compound
    first, second = compound.calls
    assert compound.text == f"{first.instruction}, then for that."
    assert second.fills["days"] == Fill("earlier", index=0)
    assert (second.instruction, second.before) == ("then for that.", "library/lend")


def test_a_slot_without_values_makes_no_example(tmp_path: Path) -> None:
    server = a_server(tmp_path, yaml.safe_dump({"server": "x", "tools": [{"name": "t", "description": "d"}]}))
    assert Expander([server]).single(server, "x/t", "Do {something}") is None


@pytest.mark.parametrize(
    ("text", "value", "words"),
    [
        ("book 3 rooms", 3, "3"),
        ("pay 1,250 now", 1250, "1,250"),
        ("pay 1250.0", 1250.0, "1250"),
        ("from Oslo to oslo", "Oslo", "Oslo"),
        ("red, green and blue", ["red", "blue"], "red, green and blue"),
        ("room 12", 1, None),
        ("yes", True, None),
        ("nothing", "", None),
        ("a (b) c", "(b)", "(b)"),
        ("x", {"a": 1}, None),
        ("only red", ["red", "blue"], None),
    ],
)
def test_a_gold_value_is_found_in_a_request_as_a_whole_word(text: str, value: Any, words: str | None) -> None:
    place = public.find_value(text, value)
    assert (text[slice(*place)] if place else None) == words


def test_public_sets_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    assert public.labelled_calls(tmp_path, "dev") == ({}, [])
    assert public.sgd(tmp_path, 10) == ({}, [])
    assert public.mcp_catalog(tmp_path, 10) == ({}, [])
    assert public.labelled_tools(tmp_path, "train", 10) == ({}, [])


def test_what_is_asked_for_is_also_asked_to_be_kept(servers: list[Server]) -> None:
    found = list(kept(servers, 1))
    assert len(found) > 100
    for compound in found:
        lookup, write = compound.calls
        assert compound.text[compound.starts[1] :].strip() == write.instruction
        assert (lookup.tool != write.tool, write.tool) == (True, "files/write_file")
        assert write.fills["content"] == Fill("earlier", index=0)
        path = write.fills["path"]
        assert re.fullmatch(r"\w+\.(txt|md)", write.instruction[path.begin : path.end])
