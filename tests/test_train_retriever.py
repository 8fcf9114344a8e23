"""`bottega train retriever`: what it learns from, what it holds out, what it keeps, and who uses that."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from scripted import ScriptedBottega

from bottega import Bottega
from bottega.cli.doctor import _folder
from bottega.cli.group import run
from bottega.core.errors import ModelError, UsageError
from bottega.keeping import models_folder, own_retriever
from bottega.models.adapters import Adapter
from bottega.models.cards import Card
from bottega.models.house.retriever import PATH, RetrieverModel
from bottega.models.registry import list_models, register
from bottega.models.training.corpus import house_cards, read_servers, singles
from bottega.models.training.own_pairs import (
    ENOUGH_TOOLS,
    FEWEST,
    Asked,
    digest,
    own_sources,
    round_trip,
    split,
    usable,
)
from bottega.models.training.retriever_pairs import Pair, Shown
from bottega.models.training.writing import HOPELESS, write_requests
from bottega.retraining.material import logged, read_requests, read_tools
from bottega.retraining.trial import Figures, Verdict
from bottega.retrieval import ToolIndex, ToolSpec
from bottega.settings import Settings
from bottega.testing import ScriptedModel
from bottega.tools import Workspace

TOOLS = [
    {
        "id": f"post/{name}",
        "server": "post",
        "name": name,
        "description": description,
        "input_schema": {"type": "object", "properties": {"to": {"type": "string", "description": "whom"}}},
    }
    for name, description in {
        "send_letter": "Sends a letter to a person by mail.",
        "track_parcel": "Tells where a parcel is right now.",
        "stop_delivery": "Stops what is on its way to an address.",
    }.items()
]


def asked(count: int, tools: int) -> list[Asked]:
    return [Asked(f"please do number {n} for me", (f"s/t{n % tools}",)) for n in range(count)]


def test_the_same_request_counts_once_with_all_tools_that_did_it() -> None:
    log = [
        Asked("Where is my parcel?", ("post/track_parcel",)),
        Asked("where is  my parcel", ("post/find", "gone/tool")),
        Asked("parcel", ("post/find",)),
        Asked("Burn it all", ("gone/tool",)),
    ]
    assert usable(log, {"post/track_parcel", "post/find"}) == [
        Asked("Where is my parcel?", ("post/track_parcel", "post/find"))
    ]


def test_what_is_held_out_is_not_learned_and_stays_out_as_the_log_grows() -> None:
    small, large = split(asked(100, 5)), split(asked(400, 5))
    for part in (small, large):
        learned, held = {a.request for a in part.learned}, {a.request for a in part.held}
        assert not learned & held
        assert len(held) >= FEWEST
        assert not part.new
    assert len(large.held) == 80
    grown = {a.request for a in large.learned} & {a.request for a in small.held}
    assert len(grown) <= 0.25 * len(small.held)


def test_of_many_tools_some_are_held_out_with_all_their_requests() -> None:
    tools = 2 * ENOUGH_TOOLS
    taught = {f"s/t{n}" for n in range(10)}
    part = split(asked(10 * tools, tools), taught)
    assert len(part.new) == round(0.1 * (tools - 10))
    assert not part.new & taught
    assert all(not part.new & set(a.tools) for a in part.learned)
    assert {id for a in part.held for id in a.tools} >= part.new
    sources = own_sources_without_corpus([t for t in TOOLS if t["id"] != "post/send_letter"])
    assert all(t.id != "post/send_letter" for pairs in sources.values() for pair in pairs for t in pair.tools)


def own_sources_without_corpus(tools: Sequence[Any], log: Sequence[Asked] = ()) -> dict[str, list[Pair]]:
    with pytest.MonkeyPatch.context() as patch:  # expanding the corpus takes half a minute
        patch.setattr("bottega.models.training.own_pairs.corpus_pairs", lambda r, seed: {})
        return own_sources(tools, log, [], seed=1)


def test_a_catalog_alone_gives_pairs_and_the_same_ones_each_time() -> None:
    log = [Asked("Where is my parcel?", ("post/track_parcel",))]
    sources = own_sources_without_corpus(TOOLS, log)
    assert sources["log"] == [Pair("Where is my parcel?", (Shown.of(TOOLS[1]),))]
    assert len(sources["grammar"]) == 2 * len(TOOLS)
    assert {pair.tools[0].id for pair in sources["grammar"]} == {tool["id"] for tool in TOOLS}
    assert digest(sources, 1) == digest(own_sources_without_corpus(TOOLS, log), 1)
    assert digest(sources, 1) != digest(sources, 2)
    assert digest(sources, 1) != digest(own_sources_without_corpus(TOOLS), 1)


def test_a_log_has_what_was_called_and_succeeded_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("lamp lamp")
    with ScriptedBottega(tmp_path, servers={}) as bottega:
        for request in ("count", "fail", "count and fail", "count and write", "cannot"):  # nobody permits to write
            bottega.run(request)
        log = asyncio.run(logged(bottega._kept()))
    counts = next(one.tools for one in log)
    assert {one.request for one in log} == {"count lamps", "count"}
    assert all(one.tools == counts and one.tools[0].endswith("count") for one in log)


def test_requests_of_a_file_may_name_tools_by_short_names(tmp_path: Path) -> None:
    tools = [ToolSpec.of(tool) for tool in TOOLS]
    file = tmp_path / "asked.jsonl"
    rows = [
        {"request": "Write to Ada", "tools": ["send_letter", "post/track_parcel"]},
        {"request": "x y", "tools": ["q"]},
    ]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    found, problems = read_requests(file, tools)
    assert found == [Asked("Write to Ada", ("post/send_letter", "post/track_parcel"))]
    assert problems == ["line 2: there is no tool 'q'"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "broken JSON"),
        ("[]", "no request"),
        ('{"request": "a"}', "no tools"),
        ('{"request": "a", "tools": [1]}', "no tools"),
    ],
)
def test_requests_of_another_form_are_one_line_with_the_place(line: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "asked.jsonl"
    file.write_text('{"request": "Write to Ada", "tools": ["send_letter"]}\n' + line)
    with pytest.raises(UsageError, match=f"asked.jsonl:2: .*{says}"):
        read_requests(file, [ToolSpec.of(tool) for tool in TOOLS])


def test_tools_of_a_listing_become_tools_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "shop.json"
    file.write_text(
        json.dumps({"tools": [{"name": "sell", "description": "Sells.", "inputSchema": {"type": "object"}}]})
    )
    tools, problems = read_tools(file)
    assert (tools, problems) == ([ToolSpec("shop/sell", "shop", "sell", "Sells.", {"type": "object"})], [])


def test_requests_with_a_wrong_tool_do_not_pass_the_round_trip() -> None:
    held = [server for server in read_servers() if server.held_out]
    cards = {**house_cards(), **{id: card for server in held for id, card in server.cards.items()}}
    tools = [
        ToolSpec(id, id.split("/")[0], c.name, c.description, {"properties": {p.name: {} for p in c.parameters}})
        for id, c in cards.items()
    ]
    r = random.Random(5)
    good = [Asked(e.instruction, (e.tool,)) for e in r.sample(list(singles(held, 1, 7)), 60)]
    wrong = [Asked(one.request, (r.choice([id for id in cards if id not in one.tools]),)) for one in good[:12]]
    index = ToolIndex.build(tools, None, RetrieverModel.open())

    def search(requests: Sequence[str], first: int) -> list[list[str]]:
        return [[hit.id for hit in hits] for hits in index.search_many(requests, first)]

    kept = round_trip([*wrong, *good[12:]], search, len(tools))
    assert len(set(kept) & set(wrong)) <= 0.2 * len(wrong)
    assert len(set(kept) & set(good[12:])) >= 0.8 * len(good[12:])


def written(model: ScriptedModel, kept: Path, tools: Sequence[Any] = TOOLS) -> Any:
    shots = [("Where is it? token=abcdef123456", TOOLS[1])]
    return asyncio.run(write_requests(tools, shots, model, kept, lambda done, total: None))


def test_a_language_model_writes_requests_and_is_asked_once_for_each_tool(tmp_path: Path) -> None:
    replies = ['["Write to Ada.", "Mail this"]', 'Sure:\n["Where is it?"]', '["Stop it"]']
    model = ScriptedModel(replies)
    found = written(model, tmp_path / "written.jsonl")
    assert [one.tools[0] for one in found.asked] == ["post/send_letter"] * 2 + [
        "post/track_parcel",
        "post/stop_delivery",
    ]
    assert (found.failed, found.usage.model_calls) == (0, 3)
    asked = model.requests[0].messages[-1].content
    assert "<tool>send letter [post]: Sends a letter" in asked
    assert "abcdef123456" not in asked
    again = written(ScriptedModel([]), tmp_path / "written.jsonl")
    assert again.asked == found.asked
    changed = [{**TOOLS[0], "description": "Sends a card."}, *TOOLS[1:]]
    assert (
        written(ScriptedModel(['["Card for Bo"]']), tmp_path / "written.jsonl", changed).asked[0].request
        == "Card for Bo"
    )


def test_a_tool_for_which_the_model_writes_nonsense_is_left_out(tmp_path: Path) -> None:
    found = written(ScriptedModel(['["Write to Ada."]', "I would rather not.", "[1, 2"]), tmp_path / "written.jsonl")
    assert (len(found.asked), found.failed) == (1, 2)
    assert "no list of requests" in str(found.error)


def test_a_model_that_never_answers_is_given_up_soon(tmp_path: Path) -> None:
    model = ScriptedModel(lambda request: ModelError("no such model"))
    many = [{**TOOLS[0], "id": f"post/{n}", "name": f"n{n}"} for n in range(40)]
    with pytest.raises(ModelError, match="no such model"):
        written(model, tmp_path / "written.jsonl", many)
    assert len(model.requests) <= HOPELESS + 8
    with pytest.raises(ModelError, match="no such model"):
        written(model, tmp_path / "written.jsonl", many[:1])


def figures(*gains: float) -> Figures:
    return Figures(gains, gains, tuple(False for _ in gains))


def test_only_what_finds_no_less_is_kept() -> None:
    house = {"nDCG@10": 60.0}
    assert Verdict(figures(0.5, 0.5), figures(0.5, 0.6), house, {"nDCG@10": 59.5}).worse is None
    less = Verdict(figures(0.5, 0.5), figures(0.5, 0.4), house, house)
    assert "your own" in str(less.worse)
    assert "forgotten" in str(Verdict(figures(0.5), figures(0.9), house, {"nDCG@10": 57.0}).worse)
    assert "nothing of your own" in str(Verdict(figures(), figures(), house, house).worse)
    low, high = less.interval()
    assert low <= -5.0 <= high


def keep(folder: Path, adapter: Adapter) -> Path:
    """Registers an adapter as the retriever of a folder."""
    card = Card(
        name="retriever", task="requests to tools", metric="nDCG@10", figure=1.0, command="bottega train retriever"
    )
    models = models_folder(Workspace.at(folder))
    assert models is not None
    return register(adapter, card, models, in_place=True).weights


def other() -> Adapter:
    """The house's retriever under another version."""
    house = Adapter.load(PATH)
    return Adapter(house.name, house.lora, house.heads, {**house.settings, "version": "retriever-own"})


def test_tools_of_a_folder_are_searched_by_its_own_retriever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = keep(tmp_path, other())
    opened, real = [], RetrieverModel.open

    def spy(path: Path = PATH) -> RetrieverModel:
        opened.append(path)
        return real(path)

    monkeypatch.setattr(RetrieverModel, "open", spy)
    assert own_retriever(Workspace.at(tmp_path)) == (file, None)

    async def find(folder: Path) -> str:
        async with Bottega(folder, servers={}) as bottega:
            return (await bottega.find_tools("copy a file", 1))[0].id

    assert asyncio.run(find(tmp_path)) == "files/copy_file"
    assert opened == [file]
    (tmp_path / "elsewhere").mkdir()
    asyncio.run(find(tmp_path / "elsewhere"))
    assert opened == [file, PATH]


def test_the_newest_retriever_counts_and_a_damaged_one_gives_way_to_the_houses(tmp_path: Path) -> None:
    keep(tmp_path, other())
    newest = keep(tmp_path, other())
    workspace = Workspace.at(tmp_path)
    assert own_retriever(workspace) == (newest, None)
    assert newest.parent.name == "2"
    newest.write_bytes(newest.read_bytes()[:-9])
    path, problem = own_retriever(workspace)
    assert path is None
    assert "damaged" in str(problem)
    assert "bottega train retriever" in str(problem)
    assert [finding.text for finding in _folder(Settings.load(tmp_path)) if finding.name == "retriever"] == [problem]
    (tmp_path / "text.txt").write_text("lamp")
    seen: list[str] = []

    async def stream() -> None:
        async with ScriptedBottega(tmp_path, servers={}, planner="house") as bottega:
            async for event in bottega.stream("count the words in text.txt"):
                if event.type == "notice":
                    seen.append(event.text)

    asyncio.run(stream())
    assert seen == [problem]


def test_a_retriever_with_other_heads_than_the_houses_is_not_used(tmp_path: Path) -> None:
    house = other()
    keep(
        tmp_path,
        Adapter(house.name, house.lora, {**house.heads, "odd": house.lora["0.output.dense.B"]}, house.settings),
    )
    path, problem = own_retriever(Workspace.at(tmp_path))
    assert path is None
    assert "another version of Bottega" in str(problem)


def test_nothing_is_read_or_written_through_a_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("real", "desk"):
        (tmp_path / name).mkdir()
    keep(tmp_path / "real", other())
    (tmp_path / "desk" / ".bottega").symlink_to(tmp_path / "real" / ".bottega")
    assert own_retriever(Workspace.at(tmp_path / "desk")) == (None, None)
    with pytest.MonkeyPatch.context() as patch:
        with_torch(patch)
        assert run(["train", "retriever", "--workspace", str(tmp_path / "desk")]) == 2
    assert "is a link" in capsys.readouterr().err


def test_the_shipped_retriever_stays_listed_beside_a_folders_own(tmp_path: Path) -> None:
    keep(tmp_path, other())
    found = [(e.name, e.shipped) for e in list_models(tmp_path / ".bottega" / "models") if e.name == "retriever"]
    assert found == [("retriever", True), ("retriever", False)]


def with_torch(patch: pytest.MonkeyPatch) -> None:
    """As if torch were installed, for what is refused before it is needed."""
    real = importlib.util.find_spec
    patch.setattr(importlib.util, "find_spec", lambda name, *rest: object() if name == "torch" else real(name, *rest))


def test_without_torch_the_command_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run(["train", "retriever", "--workspace", str(tmp_path)]) == 2
    assert "pip install 'bottega[train]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_too_few_requests_are_told_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "asked.jsonl").write_text('{"request": "Copy it twice", "tools": ["files/copy_file", "nonesuch"]}')
    with_torch(monkeypatch)
    given = ["--workspace", str(tmp_path), "--requests", str(tmp_path / "asked.jsonl")]
    assert run(["train", "retriever", *given]) == 2
    err = capsys.readouterr().err
    assert "left out: line 1: there is no tool 'nonesuch'" in err
    assert "only 0 requests are known here, and 20 are needed" in err
    assert run(["train", "retriever", *given, "--write", "3"]) == 2
    assert "there is no language model to write requests" in capsys.readouterr().err
