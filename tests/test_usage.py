"""What past runs say of tools: learned without the bias of what was called, silent while little is known."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bottega import Bottega
from bottega.agents.plan import Plan, Step
from bottega.agents.planners.house import HousePlanner
from bottega.retrieval import CoUse, Showing, ToolIndex, Usage, search_request
from bottega.tools import Tool, ToolAnnotations, ToolContext, ToolResult

TOOLS, SHOWN = 40, 8


def by_words(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors in which texts are near that share words."""
    vectors = np.zeros((len(texts), 256), np.float32)
    for row, text in zip(vectors, texts, strict=True):
        for word in text.split():
            row[zlib.crc32(word.encode()) % 256] += 1
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def log(showings: int, seed: int) -> tuple[list[str], NDArray[np.float64], list[Showing]]:
    """Ids, the true worth of each tool, and showings in which callers prefer what stands first and, mostly, what works:
    the calls are no fair sample of what was shown."""
    draw = np.random.default_rng(seed)
    worth = draw.normal(0, 1.2, TOOLS)
    appeal = 0.8 * worth + draw.normal(0, 0.6, TOOLS)
    ids = [f"server/tool{n}" for n in range(TOOLS)]
    found = []
    for n in range(showings):
        some = draw.choice(TOOLS, SHOWN, replace=False)
        liked = appeal[some] - 1.5 - 0.8 * np.log1p(np.arange(SHOWN))
        called = some[draw.random(SHOWN) < 1 / (1 + np.exp(-liked))]
        worked = called[draw.random(len(called)) < 1 / (1 + np.exp(-worth[called] - 0.3))]
        names = [frozenset(ids[t] for t in part) for part in (called, worked)]
        found.append(Showing(f"request {n}", tuple(ids[t] for t in some), *names))
    return ids, worth, found


def tau(one: Sequence[float], other: Sequence[float]) -> float:
    """Kendall's rank correlation."""
    a, b = np.asarray(one), np.asarray(other)
    i, j = np.triu_indices(len(a), 1)
    return float((np.sign(a[i] - a[j]) * np.sign(b[i] - b[j])).mean())


def learned_from_calls_alone(ids: Sequence[str], showings: Sequence[Showing]) -> list[float]:
    """The share of each tool's calls that succeeded, with the same prior as the usage has."""
    calls = {id: sum(id in one.called for one in showings) for id in ids}
    good = {id: sum(id in one.succeeded for one in showings) for id in ids}
    share = sum(good.values()) / sum(calls.values())
    return [(good[id] + 4 * share) / (calls[id] + 4) for id in ids]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_success_is_ranked_better_than_from_the_called_tools_alone(seed: int) -> None:
    ids, worth, showings = log(300, seed)
    usage = Usage(showings, by_words)
    ours = tau([usage.succeeded(id) for id in ids], worth.tolist())
    theirs = tau(learned_from_calls_alone(ids, showings), worth.tolist())
    assert ours > theirs + 0.05


def test_what_stands_first_is_not_better_for_being_called_more() -> None:
    # Two tools that are called alike at the same place; one of them is always shown first.
    draw = np.random.default_rng(0)
    showings = []
    for n in range(600):
        chance = draw.random(4) < [0.6, 0.3, 0.3, 0.3]
        shown = ("a/first", *draw.permutation(["a/second", "a/third", "a/fourth"]))
        called = frozenset(id for id, taken in zip(shown, chance, strict=True) if taken)
        showings.append(Showing(f"request {n}", shown, called, called))
    moved = [
        Showing(s.request, ("a/fifth", "a/first", *s.shown[2:]), frozenset(s.called - {"a/first"}), frozenset())
        for s in showings[:300]
    ]
    usage = Usage([*showings, *moved], by_words)
    raw = sum("a/first" in s.called for s in showings) / sum("a/second" in s.called for s in showings)
    assert usage.called("a/first") / usage.called("a/second") < raw


def test_nothing_is_said_while_little_is_known() -> None:
    _, _, showings = log(199, 0)
    assert Usage(showings, by_words).bonus("request 3") == {}
    never_called = [Showing(one.request, one.shown) for one in log(400, 0)[2]]
    assert Usage(never_called, by_words).bonus("request 3") == {}


def test_a_tool_that_was_hardly_shown_is_hardly_moved() -> None:
    _, _, showings = log(300, 0)
    rare = Showing("request 300", ("server/new", *showings[0].shown[1:]), frozenset(["server/new"]), frozenset())
    bonus = Usage([*showings, rare], by_words).bonus("another thing")
    assert abs(bonus["server/new"]) < 0.5
    assert max(abs(value) for value in bonus.values()) <= 2.0


def test_what_did_well_for_like_requests_gains_for_them() -> None:
    mail, post = ("mail/send", "post/send"), ("post/send", "mail/send")
    showings = [
        Showing(f"send an email to person {n}", mail, frozenset(["mail/send"]), frozenset(["mail/send"]))
        for n in range(150)
    ] + [
        Showing(f"put a parcel for house {n}", post, frozenset(["post/send"]), frozenset(["post/send"]))
        for n in range(150)
    ]
    usage = Usage(showings, by_words)
    asked, other = usage.bonus("send an email to somebody"), usage.bonus("put a parcel for somebody")
    assert asked["mail/send"] > asked["post/send"]
    assert other["post/send"] > other["mail/send"]


def test_tools_called_in_the_same_runs_strengthen_each_other_and_others_do_not() -> None:
    runs = [{"a/find", "a/book"}] * 20 + [{"a/find"}] * 5 + [{"b/count"}] * 25
    together = CoUse.learn(runs)
    assert together.of("a/book")["a/find"] > 0.3
    assert "b/count" not in together.of("a/book")
    assert CoUse.learn([{"a/find", "a/book"}]).of("a/find") == {}


@pytest.fixture(scope="module")
def index() -> ToolIndex:
    described = {
        "weather/forecast": "The weather of the next days in a city.",
        "weather/warning": "Storm and flood warnings for a region.",
        "mail/send": "Send an email to an address.",
        "mail/search": "Search the mailbox for messages.",
        "bank/balance": "The balance of an account.",
        "bank/transfer": "Transfer money to another account.",
        "trains/timetable": "Departures of trains from a station.",
        "shop/order": "Order an article from the shop.",
    }
    tools = [
        {"id": id, "server": id.partition("/")[0], "name": id.partition("/")[2], "description": text}
        for id, text in described.items()
    ]
    return ToolIndex.build(tools)


REQUEST = "Tell me the balance of my account and send an email to Ada"
PARTS = ["Tell me the balance of my account", "send an email to Ada"]


def test_each_part_of_a_request_has_its_tool_among_the_first(index: ToolIndex) -> None:
    found = search_request(index, REQUEST, PARTS, k=2)
    assert {hit.id for hit in found} == {"bank/balance", "mail/send"}


def test_without_parts_and_past_runs_it_is_the_search_of_the_index(index: ToolIndex) -> None:
    asked = "how warm will it be tomorrow in Rome"
    assert search_request(index, asked, [asked], k=3, bonus={}) == index.search(asked, 3)


def test_past_runs_move_tools_and_bring_their_company(index: ToolIndex) -> None:
    plain = [hit.id for hit in search_request(index, "transfer 20 euros", k=4)]
    assert plain[0] == "bank/transfer"
    moved = search_request(index, "transfer 20 euros", k=8, bonus={plain[1]: -2.0, plain[2]: 2.0})
    assert [hit.id for hit in moved].index(plain[2]) < [hit.id for hit in moved].index(plain[1])
    other = next(id for id in ("trains/timetable", "shop/order", "weather/warning") if id not in plain)
    together = CoUse.learn([{"bank/transfer", other}] * 20 + [set(plain[1:])] * 40)
    assert other in [hit.id for hit in search_request(index, "transfer 20 euros", k=4, together=together)]


def test_a_planner_that_heeds_past_runs_finds_what_did_the_work() -> None:
    async def call(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        return ToolResult("")

    tools = [
        Tool("send", f"Send a message by {way}.", {}, call, server=way) for way in ("mail", "post", "pigeon", "radio")
    ]
    planner = HousePlanner()
    first, second = (t.id for t in asyncio.run(planner.find_tools("send a message", tools, 2)))
    ids = (first, *(t.id for t in tools if t.id != first))
    past = [Showing(f"send a message to {n}", ids, frozenset([second]), frozenset([second])) for n in range(250)]
    planner.heed(Usage(past, by_words), CoUse())
    assert asyncio.run(planner.find_tools("send a message", tools, 1))[0].id == second


def test_a_workshop_minds_what_came_of_the_tools_of_its_past_runs(tmp_path: Any) -> None:
    """Two tools for the same thing, of which one has failed ever since: after enough runs the other comes first."""

    def made(name: str, works: bool) -> Tool:
        async def call(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
            return ToolResult("done", is_error=not works)

        schema = {"type": "object", "properties": {}}
        reads = ToolAnnotations(read_only=True, destructive=False, open_world=False)
        return Tool(name, "Rings the bell of the tower.", schema, call, annotations=reads, server="tower")

    tools = (made("ring", False), made("chime", True))
    ids = ("tower/ring", "tower/chime")

    async def work() -> tuple[str, str]:
        async with Bottega(tmp_path, servers={}, tools=tools) as first:
            (before, *_) = await first.find_tools("ring the bell")
            for _ in range(60):
                steps = [
                    Step(id=f"s{n}", instruction="ring the bell", tool=ids[n % 2], arguments={}, shown=ids)
                    for n in range(4)
                ]
                await first.arun("ring the bell", Plan(request="ring the bell", steps=steps))
        async with Bottega(tmp_path, servers={}, tools=tools) as again:
            await again.plan("ring the bell")
            (after, *_) = await again.find_tools("ring the bell")
        return before.id, after.id

    assert asyncio.run(work()) == ("tower/ring", "tower/chime")
