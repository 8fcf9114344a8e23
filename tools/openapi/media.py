"""Media types: which of them are JSON, forms, texts or bytes."""

from __future__ import annotations

from typing import Literal

Kind = Literal["json", "form", "multipart", "bytes", "text"]
_PREFERRED: tuple[Kind, ...] = ("json", "form", "multipart", "bytes", "text")


def kind_of(media: str) -> Kind:
    """How content of a media type (with or without parameters) is written."""
    plain = media.split(";")[0].strip().lower()
    if is_json(plain):
        return "json"
    if plain == "application/x-www-form-urlencoded":
        return "form"
    if plain == "multipart/form-data":
        return "multipart"
    if plain.startswith("text/") or plain.endswith(
        ("/xml", "+xml", "/yaml", "+yaml", "/javascript", "/x-ndjson", "/jsonl")
    ):
        return "text"
    return "bytes"


def is_json(media: str) -> bool:
    """Whether it is JSON, or anything at all."""
    plain = media.split(";")[0].strip().lower()
    return plain in ("application/json", "text/json", "*/*", "application/*") or plain.endswith("+json")


def best(offered: list[str]) -> str | None:
    """Of several ways to send the same, the one to take; None where there is none."""
    return min(offered, key=lambda media: _PREFERRED.index(kind_of(media)), default=None)
