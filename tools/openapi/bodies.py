"""The request body of an operation: which arguments make it, and in what form they are sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .document import Unreadable
from .media import Kind, best, kind_of
from .schemas import Drawing, Schema, takes_null, unused, without_null

Json = Any


@dataclass(frozen=True)
class Encoding:
    """How one property of a form is sent. Without a `style` by its type, in multipart as `media`."""

    style: str | None = None
    explode: bool = True
    reserved: bool = False
    media: str | None = None


@dataclass(frozen=True)
class Body:
    """How arguments become a request body."""

    kind: Kind
    media: str
    required: bool
    argument: str | None = None
    """The argument that is the whole of it; None where each property is an argument."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Argument -> property."""
    nullable: frozenset[str] = frozenset()
    """Arguments for which null says something else than leaving them out."""
    files: frozenset[str] = frozenset()
    """Properties that are files; an argument that is the whole body is one where its kind is bytes."""
    encodings: Mapping[str, Encoding] = field(default_factory=dict)
    """Property -> how it is sent, where the document says so."""
    more: Json = None
    """Schema of further properties, if the document speaks of them; True for any."""


def read_body(
    raw: dict[str, Json], drawing: Drawing, taken: Mapping[str, Schema]
) -> tuple[Body | None, dict[str, Schema], list[str]]:
    """A request body, the arguments that it adds to those `taken`, and which of them are required.

    The properties of an object are arguments of their own, unless one of their names is taken. Raises `Unreadable`.
    """
    content = raw["content"]
    media = best([one for one in content if isinstance(content[one], dict)])
    if media is None:
        return None, {}, []
    kind = kind_of(media)
    entry = content[media]
    schema = drawing.draw_parts(entry.get("schema", {}), files=kind == "multipart")
    description = raw.get("description")
    if isinstance(description, str) and description.strip():
        schema = {**schema, "description": description.strip()}
    if kind in ("bytes", "text"):
        schema = _as_text(schema, kind, media)
    required = raw.get("required")
    encodings = _encodings(entry.get("encoding"), kind)
    properties = schema.get("properties") or {}
    if _can_be_parted(schema, taken):
        body = Body(
            kind,
            _concrete(media),
            required is True,
            properties={_plain(name): name for name in properties},
            nullable=frozenset(_plain(name) for name, one in properties.items() if takes_null(one)),
            files=frozenset(name for name, one in properties.items() if _is_file(one)),
            encodings=encodings,
            more=schema.get("additionalProperties") or None,
        )
        # Where nothing is said, a body that has to have something has to be there, whatever OpenAPI's default is.
        needed = (
            [] if required is False else [_plain(name) for name in schema.get("required", []) if name in properties]
        )
        drawn = {_plain(name): one if kind == "json" else without_null(one) for name, one in properties.items()}
        return body, drawn, needed
    if kind in ("form", "multipart") and schema.get("type", "object") != "object":
        raise Unreadable(f"its request body, {media}, is not an object")
    if not properties and schema.get("additionalProperties") is False:
        return None, {}, []
    argument = "body" if "body" not in taken else unused("request_body", taken)
    files = frozenset(name for name, one in properties.items() if _is_file(one))
    body = Body(kind, _concrete(media), required is True, argument, files=files, encodings=encodings)
    return (
        body,
        {argument: schema},
        [argument] if required is True or (required is None and schema.get("required")) else [],
    )


def _can_be_parted(schema: Schema, taken: Mapping[str, Schema]) -> bool:
    names = schema.get("properties") or {}
    plain = {_plain(name) for name in names}
    return (
        bool(names)
        and schema.get("type", "object") == "object"
        and not {"allOf", "anyOf", "oneOf", "enum", "const"}.intersection(schema)
        and len(plain) == len(names)
        and plain.isdisjoint(taken)
    )


def _plain(name: str) -> str:
    """A property's name in the letters that every language model's tools may have."""
    if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
        return name
    return re.sub(r"_{2,}", "_", re.sub(r"[^A-Za-z0-9_.-]+", "_", name)).strip("_")[:64] or "value"


def _as_text(schema: Schema, kind: Kind, media: str) -> Schema:
    said = schema.get("description")
    if kind == "bytes":
        return {
            "type": "string",
            "format": "path",
            "description": said or "the file to send, as a path in the workspace",
        }
    kept = {k: v for k, v in schema.items() if k in ("enum", "examples", "minLength", "maxLength", "pattern")}
    return {
        **(kept if schema.get("type") == "string" else {}),
        "type": "string",
        "description": said or f"the text to send, as {media}",
    }


def _is_file(schema: Schema) -> bool:
    items = schema.get("items")
    return schema.get("format") == "path" or (isinstance(items, dict) and items.get("format") == "path")


def _encodings(raw: Json, kind: Kind) -> dict[str, Encoding]:
    if not isinstance(raw, dict) or kind not in ("form", "multipart"):
        return {}
    found = {}
    for name, one in raw.items():
        if isinstance(one, dict):
            said = {"style", "explode", "allowReserved"}.intersection(one)
            style = one.get("style", "form") if said else None
            media = one.get("contentType")
            found[name] = Encoding(
                style=style if style in ("form", "spaceDelimited", "pipeDelimited", "deepObject") else None,
                explode=one.get("explode", style == "form") is True,
                reserved=one.get("allowReserved") is True,
                media=media.split(",")[0].strip() if isinstance(media, str) else None,
            )
    return found


def _concrete(media: str) -> str:
    """A media type that can be sent; a range is filled in when the content is known."""
    return "application/json" if media.strip() in ("*/*", "application/*") else media.strip()
