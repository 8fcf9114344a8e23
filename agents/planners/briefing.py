"""What a language model is told so that it can plan: how a plan is written, and what there is to plan with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from ...tools import Tool
from ..material import DATA_RULE, as_data, digest
from ..plan import Json, Plan, Step, StepResult
from ..planning import PlanningContext
from ..readable import clean
from ..specialist import Specialist

RULES = f"""\
You plan the work of a workshop of agents. Answer with a plan as JSON, and with nothing else:

{{"steps": [
  {{"id": "s1", "instruction": "Find the patient Nora Beck", "tool": "clinic/find_patient",
   "arguments": {{"name": "Nora Beck"}}, "reported": false}},
  {{"id": "s2", "instruction": "When is the next appointment of Nora Beck?", "tool": "clinic/next_appointment",
   "arguments": {{"patient_id": {{"from": "s1", "path": "patient_id"}}}}}}
]}}

A step has
- id: s1, s2, and so on.
- instruction: what it does, in one sentence that can be understood alone.
- tool and arguments: the id of a tool from the list, and all its required arguments. Do this wherever a tool fits:
  such a step is done at once and without further thought.
- An argument may be a result of another step: {{"from": "s1"}} is all of it, {{"from": "s1", "path": "items.0.name"}}
  a part, by keys and list indices. Leave the path out where you do not know how the result is made up. Never guess a
  value that a step can find out: plan that step.
- An argument {{"each": ["a", "b"]}} or {{"each": {{"from": "s1"}}}} makes one call for each value.
- specialist: only for what no tool does by itself, such as writing, judging or choosing. Then tool is null, and the
  steps whose results it has to see are in after.
- after: ids of steps that have to be finished before it although no argument refers to them.
- expects: what its result has to be: "number", "date", "list", "text" or "file". Leave it out where anything will do.
- reported: false where its result only serves other steps and is no part of the answer.
- goal: true for a part of the request that is too large for one step and can only be planned once the steps before it
  are done. Then tool is null.
- problem: what is missing, where nothing in the lists can do that part of the request. Then tool is null.

Rules
- As few steps as the request needs, and nothing that was not asked for. Steps that do not need each other run at once.
- Name only tools and specialists from the lists, and only arguments that the tool has.
- {DATA_RULE}"""

REVISION = """\
This plan was made for the request:
{plan}

What became of its steps:
{fates}

Plan another way to what is lost. All other steps stay as they are: do not write them again, refer to their results by
their ids. Give the new steps ids from {first} on. If there is no other way, answer {{"steps": []}}."""

FIELDS = ("id", "instruction", "tool", "arguments", "specialist", "after", "expects", "reported", "goal", "problem")
"""The fields of a step that a planner may set."""

MOST_FILES, MOST_DEMONSTRATIONS = 60, 3
SHOWN_RESULT, SHOWN_PARAMETER, SHOWN_TOOL = 1_000, 160, 400
"""Characters of a result, of what is said about a parameter, and about a tool."""


def form_of_plans(tools: Iterable[Tool]) -> dict[str, Json]:
    """The JSON Schema of a plan with these tools, for servers that keep their models to a form."""
    text, no_text = {"type": "string"}, {"type": ["string", "null"]}
    step = {
        "id": text,
        "instruction": text,
        "tool": {"enum": [*(tool.id for tool in tools), None]},
        "arguments": {"type": "object"},
        "specialist": no_text,
        "after": {"type": "array", "items": text},
        "expects": text,
        "reported": {"type": "boolean"},
        "goal": {"type": "boolean"},
        "problem": no_text,
    }
    required = ["id", "instruction", "tool", "arguments"]
    steps = {"type": "array", "items": {"type": "object", "properties": step, "required": required}}
    return {"type": "object", "properties": {"steps": steps}, "required": ["steps"]}


def briefing(request: str, tools: Sequence[Tool], context: PlanningContext) -> str:
    """The request, and all that a plan for it may be made of."""
    # Who works with tools alone is found by the tool of a step; a step without one would be too much for them.
    thinking = [who for who in context.specialists if who.prompt is not None or who.model is not None]
    parts = [_listed("Tools", map(_tool, tools)), _listed("Specialists", map(_specialist, thinking))]
    if context.given:
        given = (as_data(id, clean(digest(result), SHOWN_RESULT)) for id, result in context.given.items())
        head = (
            "Results that are there already. Refer to them like to those of steps, and give no step one of their ids:"
        )
        parts.append("\n".join([head, *given]))
    if files := context.workspace.files(limit=MOST_FILES):
        parts.append(f"Some files of the workspace:\n{as_data('workspace', clean(', '.join(files)))}")
    for shown in context.demonstrations[:MOST_DEMONSTRATIONS]:
        parts.append(f"A plan that did well for a request like this one:\nRequest: {shown.request}\n{written(shown)}")
    if context.route is not None and context.route.specialist is not None:
        parts.append(f"The request looks like one for the specialist {context.route.specialist}.")
    return "\n\n".join([*parts, f"Request: {request}"])


def revision(plan: Plan, results: Mapping[str, StepResult], lost: Iterable[str], first: str) -> str:
    """What became of a plan, and what is wanted now. `lost` are the steps to be planned anew."""
    away = set(lost)
    fates = "\n".join(_fate(step, results.get(step.id), step.id in away) for step in plan.steps)
    return REVISION.format(plan=written(plan), fates=fates, first=first)


def written(plan: Plan) -> str:
    """A plan in the form that is asked for."""
    said = (step.model_dump(mode="json", include=set(FIELDS), exclude_defaults=True) for step in plan.steps)
    steps = ",\n".join(f"  {json.dumps(step, ensure_ascii=False)}" for step in said)
    return f'{{"steps": [\n{steps}\n]}}'


def queries(request: str) -> list[str]:
    """What tools are searched for: the request, and each of its parts, since one tool does only one of them."""
    parts = [" ".join(part.split()) for part in _BETWEEN.split(request)]
    return list(dict.fromkeys([request, *(part for part in parts if len(part.split()) > 2)]))[:8]


_BETWEEN = re.compile(r"[.;!?\n]+(?:\s|$)|,?\s+(?:and|then|but|also)\s+", re.I)


def _listed(name: str, lines: Iterable[str]) -> str:
    return "\n".join([f"{name}:", *lines]) if (lines := list(lines)) else f"{name}: none"


def _tool(tool: Tool) -> str:
    lines = [f"- {tool.id}: {clean(' '.join(tool.description.split()), SHOWN_TOOL)}"]
    lines += [f"    {_parameter(name, schema, name in tool.required)}" for name, schema in tool.parameters.items()]
    if gives := list((tool.output_schema or {}).get("properties") or {})[:20]:
        lines.append(f"    gives: {', '.join(gives)}")
    return "\n".join(lines)


def _parameter(name: str, schema: Mapping[str, Json], required: bool) -> str:
    if schema.get("x-source") == "instruction":
        return f"{name} (leave it out: it is the step's instruction)"
    said = clean(" ".join(str(schema.get("description", "")).split()), SHOWN_PARAMETER)
    rest = {k: v for k, v in schema.items() if k not in ("description", "title") and not k.startswith("x-")}
    kind = rest["type"] if rest.keys() == {"type"} else json.dumps(rest, ensure_ascii=False)
    return f"{name} ({'required, ' if required else ''}{clean(str(kind), SHOWN_TOOL)}){': ' if said else ''}{said}"


def _specialist(specialist: Specialist) -> str:
    return f"- {specialist.name}: {' '.join(specialist.description.split())}"


def _fate(step: Step, result: StepResult | None, lost: bool) -> str:
    if result is None:
        return f"- {step.id}: not begun"
    gave = clean(digest(result), SHOWN_RESULT)
    return f"- {step.id}{' (lost)' if lost else ''}: {result.status}\n{as_data(step.id, gave)}"
