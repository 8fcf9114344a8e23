"""Finds tools for `find_tools`, in an index that follows the catalog while searches go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import BottegaError, ToolIndexError
from ...tools import Tool

if TYPE_CHECKING:
    from ...retrieval import ToolHit, ToolIndex
    from ...retrieval.encoding import Encoding


class Finder:
    """The index of a catalog's tools. Opened at the first search; brought up to date before one where tools changed."""

    def __init__(
        self, tools: Callable[[], Sequence[Tool]], path: Path | None, retriever: Callable[[], Encoding] | None
    ) -> None:
        """`tools` are those that there are now; `path` is the folder that keeps the index between runs.

        `retriever` opens what encodes; it is the house's where it is None.
        """
        self._tools = tools
        self._retriever = retriever
        self._path = path
        self._index: ToolIndex | None = None
        self._stale = True
        self._working = asyncio.Lock()

    def changed(self) -> None:
        """Notes that there are other tools now."""
        self._stale = True

    async def find(self, query: str, count: int, within: Collection[str] | None) -> list[ToolHit]:
        """The best `count` tools for a query, best first; of those whose ids are `within`, if given.

        Raises `ModelError` where the retriever cannot be opened.
        """
        async with self._working:
            if self._stale:
                self._stale = False
                tools = self._tools()
                try:
                    self._index = await asyncio.to_thread(self._indexed, tools)
                except BaseException:
                    self._stale = True
                    raise
            index = self._index
            assert index is not None
            return await asyncio.to_thread(_search, index, query, count, within)

    async def warm(self) -> None:
        """Opens the index and the retriever, so that the first search does not wait for them."""
        with suppress(BottegaError):  # the search will tell
            await self.find("a tool", 1, None)

    def _indexed(self, tools: Sequence[Tool]) -> ToolIndex:
        from ...retrieval import ToolIndex

        if self._index is not None:
            return self._index.sync(tools)
        encoding = self._retriever() if self._retriever else None
        if self._path is not None:
            with suppress(ToolIndexError):  # there is none yet, or one of another retriever
                return ToolIndex.open(self._path, encoding).sync(tools)
        return ToolIndex.build(tools, self._path, encoding)


def _search(index: ToolIndex, query: str, count: int, within: Collection[str] | None) -> list[ToolHit]:
    """Of a query that asks for several things, tools for each."""
    from ...retrieval.parts import parts_of
    from ...retrieval.requests import search_request

    return search_request(index, query, parts_of(query), count, within)
