"""`ToolIndex`: finds tools by what they do. Gathers dense and lexical evidence of each; `scoring` fuses it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..models.house.retriever import RetrieverModel
from .fields import DENSE, LEXICAL, dense_texts, lexical_texts
from .lexical import Postings
from .scoring import Evidence, Ints, rank
from .spec import Described, ToolHit, ToolSpec
from .vectors import Vectors, cached


class ToolIndex:
    """An exact index in memory. Vectors are kept on disk by content, so that only changed tools are encoded again."""

    def __init__(
        self,
        tools: Iterable[Described | Mapping[str, Any]],
        model: RetrieverModel,
        path: Path | None = None,
        at_hand: Mapping[str, Vectors] | None = None,
    ) -> None:
        self.tools = [ToolSpec.of(tool) for tool in tools]
        self._place = {tool.id: n for n, tool in enumerate(self.tools)}
        self._model = model
        self._path = path
        self._texts = [text for tool in self.tools for text in dense_texts(tool)]
        self._vectors = cached(path, self._texts, model.version, model.encode_tools, at_hand)
        self._lexical = Postings.of(map(lexical_texts, self.tools), len(LEXICAL))
        self._servers = np.unique([tool.server for tool in self.tools], return_inverse=True)[1].astype(np.int64)

    @classmethod
    def build(
        cls,
        tools: Iterable[Described | Mapping[str, Any]],
        path: Path | str | None = None,
        model: RetrieverModel | None = None,
    ) -> ToolIndex:
        """Indexes `tools`; `path` is a file that keeps their vectors between runs.

        A mapping has `id` and `name`, and may have `server`, `description` and `input_schema`. Raises `UsageError` for
        one that lacks a name, `ModelError` if the retriever cannot be opened.
        """
        return cls(tools, model or RetrieverModel.open(), Path(path) if path else None)

    def sync(self, tools: Iterable[Described | Mapping[str, Any]]) -> ToolIndex:
        """An index of these tools; those that this one knows are not encoded again."""
        return ToolIndex(tools, self._model, self._path, dict(zip(self._texts, self._vectors, strict=True)))

    def search(self, query: str, k: int = 10, within: Collection[str] | None = None) -> list[ToolHit]:
        """The `k` best tools for a query, best first; of those whose ids are `within`, if given."""
        return self.search_many([query], k, within)[0]

    def search_many(
        self, queries: Sequence[str], k: int = 10, within: Collection[str] | None = None
    ) -> list[list[ToolHit]]:
        """`search` for several queries, encoded together."""
        places = self._places(within)
        if not len(places):
            return [[] for _ in queries]
        found = []
        for query, vector in zip(queries, self._model.encode_requests(queries), strict=True):
            evidence = self._evidence(query, vector, places)
            best, scores = rank(evidence, k)
            chosen = [self.tools[place] for place in places[best]]
            found.append([ToolHit(tool.id, float(s), tool) for tool, s in zip(chosen, scores, strict=True)])
        return found

    def _places(self, within: Collection[str] | None) -> Ints:
        if within is None:
            return np.arange(len(self.tools))
        return np.array(sorted({self._place[id] for id in within if id in self._place}), np.int64)

    def _evidence(self, query: str, vector: Vectors, places: Ints) -> Evidence:
        dense = (self._vectors @ vector).reshape(-1, len(DENSE)).T
        lexical, coverage = self._lexical.scores(query), self._lexical.coverage(query)
        if len(places) < len(self.tools):
            dense, lexical, coverage = dense[:, places], lexical[:, places], coverage[places]
        return Evidence(query, dense, lexical, coverage, self._servers[places])
