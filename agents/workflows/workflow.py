"""A `Workflow` with its inputs is a `Plan`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import ConfigError, UsageError
from ...tools import Tool, ToolContext, ToolResult
from ..plan import Each, Json, Plan, Reference, Step
from ..readable import readable
from .checks import check_form, check_tools
from .form import Input, WorkflowStep, nearest, read_form
from .mentions import alone, mentions
from .yamlfile import Marked, read_file, read_text

FOLDER = Path(".bottega") / "workflows"
"""Where the workflows of a workspace lie."""


@dataclass(frozen=True)
class Workflow:
    """A known way to do something.

    plan = Workflow.read("count-errors.yaml").plan({"log": "kiln.log"})
    """

    name: str
    description: str
    examples: tuple[str, ...]
    """Requests that ask for it, with values, or with `$name` in the places of inputs."""
    inputs: Mapping[str, Input]
    steps: tuple[WorkflowStep, ...]
    answer: tuple[str, ...]
    """Steps whose results the answer tells; empty: all."""
    file: Marked
    """What it was read from."""

    @classmethod
    def read(cls, path: str | Path) -> Workflow:
        """The workflow in a YAML file. Raises `ConfigError` with file, line and key for what is wrong in it."""
        return cls._of(read_file(Path(path)))

    @classmethod
    def parse(cls, text: str, source: str = "workflow") -> Workflow:
        """The workflow in a YAML text; `source` is what errors call it. Raises `ConfigError` as `read` does."""
        return cls._of(read_text(text, source))

    @classmethod
    def _of(cls, file: Marked) -> Workflow:
        form = read_form(file)
        steps = (step.model_copy(update={"id": step.id or f"s{n}"}) for n, step in enumerate(form.steps, 1))
        inputs = {name: one or Input() for name, one in form.inputs.items()}
        found = cls(form.name, form.description, form.examples, inputs, tuple(steps), form.answer, file)
        check_form(file, found.examples, inputs, found.steps, found.answer)
        return found

    @property
    def input_schema(self) -> dict[str, Json]:
        """The JSON Schema of its inputs: an object."""
        return {
            "type": "object",
            "properties": {name: one.json_schema() for name, one in self.inputs.items()},
            "required": [name for name, one in self.inputs.items() if one.required],
        }

    def as_tool(self) -> Tool:
        """What reads requests for tools sees the workflow as this. It cannot be called: its plan is to be run."""

        async def call(arguments: dict[str, Json], context: ToolContext) -> ToolResult:
            return ToolResult(f"{self.name} is a workflow: run its plan", is_error=True)

        return Tool(self.name, self.description or self.name, self.input_schema, call, server="workflows")

    def plan(self, inputs: Mapping[str, Json] | None = None, request: str = "") -> Plan:
        """The plan for these inputs. `request` is what was asked for; without one, it is the description.

        Texts are read as the types of their inputs. Raises `UsageError` for an input that is unknown, missing or of
        another type, `PlanError` for more steps than a plan may have.
        """
        values = self._values(inputs or {})
        steps = tuple(self._step(step, values) for step in self.steps)
        return Plan(request=request or self.description or self.name, steps=steps).check()

    def check(self, tools: Iterable[Tool], specialists: Iterable[str]) -> None:
        """Raises `ConfigError` for a tool or specialist that is not there, and for arguments that its tool lacks."""
        check_tools(self.file, self.steps, {tool.id: tool for tool in tools}, list(specialists))

    def _values(self, given: Mapping[str, Json]) -> dict[str, Json]:
        """A value for each input."""
        unknown = next((name for name in given if name not in self.inputs), None)
        if unknown is not None:
            hint = nearest(unknown, list(self.inputs)) or "it takes none"
            raise UsageError(f"the workflow {self.name!r} has no input {unknown!r}", hint=hint)
        missing = [name for name, one in self.inputs.items() if one.required and name not in given]
        if missing:
            first = self.inputs[missing[0]]
            hint = f"{missing[0]} is {first.description}" if first.description else f"{missing[0]} is a {first.type}"
            raise UsageError(f"the workflow {self.name!r} lacks its {', '.join(missing)}", hint=hint)
        values: dict[str, Json] = {}
        for name, one in self.inputs.items():
            try:
                values[name] = one.take(given.get(name, one.default))
            except ValueError as error:
                raise UsageError(f"the input {name!r} of the workflow {self.name!r} {error}") from None
        return values

    def _step(self, step: WorkflowStep, values: Mapping[str, Json]) -> Step:
        ids = {one.id for one in self.steps}
        instruction = _text(step.do, values, ids) or (step.tool or "").rpartition("/")[2].replace("_", " ")
        arguments = {name: _value(raw, values, ids) for name, raw in step.with_.items()}
        arguments = {name: v for name, v in arguments.items() if v is not None or step.with_[name] is None}
        for name, raw in step.each.items():
            items = _value(raw, values, ids)
            arguments[name] = Each(each=items if isinstance(items, Reference) else tuple(items))
        uses = [found.name for found in mentions(step.do, ids) if found.name in ids]
        return Step(
            id=step.id,
            instruction=instruction,
            specialist=step.specialist,
            tool=step.tool,
            arguments=arguments,
            after=tuple(dict.fromkeys([*step.after, *uses])),
            goal=step.goal,
            share=step.share,
            retries=step.retries,
            expects=step.expects,
            reported=not self.answer or step.id in self.answer,
        )


def read_workflows(workspace: str | Path) -> list[Workflow]:
    """The workflows of a workspace: `.bottega/workflows/*.yaml` (and `.yml`), in the order of the files' names.

    Raises `ConfigError` for one that cannot be read, and for two of one name.
    """
    folder = Path(workspace) / FOLDER
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConfigError(f"{folder} cannot be read: {error.strerror}", hint="mend its rights or remove it") from None
    found: dict[str, Workflow] = {}
    for path in paths:
        one = Workflow.read(path)
        if one.name in found:
            other = found[one.name].file.source
            raise one.file.error(("name",), f"{other} has the name {one.name!r} too", "rename one")
        found[one.name] = one
    return list(found.values())


def find_workflow(name: str, workspace: str | Path) -> Workflow:
    """The workflow in the file `name`, or the one of a workspace that is called so.

    Raises `ConfigError` for a file that cannot be read, and `UsageError` where there is neither.
    """
    if Path(name).suffix in (".yaml", ".yml"):
        return Workflow.read(name)
    known = {one.name: one for one in read_workflows(workspace)}
    if name not in known:
        hint = nearest(name, list(known)) or f"name a YAML file, or put one into {FOLDER}"
        raise UsageError(f"there is no workflow {name!r}", hint=hint)
    return known[name]


def _value(raw: Json, values: Mapping[str, Json], steps: set[str]) -> Json:
    """An argument with the values of inputs in it, and references to the results of steps."""
    if isinstance(raw, dict):
        return {key: _value(value, values, steps) for key, value in raw.items()}
    if isinstance(raw, list):
        return [_value(value, values, steps) for value in raw]
    if not isinstance(raw, str):
        return raw
    found = alone(raw, steps)
    if found is None:
        return _text(raw, values, steps)
    return Reference(**{"from": found.name, "path": found.path}) if found.name in steps else values[found.name]


def _text(raw: str, values: Mapping[str, Json], steps: set[str]) -> str:
    """A text with the values of inputs in it; a step is named in words."""
    parts, end = [], 0
    for found in mentions(raw, steps):
        parts.append(raw[end : found.begin])
        end = found.end
        if found.name == "$":
            parts.append("$")
        elif found.name in values:
            parts.append("" if values[found.name] is None else readable(values[found.name]))
        else:
            parts.append(f"{found.path} of the result of {found.name}" if found.path else f"the result of {found.name}")
    return "".join([*parts, raw[end:]])
