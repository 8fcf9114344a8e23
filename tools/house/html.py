"""The readable text of an HTML page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_UNSEEN = {"script", "style", "noscript", "template", "svg", "head", "iframe", "object", "select", "textarea"}
_ROWS = {"br", "dd", "dt", "li", "tr"}
_APART = {"address", "article", "aside", "blockquote", "details", "div", "dl", "figcaption", "figure", "footer", "form"}
_APART |= {"h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "main", "nav", "ol", "p", "pre", "section", "summary"}
_APART |= {"table", "ul"}
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


def html_text(page: str) -> tuple[str, str]:
    """Title and text of a page: headings marked with #, list items with -, scripts and styles left out."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    lines = [" ".join(line.split()) for line in "".join(reader.text).split("\n")]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    return " ".join("".join(reader.title).split()), text


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self.title: list[str] = []
        self._unseen: list[str] = []
        self._in_title = False
        self._literal = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title" and "svg" not in self._unseen:
            self._in_title = True
        elif tag == "body":
            self._unseen.clear()
        elif tag in _UNSEEN:
            self._unseen.append(tag)
        if tag == "pre":
            self._literal += 1
        if tag in _APART:
            self.text.append("\n\n")
        elif tag in _ROWS:
            self.text.append("\n")
        if re.fullmatch("h[1-6]", tag):
            self.text.append("#" * int(tag[1]) + " ")
        elif tag == "li":
            self.text.append("- ")
        elif tag in ("td", "th"):
            self.text.append(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        elif tag in self._unseen:
            while self._unseen.pop() != tag:
                pass
        if tag == "pre":
            self._literal = max(0, self._literal - 1)
        if tag in _APART:
            self.text.append("\n\n")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif not self._unseen:
            self.text.append(data if self._literal else re.sub(r"\s+", " ", data))
