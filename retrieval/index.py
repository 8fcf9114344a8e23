"""`ToolIndex`: finds tools by what they do. Dense vectors of the retriever and BM25, fused by a convex combination."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UsageError
from ..models.house.retriever import RetrieverModel, tool_text
from .lexical import Bm25
from .vectors import Vectors, cached


@dataclass(frozen=True)
class ToolSpec:
    """What is known of a tool without calling it."""

    id: str
    server: str
    name: str
    description: str
    input_schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ToolHit:
    """A tool that was found; `score` is between 0 and 1, comparable within one search only."""

    id: str
    score: float
    tool: ToolSpec


class ToolIndex:
    """An exact index in memory. Vectors are kept on disk by content, so that only changed tools are encoded again."""

    def __init__(
        self,
        tools: Iterable[ToolSpec | Mapping[str, Any]],
        model: RetrieverModel,
        path: Path | None = None,
        at_hand: Mapping[str, Vectors] | None = None,
    ) -> None:
        self.tools = [t if isinstance(t, ToolSpec) else _spec(t) for t in tools]
        self._model = model
        self._path = path
        self._texts = [tool_text(t.name, t.description, t.input_schema, t.server) for t in self.tools]
        self._vectors = cached(path, self._texts, model.version, model.encode_tools, at_hand)
        self._lexical = Bm25(self._texts)

    @classmethod
    def build(
        cls,
        tools: Iterable[ToolSpec | Mapping[str, Any]],
        path: Path | str | None = None,
        model: RetrieverModel | None = None,
    ) -> ToolIndex:
        """Indexes `tools`; `path` is a file that keeps their vectors between runs.

        A mapping has `id` and `name`, and may have `server`, `description` and `input_schema`. Raises `UsageError` for
        one that lacks a name, `ModelError` if the retriever cannot be opened.
        """
        return cls(tools, model or RetrieverModel.open(), Path(path) if path else None)

    def sync(self, tools: Iterable[ToolSpec | Mapping[str, Any]]) -> ToolIndex:
        """An index of these tools; those that this one knows are not encoded again."""
        return ToolIndex(tools, self._model, self._path, dict(zip(self._texts, self._vectors, strict=True)))

    def search(self, query: str, k: int = 10) -> list[ToolHit]:
        """The `k` best tools for a query, best first."""
        return self.search_many([query], k)[0]

    def search_many(self, queries: Sequence[str], k: int = 10) -> list[list[ToolHit]]:
        """`search` for several queries, encoded together."""
        if not self.tools:
            return [[] for _ in queries]
        dense = self._model.encode_requests(queries) @ self._vectors.T
        found = []
        for query, row in zip(queries, dense, strict=True):
            scores = 0.5 * _spread(row) + 0.5 * _spread(self._lexical.scores(query))
            best = np.argsort(-scores, kind="stable")[:k]
            found.append([ToolHit(self.tools[i].id, float(scores[i]), self.tools[i]) for i in best])
        return found


def _spread(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Min-max over all tools: the form in which the two scores are comparable."""
    low, high = float(scores.min()), float(scores.max())
    return (scores - low) / (high - low) if high > low else np.zeros_like(scores)


def _spec(tool: Mapping[str, Any]) -> ToolSpec:
    if not tool.get("id") or not tool.get("name"):
        raise UsageError(f"a tool without id or name: {str(dict(tool))[:200]}", hint="give both as text")
    return ToolSpec(
        tool["id"],
        tool.get("server") or "",
        tool["name"],
        tool.get("description") or "",
        tool.get("input_schema") or {},
    )
