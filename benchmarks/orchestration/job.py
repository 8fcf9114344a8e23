"""The job that all frameworks do: a supervisor asks each of its workers for a value, which a worker looks up by a tool.

Server, clients and adapters share these words. Nothing but the standard library: it is imported in every peer's venv.
"""

from __future__ import annotations

import re

GREEK = ("alpha", "beta", "gamma", "delta")

SUPERVISOR = "You are the supervisor. Ask every worker for its value, all at once, then report all values."
MODEL = "scripted"


def workers(count: int) -> tuple[str, ...]:
    """The names of this many workers."""
    return GREEK[:count] if count <= len(GREEK) else tuple(f"w{n:03d}" for n in range(count))


def worker(name: str) -> str:
    """What a worker is told to be."""
    return f"You are the worker {name}. Look up {name} with the tool lookup and report its value."


def task(names: tuple[str, ...]) -> str:
    """What is asked of the supervisor."""
    return f"Collect the values of {', '.join(names)}."


def asked_names(text: str) -> list[str]:
    """The names in a task."""
    found = re.search(r"Collect the values of ([\w, ]+)\.", text)
    return found.group(1).split(", ") if found else []


def value(name: str) -> str:
    """What the tool gives for a name."""
    return f"value-of-{name}"


def is_complete(answer: str, names: tuple[str, ...]) -> bool:
    """Whether an answer tells the values of all."""
    return all(value(name) in answer for name in names)
