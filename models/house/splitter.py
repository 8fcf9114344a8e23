"""Splitter: where does a request go over to the next thing to do? One pass marks where clauses begin."""

from __future__ import annotations

import itertools
import re
import string
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..adapters import Adapter
from ..backbone import HIDDEN
from ..encoder import CLS, SEP, Encoder, open_encoder

MAX_TOKENS = 254
"""Tokens that are looked at; what comes after them belongs to the last clause."""
PATH = Path(__file__).parent / "splitter.safetensors"
HEADS = {"cut.weight": (HIDDEN,), "cut.bias": (1,)}

_UNITS = re.compile(
    r"\"[^\"]*\"|(?<!\w)'[^']*'(?!\w)|\u201c[^\u201c\u201d]*\u201d|\u2018[^\u2018\u2019]*\u2019"
    r"|\([^()]*\)|\[[^\[\]]*\]|`[^`]*`|(?P<word>[^\s,;:?!\"'\u201c\u2018(\[`]++)"
)
"""Quoted strings, brackets, file names and numbers: no clause begins inside one."""
_QUOTED_WHOLE = re.compile(r"\s*[\"\u201c]([^\"\u201c\u201d]*)[\"\u201d]?\s*")
"""A request in quotation marks as a whole: they mark no unit."""
_LINK = re.compile(
    r"^(?:[\s,;:.!?]+|(?:and|then|also|plus|next|afterwards?|finally|lastly)\b[\s,]*(?!\w*['\u2019])"
    r"|(?:after that|in addition(?: to (?:that|this))?|additionally|moreover|furthermore|besides|meanwhile"
    r"|first(?:ly)?|second(?:ly)?|third(?:ly)?)\b\s*,\s*"
    r"|(?:after that|in addition to (?:that|this))\b[\s,]*|as well as\b\s*)+",
    re.I,
)


@dataclass(frozen=True)
class Clause:
    """A part of a request that asks for one thing: `text` is request[begin:end] without its link words."""

    text: str
    begin: int
    end: int
    confidence: float


class SplitterModel:
    """Cuts requests into clauses."""

    def __init__(self, encoder: Encoder, adapter: Adapter) -> None:
        self.encoder = encoder
        self.adapter = adapter

    @classmethod
    def open(cls, path: Path = PATH, weights: Path | None = None) -> SplitterModel:
        return cls(open_encoder(weights), Adapter.load(path, HEADS))

    def split(self, request: str) -> list[Clause]:
        """The clauses of a request, at least one, in order. A clause's confidence is that of the cuts beside it."""
        cuts = [(0, 1.0), *self._cuts(request), (len(request), 1.0)]
        clauses = []
        for (begin, before), (end, after) in itertools.pairwise(cuts):
            text = clean(request[begin:end])
            if text:
                clauses.append(Clause(text, begin, end, min(before, after)))
        return clauses or [Clause(request.strip(), 0, len(request), 1.0)]

    def _cuts(self, request: str) -> list[tuple[int, float]]:
        tokens = self.encoder.tokenize(request)
        ids, spans = tokens.ids[:MAX_TOKENS], tokens.spans[:MAX_TOKENS]
        hidden, _ = self.encoder.hidden([[CLS, *ids, SEP]], adapter=self.adapter)
        heads = self.adapter.heads
        logits = hidden[0, 1 : len(ids) + 1] @ heads["cut.weight"] + heads["cut.bias"][0]
        inside = np.zeros(len(request) + 1, bool)
        whole = _QUOTED_WHOLE.fullmatch(request)
        for unit in _UNITS.finditer(request, *(whole.span(1) if whole else (0, len(request)))):
            if unit["word"] is None or "/" in unit["word"] or re.search(r"\w", unit["word"].partition(".")[2]):
                begin, end = unit.span()
                apart = not request[max(0, begin - 1) : begin].strip()
                inside[begin + apart : end] = True
        limit = float(self.adapter.settings.get("threshold", 0.0))
        found: list[tuple[int, float]] = []
        for i in range(1, len(ids)):
            begin = spans[i][0]
            if logits[i] > limit and not inside[begin]:
                found.append((begin, float(1 / (1 + np.exp(-(logits[i] - limit))))))
        return [cut for n, cut in enumerate(found) if n + 1 == len(found) or clean(request[cut[0] : found[n + 1][0]])]


def clean(text: str) -> str:
    """A clause without its link words and commas, its last full stop gone."""
    return _LINK.sub("", text.strip()).rstrip(string.whitespace + ",;.")
