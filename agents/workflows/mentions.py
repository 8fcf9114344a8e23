"""The `$name` of inputs and steps in the texts of a workflow."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass

NAME = re.compile(r"[A-Za-z_]\w*", re.A)
"""What an input or a step may be called."""

_MENTION = re.compile(r"\$(?:\$|(?P<name>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)\})", re.A)
_PATH = re.compile(r"(?:\.\w[\w-]*)+", re.A)


@dataclass(frozen=True)
class Mention:
    """`name` is mentioned at text[begin:end]; `path` stands behind the name of a step. `$$` has the name `$`."""

    begin: int
    end: int
    name: str
    path: str = ""


def mentions(text: str, steps: Container[str]) -> Iterator[Mention]:
    """What `text` mentions. Only behind the name of a step is `.total` a path: `$report.md` is a file's name."""
    for found in _MENTION.finditer(text):
        name = found["name"] or found["braced"] or "$"
        path = _PATH.match(text, found.end()) if found["name"] in steps else None
        if path is None:
            yield Mention(found.start(), found.end(), name)
        else:
            yield Mention(found.start(), path.end(), name, path[0][1:])


def alone(text: str, steps: Container[str]) -> Mention | None:
    """The mention that is the whole of `text`, if there is one."""
    found = next(mentions(text, steps), None)
    return found if found and found.name != "$" and (found.begin, found.end) == (0, len(text)) else None
