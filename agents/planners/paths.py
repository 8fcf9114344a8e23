"""The files that requests name and calls work on: what reads a file waits for what writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...tools import Tool, Workspace
from ..plan import Each, Json, Step

MOST_FILES = 500
"""Files of a workspace whose names are looked for in a request."""


def names_in(workspace: Workspace) -> tuple[str, ...]:
    """What a request may name of a workspace: its files, the folders they lie in, and empty folders at the top."""
    files = workspace.files(limit=MOST_FILES)
    folders = (f.rpartition("/")[0] for f in files if "/" in f)
    top = sorted(p.name for p in workspace.root.iterdir() if p.is_dir() and not p.name.startswith("."))
    return (*files, *dict.fromkeys(folders), *top)


def paths_of(arguments: Mapping[str, Json], tool: Tool) -> list[str]:
    """The paths among the arguments of a call."""
    found: list[str] = []
    for name, value in arguments.items():
        if (tool.parameters.get(name) or {}).get("format") == "path":
            values = value.each if isinstance(value, Each) and isinstance(value.each, tuple) else (value,)
            found += [v.strip("/") for v in values if isinstance(v, str)]
    return found


def after(step: Step, steps: Sequence[Step], tools: Mapping[str, Tool]) -> tuple[str, ...]:
    """Steps that come first although no data flows: they write what this one works on, or work on what it writes."""
    tool = tools.get(step.tool or "")
    if tool is None:
        return ()
    mine, written = paths_of(step.arguments, tool), _written(steps, tools)
    first = [written[p] for p in mine if p in written]
    if not tool.annotations.read_only:
        for other in steps:
            of = tools.get(other.tool or "")
            if of is not None and set(paths_of(other.arguments, of)) & set(mine):
                first.append(other.id)
    return tuple(dict.fromkeys(first))


def _written(steps: Sequence[Step], tools: Mapping[str, Tool]) -> dict[str, str]:
    """Path -> the last step that changes it."""
    changing = [(s, t) for s in steps if (t := tools.get(s.tool or "")) and not t.annotations.read_only]
    return {path: step.id for step, tool in changing for path in paths_of(step.arguments, tool)}
