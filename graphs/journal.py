"""The journal of calls: each known by what it does, so that one that was made is not made again after a crash.

A key is a digest of run, step, attempt, tool or model, canonical arguments and occurrence (the how-manieth such call of
the attempt it is), never of where in the program the call was made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ..agents.plan import Json
from ..core.usage import Usage
from .ledger import Call, CallState, RunWriter, digest_of


class Journal:
    """The calls of one run, those that earlier processes made and its own. `known` are the earlier ones."""

    def __init__(self, writer: RunWriter, known: Mapping[str, Call]) -> None:
        self._writer = writer
        self._known = dict(known)
        self._attempts: dict[str, Json] = {}
        self._counts: dict[str, Counter[str]] = {}

    def begin(self, step: str, attempt: Json) -> None:
        """A step starts, or starts again: its calls are counted anew. `attempt` tells it from other attempts."""
        self._attempts[step] = attempt
        self._counts[step] = Counter()

    def key(self, step: str, kind: str, name: str, content: Json) -> str:
        """The key of the next call of this step with this content."""
        what = digest_of(self._attempts.get(step, 1), kind, name, content)
        counts = self._counts.setdefault(step, Counter())
        counts[what] += 1
        return digest_of(self._writer.run, step, what, counts[what])

    def known(self, key: str) -> Call | None:
        """The call as it was left, where it was begun before."""
        return self._known.get(key)

    async def intend(self, key: str, step: str, kind: str, name: str) -> None:
        """Notes on the disk that a call is about to be made whose effect cannot be repeated."""
        if key not in self._known:
            await self._writer.intend(key, step, kind, name)
            self._known[key] = Call(key, step, kind, name, "intended")

    async def outcome(
        self,
        key: str,
        step: str,
        kind: str,
        name: str,
        outcome: Mapping[str, Json],
        usage: Usage,
        *,
        intended: bool = False,
        uncertain: bool = False,
    ) -> None:
        """Keeps what a call gave, before anybody uses it."""
        state: CallState = "uncertain" if uncertain else "done"
        intended = intended or key in self._known
        await self._writer.outcome(key, step, kind, name, outcome, usage, intended=intended, state=state)
        self._known[key] = Call(key, step, kind, name, state, outcome, usage)
