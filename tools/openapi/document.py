"""An OpenAPI document as it was read: what it says, what its references point to, and where an error stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ...core.errors import ConfigError
from .text import Keys, line_of, read

Json = Any
LARGEST = 64_000_000
"""Bytes of a document."""
_CHAIN = 20
"""References that may point to one another in a row."""


class Unreadable(Exception):
    """Why a part of a document cannot be used. `keys` lead to the part; without them `quoted` stands in its text."""

    def __init__(self, what: str, keys: Keys = (), quoted: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.keys = tuple(keys)
        self.quoted = quoted


@dataclass(frozen=True)
class Document:
    """A document of OpenAPI 3.0 or later, or Swagger 2.0."""

    value: dict[str, Json]
    source: str
    """What errors call it: its file, or its URL without what may be secret."""
    url: str | None = None
    """Where it was fetched; None for a file."""
    text: str = field(default="", repr=False)

    @property
    def is_swagger(self) -> bool:
        """Whether it is of version 2.0."""
        return "openapi" not in self.value

    @property
    def is_older(self) -> bool:
        """Whether its schemas are those before 3.1, which have `nullable` and are not quite JSON Schema."""
        return self.is_swagger or str(self.value["openapi"]).startswith("3.0")

    def resolve(self, value: Json) -> tuple[Json, str | None]:
        """What `value` stands for, and where that is: itself, or what its `$ref` points to in the end.

        What stands beside a `$ref` is laid over what it points to where both are objects. Raises `Unreadable` for a
        reference out of the document, to nothing, or in a circle.
        """
        place: str | None = None
        beside: dict[str, Json] = {}
        for _ in range(_CHAIN):
            if not isinstance(value, dict) or not isinstance(place_ := value.get("$ref"), str):
                return ({**value, **beside} if beside and isinstance(value, dict) else value), place
            beside = {**{k: v for k, v in value.items() if k != "$ref"}, **beside}
            place, value = place_, self.at(place_)
        raise Unreadable(f"the reference {place!r} goes in a circle", quoted=str(place))

    def at(self, reference: str) -> Json:
        """What a local reference (`#/components/schemas/Pet`) points to. Raises `Unreadable` where it does not."""
        if not reference.startswith("#"):
            raise Unreadable(
                f"it refers to another document, {reference[:120]!r}; bundle the documents into one", quoted=reference
            )
        value: Json = self.value
        for part in unquote(reference[1:]).split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            else:
                raise Unreadable(f"there is nothing at {reference[:120]!r}", quoted=reference)
        return value

    def place(self, why: Unreadable, otherwise: Keys = ()) -> str:
        """Where in the document something cannot be used, as `line 7`; "" where that is not known."""
        if why.quoted and not why.keys:
            offset = self.text.find(f'"{why.quoted}"')
            offset = self.text.find(why.quoted) if offset < 0 else offset
            line = self.text.count("\n", 0, offset) + 1 if offset >= 0 else None
        else:
            line = line_of(self.text, why.keys or otherwise)
        return f"line {line}" if line is not None else ""

    def error(self, what: str, keys: Keys = ()) -> ConfigError:
        """An error about the part at `keys`, to be raised."""
        line = line_of(self.text, keys) if keys else None
        return ConfigError(f"{self.source}{f':{line}' if line else ''}: {what}", hint="mend the document")


def read_document(path: str | Path) -> Document:
    """The document in a file, JSON or YAML.

    Raises `ConfigError` for a file that cannot be read, with line and column where it is broken.
    """
    path = Path(path).expanduser()
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} cannot be read: {reason}", hint="check the name of the document") from None
    return parse(raw, str(path))


def parse(raw: bytes, source: str, url: str | None = None) -> Document:
    """The document that some bytes are; `source` is what errors call it. Raises as `read_document` does."""
    if len(raw) > LARGEST:
        raise ConfigError(f"{source} is larger than {LARGEST // 1_000_000} MB", hint="name a smaller document")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(f"{source}:{line}: not UTF-8 text", hint="save the document as UTF-8") from None
    value = read(text, source)
    if not isinstance(value, dict):
        raise ConfigError(f"{source} is not an OpenAPI document", hint="it has to begin with openapi: 3.1.0")
    document = Document(value, source, url, text)
    _check(document)
    return document


def _check(document: Document) -> None:
    value = document.value
    version = value.get("openapi", value.get("swagger"))
    if version is None:
        raise document.error("not an OpenAPI document: it has neither 'openapi' nor 'swagger'")
    key = "openapi" if "openapi" in value else "swagger"
    if not (str(version).startswith("3.") if key == "openapi" else str(version) in ("2.0", "2")):
        raise document.error(f"version {str(version)[:20]!r} is not read, only OpenAPI 3 and Swagger 2.0", [key])
    if not isinstance(value.get("paths", {}), dict):
        raise document.error("'paths' has to be an object", ["paths"])
