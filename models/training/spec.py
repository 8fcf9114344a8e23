"""A `TaskSpec` says what a task model is to learn: reading it and its data, with errors that name the line."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...core.errors import ConfigError, UsageError

Share = Annotated[float, Field(gt=0, lt=1)]
SHARE = 0.2
"""Held out where nothing is said and the data has no splits."""


class TaskSpec(BaseModel):
    """What to learn, from what, and what is good enough.

    name: ticket-topics
    data: tickets.jsonl        # or examples: {billing: ["Where is my invoice?", ...], ...}
    held_out: 0.2              # a share, or the name of a split
    bar: 0.8
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """The model is opened by it."""
    task: Literal["classify"] = "classify"
    data: Path | None = None
    """A JSONL, CSV or TSV file; relative to the folder of the spec."""
    examples: dict[str, list[str]] = Field(default_factory=dict)
    """Label -> texts, instead of a file."""
    descriptions: dict[str, str] = Field(default_factory=dict)
    """Label -> what it means: learned from, as the label's name is."""
    text_field: str = "text"
    label_field: str = "label"
    split_field: str = "split"
    train: str | None = None
    """The split to learn from; `train` where the data has splits."""
    held_out: Share | str | None = None
    """The split to measure on, or a share of the rows; `test` where the data has splits, else a fifth."""
    shots: int | None = Field(None, ge=1)
    """Learn from this many examples of each label, drawn with `seed`."""
    seed: int = 0
    metric: Literal["accuracy", "macro_f1"] = "accuracy"
    bar: float | None = Field(None, ge=0, le=1)
    """The figure a model must reach to be kept."""
    licence: str = "not stated"
    """Of the data; it stands on the card."""

    @model_validator(mode="after")
    def _one_source(self) -> TaskSpec:
        if (self.data is None) == (not self.examples):
            raise ValueError("give either data (a file) or examples")
        return self


@dataclass(frozen=True)
class Row:
    """An example."""

    text: str
    label: str
    split: str | None = None


def read_spec(path: Path) -> TaskSpec:
    """The spec in a YAML file. Raises `ConfigError` in one line, which names the line of the file."""
    import yaml

    text = _text(path)
    try:
        tree = yaml.compose(text, yaml.SafeLoader)
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where} is not YAML: {getattr(error, 'problem', error)}", hint="mend it") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path} is not a task spec", hint="it needs at least `name:` and `data:` or `examples:`")
    spec = checked_spec(found, lambda place: f"{path} line {_line(tree, place)}")
    return spec.model_copy(update={"data": path.parent / spec.data}) if spec.data else spec


def checked_spec(values: Mapping[str, Any], where: Any = None) -> TaskSpec:
    """A spec of these values. Raises `ConfigError`; `where` tells where a value at a path of keys comes from."""
    try:
        return TaskSpec.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        keys = [key for key in first["loc"] if not str(key).startswith(("constrained-", "float", "str"))]
        name = ".".join(map(str, keys))
        what = first["msg"].removeprefix("Value error, ")
        shown = f"{name}: {what}" if name else what
        if first["type"] == "extra_forbidden":
            known = ", ".join(TaskSpec.model_fields)
            raise ConfigError(_at(where, keys, f"{name!r} is no field of a task"), hint=f"fields: {known}") from None
        raise ConfigError(_at(where, keys, shown), hint="docs/training.md shows a spec") from None


def _at(where: Any, keys: Sequence[Any], what: str) -> str:
    return f"{where(keys)}: {what}" if where else what


def _line(tree: Any, keys: Sequence[Any]) -> int:
    """The line of the deepest node on the way that `keys` name."""
    line, node = tree.start_mark.line, tree
    for key in keys:
        if isinstance(node.value, list) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
        elif isinstance(node.value, list):
            pair = next((p for p in node.value if isinstance(p, tuple) and p[0].value == str(key)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line, pair[1]
            continue
        else:
            break
        line = node.start_mark.line
    return int(line) + 1


def read_rows(spec: TaskSpec) -> list[Row]:
    """All examples of a spec. Raises `UsageError` that names the file's line for one that cannot be used."""
    if spec.data is None:
        return [Row(text, label) for label, texts in spec.examples.items() for text in texts]
    kind = spec.data.suffix.lower()
    if kind not in (".jsonl", ".ndjson", ".csv", ".tsv"):
        raise UsageError(f"{spec.data} is neither JSONL nor CSV nor TSV", hint="name a file that ends so")
    records = (
        _json_lines(spec.data) if kind in (".jsonl", ".ndjson") else _table(spec.data, "\t" if kind == ".tsv" else ",")
    )
    rows = [_row(spec, record, f"{spec.data} line {line}") for line, record in records]
    if not rows:
        raise UsageError(f"{spec.data} has no examples", hint="put one example on each line")
    return rows


def _row(spec: TaskSpec, record: Mapping[str, Any], where: str) -> Row:
    found = {}
    for field in (spec.text_field, spec.label_field):
        value = record.get(field)
        if isinstance(value, bool | int):
            value = str(value)
        if not isinstance(value, str) or not value.strip():
            wrong = (
                "is empty"
                if value in ("", None) and field in record
                else "is missing"
                if value is None
                else f"is {value!r}"
            )
            there = ", ".join(map(str, record)) or "none"
            raise UsageError(f"{where}: the field {field!r} {wrong}", hint=f"the line has the fields {there}")
        found[field] = value.strip()
    split = record.get(spec.split_field)
    return Row(found[spec.text_field], found[spec.label_field], None if split is None else str(split))


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{path} line {number} is not JSON: {error}", hint="mend the line or remove it") from None
        if not isinstance(record, dict):
            raise UsageError(
                f"{path} line {number} is no JSON object", hint='it should look like {"text": ..., "label": ...}'
            )
        yield number, record


def _table(path: Path, delimiter: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(_text(path).splitlines(keepends=True), delimiter=delimiter)
    try:
        for record in reader:
            yield reader.line_num, {k: v for k, v in record.items() if isinstance(k, str)}
    except csv.Error as error:
        raise UsageError(f"{path} line {reader.line_num} cannot be read: {error}", hint="mend the line") from None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}", hint="check the name") from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UsageError(f"{path} line {line} is not UTF-8 text", hint="save the file as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="name a file you may read") from None


def split_rows(spec: TaskSpec, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The rows to learn from and those to measure on; a text that is measured on is never learned from.

    Raises `UsageError` if there are none of either, or no two labels.
    """
    chance = random.Random(spec.seed)
    splits = sorted({row.split for row in rows if row.split is not None})
    if isinstance(spec.held_out, float) or (spec.held_out is None and not splits):
        pool = _named(rows, spec.train or "train", splits) if splits else list(rows)
        train, held = _share(pool, spec.held_out or SHARE, chance)
    else:
        train = _named(rows, spec.train or "train", splits)
        held = _named(rows, spec.held_out or "test", splits)
    measured = {row.text.casefold() for row in held}
    train = [row for row in train if row.text.casefold() not in measured]
    if spec.shots:
        train = _draw(train, spec.shots, chance)
    if len({row.label for row in train} | set(spec.descriptions)) < 2:
        raise UsageError("there is only one label to learn", hint="add examples of another label")
    if not held:
        raise UsageError("there is nothing to measure on", hint="add examples: at least two of a label")
    return train, held


def _named(rows: Sequence[Row], split: str, splits: Sequence[str]) -> list[Row]:
    found = [row for row in rows if row.split == split]
    if not found:
        there = (
            f"there are {', '.join(splits[:12])}" if splits else "the data has no splits: hold out a share, such as 0.2"
        )
        raise UsageError(f"no row has the split {split!r}", hint=there)
    return found


def _by_label(rows: Sequence[Row], chance: random.Random) -> list[list[Row]]:
    """The rows of each label, shuffled."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.label, []).append(row)
    for label in sorted(groups):
        chance.shuffle(groups[label])
    return [groups[label] for label in sorted(groups)]


def _share(rows: Sequence[Row], share: float, chance: random.Random) -> tuple[list[Row], list[Row]]:
    """A share of each label held out, at least one of those that have two."""
    train: list[Row] = []
    held: list[Row] = []
    for group in _by_label(rows, chance):
        many = min(len(group) - 1, max(1, round(share * len(group))))
        held += group[:many]
        train += group[many:]
    return train, held


def _draw(rows: Sequence[Row], shots: int, chance: random.Random) -> list[Row]:
    return [row for group in _by_label(rows, chance) for row in group[:shots]]
