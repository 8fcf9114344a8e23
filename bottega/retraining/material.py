"""What a folder's retriever can learn from: its past runs, and files of tools and of requests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UsageError
from ..models.training.own_pairs import Asked
from ..retrieval import ToolSpec
from ..tools.catalog import named, read_definitions

if TYPE_CHECKING:
    from ..graphs.ledger import Ledger, RunRecord

RUNS = 5_000
"""The newest runs that are learned from."""
MOST_TOOLS = 8
"""A request that took more is too wide to learn from."""


async def logged(ledger: Ledger, most: int = RUNS) -> list[Asked]:
    """What past runs asked for with the tools that did it, of the newest `most`. Raises `LedgerError`."""
    found: list[Asked] = []
    for run in await ledger.runs(limit=most):
        found += asked_in(await ledger.load(run.id))
    return found


def asked_in(run: RunRecord) -> Iterator[Asked]:
    """The instructions of a run's steps that succeeded, with the tools that were called and did not fail; and its
    request with all of these, where the whole run succeeded. What only serves another step is left out: nobody asked
    for it."""
    steps = {step.id: step for plan in run.plans.values() for step in plan.steps}
    last = {record.step: record.result for record in run.steps}
    all: list[str] = []
    for id, result in last.items():
        step = steps.get(id)
        if step is None or not step.reported or result.status != "succeeded":
            continue
        tools = list(dict.fromkeys(call.tool for call in result.calls if not call.is_error))
        if 0 < len(tools) <= MOST_TOOLS:
            yield Asked(step.instruction, tuple(tools))
        all += tools
    whole = tuple(dict.fromkeys(all))
    if run.summary.status == "succeeded" and 0 < len(whole) <= MOST_TOOLS:
        yield Asked(run.summary.request, whole)


def read_tools(path: Path) -> tuple[list[ToolSpec], list[str]]:
    """The tools of a file that `bottega tools import` takes, and what was left out. Raises `UsageError`."""
    found = read_definitions(path)
    tools = [
        ToolSpec(f"{server}/{d['name']}", server, d["name"], d.get("description") or "", d.get("inputSchema") or {})
        for server, definitions in found.definitions.items()
        for d in definitions
    ]
    if not tools:
        raise UsageError(f"no tools are in {path}", hint="it takes tools/list dumps and JSON Lines of tools")
    return tools, found.problems


def read_requests(path: Path, tools: Sequence[ToolSpec]) -> tuple[list[Asked], list[str]]:
    """Requests of a file of JSON Lines, `{"request": ..., "tools": [...]}`, and what was left out, a sentence each.

    A tool is its id, or its name where only one tool has it. Raises `UsageError` for a file of another form.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not text", hint="it has to be JSON Lines in UTF-8") from None
    asked: list[Asked] = []
    problems: list[str] = []
    known = {tool.id for tool in tools}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        request, names = _request(line, f"{path}:{number}")
        try:
            asked.append(Asked(request, tuple(n if n in known else named(n, tools).id for n in names)))
        except UsageError as error:
            problems.append(f"line {number}: {error.message}")
    return asked, problems


def _request(line: str, where: str) -> tuple[str, list[str]]:
    hint = 'a line is {"request": "...", "tools": ["server/tool"]}'
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise UsageError(f"{where}: broken JSON", hint=hint) from None
    request, names = (row.get("request"), row.get("tools")) if isinstance(row, dict) else (None, None)
    if not isinstance(request, str) or not request.strip():
        raise UsageError(f"{where}: there is no request", hint=hint)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{where}: there are no tools", hint=hint)
    return request, names
