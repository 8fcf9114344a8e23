"""Segments: which parts of a request are one call each, and with what tool and arguments.

The splitter cuts where it sees the next thing to do; whether a cut makes sense shows only when its clauses are bound.
So clauses that make little sense alone are read together with their neighbours, a clause that says only what is
different (`and the same for Bergen`) is put in the place of what it replaces in the instruction before, and statements
that give the figures for a question elsewhere are read together with that question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...models.house.splitter import Clause
from ...tools import Tool
from ..candidates import Earlier
from ..fanning import PARTS
from ..filling import Filled
from ..plan import Each
from .binding import Binder, Bound
from .paths import paths_of

WEAK, BETTER = 0.3, 2.0
"""Confidence below which a clause is also read together with its neighbours; how many times as sure that has to be."""

TOGETHER = 3
"""Clauses before a clause that it may be one call with."""

AS_SURE = 0.3
"""Share of the confidence of the instruction before that a clause in the place of its end has to have."""

VAGUE = 0.05
"""Confidence below which a segment is a question that lacks its figures."""

SHORT = 10
"""Most words of a call for help that names nothing to be done."""

CLEAR = 0.7
"""Fit of another tool from which a clause is none that says only what is different."""

NEAREST = 6
"""Tools nearest to the whole request whose servers it seems to be for."""

LONGEST = 16
"""Most words of a clause that says only what is different from the one before."""

_AND = re.compile(r"\band\b|\bor\b")
_JOINT = re.compile(r",?\s+and\s+|;\s+|,\s+")
JOINTS = 6
"""Places looked at where a clause may be cut further."""
_WORD = re.compile(r"[^\W\d_]+")
_ASKS = re.compile(
    r"\?|\b(?:can|could|would|will) you\b|\bplease\b|\b(?:want|need|like|wish|help|tell|show|give)\b"
    r"|^(?:what|when|where|who|whom|whose|which|why|how|is|are|was|were|do|does|did|has|have|can)\b",
    re.I,
)
_ANNOUNCES = re.compile(
    r"\b(?:few|couple of|some|several|two|three|four|five|number of|series of|multiple)\s+(?:\w+\s+)?"
    r"(?:tasks|things|questions|calculations|conversions|requests|items|steps|problems|favou?rs|computations)\b",
    re.I,
)
_HELP = re.compile(r"(?:can|could|would|will) you (?:please )?help me\b", re.I)
_NAMES = re.compile(r"\d|[\"'\u201c\u2018`]\w|(?<=[a-z,] )[A-Z]")
"""Numbers, quotations and names: what a clause may say that must not be lost."""
_TELLS = re.compile(
    r"^[\"'\u201c]?(?:the|a|an|my|our|his|her|their|its|this|that|these|those|there|it|i|we|he|she|they|you|in|on|at|for|if"
    r"|assum\w+|suppose|imagine|given|given that|knowing|with|using|consider\w*|one|both|each|[A-Z][a-z]+, who)\b",
    re.I,
)


@dataclass(frozen=True)
class Segment:
    """A part of the request with what is done for it. `id` is what later segments call its result by."""

    clause: Clause
    bound: Bound
    id: str

    def earlier(self) -> Earlier:
        arguments = self.bound.filled.arguments if self.bound.filled else {}
        return Earlier(self.id, self.bound.instruction, self.bound.tool or "", arguments)


@dataclass(frozen=True)
class _Joined:
    """A clause read as one with the `count` segments before it. `takes_all`: each of them gave it an argument."""

    count: int
    clause: Clause
    bound: Bound
    takes_all: bool


class Segmenter:
    """Makes segments of the clauses of one request."""

    def __init__(self, binder: Binder, request: str, tools: tuple[Tool, ...], files: tuple[str, ...]) -> None:
        self._binder = binder
        self._request = request
        self._tools = tools
        self._by_id = {t.id: t for t in tools}
        self._files = files
        self._servers: frozenset[str] = frozenset()
        self._found: list[Segment] = []
        self._count = 0

    def segments(self, clauses: Sequence[Clause]) -> list[Segment]:
        """The segments of these clauses, in their order."""
        left = list(clauses)
        if len(left) > 1:  # the request as a whole says more of what it is about than any part of it
            self._servers = frozenset(t.server for t, _ in self._binder.search(self._request, self._tools, NEAREST))
        while left:
            clause = left.pop(0)
            bound = self._bind(clause.text, self._found)
            if (parts := self._cut(clause, bound)) is not None:
                left[:0] = parts
                continue
            joined = self._joined(clause, bound)
            replaced = [] if joined and joined.takes_all else self._in_place(clause, bound)
            if joined is not None and not replaced:
                del self._found[-joined.count :]
                self._add(joined.clause, joined.bound)
            else:
                for one in replaced or [bound]:
                    self._add(clause, one)
        return self._without_context(self._answered())

    def _add(self, clause: Clause, bound: Bound) -> None:
        if any(_same_call(bound, s.bound) for s in self._found):
            return
        self._count += 1
        self._found.append(Segment(clause, bound, f"c{self._count}"))

    def _bind(self, text: str, before: Sequence[Segment]) -> Bound:
        written = (path for s in before for path in self._written(s.bound))
        files = (*self._files, *written)
        return self._binder.bind(text, [s.earlier() for s in before], self._tools, files, self._servers)

    def _written(self, bound: Bound) -> list[str]:
        if bound.filled is None or bound.filled.tool.annotations.read_only:
            return []
        return paths_of(bound.filled.arguments, bound.filled.tool)

    def _cut(self, clause: Clause, bound: Bound) -> tuple[Clause, Clause] | None:
        """A clause that says more than its call takes, in two: `the tax of 300 in Oslo and of 500 in Bergen`."""
        if bound.filled is None or not bound.filled.unused:
            return None
        tool, text = bound.filled.tool, clause.text
        best: tuple[float, tuple[Clause, Clause]] | None = None
        offset = max(0, self._request.find(text, clause.begin))
        for joint in list(_JOINT.finditer(text))[:JOINTS]:
            one, two = text[: joint.start()], text[joint.end() :]
            left = self._binder.rebind(one, tool, [s.earlier() for s in self._found], self._files)
            if left.missing or left.unused >= bound.filled.unused or not tool.accepts(left.arguments):
                continue
            right = self._replacing(Bound(one, left), left, two, most=left.unused)
            if right is None:
                continue
            sure = min(left.confidence, right.confidence)
            if best is None or sure > best[0]:
                begin, middle = clause.begin, offset + joint.end()
                cut = (
                    Clause(one, begin, offset + joint.start(), clause.confidence),
                    Clause(two, middle, clause.end, clause.confidence),
                )
                best = sure, cut
        return best[1] if best else None

    def _joined(self, clause: Clause, bound: Bound) -> _Joined | None:
        """This clause read as one with up to `TOGETHER` before it.

        Where one of them makes little sense alone, it was cut where it should not be; and where all want the same
        tool, what only one of them says may hold for the others. Nothing that was said may be lost by it.
        """
        for count in range(1, min(TOGETHER, len(self._found)) + 1):
            before = self._found[-count:]
            clauses, bounds = [*(s.clause for s in before), clause], [*(s.bound for s in before), bound]
            weaker = min(b.confidence for b in bounds)
            alike = len({b.tool for b in bounds}) == 1
            if (weaker > WEAK and not alike) or any(b.before for b in bounds):
                continue
            begin = clauses[0].begin
            text = self._request[begin : clause.end].strip(" ,;.")
            whole = self._bind(text, self._found[:-count])
            if whole.filled is None or whole.filled.unused or whole.before:
                continue
            if any(b.tool not in (None, whole.tool) and b.confidence > WEAK for b in bounds):
                continue
            fanned = alike and bound.tool == whole.tool and _fans(whole.filled)
            if whole.confidence < weaker * (1 if fanned else BETTER) or (weaker > WEAK and not fanned):
                continue
            takes = [_takes(whole.filled, c.begin - begin, c.end - begin) for c in clauses]
            idle = (b for took, b in zip(takes, bounds, strict=True) if not took)
            if all(b.confidence > WEAK or _goes_without(b, whole) for b in idle):
                return _Joined(count, Clause(text, begin, clause.end, clauses[0].confidence), whole, all(takes))
        return None

    def _in_place(self, clause: Clause, bound: Bound) -> list[Bound]:
        """The instruction before with this clause in the place of its end: `the tax in Chicago` and `Portland`.

        Several where the clause lists several values.
        """
        before = self._found[-1].bound if self._found else None
        if before is None or before.filled is None or before.before or len(clause.text.split()) > LONGEST:
            return []
        if bound.confidence > WEAK and (bound.tool != before.tool or not self._inherits(bound)):
            return []
        if bound.filled is not None and bound.tool != before.tool and bound.filled.fit >= CLEAR:
            return []
        left_over = before.filled.unused
        one = self._replacing(before, before.filled, clause.text, most=left_over)
        items = [item for item in PARTS.split(clause.text) if item]
        if len(items) > 2 or (len(items) == 2 and _AND.search(clause.text)):
            several = [self._replacing(before, before.filled, item, most=left_over) for item in items]
            if all(several) and not (one is not None and _fans(one.filled)):
                return [s for s in several if s is not None]
        return [one] if one is not None else []

    def _inherits(self, bound: Bound) -> bool:
        """Whether a clause leaves something to the call before it."""
        if bound.filled is None:
            return True
        alone = self._binder.rebind(bound.instruction, bound.filled.tool, (), self._files)
        return bool(alone.missing)

    def _replacing(self, before: Bound, filled: Filled, text: str, most: int = 0) -> Bound | None:
        """The likeliest instruction that comes of putting `text` where an argument of the one before begins.

        `most` things that were said may be left unused.
        """
        earlier = [s.earlier() for s in self._found[:-1]]
        best: Bound | None = None
        for begin, _ in sorted(set(filled.used), reverse=True):
            kept = before.instruction[:begin]
            instruction = kept + _without_again(kept, text)
            made = self._binder.rebind(instruction, filled.tool, earlier, self._files)
            takes = any(end > len(kept) for _, end in made.used)
            if made.missing or made.unused > most or not takes or not made.tool.accepts(made.arguments):
                continue
            if set(made.arguments) != set(filled.arguments) or made.arguments == filled.arguments:
                continue
            if made.confidence >= AS_SURE * before.confidence and (best is None or made.confidence > best.confidence):
                best = Bound(instruction, made)
        return best

    def _answered(self) -> list[Segment]:
        """Questions that lack their figures, asked of each statement that gives them: `the first one weighs 3 kg`."""
        found = list(self._found)
        for question in self._found:
            bound = question.bound
            vague = bound.filled is not None and bound.confidence < VAGUE
            tool = self._by_id.get((bound.tool if vague else bound.near) or "")
            if tool is None or (bound.filled is not None and not vague):
                continue
            told = [s for s in found if s is not question and _tells(s) and s.bound.tool in (None, tool.id)]
            answers = {s.id: a for s in told if (a := self._asked_of(question, s, tool)) is not None}
            if answers:
                found = [answers.get(s.id, s) for s in found if s is not question]
        return found

    def _asked_of(self, question: Segment, statement: Segment, tool: Tool) -> Segment | None:
        if statement.bound.filled is not None and statement.bound.confidence >= VAGUE:
            return statement
        text = f"{statement.clause.text}. {question.clause.text}"
        made = self._binder.rebind(text, tool, (), self._files)
        if made.missing or made.unused or not made.tool.accepts(made.arguments):
            return None
        return Segment(statement.clause, Bound(text, made), statement.id)

    def _without_context(self, found: list[Segment]) -> list[Segment]:
        """Without statements that ask for nothing, where something else is done: they are the story around it."""
        done = [s for s in found if s.bound.filled is not None]
        return [s for s in found if s.bound.filled is not None or not done or not (_tells(s) or _announces(s))]


def _tells(segment: Segment) -> bool:
    text = segment.clause.text
    return bool(_TELLS.match(text)) and not _ASKS.search(text)


def _announces(segment: Segment) -> bool:
    """Whether a part only says that something follows: `can you help me with a few things?`"""
    text = segment.clause.text
    asks_help = _HELP.match(text) is not None and len(text.split()) <= SHORT
    return (asks_help or _ANNOUNCES.search(text) is not None) and not _NAMES.search(text)


def _same_call(one: Bound, other: Bound) -> bool:
    if one.filled is None or other.filled is None or one.before or other.before or not one.filled.arguments:
        return False
    return one.tool == other.tool and one.filled.arguments == other.filled.arguments


def _goes_without(bound: Bound, whole: Bound) -> bool:
    """Whether nothing is lost with a clause that gives no argument: it asks for the same tool and names nothing."""
    return bound.near == whole.tool or (bound.tool == whole.tool and not _NAMES.search(bound.instruction))


def _fans(filled: Filled | None) -> bool:
    return filled is not None and any(isinstance(v, Each) for v in filled.arguments.values())


def _takes(filled: Filled, begin: int, end: int) -> bool:
    """Whether an argument was taken from these characters of the instruction."""
    return any(b < end and e > begin for b, e in filled.used)


def _without_again(kept: str, text: str) -> str:
    """`to Bergen` after `from Oslo to` without its `to`."""
    last = next(iter(reversed(_WORD.findall(kept[-30:]))), "")
    first = _WORD.match(text)
    return text[first.end() :].lstrip() if first and first[0].lower() == last.lower() else text
