"""From what the slots model reads to the arguments of a call: a pure function of schema, instruction and scores.

Each parameter has typed candidates (numbers for numbers, paths for paths, options for enums, spans for text); the
model ranks them; the likeliest choice for all parameters together is taken, each piece of the instruction used once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..models.house.slots import Reading, kind_of
from ..tools import Tool
from .assignment import assign, halves
from .candidates import Earlier, candidates, references
from .confidence import features, probability
from .fanning import fanned
from .mentions import Mention, dates, numbers, paths, quoted, times
from .plan import Each, Json, Reference
from .spans import Candidate, overlap
from .wanted import by_default

_CAPITALS = re.compile(r"(?<![\w.(-])[A-Z]{3,}(?![\w.-])")
_NUMERIC = ("integer", "number")


@dataclass(frozen=True)
class Filled:
    """A tool with its arguments. `confidence` is between 0 and 1."""

    tool: Tool
    fit: float
    arguments: dict[str, Json]
    missing: tuple[str, ...]
    """Required parameters that nothing fills."""
    confidence: float
    unused: int = 0
    """Paths, quotations, numbers, dates and words in capitals that no argument takes up."""

    unknown: int = 0
    """Paths to read that are not in the workspace."""

    taken: Mapping[str, Candidate] = field(default_factory=dict)
    """What each argument that was found was taken from."""

    found_out: int = 0
    """How many of the missing arguments another tool may find out."""

    used: tuple[tuple[int, int], ...] = ()
    """The characters of the instruction that arguments were taken from."""

    doubts: Mapping[str, float] = field(default_factory=dict)
    """What the confidence in the arguments rests on."""

    @property
    def surest(self) -> float:
        """Probability of the least sure required argument."""
        return math.exp(min(0.0, *(self.taken[n].score for n in self.tool.required if n in self.taken), 0.0))

    @property
    def is_complete(self) -> bool:
        """Whether it can be called: nothing is missing, and the tool takes what there is."""
        return not self.missing and self.tool.accepts(self.arguments)

    def without(self, names: Sequence[str]) -> Filled:
        """The same without these arguments, to be found out otherwise."""
        return replace(
            self,
            arguments={n: v for n, v in self.arguments.items() if n not in names},
            missing=(*self.missing, *names),
            taken={n: c for n, c in self.taken.items() if n not in names},
        )

    @property
    def quality(self) -> float:
        """What tools are compared by: the fit, less for what is missing, left over, or not there."""
        sure = 0.5 + 0.5 * self.surest
        lacking = 0.6 ** (len(self.missing) - self.found_out) * 0.9**self.found_out
        return self.fit * sure * lacking * 0.7**self.unused * 0.4**self.unknown


def fill(
    tool: Tool,
    reading: Reading,
    instruction: str,
    earlier: Sequence[Earlier] = (),
    files: Sequence[str] = (),
    checked: bool = False,
) -> Filled:
    """Fills the tool's arguments from one reading of the instruction. `files` are names in the workspace.

    With `checked`, values that the tool's own checks refuse are left out.
    """
    schemas = {name: tool.parameters.get(name) or {} for name in reading.pointers}
    found = {
        name: [
            *candidates(name, schemas[name], pointer, instruction, files),
            *references(name, schemas[name], pointer, earlier[-2:]),
        ]
        for name, pointer in reading.pointers.items()
    }
    if checked:
        found = {name: [c for c in some if tool.accepts({name: c.value})] for name, some in found.items()}
    absent = {name: pointer.absent for name, pointer in reading.pointers.items()}
    pairs = sorted(((n, c) for n, some in found.items() for c in some), key=lambda pair: -pair[1].score)
    chosen = _said_first(tool, assign(_divided(found, schemas, instruction), absent, schemas, tool.required), pairs)
    values, used = fanned(tool, chosen, pairs, instruction)
    arguments = {
        name: value
        for name, value in values.items()
        if name in tool.required or chosen[name].end or not _is_default(value, tool.parameters.get(name) or {})
    }
    arguments |= {n: v for n in tool.required if n not in arguments and (v := by_default(schemas.get(n))) is not None}
    whole = {n for n, p in tool.parameters.items() if p.get("x-source") == "instruction"}
    missing = tuple(n for n in tool.required if n not in arguments and n not in whole)
    doubts = features(found, absent, chosen, len(missing))
    confidence = reading.fit * probability(doubts)
    unused = _unused(instruction, used, files, takes_all=bool(whole))
    unknown = _unknown(tool, arguments, files)
    return Filled(
        tool, reading.fit, arguments, missing, confidence, unused, unknown, chosen, used=tuple(used), doubts=doubts
    )


def _divided(
    found: Mapping[str, list[Candidate]], schemas: Mapping[str, Mapping[str, Any]], text: str
) -> dict[str, list[Candidate]]:
    """The candidates, the likeliest first; where several parameters take text, also the parts of joined texts."""
    plain = [name for name in found if kind_of(schemas[name])[0] == "string"]
    divided = {**found}
    if len(plain) > 1:
        divided |= {name: [*found[name], *halves(found[name], text)] for name in plain}
    return {name: sorted(some, key=lambda c: -c.score) for name, some in divided.items()}


def _said_first(
    tool: Tool, chosen: dict[str, Candidate], pairs: Sequence[tuple[str, Candidate]]
) -> dict[str, Candidate]:
    """A number that was said and goes nowhere, in place of an earlier result that nobody mentioned."""
    for name, candidate in chosen.items():
        if isinstance(candidate.value, Reference) and kind_of(tool.parameters.get(name) or {})[0] in _NUMERIC:
            others = [other for key, other in chosen.items() if key != name]
            left = (c for n, c in pairs if n == name and c.typed and not any(overlap(c, o) for o in others))
            if (said := next(left, None)) is not None:
                chosen = {**chosen, name: said}
    return chosen


def inherit(filled: Filled, before: Earlier, names: Sequence[str]) -> Filled:
    """What an elliptic instruction leaves out, taken from the call before: `and the same for b.log`."""
    taken = {n: before.arguments[n] for n in names if n in before.arguments and n not in filled.arguments}
    if not taken:
        return filled
    missing = tuple(n for n in filled.missing if n not in taken)
    sure = min(1.0, filled.confidence * 2 ** (len(filled.missing) - len(missing)))
    return replace(filled, arguments={**filled.arguments, **taken}, missing=missing, confidence=sure)


def _unknown(tool: Tool, arguments: Mapping[str, Json], files: Sequence[str]) -> int:
    """How many paths that the tool would read are not there. One that changes something may make them."""
    if not tool.annotations.read_only or not files:
        return 0
    given = [v for n, v in arguments.items() if (tool.parameters.get(n) or {}).get("format") == "path"]
    known = {f.strip("/").lower() for f in files}
    return sum(isinstance(v, str) and v.strip("./").lower() not in known and v.strip("/.") != "" for v in given)


def _unused(text: str, used: Sequence[tuple[int, int]], files: Sequence[str], takes_all: bool) -> int:
    """How many things that were said plainly go nowhere. A tool that takes the whole instruction leaves only paths."""
    said = paths(text, files)
    if not takes_all:
        said += [*quoted(text), *numbers(text), *dates(text), *times(text)]
        said += [Mention(m.start(), m.end(), m[0]) for m in _CAPITALS.finditer(text)]
    left, taken = 0, bytearray(len(text))
    for begin, end in used:
        taken[begin:end] = b"\1" * (end - begin)
    for mention in sorted(said, key=lambda m: m.begin - m.end):
        if not any(taken[mention.begin : mention.end]):
            taken[mention.begin : mention.end] = b"\1" * (mention.end - mention.begin)
            left += 1
    return left


def _is_default(value: Json, schema: Mapping[str, Any]) -> bool:
    return "default" in schema and not isinstance(value, Reference | Each) and value == schema["default"]
