"""What text tools share: a document's passages and sentences, without its markup, and the stems of words."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

_PASSAGE_WORDS = 100
_QUOTES = "\u2018\u2019"
_WIDE_STOPS = "\u3002\uff01\uff1f"

_SHORTENED = """
mr mrs ms dr prof st jr sr vs etc inc ltd co corp dept fig no nr approx est e.g i.e cf al vol pp ca jan feb mar
apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun a.m p.m u.s u.k
"""
_ABBREVIATIONS = frozenset(_SHORTENED.split())

_COMMON = """
a about above after again against all also although always am an and any are aren't around as at be became
because become been before being below between both but by can can't cannot could couldn't did didn't do does
doesn't doing don't down due during each either else etc even ever every few first for from further get gets
give given go goes had hadn't has hasn't have haven't having he her here hers herself him himself his how
however i if in instead into is isn't it it's its itself just last later least less let like made make makes
many may me might more most much must my myself need neither never new next no nor not now of off often on once
one only onto or other others our ours ourselves out over own per perhaps please put quite rather really same
see seen several shall she should shouldn't since so some something soon still such than that that's the their
theirs them themselves then there there's these they thing things this those though three through thus to
together too toward towards two under until up upon us use used uses using very was wasn't way we well were
weren't what when where whether which while who whole whom whose why will with within without won't would
wouldn't yet you your yours yourself yourselves
"""
STOP_WORDS = frozenset(_COMMON.split())
"""English words that say nothing about a topic."""


@dataclass(frozen=True)
class Passage:
    """A piece of a document: some hundred words under their heading."""

    text: str
    heading: str = ""

    @property
    def whole(self) -> str:
        """The text, led by its heading."""
        return f"{self.heading}: {self.text}" if self.heading else self.text


@dataclass(frozen=True)
class Sentence:
    """A sentence of a document, the heading it stands under, and whether it begins a paragraph."""

    text: str
    heading: str
    leads: bool


def passages(document: str) -> list[Passage]:
    """A document in pieces of about a hundred words: whole paragraphs where they are short, else whole sentences."""
    found: list[Passage] = []
    for heading, paragraphs in _sections(document):
        held: list[str] = []
        for piece in (p for paragraph in paragraphs for p in _pieces(paragraph)):
            if held and _length(held) + len(piece.split()) > _PASSAGE_WORDS:
                found.append(Passage("\n".join(held), heading))
                held = []
            held.append(piece)
        if held:
            found.append(Passage("\n".join(held), heading))
    return found


def sentences(document: str) -> list[Sentence]:
    """The sentences of a document's running text: headings, tables and code left out, list items as sentences."""
    found = []
    for heading, paragraphs in _sections(document):
        for paragraph in paragraphs:
            if not paragraph.startswith("|"):
                own = [text for line in _joined(paragraph) for text in split_sentences(line)]
                found += [Sentence(text, heading, leads=i == 0) for i, text in enumerate(own)]
    return found


def split_sentences(text: str) -> list[str]:
    """Running text cut after full stops, question and exclamation marks; not after abbreviations and initials."""
    found, start = [], 0
    for match in re.finditer(
        rf"[.!?…]+[\"')\]”{_QUOTES}]*(?=\s+[\"'(\[“{_QUOTES}]?[^\W_a-z])|(?<=[{_WIDE_STOPS}])", text
    ):
        words = text[start : match.start()].split()
        before = words[-1].strip("\"'([“" + _QUOTES).lower() if words else ""
        if match[0] == "." and (before in _ABBREVIATIONS or re.fullmatch(r"[^\W\d_]", before)):
            continue
        if match[0] == "." and len(words) == 1 and before.isdigit():
            continue
        found.append(text[start : match.end()].strip())
        start = match.end()
    found.append(text[start:].strip())
    return [s for s in found if s]


def words(text: str) -> list[str]:
    """The words of a text as they are counted: runs of letters and figures, with what joins them inside."""
    return re.findall(r"[^\W_]+(?:[\u2019'.,\-_@/:][^\W_]+)*", text)


def stems(text: str, *, stop: bool = True) -> list[str]:
    """The words of a text, each cut to its stem; those that say nothing are left out, unless `stop` is false."""
    lower = [w.replace("’", "'") for w in re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.lower())]
    kept = [w.removesuffix("'s") for w in lower if not (stop and w in STOP_WORDS)]
    return [_stem(word) for word in kept]


def most_alike(question: str, texts: Sequence[str], limit: int) -> list[int]:
    """The indices of the texts that share words with a question, above all rare ones; the best first."""
    asked = set(stems(question))
    bags = [Counter(stems(text)) for text in texts]
    holding = Counter(stem for bag in bags for stem in asked if stem in bag)
    average = sum(bag.total() for bag in bags) / max(1, len(bags))

    def score(bag: Counter[str]) -> float:
        length = 0.4 + 0.6 * bag.total() / max(1.0, average)
        rarity = {s: math.log(1 + len(bags) / holding[s]) for s in asked if bag[s]}
        return sum(rarity[s] * bag[s] * 2.2 / (bag[s] + 1.2 * length) for s in rarity)

    scores = [score(bag) for bag in bags]
    ranked = sorted(range(len(texts)), key=lambda i: -scores[i])
    return [i for i in ranked[:limit] if scores[i] > 0]


@lru_cache(maxsize=50_000)
def _stem(word: str) -> str:
    return str(_stemmer().stemWord(word))


@cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


def _sections(document: str) -> Iterator[tuple[str, list[str]]]:
    """Each heading with the paragraphs under it, freed of Markdown."""
    document = re.sub(r"\A---\n.*?\n---\n", "", document.replace("\r\n", "\n"), flags=re.S)
    document = re.sub(r"<!--.*?-->", "", document, flags=re.S)
    document = re.sub(r"^(```|~~~).*?(?:^\1\s*$|\Z)", "", document, flags=re.S | re.M)
    # Underlined headings in the form of the others.
    document = re.sub(r"^(?=\S)(.+)\n(?:={3,}|-{3,})\s*$", r"# \1", document, flags=re.M)
    heading, paragraphs = "", list[str]()
    for block in re.split(r"\n\s*\n|(?=^#{1,6} )|(?<=\n)(?=#{1,6} )", document, flags=re.M):
        block = block.strip()
        title = re.match(r"#{1,6}\s+(.*?)\s*#*(?:\n|\Z)", block)
        if title:
            if paragraphs:
                yield heading, paragraphs
            heading, paragraphs = _unmarked(title[1]), []
            block = block[title.end() :].strip()
        if block and not re.fullmatch(r"[-*_=\s]+", block):
            paragraphs.append("\n".join(_unmarked(line) for line in block.splitlines()))
    if paragraphs:
        yield heading, paragraphs


def _unmarked(line: str) -> str:
    """A line without Markdown's marks."""
    line = re.sub(r"!\[([^\]]*)\]\([^)]*\)", r"\1", line)
    line = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", line)
    line = re.sub(r"(\*\*|__|`)(?=\S)(.+?)(?<=\S)\1", r"\2", line)
    line = re.sub(r"(?<!\w)([*_])(?=\S)(.+?)(?<=\S)\1(?!\w)", r"\2", line)
    return re.sub(r"^(\s*)(?:[-*+]|>+)\s+(?:\[[ xX]\]\s+)?", r"\1• ", line).rstrip()


def _joined(paragraph: str) -> list[str]:
    """The lines of a paragraph as one, but for list items."""
    lines: list[str] = []
    for line in paragraph.splitlines():
        item = re.match(r"\s*(?:•|\d+[.)])\s+", line)
        if lines and not item:
            lines[-1] += " " + line.strip()
        else:
            lines.append(line[item.end() :] if item else line.strip())
    return lines


def _pieces(paragraph: str) -> Iterator[str]:
    if len(paragraph.split()) <= _PASSAGE_WORDS:
        yield paragraph.replace("• ", "")
        return
    if paragraph.startswith("|"):
        yield from paragraph.splitlines()
        return
    for line in _joined(paragraph):
        for sentence in split_sentences(line):
            words = sentence.split()
            for start in range(0, len(words), _PASSAGE_WORDS):
                yield " ".join(words[start : start + _PASSAGE_WORDS])


def _length(texts: Iterable[str]) -> int:
    return sum(len(text.split()) for text in texts)
