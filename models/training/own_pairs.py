"""What the retriever of a folder learns from: requests that were made there, and what its own catalog says of itself.

No torch here: what is learned, held out and filtered is decided before anything is trained.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..house.slots import Card
from .request_grammar import TERMS, ask_for
from .retriever_pairs import Pair, Shown, corpus_pairs, self_pairs

Described = Mapping[str, Any]
"""A tool: `id`, `server`, `name`, `description`, `input_schema`."""
Search = Callable[[Sequence[str], int], Sequence[Sequence[str]]]
"""The ids of the best so many tools for each of some requests, best first."""

SHARE, FEWEST = 0.2, 10
"""How many requests are held out: this share of them, and not fewer than this."""
TOOLS_SHARE, ENOUGH_TOOLS = 0.1, 20
"""How many tools are held out with all their requests, once requests ask for so many different ones."""
FIRST, MOST_FIRST = 0.1, 30
"""Among how many a request has to find its tool again: the first tenth of the catalog, and not more than this."""
LEAST_WORDS = 2
"""A request of fewer words teaches nothing."""


@dataclass(frozen=True)
class Asked:
    """A request, and the ids of the tools that did it."""

    request: str
    tools: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """What is learned from, and what is measured on and never learned from."""

    learned: list[Asked]
    held: list[Asked]
    new: frozenset[str]
    """Tools of which no request is learned, nor anything that their descriptions say."""


def usable(asked: Iterable[Asked], known: Collection[str]) -> list[Asked]:
    """Each request once, with all tools that ever did it and are still known; those that are too short are dropped."""
    found: dict[str, tuple[str, dict[str, None]]] = {}
    for one in asked:
        tools = [id for id in one.tools if id in known]
        if tools and len(one.request.split()) >= LEAST_WORDS:
            found.setdefault(_plain(one.request), (one.request.strip(), {}))[1].update(dict.fromkeys(tools))
    return [Asked(request, tuple(tools)) for request, tools in found.values()]


def split(asked: Sequence[Asked], taught: Collection[str] = (), seed: int = 0) -> Split:
    """Holds requests out, and where they ask for many tools, some tools with all of their requests.

    Tools that are `taught` elsewhere are not. What is held out hangs on the words of a request and on the seed: as a
    log grows it stays nearly the same, so that hardly anything is measured on that an earlier retriever has learned.
    """
    tools = sorted({id for one in asked for id in one.tools} - {*taught}, key=lambda id: _rank(id, seed))
    new = frozenset(tools[: round(TOOLS_SHARE * len(tools))]) if len(tools) >= ENOUGH_TOOLS else frozenset()
    aside = [one for one in asked if new & set(one.tools)]
    rest = sorted((one for one in asked if not new & set(one.tools)), key=lambda one: _rank(_plain(one.request), seed))
    count = min(len(rest) // 2, max(FEWEST, round(SHARE * len(rest))))
    return Split(rest[count:], [*rest[:count], *aside], new)


def round_trip(asked: Sequence[Asked], search: Search, size: int) -> list[Asked]:
    """Those requests that find one of their tools again among the first few of `size` (Promptagator's filter)."""
    first = max(1, min(MOST_FIRST, round(FIRST * size)))
    found = search([one.request for one in asked], first) if asked else []
    return [one for one, ids in zip(asked, found, strict=True) if set(one.tools) & set(ids)]


def own_sources(
    tools: Sequence[Described], log: Sequence[Asked], written: Sequence[Asked], seed: int = 0
) -> dict[str, list[Pair]]:
    """Pairs by source: the log, what was written, what tools say of themselves, requests by grammar, and the corpus.

    The corpus is what the house's retriever learned from, so that it is not forgotten.
    """
    r = random.Random(seed)
    shown = {tool["id"]: Shown.of(tool) for tool in tools}
    told = [tool for tool in tools if len(tool["description"]) > 20]
    sources = {
        "log": [_pair(one, shown) for one in log],
        "written": [_pair(one, shown) for one in written],
        "said": self_pairs(told, r),
        "grammar": [Pair(_by_grammar(tool, r), (shown[tool["id"]],)) for tool in tools for _ in range(2)],
        **corpus_pairs(r, seed),
    }
    return {name: pairs for name, pairs in sources.items() if pairs}


def digest(sources: Mapping[str, Sequence[Pair]], *more: object) -> str:
    """Names what a training learns from: other pairs, another digest."""
    found = hashlib.blake2b(repr(more).encode(), digest_size=6)
    for name, pairs in sources.items():
        found.update(name.encode())
        for pair in pairs:
            found.update("\0".join([pair.request, *(tool.id for tool in pair.tools)]).encode("utf-8", "replace"))
    return found.hexdigest()


def _pair(one: Asked, shown: Mapping[str, Shown]) -> Pair:
    return Pair(one.request, tuple(shown[id] for id in one.tools))


def _by_grammar(tool: Described, r: random.Random) -> str:
    schema = tool.get("input_schema")
    card = Card.of(tool["name"], tool["description"], schema if isinstance(schema, Mapping) else {})
    return ask_for(tool["id"], card, r, TERMS).instruction


def _plain(request: str) -> str:
    return " ".join(request.lower().split()).strip(" .?!")


def _rank(text: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}\0{text}".encode("utf-8", "replace"), digest_size=8).digest()
