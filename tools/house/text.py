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
from .prose import STOP_WORDS, Sentence, sentences, stems, words
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
    """The sentences that hold most of what the document is about, each saying something that those before it do not."""
    every = sentences(document)
    bags = [frozenset(stems(sentence.text)) for sentence in every]
    times = Counter(stem for sentence in every for stem in stems(sentence.text))
    # A word counts by how often the document says it; those of the headings are its topic by intent.
    headings = {stem for heading in {sentence.heading for sentence in every} for stem in stems(heading)}
    topics = {stem: math.log2(1 + n) * (1.5 if stem in headings else 1.0) for stem, n in times.items()}
    weights = [_weight(sentence, len(bag)) for sentence, bag in zip(every, bags, strict=True)]
    if every:
        weights[0] *= 1.5
    left, said, chosen = set(range(len(every))), set[str](), list[int]()
    while left and len(chosen) < number:
        # What was said already counts little.
        fresh = {i: sum(topics[stem] * (0.3 if stem in said else 1.0) for stem in bags[i]) for i in left}
        best = max(sorted(left), key=lambda i: fresh[i] * weights[i])
        left.remove(best)
        chosen.append(best)
        said |= bags[best]
    return [every[i].text for i in sorted(chosen)]


def _weight(sentence: Sentence, stems: int) -> float:
    """How well a sentence does in a summary, whatever it says: not too short or long, no question, alone."""
    length = len(sentence.text.split())
    weight: float = (1.2 if sentence.leads else 1.0) / max(6, stems) ** 0.75
    if sentence.text.endswith(("?", ":")) or length < 5:
        weight *= 0.3
    elif length > 45:
        weight *= 0.7
    if re.match(r"(?:it|they|this|these|that|those|he|she)\b", sentence.text, re.I):
        weight *= 0.8  # it leans on the sentence before it
    return weight


def _keywords(document: str, count: int) -> list[str]:
    """The most frequent words that carry meaning, in the form in which they occur most."""
    forms: dict[str, Counter[str]] = defaultdict(Counter)
    first: dict[str, int] = {}
    for place, word in enumerate(re.findall(r"[^\W\d_](?:[\w’'-]*[^\W_])?", document)):
        if len(word) > 2 and word.lower().replace("’", "'") not in STOP_WORDS:
            for stem in stems(word)[:1]:
                forms[stem][word] += 1
                first.setdefault(stem, place)
    ranked = sorted(forms, key=lambda stem: (-forms[stem].total() * (1 + 0.02 * min(len(stem), 12)), first[stem]))
    return [_form(forms[stem]) for stem in ranked[:count]]


def _form(forms: Counter[str]) -> str:
    """The form of a word to show: with a capital only where it never goes without."""
    lower = [form for form, _ in forms.most_common() if form.islower()]
    return lower[0] if lower else forms.most_common(1)[0][0]


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
