"""Which workflow a request asks for, and what it says of the workflow's inputs.

A request asks for a workflow that it names, or one of whose examples says the same, with other values: in the same
words, or in words that mean nearly the same. What it says beyond that would be lost, and what it does not say would be
done unasked, so that in doubt there is no match.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...retrieval import terms
from ...tools import Tool
from ..filling import Filled
from ..plan import Each, Json
from ..workflows import Input, Workflow
from ..workflows.mentions import mentions
from .binding import Binder

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Unit vectors of texts, (number of texts, width)."""

PLAUSIBLE, NEAREST = 0.3, 3
"""Least cosine of a request and an example, values and all, and most workflows, that are looked at closely."""

SAME_WORDS, KNOWN_WORDS, ONE_LACKING = 0.75, 0.85, 0.9
"""Least cosine, without the values, of an example and a request in the same words; in those and others of the
workflow's examples; and in the same but one."""

FITS = 0.5
"""Least fit of the inputs where the words are not the same."""

LONGEST = 500
"""Characters of a request that may ask for a workflow."""

VALUE = "X"
"""What stands for a value when texts are compared without them."""

_ASKING = frozenset(terms("please give make tell let need want like would could can do does did just now"))
"""Words that ask, whatever for."""

_WORDS = r"(?:(?!\b(?:and|or|then)\b|[.!?](?:\s|$))[^,;\n]){1,80}?"
_PATTERNS = {
    "text": _WORDS,
    "date": _WORDS,
    "path": r"[^\s,;\"']+(?<![.?!])",
    "integer": r"[-+]?\d+",
    "number": r"[-+]?\d+(?:\.\d+)?",
    "boolean": r"yes|no|true|false",
    "list": r"(?:(?![.!?](?:\s|$))[^;\n]){1,200}?",
}
"""What a value of each type looks like without quotation marks."""


@dataclass(frozen=True)
class Match:
    """A workflow that a request asks for. With a `problem` it cannot be done."""

    workflow: Workflow
    inputs: Mapping[str, Json] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class _Example:
    """An example of a workflow. If it names inputs, `pattern` has two groups for each: in quotation marks, and bare."""

    workflow: Workflow
    text: str
    pattern: re.Pattern[str] | None = None
    names: tuple[str, ...] = ()


class WorkflowMatcher:
    """Knows workflows. `encode` gives the vectors of the texts that it compares."""

    def __init__(self, workflows: Sequence[Workflow], encode: Encode, binder: Binder | None = None) -> None:
        self.workflows = tuple(workflows)
        self._encode = encode
        self._binder = binder or Binder()
        self._tools: dict[str, Tool] = {one.name: one.as_tool() for one in self.workflows}
        self._examples = [_example(one, text) for one in self.workflows for text in one.examples]
        self._vectors: NDArray[np.float32] | None = None
        self._forms: dict[tuple[str, str], str] = {}
        self._last: tuple[tuple[str, tuple[str, ...]], Match | None] | None = None

    def match(self, request: str, files: Sequence[str] = ()) -> Match | None:
        """The workflow that `request` asks for, if there is one. `files` are names in the workspace.

        Takes the time of encoding one text and, where an example is near, of reading it as a call. Raises `ModelError`
        where a house model cannot be opened.
        """
        if not self.workflows or len(request) > LONGEST:
            return None
        asked, last = (request, tuple(files)), self._last
        if last is not None and last[0] == asked:  # the router asks first, then the planner
            return last[1]
        text = request.strip()
        found = self._named(text, files) or self._written(text) or self._meant(text, files)
        self._last = asked, found
        return found

    def _named(self, text: str, files: Sequence[str]) -> Match | None:
        """`run the workflow count-errors on kiln.log`"""
        for workflow in self.workflows:
            name = r"[\s_-]".join(map(re.escape, re.split(r"[\s_-]+", workflow.name)))
            found = re.search(rf"\bworkflow\s+[\"']?{name}\b[\"']?|(?<!\w)[\"']?{name}[\"']?\s+workflow\b", text, re.I)
            if found:
                rest = f"{text[: found.start()]} {text[found.end() :]}"
                return self._filled(workflow, self._read(workflow, rest, files))
        return None

    def _written(self, text: str) -> Match | None:
        """A request that is an example with values in the places of its inputs."""
        for example in self._examples:
            found = example.pattern.fullmatch(text) if example.pattern else None
            if found is None:
                continue
            values = zip(example.names, found.groups()[::2], found.groups()[1::2], strict=True)
            try:
                inputs = {name: _taken(example.workflow.inputs[name], quoted, bare) for name, quoted, bare in values}
            except ValueError:
                continue
            return _complete(Match(example.workflow, inputs))
        return None

    def _meant(self, text: str, files: Sequence[str]) -> Match | None:
        """A request that says the same as an example."""
        if not self._examples:
            return None
        if self._vectors is None:
            self._vectors = self._encode([_plain(example) for example in self._examples])
        cosines = self._vectors @ self._encode([text])[0]
        best = [self._examples[i].workflow for i in np.argsort(-cosines, kind="stable") if cosines[i] >= PLAUSIBLE]
        for workflow in list({one.name: one for one in best}.values())[:NEAREST]:
            forms = [self._form(example) for example in self._examples if example.workflow is workflow]
            if all(len(_content(form) - _content(text)) > 1 for form in forms):
                continue  # whatever its values are
            filled = self._read(workflow, text, files)
            if self._says_the_same(_form(text, filled.used), forms, fits=filled.fit >= FITS):
                return self._filled(workflow, filled)
        return None

    def _says_the_same(self, form: str, forms: Sequence[str], fits: bool) -> bool:
        """Whether a request without its values says what an example without its values does."""
        said = _content(form)
        if not said <= {word for one in forms for word in _content(one)}:
            return False
        vector, *others = self._encode([form, *forms])
        cosine, nearest = max((float(other @ vector), one) for other, one in zip(others, forms, strict=True))
        if said == _content(nearest):
            return cosine >= SAME_WORDS
        lacking = _content(nearest) - said
        return fits and len(lacking) <= 1 and cosine >= (ONE_LACKING if lacking else KNOWN_WORDS)

    def _form(self, example: _Example) -> str:
        """An example without its values."""
        if example.pattern is not None:
            return _plain(example)
        key = (example.workflow.name, example.text)
        if key not in self._forms:
            self._forms[key] = _form(example.text, self._read(example.workflow, example.text, ()).used)
        return self._forms[key]

    def _read(self, workflow: Workflow, text: str, files: Sequence[str]) -> Filled:
        return self._binder.rebind(text, self._tools[workflow.name], (), tuple(files))

    def _filled(self, workflow: Workflow, filled: Filled) -> Match:
        if filled.unused:
            return Match(workflow, problem="the request says more than its inputs take")
        if several := [name for name, value in filled.arguments.items() if isinstance(value, Each)]:
            return Match(workflow, problem=f"the request names several values for its {several[0]}")
        try:
            inputs = {name: workflow.inputs[name].take(value) for name, value in filled.arguments.items()}
        except ValueError as error:
            return Match(workflow, problem=f"an input {error}")
        return _complete(Match(workflow, inputs))


def _complete(match: Match) -> Match:
    lacking = [name for name, one in match.workflow.inputs.items() if one.required and name not in match.inputs]
    return Match(match.workflow, problem=f"the request does not say its {', '.join(lacking)}") if lacking else match


def _example(workflow: Workflow, text: str) -> _Example:
    """An example; one that names inputs with a pattern for requests that have values in their places."""
    parts, end = [], 0
    names: list[str] = []
    for found in mentions(text, ()):
        parts.append(_literal(text[end : found.begin]))
        end = found.end
        if found.name == "$":
            parts.append(r"\$")
        elif found.name in names:
            group = 2 * names.index(found.name) + 1
            parts.append(rf"(?:\"\{group}\"|\{group + 1})")
        else:
            names.append(found.name)
            one = workflow.inputs[found.name]
            bare = "|".join(map(re.escape, one.options)) or _PATTERNS[one.type]
            parts.append(rf"(?:\"([^\"]*)\"|({bare}))")
    parts.append(_literal(text[end:].rstrip(" .!?")))
    pattern = re.compile("".join(parts) + r"\s*[.!?]*", re.I) if names else None
    return _Example(workflow, " ".join(text.split()), pattern, tuple(names))


def _literal(text: str) -> str:
    return re.sub(r"(?:\\?\s)+", r"\\s+", re.escape(text))


def _plain(example: _Example) -> str:
    """The text of an example, with `VALUE` in the places of inputs."""
    parts, end = [], 0
    for found in mentions(example.text, ()):
        parts += [example.text[end : found.begin], "$" if found.name == "$" else VALUE]
        end = found.end
    return "".join([*parts, example.text[end:]]).strip(" .!?")


def _form(text: str, used: Sequence[tuple[int, int]]) -> str:
    """`text` with `VALUE` in the places that inputs were taken from."""
    parts, at = [], 0
    for begin, end in sorted(set(used)):
        if begin >= at and end > begin:
            parts += [text[at:begin], VALUE]
            at = end
    return "".join([*parts, text[at:]]).strip(" .!?")


def _content(form: str) -> frozenset[str]:
    """The stems of the words that say what is wanted."""
    return frozenset(terms(re.sub(rf"\b{VALUE}\b", " ", form))) - _ASKING


def _taken(one: Input, quoted: str | None, bare: str | None) -> Json:
    """A value as its input has it; a list may have `and` before its last item. Raises `ValueError`."""
    if quoted is not None:
        return one.take(quoted)
    text = (bare or "").strip("'")
    return one.take(re.sub(r",?\s+and\s+", ", ", text) if one.type == "list" else text)
