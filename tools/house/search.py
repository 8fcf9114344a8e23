"""Finding a text or a regular expression in files, line by line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from ...core.errors import ToolError
from ..tool import ToolResult, tool
from ..workspace import Workspace
from .parameters import PathName
from .values import counted

_SECONDS = 20.0
_MOST_LINES = 1000
_MOST_FILES = 20_000
_LONGEST_SHOWN = 1000

Matches = Callable[[str], bool]


@tool(read_only=True)
def find_lines(workspace: Workspace, path: PathName, text: str, regex: bool = False) -> ToolResult:
    """Show the lines of a text file that contain a text (or match a regular expression).

    Args:
        path: file to search
        text: text that the lines contain, such as a word or name
        regex: whether the text is a regular expression
    """
    found, note = _found(workspace, path, text, regex)
    lines = [(number, _cut(line)) for number, line in found[:_MOST_LINES]]
    data = {"lines": [line for _, line in lines], "numbers": [number for number, _ in lines], "count": len(found)}
    if not found:
        return ToolResult(f"No line of {path} contains {text!r}.", data=data)
    more = f"\n… and {len(found) - _MOST_LINES} more" if len(found) > _MOST_LINES else ""
    return ToolResult("\n".join(f"{number}: {line}" for number, line in lines) + more + note, data=data)


@tool(read_only=True)
def count_matching_lines(workspace: Workspace, path: PathName, text: str, regex: bool = False) -> ToolResult:
    """How many lines of a text file contain a text (or match a regular expression).

    Args:
        path: file to search
        text: text that the counted lines contain, such as a word or name
        regex: whether the text is a regular expression
    """
    found, note = _found(workspace, path, text, regex)
    number = counted(len(found), "line")
    return ToolResult(
        f"{number} of {path} contain{'s' if len(found) == 1 else ''} {text!r}.{note}", data={"count": len(found)}
    )


@tool(read_only=True)
def find_files_mentioning(workspace: Workspace, text: str, folder: PathName = ".") -> ToolResult:
    """Which text files in a folder and the folders below it contain (mention) a text.

    Args:
        text: text to look for, such as a word or name
        folder: folder to search
    """
    workspace.folder(folder)
    exact, loose = _matcher(text, False, _Clock())
    found: dict[str, int] = {}
    also: dict[str, int] = {}
    for name in workspace.files(folder, limit=_MOST_FILES):
        if not workspace.is_text(name):
            continue
        for line in _readable(workspace, name):
            if exact(line):
                found[name] = found.get(name, 0) + 1
            elif loose and loose(line):
                also[name] = also.get(name, 0) + 1
    note = "" if found or not also else "\n(in other capitals)"
    found = found or also
    if not found:
        return ToolResult(f"No file in {folder} mentions {text!r}.", data={"files": []})
    text_shown = "\n".join(f"{name} ({counted(number, 'line')})" for name, number in found.items())
    return ToolResult(text_shown + note, data={"files": list(found)})


def _found(workspace: Workspace, path: str, text: str, regex: bool) -> tuple[list[tuple[int, str]], str]:
    """Number and text of the matching lines, and a remark where capitals had to be ignored.

    A text with capitals means them; where nothing has them, they are ignored and that is said.
    """
    exact, loose = _matcher(text, regex, _Clock())
    found: list[tuple[int, str]] = []
    also: list[tuple[int, str]] = []
    for number, line in enumerate(workspace.lines(path), start=1):
        if exact(line):
            found.append((number, line))
        elif loose and not found and loose(line):
            also.append((number, line))
    if not found and also:
        return also, f"\n(none with {text!r} in exactly these capitals)"
    return found, ""


def _matcher(text: str, regex: bool, clock: _Clock) -> tuple[Matches, Matches | None]:
    """Tells of a line whether it matches; the second one ignores capitals, where the first does not."""
    if not text:
        raise ToolError("there is no text to look for")
    if regex:
        return _pattern(text, clock), None

    def exact(line: str) -> bool:
        clock.check()
        return text in line

    folded = text.casefold()

    def loose(line: str) -> bool:
        clock.check()
        return folded in line.casefold()

    return (loose, None) if text == text.lower() else (exact, loose)


def _pattern(text: str, clock: _Clock) -> Matches:
    # Unlike `re`, this library can stop a pattern that would take for ever.
    import regex

    if len(text) > 1000:
        raise ToolError("the regular expression is longer than 1000 characters")
    try:
        pattern: Any = regex.compile(text)
    except (regex.error, RecursionError, OverflowError) as error:
        raise ToolError(f"{text!r} is not a regular expression: {error}", hint="or look for it as plain text") from None

    def matches(line: str) -> bool:
        try:
            return pattern.search(line, timeout=clock.check()) is not None
        except TimeoutError:
            raise clock.too_slow() from None

    return matches


class _Clock:
    """The time a search may take."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _SECONDS

    def check(self) -> float:
        """Seconds left. Raises `ToolError` when there are none."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise self.too_slow()
        return left

    def too_slow(self) -> ToolError:
        return ToolError(
            f"the search took longer than {_SECONDS:g} seconds", hint="use a simpler pattern or a smaller file"
        )


def _readable(workspace: Workspace, name: str) -> Iterator[str]:
    """The lines of a file, as far as they can be read as text."""
    lines = workspace.lines(name)
    while True:
        try:
            line = next(lines)
        except (StopIteration, ToolError):
            return
        yield line


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST_SHOWN else line[:_LONGEST_SHOWN] + "…"


TOOLS = (find_lines, count_matching_lines, find_files_mentioning)
