"""A search over tools that always finds something: by a finder, else by the words that tools share with a query."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from ..core.errors import ModelError
from ..tools import Tool
from .planning import Finder
from .readable import spoken, stem


class Search:
    """A `Finder` that stands in where there is none, or one whose model cannot be opened."""

    def __init__(self, finder: Finder | None) -> None:
        self._finder = finder

    async def find_tools(self, query: str, tools: Sequence[Tool], limit: int) -> Sequence[Tool]:
        """At most `limit` of `tools`, the best for `query` first."""
        if self._finder is not None:
            try:
                return await self._finder.find_tools(query, tools, limit)
            except ModelError:
                pass
        return _by_words(query, tools, limit)


def _by_words(query: str, tools: Sequence[Tool], limit: int) -> list[Tool]:
    """The tools that share most with the query, rare words counting more; none that shares nothing."""
    said = [_stems(f"{tool.name} {tool.description}") for tool in tools]
    found_in = Counter(word for words in said for word in words)
    wanted = _stems(query)
    worth = {word: math.log(1 + len(tools) / found_in[word]) for word in wanted if word in found_in}
    scores = [sum(worth.get(word, 0.0) for word in words) / math.sqrt(len(words) or 1) for words in said]
    best = sorted(range(len(tools)), key=lambda i: -scores[i])[:limit]
    return [tools[i] for i in best if scores[i] > 0]


def _stems(text: str) -> set[str]:
    return {stem(word) for word in spoken(text).split()}
