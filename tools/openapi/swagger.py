"""Swagger 2.0 said in the words of OpenAPI 3: operations, servers, security. Schemas stay where they are."""

from __future__ import annotations

from typing import Any

from .document import Document, Unreadable

Json = Any

_OF_PARAMETERS = {
    "name",
    "in",
    "description",
    "required",
    "allowEmptyValue",
    "collectionFormat",
    "example",
    "x-example",
}
_COLLECTIONS: dict[str, tuple[str, bool]] = {
    "csv": ("form", False),
    "ssv": ("spaceDelimited", False),
    "tsv": ("form", False),  # what OpenAPI 3 has no word for
    "pipes": ("pipeDelimited", False),
    "multi": ("form", True),
}


def modern_operation(
    document: Document, operation: dict[str, Json], parameters: list[dict[str, Json]]
) -> dict[str, Json]:
    """An operation as OpenAPI 3 would have it; `parameters` are all of its, references resolved."""
    found = {**operation, "parameters": [_parameter(p) for p in parameters if p.get("in") not in ("body", "formData")]}
    consumes = _media(operation, document, "consumes")
    if body := next((p for p in parameters if p.get("in") == "body"), None):
        media = consumes or ["application/json"]
        found["requestBody"] = {
            "description": body.get("description"),
            "required": body.get("required", False),
            "content": {one: {"schema": body.get("schema", {})} for one in media},
        }
    elif form := [p for p in parameters if p.get("in") == "formData"]:
        found["requestBody"] = _form(form, consumes)
    if isinstance(responses := operation.get("responses"), dict):
        media = _media(operation, document, "produces") or ["application/json"]
        found["responses"] = {code: _response(document, one, media) for code, one in responses.items()}
    return found


def servers(document: Document) -> list[dict[str, Json]]:
    """Where the API is, best first."""
    value = document.value
    host, base = value.get("host"), str(value.get("basePath") or "/")
    if not isinstance(host, str) or not host:
        return [{"url": base}]
    schemes = value.get("schemes")
    known = [s for s in ("https", "http") if isinstance(schemes, list) and s in schemes]
    own = document.url.split(":")[0] if document.url else "https"
    return [{"url": f"{scheme}://{host}{base if base.startswith('/') else f'/{base}'}"} for scheme in known or [own]]


def security_schemes(document: Document) -> dict[str, Json]:
    """The `securityDefinitions`, where they are called otherwise."""
    found = document.value.get("securityDefinitions")
    if not isinstance(found, dict):
        return {}
    basic = {"type": "http", "scheme": "basic"}
    return {k: basic if isinstance(v, dict) and v.get("type") == "basic" else v for k, v in found.items()}


def _parameter(raw: dict[str, Json]) -> dict[str, Json]:
    found = {k: v for k, v in raw.items() if k in _OF_PARAMETERS}
    found["schema"] = {k: v for k, v in raw.items() if k not in _OF_PARAMETERS}
    if raw.get("type") == "array":
        style, explode = _collection(raw)
        if raw.get("in") in ("query", "cookie"):
            found.update(style=style, explode=explode)
    return found


def _collection(raw: dict[str, Json]) -> tuple[str, bool]:
    known = _COLLECTIONS.get(raw.get("collectionFormat", "csv"))
    if known is None:
        raise Unreadable(f"collectionFormat {str(raw.get('collectionFormat'))[:40]!r} is not known")
    return known


def _form(parameters: list[dict[str, Json]], consumes: list[str]) -> dict[str, Json]:
    has_files = any(p.get("type") == "file" for p in parameters)
    media = "application/x-www-form-urlencoded"
    if has_files or (media not in consumes and "multipart/form-data" in consumes):
        media = "multipart/form-data"
    properties = {}
    encoding = {}
    for raw in parameters:
        properties[raw["name"]] = {
            **_parameter(raw)["schema"],
            **({"description": raw["description"]} if "description" in raw else {}),
        }
        if raw.get("type") == "array":
            style, explode = _collection(raw)
            encoding[raw["name"]] = {"style": style, "explode": explode}
    required = [p["name"] for p in parameters if p.get("required") is True]
    schema = {"type": "object", "properties": properties, "required": required}
    return {"required": bool(required), "content": {media: {"schema": schema, "encoding": encoding}}}


def _response(document: Document, raw: Json, media: list[str]) -> dict[str, Json]:
    found, _ = document.resolve(raw)
    if not isinstance(found, dict) or "schema" not in found:
        return {}
    return {"content": {one: {"schema": found["schema"]} for one in media}}


def _media(operation: dict[str, Json], document: Document, key: str) -> list[str]:
    found = operation.get(key, document.value.get(key))
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
