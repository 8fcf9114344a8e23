"""Work on a text, given or in a file of the workspace: summaries by extraction, keywords, addresses, dates."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from typing import Annotated

from pydantic import Field

from ...core.errors import ToolError
from ..tool import ToolResult, tool
from ..workspace import Workspace
from .parameters import PathName
from .prose import STOP_WORDS, sentences, stems, words
from .values import counted

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DATE = re.compile(
    rf"""\b\d{{4}}-\d{{2}}-\d{{2}}\b
    | \b\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:,?\s+\d{{4}}\b)?
    | \b{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?\b(?:,?\s+\d{{4}}\b)?
    | \b{_MONTH}\s+\d{{4}}\b
    | \b\d{{1,2}}[/.]\d{{1,2}}[/.]\d{{4}}\b
    | \b\d{{4}}/\d{{1,2}}/\d{{1,2}}\b""",
    re.I | re.X,
)
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]+@(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{2,}", re.A)
_URL = re.compile(r"\b(?:https?://|ftp://|www\.)[^\s<>\"'`{}|\\^]+", re.I)


@tool(read_only=True)
def summarize(
    workspace: Workspace,
    path: PathName | None = None,
    text: str | None = None,
    sentences: Annotated[int, Field(ge=1, le=50)] = 3,
) -> ToolResult:
    """Summarise a text file or text: its most important sentences, in their order.

    Args:
        path: file to summarise
        text: text to summarise, instead of a file
        sentences: how many sentences the summary has
    """
    chosen = _most_central(_given(workspace, path, text), sentences)
    if not chosen:
        raise ToolError(f"{path or 'the text'} has no sentences to summarise")
    summary = " ".join(s if s[-1] in ".!?…" else f"{s}." for s in chosen)
    return ToolResult(summary, data={"summary": summary})


@tool(read_only=True)
def keywords(
    workspace: Workspace,
    path: PathName | None = None,
    text: str | None = None,
    count: Annotated[int, Field(ge=1, le=100)] = 5,
) -> ToolResult:
    """Find the keywords of a text file or text: the words that say most about its topic.

    Args:
        path: file to look at
        text: text to look at, instead of a file
        count: how many keywords
    """
    found = _keywords(_given(workspace, path, text), count)
    return ToolResult(", ".join(found) or "There are no keywords.", data={"keywords": found})


@tool(read_only=True)
def find_emails(workspace: Workspace, path: PathName | None = None, text: str | None = None) -> ToolResult:
    """Find the email addresses in a text file or text.

    Args:
        path: file to look through
        text: text to look through, instead of a file
    """
    return _list("emails", "email address", [m[0].strip(".") for m in _EMAIL.finditer(_given(workspace, path, text))])


@tool(read_only=True)
def find_urls(workspace: Workspace, path: PathName | None = None, text: str | None = None) -> ToolResult:
    """Find the web addresses (URLs, links) in a text file or text.

    Args:
        path: file to look through
        text: text to look through, instead of a file
    """
    return _list("urls", "web address", [_bare_url(m[0]) for m in _URL.finditer(_given(workspace, path, text))])


@tool(read_only=True)
def find_dates(workspace: Workspace, path: PathName | None = None, text: str | None = None) -> ToolResult:
    """Find the calendar dates that a text file or text mentions.

    Args:
        path: file to look through
        text: text to look through, instead of a file
    """
    found = [" ".join(m[0].split()).rstrip(".") for m in _DATE.finditer(_given(workspace, path, text))]
    return _list("dates", "date", [d for d in found if re.search(r"\d", d)])


@tool(read_only=True)
def count_words(workspace: Workspace, path: PathName | None = None, text: str | None = None) -> ToolResult:
    """How many words a text file or text has.

    Args:
        path: file whose words are counted
        text: text whose words are counted, instead of a file
    """
    number = len(words(_given(workspace, path, text)))
    return ToolResult(f"{path or 'The text'} has {counted(number, 'word')}.", data={"words": number})


def _given(workspace: Workspace, path: str | None, text: str | None) -> str:
    if path and text:
        raise ToolError("a path and a text are given, and only one of them can be meant")
    if path:
        return workspace.read_text(path)
    if not text:
        raise ToolError("there is no text", hint="give the path of a file, or a text")
    return text


def _most_central(document: str, number: int) -> list[str]:
    """The sentences closest to what the whole document is about, each saying something that those before it do not."""
    every = sentences(document)
    bags = [Counter(stems(sentence)) for sentence in every]
    holding = Counter(stem for bag in bags for stem in bag)
    vectors = [{s: n * math.log(1 + len(bags) / holding[s]) for s, n in bag.items()} for bag in bags]
    centre: dict[str, float] = defaultdict(float)
    for vector in vectors:
        for stem, weight in vector.items():
            # A word in one sentence only is no topic.
            centre[stem] += weight if holding[stem] > 1 or len(bags) < 4 else 0.0
    scores = []
    for i, (sentence, vector) in enumerate(zip(every, vectors, strict=True)):
        place = 1.25 if i == 0 else 1.0
        length = 0.5 if len(sentence.split()) < 5 or sentence.endswith(("?", ":")) else 1.0
        scores.append(_cosine(vector, centre) * place * length)
    chosen: list[int] = []
    while len(chosen) < min(number, len(every)):
        rest = [i for i in range(len(every)) if i not in chosen]
        chosen.append(
            max(
                rest,
                key=lambda i: scores[i] - 0.5 * max((_cosine(vectors[i], vectors[c]) for c in chosen), default=0.0),
            )
        )
    return [every[i] for i in sorted(chosen)]


def _cosine(a: dict[str, float], b: dict[str, float]) -> float:
    shared = sum(weight * b[stem] for stem, weight in a.items() if stem in b)
    return shared / (math.hypot(*a.values()) * math.hypot(*b.values())) if shared else 0.0


def _keywords(document: str, count: int) -> list[str]:
    """The most frequent words that carry meaning, in the form in which they occur most."""
    forms: dict[str, Counter[str]] = defaultdict(Counter)
    first: dict[str, int] = {}
    for place, word in enumerate(re.findall(r"[^\W\d_](?:[\w’'-]*[^\W_])?", document)):
        if len(word) > 2 and word.lower().replace("’", "'") not in STOP_WORDS:
            for stem in stems(word)[:1]:
                forms[stem][word if word.isupper() else word.lower()] += 1
                first.setdefault(stem, place)
    ranked = sorted(forms, key=lambda stem: (-forms[stem].total() * (1 + 0.02 * min(len(stem), 12)), first[stem]))
    return [forms[stem].most_common(1)[0][0] for stem in ranked[:count]]


def _bare_url(url: str) -> str:
    """A URL without the punctuation of the sentence it stands in."""
    url = url.rstrip(".,;:!?*_")
    while url.endswith((")", "]")) and url.count(url[-1]) > url.count({")": "(", "]": "["}[url[-1]]):
        url = url[:-1].rstrip(".,;:!?*_")
    return url


def _list(key: str, one: str, found: list[str]) -> ToolResult:
    unique = list(dict.fromkeys(found))
    return ToolResult("\n".join(unique) or f"There is no {one} in it.", data={key: unique})


TOOLS = (summarize, keywords, find_emails, find_urls, find_dates, count_words)
