"""Invented tables: reads `corpus/tables`, draws columns under one of their names, and fills them with rows."""

from __future__ import annotations

import datetime
import functools
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..house.table import Column
from ..house.table_sketch import Type

FOLDER = Path(__file__).parent / "corpus" / "tables"
TYPES: dict[str, Type] = {
    "key": "text",
    "group": "text",
    "amount": "number",
    "level": "number",
    "year": "number",
    "date": "date",
    "flag": "boolean",
}
SAMPLES = 50
"""Distinct values of a column that the model is shown at most."""
MEASURED_STRANGERS, TRAINED_STRANGERS = (0.3,), (0.5, 0.4)
"""Chances that a table has a first and a second column of another one. More in training: what a question means has to
be told from the words of the columns then, and not from the company that they keep."""


@dataclass(frozen=True)
class Field:
    """A column as the grammar knows it: its kind, what people call it, and its phrases."""

    label: str
    kind: str
    words: tuple[str, ...]
    spec: Mapping[str, Any] = field(compare=False, hash=False)
    aliases: tuple[str, ...] = ()

    def phrases(self, key: str) -> list[str]:
        return list(self.spec.get(key) or ())

    @property
    def person(self) -> bool:
        return bool(self.spec.get("person"))


@dataclass(frozen=True)
class Schema:
    """A table that could be."""

    name: str
    rows: tuple[str, ...]
    people: bool
    held_out: bool
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Filled:
    """A table with rows. `columns` and `fields` stand in the same order; a column of another table has no field."""

    schema: Schema
    columns: tuple[Column, ...]
    fields: tuple[Field | None, ...]
    rows: tuple[tuple[Any, ...], ...]

    def column(self, wanted: Field) -> Column:
        return self.columns[self.fields.index(wanted)]

    def known(self, *kinds: str) -> list[Field]:
        return [f for f in self.fields if f is not None and f.kind in kinds]


def read_yaml(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text("utf-8"))


@functools.cache
def schemas(held_out: bool) -> tuple[Schema, ...]:
    """All tables for training, or all that are only measured on."""
    library = read_yaml("columns.yaml")
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        content = read_yaml(path.name)
        if isinstance(content, list):
            found += [_schema(entry, library) for entry in content if bool(entry.get("held_out")) == held_out]
    return tuple(found)


def _schema(entry: Mapping[str, Any], library: Mapping[str, Any]) -> Schema:
    fields = []
    for name, own in entry["columns"].items():
        own = own or {}
        base = {} if entry.get("held_out") else library.get(own.get("use", name), {})
        spec = {**base, **own}
        aliases = tuple(dict.fromkeys([name, *(str(a) for a in spec.get("aka", ()))]))
        fields.append(Field(name, spec["is"], tuple(str(w) for w in spec["words"]), spec, aliases))
    return Schema(
        entry["name"], tuple(entry["rows"]), bool(entry.get("people")), bool(entry.get("held_out")), tuple(fields)
    )


@functools.cache
def _pools() -> dict[str, list[str]]:
    pools: dict[str, list[str]] = read_yaml("pools.yaml")
    return pools


def fill(
    schema: Schema, rng: random.Random, others: Sequence[Schema] = (), strangers: Sequence[float] = MEASURED_STRANGERS
) -> Filled:
    """Draws three or more columns of `schema`, sometimes columns of other tables, and 6 to 40 rows."""
    size = rng.randint(6, 40)
    keep = rng.randint(min(4, len(schema.fields)), len(schema.fields))
    chosen: list[Field | None] = [f for f in schema.fields if f.kind == "key" and rng.random() < 0.85]
    rest = [f for f in schema.fields if f not in chosen]
    chosen += rng.sample(rest, max(2, min(keep - len(chosen), len(rest))))
    order = {f.label: i for i, f in enumerate(schema.fields)}
    chosen.sort(key=lambda f: order[f.label] if f else 0)
    if rng.random() < 0.3:
        rng.shuffle(chosen)
    columns, cells = [], []
    style = rng.choice(["snake", "snake", "snake", "snake", "title", "title", "words", "camel", "upper"])
    taken: set[str] = set()
    for f in chosen:
        assert f is not None
        name = _styled(rng.choice(f.aliases) if rng.random() < 0.6 else f.aliases[0], style)
        if name.lower() in taken:
            name = _styled(f.label, style)
        if name.lower() in taken:
            name = _styled(f"{f.label} 2", style)
        taken.add(name.lower())
        values = values_of(f, size, rng)
        columns.append(_column(name, f, values))
        cells.append(values)
    words = set(
        re.findall(
            r"\w+",
            " ".join(w for f in schema.fields for w in (*f.words, *f.aliases, f.label)).replace("_", " ").lower(),
        )
    )
    for chance in strangers if others else ():
        if rng.random() >= chance:
            break
        extra = rng.choice(rng.choice(others).fields)
        said = set(re.findall(r"\w+", " ".join((*extra.words, *extra.aliases)).replace("_", " ").lower()))
        if not words & said and extra.kind != "key" and _styled(extra.label, style).lower() not in taken:
            at = rng.randint(0, len(columns))
            values = values_of(extra, size, rng)
            columns.insert(at, _column(_styled(extra.label, style), extra, values))
            cells.insert(at, values)
            chosen.insert(at, None)
            taken.add(_styled(extra.label, style).lower())
            words |= said
    return Filled(schema, tuple(columns), tuple(chosen), tuple(zip(*cells, strict=True)))


def _column(name: str, f: Field, values: Sequence[Any]) -> Column:
    shown = tuple(
        dict.fromkeys(v.isoformat() if isinstance(v, datetime.date) else _plain(v) for v in values if v is not None)
    )
    return Column(name, TYPES[f.kind], shown[:SAMPLES], len(shown) == len(values))


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _styled(name: str, style: str) -> str:
    words = re.sub(r"[_\s]+", " ", name).split()
    match style:
        case "title":
            return " ".join(w if w.isupper() else w.capitalize() for w in words)
        case "words":
            return " ".join(words)
        case "camel":
            return words[0].lower() + "".join(w.capitalize() for w in words[1:])
        case "upper":
            return "_".join(words).upper()
        case _:
            return "_".join(words).lower()


def values_of(f: Field, size: int, rng: random.Random) -> list[Any]:
    """`size` cell values for a column; those of a key are all different as far as its pool goes."""
    match f.kind:
        case "key":
            return _names(f.spec, size, rng)
        case "group":
            few = _names(f.spec, rng.randint(2, 9), rng)
            few = list(dict.fromkeys(few))
            return [*few, *rng.choices(few, k=size)][:size] if len(few) < size else rng.choices(few, k=size)
        case "flag":
            return [rng.random() < 0.5 for _ in range(size)]
        case "date":
            first, last = f.spec.get("years", (2024, 2025))
            if rng.random() < 0.4:
                first = last = rng.randint(first, last)
            start = datetime.date(first, 1, 1)
            days = (datetime.date(last, 12, 31) - start).days
            return [start + datetime.timedelta(days=rng.randint(0, days)) for _ in range(size)]
        case _:
            low, high = f.spec["range"]
            if isinstance(low, float) or isinstance(high, float):
                return [round(rng.uniform(low, high), 2 if high < 100 else 1) for _ in range(size)]
            return [rng.randint(low, high) for _ in range(size)]


def _names(spec: Mapping[str, Any], size: int, rng: random.Random) -> list[str]:
    if pattern := spec.get("like"):
        return list(dict.fromkeys(_code(pattern, rng) for _ in range(size * 3)))[:size]
    if spec.get("pool") == "people":
        pools = _pools()
        short = rng.random() < 0.25
        people = {
            rng.choice(pools["first_names"]) + ("" if short else " " + rng.choice(pools["last_names"])): 0
            for _ in range(size * 3)
        }
        found = list(people)[:size]
    else:
        found = [str(v) for v in (spec.get("values") or _pools()[spec["pool"]])]
        found = rng.sample(found, min(size, len(found)))
        if spec.get("values") is None and all(len(v) > 2 for v in found) and rng.random() < 0.2:
            found = [v.capitalize() if v.islower() else v.lower() for v in found]
    return (
        [found[i] if i < len(found) else f"{found[i % len(found)]} {i // len(found) + 1}" for i in range(size)]
        if spec["is"] == "key"
        else found
    )


def _code(pattern: str, rng: random.Random) -> str:
    return re.sub("[#@]", lambda m: rng.choice("0123456789" if m[0] == "#" else "ABCDEFGHKLMNPRSTVWX"), pattern)
