"""Which tool a name means: ids stay distinct, a short name does where one tool has it, and a slip gets suggestions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import Protocol, TypeVar

from ...core.errors import UsageError


class Named(Protocol):
    """Anything with a name and an id, `server/name`."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)

SHOWN = 5
"""Ids that an error names."""
_LOOKED_AT = 50


def named(name: str, tools: Iterable[T]) -> T:
    """The tool with the id `name`, or else the only one with that name. Raises `UsageError`, naming candidates."""
    known = list(tools)
    found = [tool for tool in known if name == tool.id] or [tool for tool in known if name == tool.name]
    if len(found) == 1:
        return found[0]
    if found:
        ids = [tool.id for tool in found]
        more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
        raise UsageError(f"{len(ids)} tools are called {name!r}", hint=f"name one of {', '.join(ids[:SHOWN])}{more}")
    guesses = near(name, [tool.id for tool in known])
    hint = f"did you mean {' or '.join(guesses)}?" if guesses else "bottega tools list shows all there are"
    raise UsageError(f"there is no tool {name!r}", hint=hint)


def near(name: str, ids: Sequence[str], count: int = 3) -> list[str]:
    """The ids that look most like `name`, which may be an id or a short name: at most `count`, perhaps none.

    Those that share most pairs of letters are looked at closely; comparing with all takes seconds where there are
    20,000.
    """
    whole = "/" in name
    wanted = _pairs(name)
    shared: Counter[int] = Counter()
    for at, id in enumerate(ids):
        common = len(wanted & _pairs(id if whole else id.rpartition("/")[2]))
        if common:
            shared[at] = common
    matcher = SequenceMatcher(b=name.lower())
    found = []
    for at, _ in shared.most_common(_LOOKED_AT):
        matcher.set_seq1((ids[at] if whole else ids[at].rpartition("/")[2]).lower())
        found.append((1 - matcher.ratio(), at))
    nearest = min(found, default=(1, 0))[0]
    return [ids[at] for far, at in sorted(found)[:count] if far <= min(0.3, nearest + 0.1)]


def _pairs(text: str) -> set[str]:
    text = text.lower()
    return {text[i : i + 2] for i in range(len(text) - 1)}
