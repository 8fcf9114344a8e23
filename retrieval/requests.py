"""The tools for a whole request at once: one search a part, so that what each part needs is among the first.

A part alone has often lost what it is about (`change the content to ...`), so each leans on the request as a whole; the
lists of the parts are then dealt in turn. What past runs say comes on top where it is given: `usage.Usage.bonus` moves
single tools, `usage.CoUse` brings along what was called beside them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from .spec import ToolHit
from .usage import CoUse

LEAN = 0.6
"""How much of a tool's score for a part is its score for the whole request."""

DEEP = 50
"""Tools that are looked at for the whole request and for each part."""

MOST_PARTS = 8
"""Parts that are searched for; of a longer request the first ones."""

WEIGHT = 0.1
"""What one unit of log-odds from past runs adds to a score."""

BESIDE, LEAST = 4, 0.3
"""One place in so many, the last ones, is for tools called beside the others, from this strength on."""


class Searchable(Protocol):
    """What is searched: a `ToolIndex`."""

    def search_many(
        self, queries: Sequence[str], k: int = 10, within: Collection[str] | None = None
    ) -> list[list[ToolHit]]: ...


def search_request(
    index: Searchable,
    request: str,
    parts: Sequence[str] = (),
    k: int = 10,
    within: Collection[str] | None = None,
    bonus: Mapping[str, float] | None = None,
    together: CoUse | None = None,
) -> list[ToolHit]:
    """The `k` best tools for a request that is made up of `parts`; the best of each part before the second of any.

    With no or one part, no `bonus` and nothing `together` it is `index.search(request, k)`. `bonus` are log-odds by
    tool. Scores are 0..1, and need not fall from one hit to the next. Raises what the index raises.
    """
    parts = list(dict.fromkeys(part for part in parts if part.strip()))[:MOST_PARTS]
    parts = parts if len(parts) > 1 else []
    whole, *found = index.search_many([request, *parts], max(k, DEEP), within)
    lists = [_leaning(whole, hits) for hits in found] or [whole]
    if bonus:
        lists = [_best_first([_moved(hit, bonus) for hit in hits]) for hits in lists]
    dealt = list(_dealt(lists))
    return _with_company(dealt, k, together) if together else dealt[:k]


def _leaning(whole: Sequence[ToolHit], part: Sequence[ToolHit]) -> list[ToolHit]:
    """The tools of either list by the mean of both scores; one that is in only one of them counts 0 in the other."""
    scores = {hit.id: (1 - LEAN) * hit.score for hit in part}
    hits = {hit.id: hit for hit in (*whole, *part)}
    for hit in whole:
        scores[hit.id] = scores.get(hit.id, 0.0) + LEAN * hit.score
    return _best_first([replace(hits[id], score=score) for id, score in scores.items()])


def _moved(hit: ToolHit, bonus: Mapping[str, float]) -> ToolHit:
    return replace(hit, score=min(1.0, max(0.0, hit.score + WEIGHT * bonus.get(hit.id, 0.0))))


def _best_first(hits: Sequence[ToolHit]) -> list[ToolHit]:
    return sorted(hits, key=lambda hit: -hit.score)


def _dealt(lists: Sequence[Sequence[ToolHit]]) -> Iterator[ToolHit]:
    """The first of each list, then the second of each, and so on; each tool once, with its best score."""
    best: dict[str, ToolHit] = {}
    for hits in lists:
        for hit in hits:
            if hit.id not in best or hit.score > best[hit.id].score:
                best[hit.id] = hit
    for rank in range(max(map(len, lists), default=0)):
        for hits in lists:
            if rank < len(hits) and hits[rank].id in best:
                yield best.pop(hits[rank].id)


def _with_company(dealt: Sequence[ToolHit], k: int, together: CoUse) -> list[ToolHit]:
    """The first `k`, the last of them in favour of tools found further down that were called beside the first ones."""
    kept, further = list(dealt[:k]), {hit.id: hit for hit in dealt[k:]}
    strengths: dict[str, float] = {}
    for hit in kept[: max(1, k // 2)]:
        for id, strength in together.of(hit.id).items():
            if id in further and strength >= LEAST:
                strengths[id] = max(strength, strengths.get(id, 0.0))
    company = [further[id] for id in sorted(strengths, key=lambda id: -strengths[id])[: k // BESIDE]]
    return [*kept[: k - len(company)], *company]
