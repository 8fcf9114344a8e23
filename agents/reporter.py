"""Composes the answer of a run from its results, and nothing else: what no step returned is not said. Deterministic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from .plan import Json, Plan, Route, RunStatus, Step, StepResult, ToolCall
from .readable import GENERIC, clean, dig, is_scalar, mentions, plain, readable, spoken

NO_TOOL = (
    "I cannot do this: no tool here fits it. A server that has such a tool would help (name it in .mcp.json), or a "
    "specialist of your own."
)


@dataclass(frozen=True)
class Report:
    """The end of a run in words: its status and the answer."""

    status: RunStatus
    answer: str


def report(plan: Plan | None, results: Mapping[str, StepResult], route: Route | None = None) -> Report:
    """The report on `results`. Without a plan it says why nobody can, as the `route` has it."""
    if plan is None or not plan.steps:
        return Report("cannot", (route.reason if route else None) or NO_TOOL)
    told = [s for s in plan.steps if s.id in results and _is_told(s, results[s.id])]
    if not told:
        told = [s for s in plan.steps if s.id in results][-1:]
    parts = [_tell(step, results[step.id], alone=len(told) == 1) for step in told]
    return Report(status_of(plan, results), _join(parts))


def status_of(plan: Plan, results: Mapping[str, StepResult]) -> RunStatus:
    """The status of a run whose steps ended with `results`."""
    statuses = {results[s.id].status for s in plan.steps if s.id in results}
    if statuses & {"waiting", "uncertain"}:
        return "waiting"
    if "exhausted" in statuses:
        return "exhausted"
    if "refused" in statuses:
        return "stopped"
    if statuses == {"succeeded"}:
        return "succeeded"
    if any(results[s.id].status == "succeeded" and _is_told(s, results[s.id]) for s in plan.steps if s.id in results):
        return "partial"
    if any(r.value is not None for r in results.values() if r.status == "failed"):
        return "partial"
    return "failed" if "failed" in statuses else "cannot"


def _is_told(step: Step, result: StepResult) -> bool:
    return step.reported or result.status != "succeeded" or bool(result.files)


def _tell(step: Step, result: StepResult, alone: bool) -> str:
    if result.status != "succeeded":
        return _tell_failure(step, result)
    body, source = _body(step, result), _source(step, result)
    if "\n" in body:
        return f"{body}\n{source}" if alone else f"{_title(step)} {source}:\n{_indented(body)}"
    speaks_for_itself = alone or bool(result.files) or len(body.split()) >= 4
    return f"{body} {source}" if speaks_for_itself else f"{body} · {_title(step)} {source}"


def _tell_failure(step: Step, result: StepResult) -> str:
    words = {
        "failed": "failed",
        "cannot": "cannot be done here",
        "refused": "was not done",
        "skipped": "was left out",
        "waiting": "waits",
        "uncertain": "may have been done or not",
        "exhausted": "was broken off",
        "cancelled": "was not done",
    }
    why = clean(result.error or "it is not known why", 1_000)
    line = f'"{_title(step)}" {words.get(result.status, result.status)}: {why} {_source(step, result)}'
    return f"{_body(step, result)}\n{line}" if result.value is not None else line


def _body(step: Step, result: StepResult) -> str:
    """What a result says to a person, the value asked for first."""
    files = ", ".join(f for f in result.files if f not in result.text)
    wrote = f"Wrote {files}" if files else ""
    if is_scalar(result.value) and not isinstance(result.value, str | None):
        said = plain(result.value)
    elif _is_prose(result.text):
        said = _one_line_with_note(clean(result.text)) if isinstance(result.value, dict) else clean(result.text)
    elif _is_fanned(result):
        values = [_value(v, result.fields, step.instruction) for v in result.value]
        said = "; ".join(f"{_labels(result, i)}: {value}" for i, value in enumerate(values))
    else:
        said = _value(result.value, result.fields, step.instruction)
    if not result.files:
        return clean(said) or "nothing"
    return clean(f"{said} ({wrote})" if said and wrote and _is_prose(result.text) else wrote or said)


def _one_line_with_note(text: str) -> str:
    """A line and a note in brackets under it, as tools add how they came to it, on one line."""
    lines = text.splitlines()
    return " ".join(lines) if len(lines) == 2 and lines[1].startswith("[") and lines[1].endswith("]") else text


def _value(value: Json, fields: tuple[str, ...], instruction: str) -> str:
    """A value in words: one field as `34 (minutes)`, or `34` where minutes were asked for; several as `name: value`."""
    found = {path: part for path in fields if (part := _part(value, path)) is not _NOTHING}
    if not found:
        return readable(value)
    if len(found) > 1:
        return readable({path.rpartition(".")[2]: part for path, part in found.items()})
    (path, part), *_ = found.items()
    name = path.rpartition(".")[2]
    if isinstance(part, bool):
        return f"{spoken(name)}: {plain(part)}"
    if name.lower() in GENERIC or not is_scalar(part) or mentions(instruction, name):
        return readable(part)
    return f"{plain(part)} ({spoken(name)})"


_NOTHING = object()


def _part(value: Json, path: str) -> Json:
    try:
        return dig(value, path)
    except LookupError:
        return _NOTHING


def _is_prose(text: str) -> bool:
    """Whether a tool said its result in words, rather than as JSON."""
    if not text.strip():
        return False
    return not all(_is_json(line) for line in text.splitlines() if line.strip()) and not _is_json(text)


def _is_json(text: str) -> bool:
    if text.strip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _is_fanned(result: StepResult) -> bool:
    fan = _fan(result)
    good = sum(not call.is_error for call in fan)
    return len(fan) > 1 and isinstance(result.value, list) and len(result.value) == good


def _fan(result: StepResult) -> list[ToolCall]:
    """The calls of the tool that gave the result; other tools may have been called for what it needed."""
    return [call for call in result.calls if call.tool == result.calls[-1].tool]


def _labels(result: StepResult, i: int) -> str:
    """What tells the call behind the i-th value from the others: the arguments that differ."""
    fan = _fan(result)
    good = [call.arguments for call in fan if not call.is_error]
    differing = [k for k in good[i] if any(call.arguments.get(k) != good[i][k] for call in fan)]
    return ", ".join(readable(good[i][k]) for k in differing) or str(i + 1)


def _title(step: Step) -> str:
    words = " ".join(clean(step.instruction).split()).rstrip(" .?!;:,")
    return words if len(words) <= 120 else f"{words[:117]}..."


def _source(step: Step, result: StepResult) -> str:
    tool = result.calls[-1].tool if result.calls else step.tool
    names = ", ".join(result.sources[:3]) + (" and others" if len(result.sources) > 3 else "")
    inside = " ".join(x for x in (tool, names) if x)
    return f"[{step.id}: {inside}]" if inside else f"[{step.id}]"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else "" for line in text.splitlines())


def _join(parts: list[str]) -> str:
    """Lines under each other; blocks set off by an empty line."""
    out = ""
    for i, part in enumerate(parts):
        gap = "" if i == 0 else "\n\n" if "\n" in part or "\n" in parts[i - 1] else "\n"
        out += gap + part
    return out
