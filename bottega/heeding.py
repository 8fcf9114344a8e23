"""What past runs say of tools, for whoever searches them: which were looked at, called, and did the work."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from .graphs.ledger import Ledger
    from .retrieval import CoUse, Usage
    from .retrieval.vectors import Vectors

RUNS = 1000
"""The newest runs that are looked at."""
LEAST = 50
"""Ended runs below which none is."""


@runtime_checkable
class Heedful(Protocol):
    """Whoever searches tools and can mind what past runs say of them: the house planner."""

    def heed(self, usage: Usage, together: CoUse) -> None: ...


async def heed(finder: Heedful, ledger: Ledger) -> bool:
    """Lets the runs of a ledger move tools in searches; returns whether there were enough of them.

    Raises `LedgerError`, and `ModelError` where past requests cannot be encoded.
    """
    runs = await ledger.showings(RUNS, least=LEAST)
    showings = [one for _, some in runs for one in some if one.shown]
    if not showings:
        return False
    from .retrieval import CoUse, Usage

    usage = await asyncio.to_thread(Usage, showings, _encoded)
    if not usage.enough:
        return False
    succeeded = [some for status, some in runs if status == "succeeded"]
    finder.heed(usage, CoUse.learn([{tool for one in some for tool in one.succeeded} for some in succeeded]))
    return True


def _encoded(texts: Sequence[str]) -> Vectors:
    """Vectors of past requests, kept from one start to the next."""
    from platformdirs import user_cache_path

    from .models.house.retriever import RetrieverModel
    from .retrieval.vectors import cached

    model = RetrieverModel.open()
    return cached(user_cache_path("bottega") / "requests.npz", list(texts), model.version, model.encode_requests)
