"""How records are kept: as JSON in their row, but for large fields, which lie once a run among its artifacts."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import Any

Json = Any

INLINE = 512
"""Characters of JSON up to which a field stays in its row."""


def pack(record: Mapping[str, Json]) -> tuple[str, dict[str, bytes]]:
    """The row's text, and the artifacts that it refers to by their digest; what is stored of them `body` gives."""
    fields: dict[str, Json] = {}
    references: dict[str, str] = {}
    bodies: dict[str, bytes] = {}
    for name, value in record.items():
        text = value if isinstance(value, str) else None
        if text is None and isinstance(value, dict | list):
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if text is None or len(text) <= INLINE:
            fields[name] = value
            continue
        raw = (b"t" if isinstance(value, str) else b"j") + text.encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(raw).hexdigest()
        references[name] = digest
        bodies[digest] = raw
    packed = {"fields": fields, "artifacts": references} if references else {"fields": fields}
    return json.dumps(packed, separators=(",", ":")), bodies


def body(artifact: bytes) -> bytes:
    """An artifact as it is stored."""
    return zlib.compress(artifact, 1)


def unpack(text: str, artifacts: Mapping[str, bytes]) -> dict[str, Json]:
    """The record of a row's text. Raises `KeyError` where an artifact is missing."""
    packed = json.loads(text)
    record: dict[str, Json] = packed["fields"]
    for name, digest in packed.get("artifacts", {}).items():
        raw = zlib.decompress(artifacts[digest])
        body = raw[1:].decode("utf-8", "surrogatepass")
        record[name] = body if raw[:1] == b"t" else json.loads(body)
    return record


def digest_of(*parts: Json) -> str:
    """A SHA-256 of JSON values, the same whatever the order of keys."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
