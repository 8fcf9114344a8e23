"""Schemas of a document as plain JSON Schema: references taken in, circles kept as `$defs`, older dialects made new.

A schema that is drawn may promise less than the document does, never more: what is too deep or too much is left open,
and the server says what it does not take.
"""

from __future__ import annotations

import re
from collections.abc import Container
from itertools import count
from typing import Any

from ..mcp.definitions import clean
from .document import Document, Unreadable

Json = Any
Schema = dict[str, Json]

MOST = 250
"""Schemas that one parameter, or one property of a body, is drawn with at most; what does not fit is left open."""
MOST_OF_ANSWER = 80
"""The same for a whole answer: who plans looks at the names of its fields."""
DEEPEST = 6
"""Levels of objects and lists that are drawn."""

_NUMBER = (int, float)
_KEPT: dict[str, type | tuple[type, ...]] = {
    "type": (str, list), "format": str, "enum": list, "const": object, "default": object, "description": str,
    "pattern": str, "minimum": _NUMBER, "maximum": _NUMBER, "exclusiveMinimum": _NUMBER, "exclusiveMaximum": _NUMBER,
    "multipleOf": _NUMBER, "minLength": int, "maxLength": int, "minItems": int, "maxItems": int, "uniqueItems": bool,
    "minProperties": int, "maxProperties": int, "examples": list, "deprecated": bool,
}  # fmt: skip
"""Keywords that are taken over, where their value is of the right type; the others are left out or drawn."""
_KINDS = ("string", "number", "integer", "boolean", "array", "object", "null")
_WORDS = {"description", "examples", "deprecated", "default"}
"""Keywords that say something about a value and rule out none."""
_INNER = ("properties", "anyOf", "oneOf", "allOf", "prefixItems")
"""Keywords with many schemas in them."""
_LONGEST_EXAMPLE = 200
"""Characters."""
_MOST_OPTIONS = 30
"""Of a field of an answer; nobody has to choose one there."""


class Drawing:
    """Draws the schemas of one tool's input, or of its output (`answer`). `defs` is what they point to.

    `files` are drawn as paths in the workspace: strings whose format is binary, where a body can carry them.
    """

    def __init__(self, document: Document, *, answer: bool = False) -> None:
        self.defs: dict[str, Schema] = {}
        self._document = document
        self.is_answer = answer
        self.most = MOST_OF_ANSWER if answer else MOST
        self._hidden = "writeOnly" if answer else "readOnly"
        self._names: dict[str, str] = {}

    def draw(self, raw: Json, *, files: bool = False) -> Schema:
        """The JSON Schema of a schema object. Raises `Unreadable` for one that is none."""
        return _Pen(self, files).draw(raw, (), ())

    def draw_parts(self, raw: Json, *, files: bool = False) -> Schema:
        """As `draw`, but each property of an object may be as large as a whole schema otherwise."""
        return _Pen(self, files, parts=True).draw(raw, (), ())

    def whole(self, schema: Schema) -> Schema:
        """`schema` with the definitions that it, or another of this drawing, points to."""
        return {**schema, "$defs": self.defs} if self.defs else schema

    def named(self, place: str) -> str:
        """The name of a definition."""
        if place not in self._names:
            name = re.sub(r"\W", "_", place.rsplit("/", 1)[-1]) or "schema"
            self._names[place] = unused(name, self._names.values())
        return self._names[place]

    def is_hidden(self, raw: Json) -> bool:
        """Whether a property is not for this direction."""
        found, _ = self._document.resolve(raw)
        return isinstance(found, dict) and found.get(self._hidden) is True

    def resolve(self, raw: Json) -> tuple[Json, str | None]:
        found, place = self._document.resolve(raw)
        if isinstance(found, bool):
            found = {} if found else {"not": {}}
        if not isinstance(found, dict):
            raise Unreadable(f"a schema has to be an object, not {_shown(found)}", quoted=place or "")
        return found, place

    @property
    def is_older(self) -> bool:
        return self._document.is_older


class _Pen:
    """Draws one schema, with so much ink."""

    def __init__(self, drawing: Drawing, files: bool, parts: bool = False) -> None:
        self._drawing = drawing
        self._files = files
        self._parts = parts
        self._left = drawing.most
        self._looped: set[str] = set()

    def draw(self, raw: Json, inside: tuple[str, ...], here: tuple[str, ...], depth: int = 0) -> Schema:
        """`inside` are the references being drawn, `here` those of them that are about this very value."""
        found, place = self._drawing.resolve(raw)
        if place in here:
            return {}  # the value is what it is: no schema can say that
        if place is not None and place in inside:
            self._looped.add(place)
            return {"$ref": f"#/$defs/{self._drawing.named(place)}", **_words_of(raw)}
        cost = sum(len(found[key]) for key in _INNER if isinstance(found.get(key), list | dict))
        if depth and (cost > self._left or depth > DEEPEST):
            return _outline(found)
        self._left -= cost
        if place is not None:
            inside, here = (*inside, place), (*here, place)
        drawn = self._drawn(found, inside, here, depth)
        if place in self._looped:
            self._looped.discard(place)
            # The same for all that point to it, whatever they say beside.
            self._drawing.defs.setdefault(self._drawing.named(place), drawn)
        return drawn

    def _drawn(self, found: Schema, inside: tuple[str, ...], here: tuple[str, ...], depth: int) -> Schema:
        schema = {key: found[key] for key, kind in _KEPT.items() if key in found and isinstance(found[key], kind)}
        self._mend(schema, found)
        self._draw_object(schema, found, inside, depth)
        self._draw_list(schema, found, inside, depth)
        for key in ("anyOf", "oneOf"):
            if isinstance(options := found.get(key), list):
                labels = _labels(found, options)
                drawn = [self.draw(option, inside, here, depth + 1) for option in options]
                schema[key] = [_labelled(one, label) for one, label in zip(drawn, labels, strict=True)]
        if isinstance(parts := found.get("allOf"), list):
            schema = _together([schema, *(self.draw(part, inside, here, depth) for part in parts)])
        return _nullable(schema) if found.get("nullable") is True and self._drawing.is_older else schema

    def _draw_object(self, schema: Schema, found: Schema, inside: tuple[str, ...], depth: int) -> None:
        if isinstance(properties := found.get("properties"), dict):
            shown = {k: v for k, v in properties.items() if not self._drawing.is_hidden(v)}
            schema["properties"] = {k: self._part(v, inside, depth) for k, v in shown.items()}
            required = found.get("required")
            named = [k for k in required if isinstance(k, str)] if isinstance(required, list) else []
            # What is required and not described is still required, but for what only the other side writes.
            if named := [k for k in dict.fromkeys(named) if k in shown or k not in properties]:
                schema["required"] = named
            schema.setdefault("type", "object")
        elif isinstance(required := found.get("required"), list):
            schema["required"] = [k for k in required if isinstance(k, str)]
        more = found.get("additionalProperties")
        if isinstance(more, dict):
            schema["additionalProperties"] = self.draw(more, inside, (), depth + 1)
            schema.setdefault("type", "object")
        elif isinstance(more, bool):
            schema["additionalProperties"] = more

    def _part(self, raw: Json, inside: tuple[str, ...], depth: int) -> Schema:
        if self._parts and depth == 0:
            pen = _Pen(self._drawing, self._files)
            pen._looped = self._looped
            return pen.draw(raw, inside, (), 1)
        return self.draw(raw, inside, (), depth + 1)

    def _draw_list(self, schema: Schema, found: Schema, inside: tuple[str, ...], depth: int) -> None:
        if isinstance(items := found.get("items"), dict | bool):
            schema["items"] = self.draw(items, inside, (), depth + 1)
            schema.setdefault("type", "array")
        if isinstance(first := found.get("prefixItems"), list):
            schema["prefixItems"] = [self.draw(item, inside, (), depth + 1) for item in first]

    def _mend(self, schema: Schema, found: Schema) -> None:
        """Makes the keywords of older dialects new, and drops what means nothing here."""
        kinds = schema.pop("type", None)
        if kinds == "file" or (self._files and kinds in ("string", None) and _is_binary(found)):
            kinds, schema["format"] = "string", "path"
            schema.setdefault("description", "the file, as a path in the workspace")
        elif schema.get("format") == "path":
            del schema["format"]  # here it means a path in the workspace
        known = [kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if kind in _KINDS]
        if known:
            schema["type"] = known if isinstance(kinds, list) else known[0]
        for low, high in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if isinstance(strict := schema.get(high), bool):
                del schema[high]
                if strict and low in schema:
                    schema[high] = schema.pop(low)
        examples = schema.pop("examples", None) or ([found["example"]] if "example" in found else [])
        if examples and len(repr(examples)) <= _LONGEST_EXAMPLE:
            schema["examples"] = examples
        if schema.get("enum") == [] or (self._drawing.is_answer and len(schema.get("enum", ())) > _MOST_OPTIONS):
            del schema["enum"]
        if "description" in schema:
            schema["description"] = clean(schema["description"]).strip()


def unused(name: str, taken: Container[str], longest: int = 64) -> str:
    """`name`, or with a number after it the first that is not taken; cut to `longest` characters."""
    if (plain := name[:longest]) not in taken:
        return plain
    numbered = (f"{name[: longest - 1 - len(str(i))]}_{i}" for i in count(2))
    return next(one for one in numbered if one not in taken)


def without_null(schema: Schema) -> Schema:
    """`schema` without null among what it takes: left out means the same."""
    schema = dict(schema)
    if isinstance(kinds := schema.get("type"), list):
        rest = [kind for kind in kinds if kind != "null"]
        schema["type"] = rest[0] if len(rest) == 1 else rest
    if isinstance(options := schema.get("enum"), list) and len(options) > 1:
        schema["enum"] = [option for option in options if option is not None]
    for key in ("anyOf", "oneOf"):
        if isinstance(options := schema.get(key), list):
            rest = [option for option in options if option.get("type") != "null"]
            if len(rest) == 1 and len(options) > 1:
                del schema[key]
                schema = {**rest[0], **schema}
            elif rest:
                schema[key] = rest
    if schema.get("default", ...) is None:
        del schema["default"]
    return schema


def takes_null(schema: Schema) -> bool:
    """Whether null is among what a drawn schema takes by its own words."""
    kinds = schema.get("type")
    return (
        kinds == "null"
        or (isinstance(kinds, list) and "null" in kinds)
        or any(takes_null(option) for key in ("anyOf", "oneOf") for option in schema.get(key) or ())
    )


def _nullable(schema: Schema) -> Schema:
    if isinstance(options := schema.get("enum"), list) and None not in options:
        schema = {**schema, "enum": [*options, None]}
    kinds = schema.get("type")
    if isinstance(kinds, str):
        return {**schema, "type": [kinds, "null"]}
    if isinstance(kinds, list):
        return {**schema, "type": [*dict.fromkeys([*kinds, "null"])]}
    words = {key: schema[key] for key in _WORDS if key in schema}
    rest = {key: value for key, value in schema.items() if key not in words}
    return {**words, "anyOf": [rest, {"type": "null"}]} if rest else schema


def _together(parts: list[Schema]) -> Schema:
    """One schema for what has to fit all of `parts`; under `allOf` what cannot be put together."""
    parts = [part for part in parts if part]
    alone = sum(not _WORDS.issuperset(part) for part in parts) == 1
    whole: Schema = {}
    apart: list[Schema] = []
    for part in parts:
        if _clashes(whole, part):
            apart.append(part)
            continue
        for key, value in part.items():
            if key == "properties":
                own = whole.setdefault(key, {})
                whole[key] = {**own, **{name: {**own.get(name, {}), **schema} for name, schema in value.items()}}
            elif key == "required":
                whole[key] = [*dict.fromkeys([*whole.get(key, []), *value])]
            elif key != "additionalProperties" or alone:  # what one part calls more, another may describe
                whole.setdefault(key, value)
    return {**whole, "allOf": apart} if apart else whole


def _clashes(whole: Schema, part: Schema) -> bool:
    """Whether two schemas say different things about a value, beyond what their words and properties are."""
    free = {*_WORDS, "properties", "required", "additionalProperties"}
    own, other = whole.get("properties", {}), part.get("properties", {})
    return any(whole[key] != part[key] for key in whole.keys() & part.keys() - free) or any(
        "$ref" in own[name]
        or "$ref" in other[name]
        or own[name].get("type") != other[name].get("type", own[name].get("type"))
        for name in own.keys() & other.keys()
        if own[name] != other[name]
    )


def _labels(found: Schema, options: list[Json]) -> list[tuple[str, str] | None]:
    """For each option the property that tells it from the others, and the value that this has for it."""
    discriminator = found.get("discriminator")
    if not isinstance(discriminator, dict) or not isinstance(name := discriminator.get("propertyName"), str):
        return [None] * len(options)
    mapping = discriminator.get("mapping")
    by_place = {}
    if isinstance(mapping, dict):
        by_place = {str(v) if "/" in str(v) else f"#/components/schemas/{v}": k for k, v in mapping.items()}
    places = [str(option.get("$ref", "")) if isinstance(option, dict) else "" for option in options]
    return [(name, by_place.get(place, place.rsplit("/", 1)[-1])) if place else None for place in places]


def _labelled(schema: Schema, label: tuple[str, str] | None) -> Schema:
    if label is None or "$ref" in schema:
        return schema
    name, value = label
    own = schema.get("properties", {}).get(name, {})
    if "enum" in own or "const" in own:
        return schema
    properties = {**schema.get("properties", {}), name: {**own, "type": "string", "enum": [value]}}
    return {**schema, "properties": properties, "required": [*dict.fromkeys([*schema.get("required", []), name])]}


def _outline(found: Schema) -> Schema:
    """No more than what kind of value it is."""
    kinds = found.get("type")
    schema: Schema = {"type": kinds} if isinstance(kinds, str) and kinds in _KINDS else {}
    if "properties" in found:
        schema["type"] = "object"
    if found.get("nullable") is True:
        schema.pop("type", None)
    return {**schema, **_words_of(found)}


def _words_of(raw: Json) -> Schema:
    text = raw.get("description") if isinstance(raw, dict) else None
    return {"description": clean(text)} if isinstance(text, str) and text else {}


def _is_binary(found: Schema) -> bool:
    """Whether a string is the bytes of a file (OpenAPI 3.0, and 3.1's way)."""
    media = found.get("contentMediaType")
    return found.get("format") == "binary" or (isinstance(media, str) and "contentEncoding" not in found)


def _shown(value: Json) -> str:
    return repr(value)[:60]
