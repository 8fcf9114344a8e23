"""Slots: reads an instruction against a tool's card. Does the tool fit, and where does each parameter's value stand?

One pass of the backbone sees the card and the instruction together, so that parameters see each other and the choice
of the tool is made jointly with its arguments. Each parameter points at the tokens of its value, at one of its
options, at an earlier step whose result it takes, or at itself: absent. (Pointer scores as in Vinyals et al. 2015,
arXiv 1506.03134.)
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..adapters import Adapter, Array
from ..backbone import HIDDEN
from ..encoder import CLS, SEP, Encoder, open_encoder

PARAMETER, OPTION, EARLIER = 1, 2, 3
"""Unused words of the vocabulary, as markers."""

MAX_CARD, MAX_EARLIER, MAX_TEXT = 176, 24, 120
"""Tokens kept of a card, of each earlier instruction, and of the instruction."""
MAX_DESCRIPTION, MAX_PARAMETERS, MAX_OPTIONS = 40, 10, 12
PATH = Path(__file__).parent / "slots.safetensors"
HEADS = {
    "fit.weight": (HIDDEN,),
    "fit.bias": (1,),
    **{f"{side}.{role}": (HIDDEN, -1) for side in ("start", "end") for role in ("query", "key")},
}


@dataclass(frozen=True)
class Parameter:
    """A parameter as the model reads it. `options` are the enum's values as text; a boolean has true and false."""

    name: str
    type: str
    description: str = ""
    options: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True)
class Card:
    """A tool as the model reads it."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]

    @classmethod
    def of(cls, name: str, description: str, schema: Mapping[str, Any]) -> Card:
        """The card of a tool with this JSON Schema. Parameters that take the whole instruction are left out."""
        required = schema.get("required") or ()
        found = []
        for key, prop in (schema.get("properties") or {}).items():
            if isinstance(prop, Mapping) and prop.get("x-source") != "instruction":
                kind, options = kind_of(prop)
                found.append(Parameter(key, kind, str(prop.get("description") or ""), options, key in required))
        found.sort(key=lambda p: not p.required)
        return cls(name, description, tuple(found[:MAX_PARAMETERS]))


def kind_of(prop: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The type word of a property (`file` for a path) and its options."""
    if isinstance(prop.get("enum"), list):
        return "option", tuple(str(x) for x in prop["enum"] if x is not None)
    if (one := branch(prop)) is not prop:
        return kind_of(one)
    kind = prop.get("type")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "string")
    if kind == "boolean":
        return "boolean", ("true", "false")
    if prop.get("format") == "path":
        return "file", ()
    if prop.get("format") in ("date", "date-time", "time"):
        return str(prop["format"]), ()
    return str(kind or "string"), ()


def branch(prop: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first alternative of a property that is not null; the property itself if it has no alternatives."""
    for key in ("anyOf", "oneOf"):
        for choice in prop.get(key) or ():
            if isinstance(choice, Mapping) and choice.get("type") != "null":
                return choice
    return prop


def words(name: str) -> str:
    """`fromBin_id` -> `from bin id`."""
    return re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)).strip().lower()


@dataclass(frozen=True)
class Layout:
    """A card, earlier instructions and an instruction as one token sequence, and where everything stands in it."""

    ids: list[int]
    types: list[int]
    parameters: list[int]
    """Position of each parameter's marker, in the card's order; parameters that did not fit are missing at the end."""
    options: list[list[int]]
    earlier: list[int]
    text: int
    """Position of the instruction's first token."""
    spans: list[tuple[int, int]]
    """Characters of each token of the instruction."""


def lay_out(encoder: Encoder, card: Card, instruction: str, earlier: Sequence[str] = ()) -> Layout:
    """Builds the sequence. The latest two earlier instructions are kept; `Layout.earlier` has a position for each."""
    ids = [CLS, *_ids(encoder, f"{words(card.name)}: {card.description}")[:MAX_DESCRIPTION]]
    parameters, options = [], []
    for p in card.parameters:
        piece = [PARAMETER, *_ids(encoder, f"{words(p.name)}: {p.description}")[:16], *_ids(encoder, _kind_words(p))]
        marks = []
        for option in p.options[:MAX_OPTIONS]:
            marks.append(len(ids) + len(piece))
            piece += [OPTION, *_ids(encoder, words(option) or option)[:5]]
        if len(ids) + len(piece) > MAX_CARD:
            break
        parameters.append(len(ids))
        options.append(marks)
        ids += piece
    ids.append(SEP)
    types = [0] * len(ids)
    marks = []
    for one in earlier[-2:]:
        marks.append(len(ids))
        ids += [EARLIER, *_ids(encoder, one)[:MAX_EARLIER]]
    ids.append(SEP)
    tokens = encoder.tokenize(instruction)
    start = len(ids)
    ids += [*tokens.ids[:MAX_TEXT], SEP]
    types += [1] * (len(ids) - len(types))
    return Layout(ids, types, parameters, options, marks, start, tokens.spans[:MAX_TEXT])


@functools.lru_cache(maxsize=4096)
def _ids(encoder: Encoder, text: str) -> tuple[int, ...]:
    return tuple(encoder.tokenize(text).ids)


def _kind_words(p: Parameter) -> str:
    return f"({p.type})" if p.required else f"(optional {p.type})"


@dataclass(frozen=True)
class Pointer:
    """Log-probabilities of where one parameter's value is. They share one scale, so parameters can be compared."""

    absent: float
    options: tuple[float, ...]
    earlier: tuple[float, ...]
    """For each of the (at most two) latest earlier steps."""
    start: Array
    end: Array
    """For each token of the instruction."""
    spans: list[tuple[int, int]]

    def span(self, begin: int, end: int) -> float:
        """Log-probability of the characters [begin, end) of the instruction: the mean of its start's and its end's."""
        if not self.spans or begin >= self.spans[-1][1]:  # as most of a text is that is too long to be read
            return -30.0
        inside = [i for i, (b, e) in enumerate(self.spans) if b < end and e > begin]
        if not inside:
            return -30.0
        return float(self.start[inside[0]] + self.end[inside[-1]]) / 2

    def best(self, longest: int = 24) -> tuple[int, int, float]:
        """The most likely span: first character, end, log-probability."""
        found = (0, 0, -30.0)
        for i in range(len(self.spans)):
            for j in range(i, min(i + longest, len(self.spans))):
                score = float(self.start[i] + self.end[j]) / 2
                if score > found[2]:
                    found = (self.spans[i][0], self.spans[j][1], score)
        return found


@dataclass(frozen=True)
class Reading:
    """What the model says of one card. `fit` is the probability that the tool is what the instruction asks for."""

    card: Card
    fit: float
    pointers: Mapping[str, Pointer]


class SlotsModel:
    """Reads instructions against cards."""

    def __init__(self, encoder: Encoder, adapter: Adapter) -> None:
        self.encoder = encoder
        self.adapter = adapter

    @classmethod
    def open(cls, path: Path = PATH, weights: Path | None = None) -> SlotsModel:
        return cls(open_encoder(weights), Adapter.load(path, HEADS))

    def read(
        self, instruction: str, cards: Sequence[Card], earlier: Sequence[str] = (), batch: int = 8
    ) -> list[Reading]:
        """One reading a card, in their order."""
        layouts = [lay_out(self.encoder, card, instruction, earlier) for card in cards]
        order = sorted(range(len(layouts)), key=lambda i: len(layouts[i].ids))
        found: dict[int, Reading] = {}
        for at in range(0, len(order), batch):
            part = order[at : at + batch]
            hidden, _ = self.encoder.hidden(
                [layouts[i].ids for i in part], [layouts[i].types for i in part], self.adapter
            )
            for row, i in zip(hidden, part, strict=True):
                found[i] = self._reading(cards[i], layouts[i], row)
        return [found[i] for i in range(len(cards))]

    def _reading(self, card: Card, layout: Layout, hidden: Array) -> Reading:
        heads, settings = self.adapter.heads, self.adapter.settings
        logit = float(hidden[0] @ heads["fit.weight"] + heads["fit.bias"][0])
        fit = 1 / (1 + np.exp(-(logit * settings.get("scale", 1.0) + settings.get("shift", 0.0))))
        queries = hidden[layout.parameters]
        scale = heads["start.key"].shape[1] ** -0.5
        starts = (queries @ heads["start.query"]) @ (hidden @ heads["start.key"]).T * scale
        ends = (queries @ heads["end.query"]) @ (hidden @ heads["end.key"]).T * scale
        text = range(layout.text, layout.text + len(layout.spans))
        pointers = {}
        for k, position in enumerate(layout.parameters):
            allowed = [position, *layout.options[k], *layout.earlier, *text]
            start, end = _log_softmax(starts[k, allowed]), _log_softmax(ends[k, allowed])
            both = (start + end) / 2
            o, r = 1 + len(layout.options[k]), 1 + len(layout.options[k]) + len(layout.earlier)
            pointers[card.parameters[k].name] = Pointer(
                float(both[0]),
                tuple(map(float, both[1:o])),
                tuple(map(float, both[o:r])),
                start[r:],
                end[r:],
                layout.spans,
            )
        return Reading(card, float(fit), pointers)


def _log_softmax(x: Array) -> Array:
    shifted = x - x.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()), np.float32)
