"""The parts of a request that asks for several things: each finds its own tool where the whole finds only one."""

from __future__ import annotations

import re

MOST = 6
"""Parts of a request that are looked for; what comes behind them counts in the whole only."""

_CUT = re.compile(
    r"(?<=[.?!;])\s+|\n+"
    r"|,?\s*\b(?:and then|then|and also|also|additionally|after that|afterwards|finally|furthermore|moreover)\b,?",
    re.I,
)


def parts_of(request: str) -> tuple[str, ...]:
    """The sentences and clauses of a request that have at least three words; none where it is only one."""
    found = [part.strip() for part in _CUT.split(request)]
    found = [part for part in found if len(part.split()) >= 3]
    return tuple(found[:MOST]) if len(found) > 1 else ()
