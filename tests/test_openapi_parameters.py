"""How arguments of operations are sent: the styles of the specification, bodies, credentials. Against a real server."""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Callable, Iterator
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from openapi_support import Api, document
from shop import ShopServer, shop

from bottega.core.errors import ToolError
from bottega.tools.openapi.styles import STYLES, in_header, in_path, in_query

Json = Any


@pytest.fixture(scope="module")
def open_shop() -> Iterator[ShopServer]:
    with shop() as server:
        yield server


@pytest.fixture
def sent(open_shop: ShopServer, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Calls an operation of a document and gives the request as the server got it."""

    def send(path: str, operation: dict[str, Any], method: str = "get", /, **arguments: Any) -> dict[str, Any]:
        described = document((method, path, {"operationId": "op", **operation}), servers=[{"url": open_shop.url}])
        result = Api(tmp_path, described).call("op", **arguments)
        assert not result.is_error, result.text
        request: dict[str, Any] = result.data
        return {**request, "body": base64.b64decode(request["body"])}

    return send


def parameter(place: str, **more: Any) -> dict[str, Any]:
    return {"parameters": [{"name": "color", "in": place, "required": True, "schema": {}, **more}]}


LIST, OBJECT = ["blue", "black", "brown"], {"R": 100, "G": 200, "B": 150}


@pytest.mark.parametrize(
    ("style", "explode", "expected"),
    [
        # One text, a list, an object: the table "Style Examples" of the specification.
        ("matrix", False, (";color=blue", ";color=blue,black,brown", ";color=R,100,G,200,B,150")),
        ("matrix", True, (";color=blue", ";color=blue;color=black;color=brown", ";R=100;G=200;B=150")),
        ("label", False, (".blue", ".blue,black,brown", ".R,100,G,200,B,150")),
        ("label", True, (".blue", ".blue.black.brown", ".R=100.G=200.B=150")),
        ("simple", False, ("blue", "blue,black,brown", "R,100,G,200,B,150")),
        ("simple", True, ("blue", "blue,black,brown", "R=100,G=200,B=150")),
    ],
)
def test_paths_are_written_as_the_specification_shows(
    sent: Callable[..., dict[str, Any]], style: str, explode: bool, expected: tuple[str, ...]
) -> None:
    for value, text in zip(("blue", LIST, OBJECT), expected, strict=True):
        request = sent("/echo/{color}/x", parameter("path", style=style, explode=explode), color=value)
        assert request["path"] == f"/echo/{text}/x"


@pytest.mark.parametrize(
    ("style", "explode", "expected"),
    [
        ("form", False, ("color=blue", "color=blue,black,brown", "color=R,100,G,200,B,150")),
        ("form", True, ("color=blue", "color=blue&color=black&color=brown", "R=100&G=200&B=150")),
        ("spaceDelimited", False, (None, "color=blue%20black%20brown", "color=R%20100%20G%20200%20B%20150")),
        ("pipeDelimited", False, (None, "color=blue%7Cblack%7Cbrown", "color=R%7C100%7CG%7C200%7CB%7C150")),
        ("deepObject", True, (None, None, "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=150")),
    ],
)
def test_queries_are_written_as_the_specification_shows(
    sent: Callable[..., dict[str, Any]], style: str, explode: bool, expected: tuple[str | None, ...]
) -> None:
    for value, text in zip(("blue", LIST, OBJECT), expected, strict=True):
        if text is not None:
            request = sent("/echo", parameter("query", style=style, explode=explode), color=value)
            assert request["query"] == text


def test_headers_and_cookies_are_written_as_the_specification_shows(sent: Callable[..., dict[str, Any]]) -> None:
    assert sent("/echo", parameter("header"), color=LIST)["headers"]["color"] == "blue,black,brown"
    assert sent("/echo", parameter("header"), color=OBJECT)["headers"]["color"] == "R,100,G,200,B,150"
    assert sent("/echo", parameter("header", explode=True), color=OBJECT)["headers"]["color"] == "R=100,G=200,B=150"
    cookies = parameter("cookie", explode=False)
    cookies["parameters"].append({"name": "n", "in": "cookie", "schema": {"type": "integer"}})
    assert sent("/echo", cookies, color=LIST, n=3)["headers"]["cookie"] == "color=blue,black,brown; n=3"


def test_defaults_of_styles_are_those_of_the_specification(sent: Callable[..., dict[str, Any]]) -> None:
    assert sent("/echo/{color}", parameter("path"), color=OBJECT)["path"] == "/echo/R,100,G,200,B,150"
    assert sent("/echo", parameter("query"), color=OBJECT)["query"] == "R=100&G=200&B=150"
    assert sent("/echo", parameter("query", style="pipeDelimited"), color=LIST)["query"] == "color=blue%7Cblack%7Cbrown"


def test_a_parameter_with_content_is_json(sent: Callable[..., dict[str, Any]]) -> None:
    content = {"content": {"application/json": {"schema": {"type": "object"}}}}
    request = sent("/echo", {"parameters": [{"name": "filter", "in": "query", **content}]}, filter={"a": [1, "x y"]})
    assert parse_qsl(request["query"]) == [("filter", '{"a":[1,"x y"]}')]


def test_reserved_characters_stay_where_the_document_wants_it_but_end_no_value(
    sent: Callable[..., dict[str, Any]],
) -> None:
    request = sent("/echo", parameter("query", allowReserved=True), color="a/b:c?d&e=f#g+h")
    assert request["query"] == "color=a/b:c?d%26e%3Df%23g%2Bh"


letters = st.sampled_from("aé ,;=|.&+/%#?[]:@!$'()*\"") | st.characters(exclude_categories=["Cs"])
texts = st.text(letters, min_size=1, max_size=6)
scalars = st.one_of(texts, st.integers(-(10**9), 10**9), st.booleans(), st.sampled_from([1.5, -0.25]))
values = st.one_of(
    scalars,
    st.lists(scalars, min_size=1, max_size=4),
    st.dictionaries(texts, scalars, min_size=1, max_size=4),
)


def as_text(value: Json) -> Json:
    """A value as a server has it that does not know its types."""
    if isinstance(value, dict):
        return {k: as_text(v) for k, v in value.items()}
    if isinstance(value, list):
        return [as_text(v) for v in value]
    return value if isinstance(value, str) else json.dumps(value)


def split(text: str, kind: type, between: str, pair: str) -> Json:
    """What a server that keeps to the specification makes of a text: it splits first and decodes then."""
    if kind not in (list, dict):
        return unquote(text)
    parts = text.split(between)
    if kind is list:
        return [unquote(part) for part in parts]
    if pair == between:
        return {unquote(k): unquote(v) for k, v in zip(parts[::2], parts[1::2], strict=True)}
    return {unquote(k): unquote(v) for k, v in (part.split(pair) for part in parts)}


@settings(max_examples=100, deadline=None)
@given(values, st.sampled_from(STYLES["path"]), st.booleans())
def test_what_stands_in_a_path_is_read_back_by_a_server(value: Json, style: Any, explode: bool) -> None:
    text, kind = in_path("p", value, style, explode), type(value)
    assert re.fullmatch(r"[A-Za-z0-9_.~,;=%-]*", text)
    if style == "matrix":
        pairs = [part.split("=", 1) for part in text.removeprefix(";").split(";")]
        if explode and kind is dict:
            found: Json = {unquote(k): unquote(v) for k, v in pairs}
        elif explode and kind is list:
            found = [unquote(v) for k, v in pairs]
        else:
            found = split(pairs[0][1], kind, ",", ",")
    elif style == "label":
        found = split(text.removeprefix("."), kind, "." if explode else ",", "=" if explode else ",")
    else:
        found = split(text, kind, ",", "=" if explode else ",")
    assert found == as_text(value)


@settings(max_examples=100, deadline=None)
@given(values, st.sampled_from(STYLES["query"]), st.booleans())
def test_what_stands_in_a_query_is_read_back_by_a_server_or_refused(value: Json, style: Any, explode: bool) -> None:
    kind = type(value)
    try:
        pairs = in_query("p", value, style, explode)
    except ToolError:
        assert style in ("spaceDelimited", "pipeDelimited")
        assert any(between in str(as_text(value)) for between in " |")
        return
    text = "&".join(f"{k}={v}" for k, v in pairs)
    assert re.fullmatch(r"[A-Za-z0-9_.~,=&%-]*", text)
    got = [part.split("=", 1) for part in text.split("&")]
    found: Json
    if style == "deepObject" and kind in (list, dict):
        inner = {unquote(k).removeprefix("p[").removesuffix("]"): unquote(v) for k, v in got}
        found = list(inner.values()) if kind is list else inner
    elif style == "form" and explode and kind in (list, dict):
        found = [unquote(v) for _, v in got] if kind is list else {unquote(k): unquote(v) for k, v in got}
    else:
        between = {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "%7C", "deepObject": ","}[style]
        ((_, only),) = got
        found = split(only, kind, between, between)
    assert found == as_text(value)


@settings(max_examples=100, deadline=None)
@given(values, st.booleans())
def test_what_stands_in_a_header_is_read_back_by_a_server_or_refused(value: Json, explode: bool) -> None:
    assume("%" not in str(value))  # nothing decodes headers
    try:
        text = in_header(value, explode)
    except ToolError:
        assert any(mark in str(as_text(value)) for mark in ",=")
        return
    assert split(text, type(value), ",", "=" if explode else ",") == as_text(value)


@pytest.mark.parametrize("value", ["..", ".", ""])
def test_a_value_cannot_leave_its_place_in_the_path(
    sent: Callable[..., dict[str, Any]], open_shop: ShopServer, value: str, tmp_path: Path
) -> None:
    described = document(("get", "/echo/{color}", {"operationId": "op", **parameter("path")}))
    before = len(open_shop.requests)
    result = Api(tmp_path, described, base_url=open_shop.url).call("op", color=value)
    assert result.is_error
    assert "cannot be" in result.text
    assert len(open_shop.requests) == before
    assert sent("/echo/{color}", parameter("path"), color="../a?b#c%2f")["path"] == "/echo/..%2Fa%3Fb%23c%252f"


def test_a_header_cannot_be_broken_out_of(open_shop: ShopServer, tmp_path: Path) -> None:
    described = document(("get", "/echo", {"operationId": "op", **parameter("header")}))
    result = Api(tmp_path, described, base_url=open_shop.url).call("op", color="a\r\nX-Evil: 1")
    assert result.is_error
    assert "line breaks" in result.text
    assert not any("x-evil" in request["headers"] for request in open_shop.requests)


def body(media: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"requestBody": {"content": {media: {"schema": schema, **more}}}}


PERSON = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "tags": {"type": "array"}, "at": {"type": ["string", "null"]}, "n": {}},
}


def test_properties_of_a_json_body_are_arguments(sent: Callable[..., dict[str, Any]]) -> None:
    request = sent("/echo", body("application/json", PERSON), "post", name="Zoë", tags=["a"], at=None, n=None)
    assert json.loads(request["body"]) == {"name": "Zoë", "tags": ["a"], "at": None}  # n cannot be null
    assert request["headers"]["content-type"] == "application/json"


def test_a_body_whose_names_are_taken_is_one_argument(sent: Callable[..., dict[str, Any]]) -> None:
    operation = {"parameters": [{"name": "name", "in": "query", "schema": {"type": "string"}}]}
    request = sent("/echo", operation | body("application/json", PERSON), "post", name="x", body={"name": "y"})
    assert request["query"] == "name=x"
    assert json.loads(request["body"]) == {"name": "y"}


def test_a_list_is_one_argument_and_other_json_media_types_are_kept(sent: Callable[..., dict[str, Any]]) -> None:
    request = sent("/echo", body("application/merge-patch+json", {"type": "array"}), "patch", body=[1, {"a": 2}])
    assert json.loads(request["body"]) == [1, {"a": 2}]
    assert request["headers"]["content-type"] == "application/merge-patch+json"


def test_json_is_taken_where_there_is_a_choice(sent: Callable[..., dict[str, Any]]) -> None:
    content = {media: {"schema": PERSON} for media in ("application/xml", "multipart/form-data", "application/json")}
    request = sent("/echo", {"requestBody": {"content": content}}, "post", name="x")
    assert json.loads(request["body"]) == {"name": "x"}


def test_forms_are_sent_as_forms(sent: Callable[..., dict[str, Any]]) -> None:
    operation = body("application/x-www-form-urlencoded", PERSON, encoding={"n": {"style": "deepObject"}})
    request = sent("/echo", operation, "post", name="a b&c=d", tags=["x", "y"], n={"k": "v w"})
    assert parse_qsl(request["body"].decode()) == [("name", "a b&c=d"), ("tags", "x"), ("tags", "y"), ("n[k]", "v w")]
    assert request["headers"]["content-type"] == "application/x-www-form-urlencoded"


def test_files_of_the_workspace_are_sent_in_multipart_bodies(
    sent: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\0")
    (tmp_path / "b.txt").write_text("two")
    schema = {
        "type": "object",
        "properties": {
            "picture": {"type": "string", "format": "binary"},
            "more": {"type": "array", "items": {"type": "string", "contentMediaType": "text/plain"}},
            "meta": {"type": "object"},
            "title": {"type": "string"},
        },
    }
    request = sent(
        "/echo", body("multipart/form-data", schema), "post", picture="a.png", more=["b.txt"], meta={"a": 1}, title="é"
    )
    head = b"Content-Type: " + request["headers"]["content-type"].encode() + b"\r\n\r\n"
    parts: list[Any] = BytesParser().parsebytes(head + request["body"]).get_payload()  # type: ignore[assignment]
    got = {
        part.get_param("name", header="content-disposition"): (
            part.get_filename(),
            part.get_content_type(),
            part.get_payload(decode=True),
        )
        for part in parts
    }
    assert got == {
        "picture": ("a.png", "image/png", b"\x89PNG\0"),
        "more": ("b.txt", "text/plain", b"two"),
        "meta": (None, "application/json", b'{"a":1}'),
        "title": (None, "text/plain", "é".encode()),
    }


def test_a_file_outside_the_workspace_is_not_sent(open_shop: ShopServer, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out.txt").write_text("private")
    described = document(("post", "/echo", {"operationId": "op", **body("application/octet-stream", {})}))
    result = Api(tmp_path / "in", described, base_url=open_shop.url).call("op", body="../out.txt")
    assert result.is_error
    assert "outside the workspace" in result.text


def test_bytes_and_texts_are_sent_as_they_are(sent: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\0")
    request = sent("/echo", body("image/*", {"type": "string", "format": "binary"}), "put", body="a.png")
    assert (request["body"], request["headers"]["content-type"]) == (b"\x89PNG\0", "image/png")
    request = sent("/echo", body("application/xml", PERSON), "post", body="<name>é</name>")
    assert (request["body"].decode(), request["headers"]["content-type"]) == ("<name>é</name>", "application/xml")


@pytest.mark.parametrize(
    ("scheme", "value", "where"),
    [
        ({"type": "apiKey", "in": "header", "name": "X-Key"}, "s3cret-key", {"x-key": "s3cret-key"}),
        ({"type": "apiKey", "in": "cookie", "name": "sid"}, "s3cret-key", {"cookie": "sid=s3cret-key"}),
        ({"type": "http", "scheme": "bearer"}, "s3cret-key", {"authorization": "Bearer s3cret-key"}),
        ({"type": "oauth2", "flows": {}}, "s3cret-key", {"authorization": "Bearer s3cret-key"}),
        (
            {"type": "http", "scheme": "basic"},
            "me:s3cret-key",
            {"authorization": f"Basic {base64.b64encode(b'me:s3cret-key').decode()}"},
        ),
    ],
)
def test_credentials_are_sent_as_the_security_scheme_says(
    open_shop: ShopServer, tmp_path: Path, scheme: dict[str, Any], value: str, where: dict[str, str]
) -> None:
    described = document(
        ("get", "/echo", {"operationId": "op"}),
        ("get", "/echo/open", {"operationId": "free", "security": []}),
        security=[{"a": []}],
        components={"securitySchemes": {"a": scheme}},
    )
    api = Api(tmp_path, described, base_url=open_shop.url, credentials={"a": value})
    result = api.call("op")
    assert where.items() <= open_shop.requests[-1]["headers"].items()
    assert "s3cret" not in repr(result)  # the server echoes it
    assert base64.b64encode(b"me:s3cret-key").decode() not in repr(result)
    api.call("free")
    assert not where.keys() & open_shop.requests[-1]["headers"].keys()


def test_a_key_in_the_query_is_sent_and_shown_nowhere(
    open_shop: ShopServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SHOP_KEY", "s3cret/key")
    key = {"name": "api_key", "in": "query", "schema": {"type": "string"}}
    described = document(
        ("get", "/echo", {"operationId": "op", "parameters": [key]}),
        ("get", "/gone", {"operationId": "gone"}),
        security=[{"a": []}],
        components={"securitySchemes": {"a": {"type": "apiKey", "in": "query", "name": "api_key"}}},
    )
    api = Api(tmp_path, described, base_url=open_shop.url, credentials={"a": "${SHOP_KEY}"})
    assert "api_key" not in api.tools["op"].parameters  # nobody has to be asked for it
    assert "s3cret" not in repr(api.call("op"))
    assert open_shop.requests[-1]["query"] == "api_key=s3cret%2Fkey"
    assert "s3cret" not in repr(api.call("gone"))
    assert "HTTP Request" in caplog.text
    assert "s3cret" not in caplog.text


def test_headers_of_the_configuration_go_with_every_call(open_shop: ShopServer, tmp_path: Path) -> None:
    asked = {"parameters": [{"name": "X-Tenant", "in": "header", "required": True, "schema": {"type": "string"}}]}
    described = document(("get", "/echo", {"operationId": "op", **asked}))
    api = Api(tmp_path, described, base_url=open_shop.url, headers={"x-tenant": "acme", "accept": "text/csv"})
    assert api.tools["op"].parameters == {}
    assert not api.call("op").is_error
    assert {"x-tenant": "acme", "accept": "text/csv"}.items() <= open_shop.requests[-1]["headers"].items()
