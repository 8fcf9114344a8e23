"""Reader: answers a question from passages with a span of one of them, or with nothing.

One pass of the backbone sees question and passage together; two heads point at the first and last token of the answer,
or at the first token of the sequence: no answer here (as BERT reads SQuAD 2, Devlin et al. 2019, arXiv 1810.04805).
Before that, passages are ranked by words (BM25) and meaning, and only the best few are read.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..adapters import Adapter, Array
from ..encoder import Encoder, open_encoder

CLS, SEP = 101, 102
MAX_QUESTION, MAX_TOKENS = 40, 192
"""Tokens kept of a question; tokens of a whole sequence."""
WINDOW = MAX_TOKENS - MAX_QUESTION - 3
"""Tokens of a passage that are read at once."""
OVERLAP = 48
"""Tokens that two windows of a long passage share."""
LONGEST = 40
"""Tokens of an answer: a sentence, when the question is what a document says about something."""
MOST_READ = 4
"""Windows that are read for a question."""
MOST_RANKED = 64
"""Windows that are compared with a question by meaning; of more, those that share most words with it."""
PATH = Path(__file__).parent / "reader.safetensors"


@dataclass(frozen=True)
class Answer:
    """What stands at the characters [start, end) of passage number `passage`, on one line.

    `confidence` is the probability that it is the right answer.
    """

    text: str
    passage: int
    start: int
    end: int
    confidence: float


@dataclass(frozen=True)
class Window:
    """A passage, or as much of a long one as is read at once: its token ids and their characters in the passage."""

    passage: int
    ids: list[int]
    spans: list[tuple[int, int]]


@dataclass(frozen=True)
class Layout:
    """A question and a window as one token sequence. The window's tokens begin at position `text`."""

    ids: list[int]
    types: list[int]
    text: int


def windows(encoder: Encoder, passage: str, number: int = 0) -> list[Window]:
    """A passage as windows that overlap, so that no answer is cut by every one of them."""
    tokens = encoder.tokenize(passage)
    starts = range(0, max(1, len(tokens.ids) - OVERLAP), WINDOW - OVERLAP)
    return [Window(number, tokens.ids[at : at + WINDOW], tokens.spans[at : at + WINDOW]) for at in starts]


def lay_out(question: Sequence[int], window: Sequence[int]) -> Layout:
    """`[CLS] question [SEP] window [SEP]`. Of a long question the end is kept: the question mark."""
    head = [CLS, *question[-MAX_QUESTION:], SEP]
    return Layout([*head, *window, SEP], [0] * len(head) + [1] * (len(window) + 1), len(head))


def best_span(start: Array, end: Array, layout: Layout, tokens: int) -> tuple[int, int, float]:
    """The first and last token of the best answer in a window of `tokens` tokens, and how many nats above no answer.

    `start` and `end` are the logits of the whole sequence.
    """
    none = float(start[0] + end[0])
    s, e = start[layout.text : layout.text + tokens], end[layout.text : layout.text + tokens]
    both = s[:, None] + e[None, :]
    both[~(np.tri(tokens, dtype=bool).T & np.tri(tokens, k=LONGEST - 1, dtype=bool))] = -np.inf
    i, j = divmod(int(both.argmax()), tokens)
    return i, j, float(both[i, j]) - none


class ReaderModel:
    """Reads passages for a question."""

    def __init__(self, encoder: Encoder, adapter: Adapter) -> None:
        self.encoder = encoder
        self.adapter = adapter

    @classmethod
    def open(cls, path: Path = PATH, weights: Path | None = None) -> ReaderModel:
        """Raises `ModelError` if the adapter is missing or damaged."""
        return cls(open_encoder(weights), Adapter.load(path))

    def read(self, question: str, passages: Sequence[str]) -> Answer | None:
        """The best answer that stands in one of the passages; nothing if none is more likely an answer than not."""
        best = self.best(question, passages)
        return best if best and best.confidence >= float(self.adapter.settings.get("threshold", 0.5)) else None

    def best(self, question: str, passages: Sequence[str]) -> Answer | None:
        """The best answer however unlikely; nothing only if there is nothing to read."""
        candidates = [w for n, passage in enumerate(passages) for w in windows(self.encoder, passage, n) if w.ids]
        asked = self.encoder.tokenize(question).ids
        if not candidates or not asked:
            return None
        chosen = self._rank(question, passages, candidates)
        layouts = [lay_out(asked, w.ids) for w in chosen]
        hidden, _ = self.encoder.hidden([x.ids for x in layouts], [x.types for x in layouts], self.adapter)
        logits = hidden @ self.adapter.heads["span.weight"].T + self.adapter.heads["span.bias"]
        found: list[tuple[float, Answer]] = []
        for window, layout, row in zip(chosen, layouts, logits, strict=True):
            i, j, margin = best_span(row[:, 0], row[:, 1], layout, len(window.ids))
            text = passages[window.passage]
            begin, finish = trim(text, window.spans[i][0], window.spans[j][1])
            words = " ".join(text[begin:finish].split())
            answer = Answer(words, window.passage, begin, finish, self._confidence(margin))
            found.append((margin if answer.text else -np.inf, answer))
        margin, answer = max(found, key=lambda f: f[0])
        return answer if answer.text else None

    def _rank(self, question: str, passages: Sequence[str], candidates: list[Window]) -> list[Window]:
        """The few windows worth reading, best first."""
        if len(candidates) <= MOST_READ:
            return candidates
        texts = [passages[w.passage][w.spans[0][0] : w.spans[-1][1]] for w in candidates]
        words = bm25(question, texts)
        kept = np.sort(np.argsort(-words, kind="stable")[:MOST_RANKED])
        vectors = self.encoder.embed([question, *(texts[i] for i in kept)], limit=MAX_TOKENS)
        score = vectors[1:] @ vectors[0] + 0.5 * words[kept] / max(float(words.max()), 1e-9)
        return [candidates[kept[i]] for i in np.argsort(-score, kind="stable")[:MOST_READ]]

    def _confidence(self, margin: float) -> float:
        settings = self.adapter.settings
        x = margin * float(settings.get("scale", 1.0)) + float(settings.get("shift", 0.0))
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, x))))


def bm25(question: str, texts: Sequence[str], k: float = 1.2, b: float = 0.5) -> Array:
    """Okapi BM25 of each text, with words cut to five letters in place of a stemmer."""
    bags = [Counter(stems(t)) for t in texts]
    mean = sum(map(Counter.total, bags)) / len(bags) or 1
    scores = np.zeros(len(texts), np.float32)
    for word in set(stems(question)):
        counts = np.array([bag[word] for bag in bags], np.float32)
        having = int((counts > 0).sum())
        rarity = math.log(1 + (len(bags) - having + 0.5) / (having + 0.5))
        lengths = np.array([bag.total() for bag in bags], np.float32) / mean
        scores += rarity * counts * (k + 1) / (counts + k * (1 - b + b * lengths))
    return scores


def stems(text: str) -> list[str]:
    return [w[:5] for w in re.findall(r"\w+", text.lower())]


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """The span [start, end) widened to whole words, without punctuation, quotes and unpaired brackets around it."""
    while 0 < start < len(text) and text[start - 1].isalnum() and text[start].isalnum():
        start -= 1
    while 0 < end < len(text) and text[end - 1].isalnum() and text[end].isalnum():
        end += 1
    while start < end and (_before(text[start:end]) or _unpaired(text[start:end], text[start])):
        start += 1
    while start < end and (
        text[end - 1] in AROUND or _stop(text[start:end]) or _unpaired(text[start:end], text[end - 1])
    ):
        end -= 1
    if end - start > 1 and text[start] + text[end - 1] in BRACKETS and text.count(text[start], start, end) == 1:
        return trim(text, start + 1, end - 1)
    return start, end


BRACKETS = ("()", "[]", "{}")
AROUND = " \t\n\"'`_,:;!?-|*\u201c\u201d\u2018\u2019\u2013\u2014\u2022"


def _before(span: str) -> bool:
    """Does the span begin with something that is no part of an answer? A sign or point before a figure is one."""
    return span[0] in AROUND + ".#>=" and not (span[0] in "-.#\u2013" and span[1:2].isdigit())


def _unpaired(span: str, bracket: str) -> bool:
    pair = next((p for p in BRACKETS if bracket in p), "")
    return bool(pair) and span.count(pair[0]) != span.count(pair[1])


def _stop(span: str) -> bool:
    """Does the span end in a full stop that is none of an abbreviation (p.m., Inc.)?"""
    return span.endswith(".") and not re.search(r"(\b\w\.\w\.|\b(Inc|Ltd|Co|Jr|Sr|etc|approx|No)\.)$", span)
