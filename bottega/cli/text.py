"""Text as it may be shown: what comes in as a request, and what goes out to a terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from ..core.errors import UsageError

MAX_REQUEST_BYTES = 64_000

_CONTROLS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Escape sequences and control characters, save tab and newline: a tool's output must not drive a terminal."""

_JUNK = re.compile(r"[\x00-\x08\x0e-\x1a\x7f\ud800-\udfff]")
"""What no text holds: control characters, and bytes that could not be decoded."""


def plain(text: str) -> str:
    """`text` without anything that a terminal would obey."""
    return _CONTROLS.sub("", text.replace("\r\n", "\n"))


def one_line(text: str, width: int = 1000) -> str:
    """`text` on one line, shortened to `width` characters."""
    line = " ".join(plain(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def read_request(words: Sequence[str]) -> str:
    """The request of a command line: its words, with `-` replaced by standard input, or piped input alone.

    Raises `UsageError` if there is none, if it is larger than 64 kB, or if it is not text.
    """
    parts = list(words)
    if not parts and not sys.stdin.isatty():
        parts = ["-"]
    text = checked(" ".join(_standard_input() if part == "-" else part for part in parts))
    if not text:
        raise UsageError("the request is empty", hint='for example: bottega run "How many days until 24 December?"')
    return text


def checked(text: str) -> str:
    """A request with the space around it removed. Raises `UsageError` if it is too large or not text."""
    size = len(text.encode("utf-8", "surrogateescape"))
    if size > MAX_REQUEST_BYTES:
        hint = "put the text into a file of the workspace and name the file in the request"
        raise UsageError(f"the request is larger than {MAX_REQUEST_BYTES // 1000} kB", hint=hint)
    if _JUNK.search(text):
        raise UsageError("the request is not text", hint="name a file of the workspace instead of piping it in")
    return plain(text).strip()


def _standard_input() -> str:
    if sys.stdin.isatty():
        print("reading the request from the keyboard; end it with Ctrl-D", file=sys.stderr)
    return sys.stdin.buffer.read(MAX_REQUEST_BYTES + 1).decode("utf-8", "surrogateescape")
