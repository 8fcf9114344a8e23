"""What is made of OpenAPI documents: tools with names, schemas and effects; and what is said of broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_support import Api, document
from shop import DOCUMENT

from bottega.core.errors import ConfigError
from bottega.tools.openapi import Operation, read_api, read_document
from bottega.tools.openapi.document import parse

AT = {"servers": [{"url": "https://api.example.org/v1"}]}


def operations(*entries: tuple[str, str, dict[str, Any]], **more: Any) -> dict[str, Operation]:
    """The operations of a document by name; all of them have to be good."""
    api = read_api(parse(json.dumps(document(*entries, **more)).encode(), "api.json"))
    assert api.problems == ()
    return {operation.name: operation for operation in api.operations}


def problems(described: dict[str, Any] | str) -> tuple[str, ...]:
    text = described if isinstance(described, str) else json.dumps(described, indent=1)
    return read_api(parse(text.encode(), "api.json")).problems


def drawn(schema: dict[str, Any], version: str = "3.1.0", **schemas: Any) -> Any:
    """What the schema of a parameter becomes, with definitions."""
    described = document(
        ("get", "/x", {"parameters": [{"name": "p", "in": "query", "schema": schema}]}), components={"schemas": schemas}
    )
    described["openapi"] = version
    (operation,) = read_api(parse(json.dumps(described).encode(), "api.json")).operations
    jsonschema.Draft202012Validator.check_schema(operation.input_schema)
    found = operation.input_schema["properties"]["p"]
    return {**found, "$defs": operation.input_schema["$defs"]} if "$defs" in operation.input_schema else found


def test_each_operation_is_a_tool_that_says_what_it_does(tmp_path: Path) -> None:
    tools = Api(tmp_path, {**DOCUMENT, **AT}).tools
    assert list(tools) == ["listOrders", "createOrder", "get_orders_by_orderId", "noteOrder", "cancelOrder"]
    assert tools["listOrders"].id == "api/listOrders"
    assert tools["listOrders"].description == "List the orders of the shop"
    assert tools["listOrders"].remote
    assert tools["createOrder"].description == "Order something for a customer; an order is open until it is sent."
    assert tools["createOrder"].parameters == {
        "customer": {"type": "string", "description": "name of the customer"},
        "total": {"type": "number"},
        "coupon": {"type": ["string", "null"]},
    }
    assert tools["createOrder"].required == ("customer", "total")
    order = tools["get_orders_by_orderId"]
    assert order.input_schema == {
        "type": "object",
        "properties": {"orderId": {"type": "integer", "description": "number of the order"}},
        "required": ["orderId"],
        "additionalProperties": False,
    }
    assert list((order.output_schema or {})["properties"]) == ["id", "customer", "status", "total"]


def test_effects_follow_from_the_method_and_where_the_server_is(tmp_path: Path) -> None:
    entries = [(m, "/x", {"operationId": m}) for m in ("get", "head", "put", "delete", "post", "patch")]
    for url, beyond in (("https://example.org", True), ("http://127.0.0.1:1", False), ("http://localhost:1", False)):
        tools = Api(tmp_path, document(*entries, servers=[{"url": url}])).tools
        assert {tool.annotations.open_world for tool in tools.values()} == {beyond}
    effects = {
        name: (t.annotations.read_only, t.annotations.destructive, t.annotations.idempotent)
        for name, t in tools.items()
    }
    assert effects == {
        "get": (True, False, True),
        "head": (True, False, True),
        "put": (False, True, True),
        "delete": (False, True, True),
        "post": (False, True, False),
        "patch": (False, True, False),
    }


def test_only_an_operation_that_takes_an_idempotency_key_counts_as_keyed(tmp_path: Path) -> None:
    tools = Api(tmp_path, {**DOCUMENT, **AT}).tools
    assert tools["createOrder"].annotations.keyed
    assert "Idempotency-Key" not in tools["createOrder"].parameters
    assert not tools["cancelOrder"].annotations.keyed


def test_names_are_readable_unique_and_short() -> None:
    found = operations(
        ("get", "/repos/{owner}/issues/{issue.number}", {}),
        ("get", "/a", {"operationId": "repos/list-for-org"}),
        ("get", "/b", {"operationId": "same"}),
        ("put", "/b", {"operationId": "same"}),
        ("get", "/c", {"operationId": "x" * 80}),
        ("get", "/d", {"operationId": "x" * 80}),
        ("get", "/", {}),
        ("get", "/e", {"operationId": "☃"}),
    )
    assert list(found) == [
        "get_repos_by_owner_issues_by_issue_number",
        "repos_list-for-org",
        "same",
        "same_2",
        "x" * 64,
        "x" * 62 + "_2",
        "get_root",
        "get_e",
    ]


def test_names_of_arguments_are_those_that_every_model_can_call() -> None:
    query = [{"name": n, "in": "query", "schema": {}} for n in ("filter[name]", "$top", "id", "öl")]
    entry = {"parameters": [*query, {"name": "id", "in": "header", "schema": {}}], "operationId": "op"}
    (found,) = operations(("get", "/x/{id}", entry)).values()
    assert list(found.input_schema["properties"]) == ["id", "filter_name", "top", "id_query", "l", "id_header"]
    assert [p.name for p in found.parameters] == ["id", "filter[name]", "$top", "id", "öl", "id"]


def test_descriptions_are_summary_and_description_without_control_characters() -> None:
    texts: list[tuple[dict[str, Any], str]] = [
        ({"summary": "List pets", "description": "All of\nthem."}, "List pets. All of\nthem."),
        ({"summary": "List pets.", "description": "List pets, all of them."}, "List pets, all of them."),
        ({"description": "a\x1b[31mb\u202e"}, "ab"),
        ({"summary": "Old", "deprecated": True}, "Deprecated. Old"),
        ({}, "GET /x"),
    ]
    for entry, expected in texts:
        (found,) = operations(("get", "/x", entry)).values()
        assert found.description == expected


def test_parameters_of_an_operation_take_the_place_of_those_of_its_path() -> None:
    described = document(("get", "/x", {"parameters": [{"name": "a", "in": "query", "schema": {"type": "string"}}]}))
    described["paths"]["/x"]["parameters"] = [
        {"name": "a", "in": "query", "schema": {"type": "integer"}},
        {"name": "b", "in": "query", "schema": {"type": "integer"}},
        {"name": "Accept", "in": "header", "schema": {}},
    ]
    (found,) = read_api(parse(json.dumps(described).encode(), "d")).operations
    assert found.input_schema["properties"] == {"a": {"type": "string"}, "b": {"type": "integer"}}


def test_a_part_of_the_path_that_nothing_describes_is_an_argument_all_the_same() -> None:
    (found,) = operations(("get", "/x/{y}", {})).values()
    assert found.input_schema["required"] == ["y"]


def test_references_are_followed_and_what_stands_beside_them_kept() -> None:
    schema = {"$ref": "#/components/schemas/A", "description": "mine"}
    assert drawn(
        schema, A={"$ref": "#/components/schemas/B~1C%20d"}, **{"B/C d": {"type": "integer", "minimum": 1}}
    ) == {
        "type": "integer",
        "minimum": 1,
        "description": "mine",
    }


def test_schemas_in_a_circle_are_definitions() -> None:
    tree = {
        "type": "object",
        "properties": {
            "value": {"type": "string"},
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}},
        },
    }
    found = drawn({"$ref": "#/components/schemas/Tree"}, Tree=tree)
    assert found["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    validator = jsonschema.Draft202012Validator(found)
    assert validator.is_valid({"value": "a", "children": [{"value": "b", "children": []}]})
    assert not validator.is_valid({"value": "a", "children": [{"value": "b", "children": [{"value": 1}]}]})


def test_circles_without_end_are_left_open_and_end() -> None:
    pet = {"oneOf": [{"$ref": "#/components/schemas/Cat"}], "type": "object"}
    cat = {"allOf": [{"$ref": "#/components/schemas/Pet"}, {"properties": {"lives": {"type": "integer"}}}]}
    found = drawn({"$ref": "#/components/schemas/Pet"}, Pet=pet, Cat=cat)
    assert jsonschema.Draft202012Validator(found).is_valid({"lives": 9})
    assert not jsonschema.Draft202012Validator(found).is_valid({"lives": "nine"})


def test_parts_of_allof_are_put_together() -> None:
    base = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}, "kind": {"type": "string"}}}
    parts = [
        {"$ref": "#/components/schemas/Base"},
        {"properties": {"kind": {"type": "string", "enum": ["a"]}}, "required": ["kind"]},
        {"description": "said"},
    ]
    assert drawn({"allOf": parts}, Base=base) == {
        "type": "object",
        "required": ["id", "kind"],
        "properties": {"id": {"type": "integer"}, "kind": {"type": "string", "enum": ["a"]}},
        "description": "said",
    }
    assert drawn({"allOf": [{"type": "string"}, {"type": "integer"}]}) == {
        "type": "string",
        "allOf": [{"type": "integer"}],
    }


def test_options_are_told_apart_by_their_discriminator() -> None:
    schema = {
        "oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}],
        "discriminator": {"propertyName": "kind", "mapping": {"hound": "#/components/schemas/Dog"}},
    }
    found = drawn(schema, Cat={"type": "object", "properties": {}}, Dog={"type": "object", "properties": {}})
    assert [option["properties"]["kind"]["enum"] for option in found["oneOf"]] == [["Cat"], ["hound"]]


@pytest.mark.parametrize(
    ("older", "expected"),
    [
        ({"type": "string", "nullable": True, "minLength": 1}, {"type": "string", "minLength": 1}),
        ({"type": "number", "minimum": 0, "exclusiveMinimum": True}, {"type": "number", "exclusiveMinimum": 0}),
        ({"type": "number", "maximum": 0, "exclusiveMaximum": False}, {"type": "number", "maximum": 0}),
        ({"type": "string", "example": "x"}, {"type": "string", "examples": ["x"]}),
        ({"type": "string", "format": "path", "x-source": "instruction"}, {"type": "string"}),
        ({"type": "string", "enum": ["a", None], "nullable": True}, {"type": "string", "enum": ["a"]}),
        ({"type": "strnig", "minLength": "1", "pattern": 3, "xml": {}}, {}),
    ],
)
def test_older_dialects_are_made_new_and_what_is_wrong_is_dropped(older: Any, expected: Any) -> None:
    assert drawn(older, "3.0.3") == expected


def test_what_only_the_other_side_writes_is_not_asked_for() -> None:
    schema = {
        "type": "object",
        "required": ["id", "name", "secret"],
        "properties": {"id": {"readOnly": True}, "name": {"type": "string"}, "secret": {"writeOnly": True}},
    }
    both = {"content": {"application/json": {"schema": schema}}}
    (found,) = operations(("post", "/x", {"requestBody": both, "responses": {"200": both}})).values()
    assert found.input_schema["required"] == ["name", "secret"]
    assert list((found.output_schema or {})["properties"]) == ["id", "name"]


def test_a_body_that_explodes_is_drawn_in_bounds() -> None:
    schemas = {
        f"L{i}": {"type": "object", "properties": {k: {"$ref": f"#/components/schemas/L{i + 1}"} for k in "abcdefgh"}}
        for i in range(30)
    }
    schemas["L30"] = {"type": "string"}
    found = drawn({"$ref": "#/components/schemas/L0"}, **schemas)
    assert len(json.dumps(found)) < 40_000
    assert list(found["properties"]) == list("abcdefgh")


def test_swagger_2_is_read_too(tmp_path: Path) -> None:
    described = {
        "swagger": "2.0",
        "host": "api.example.org",
        "basePath": "/v2",
        "schemes": ["http", "https"],
        "consumes": ["application/json"],
        "paths": {
            "/pets": {
                "get": {
                    "operationId": "find",
                    "parameters": [
                        {
                            "name": "tags",
                            "in": "query",
                            "type": "array",
                            "items": {"type": "string"},
                            "collectionFormat": "pipes",
                        },
                        {"$ref": "#/parameters/Limit"},
                    ],
                    "responses": {"200": {"schema": {"type": "array", "items": {"$ref": "#/definitions/Pet"}}}},
                },
                "post": {
                    "operationId": "add",
                    "parameters": [
                        {"name": "pet", "in": "body", "required": True, "schema": {"$ref": "#/definitions/Pet"}}
                    ],
                },
            },
            "/pets/{id}/photo": {
                "post": {
                    "operationId": "photo",
                    "consumes": ["multipart/form-data"],
                    "parameters": [
                        {"name": "id", "in": "path", "required": True, "type": "integer"},
                        {"name": "file", "in": "formData", "type": "file", "required": True},
                    ],
                }
            },
        },
        "parameters": {"Limit": {"name": "limit", "in": "query", "type": "integer", "maximum": 50}},
        "definitions": {"Pet": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}},
        "securityDefinitions": {"b": {"type": "basic"}},
    }
    api = read_api(parse(json.dumps(described).encode(), "swagger.json"))
    find, add, photo = api.operations
    assert find.servers == ("https://api.example.org/v2", "http://api.example.org/v2")
    assert (find.parameters[0].style, find.parameters[0].explode) == ("pipeDelimited", False)
    assert find.input_schema["properties"]["limit"] == {"type": "integer", "maximum": 50}
    assert (find.output_schema or {})["items"]["properties"] == {"name": {"type": "string"}}
    assert add.input_schema["required"] == ["name"]
    assert photo.input_schema["required"] == ["id", "file"]
    assert photo.input_schema["properties"]["file"]["format"] == "path"
    assert api.schemes["b"].kind == "basic"


def test_yaml_is_read_by_the_rules_of_json(tmp_path: Path) -> None:
    (tmp_path / "api.yaml").write_text(
        """
openapi: 3.1.0
info: {title: t, version: 2026-03-01}
paths:
  /x:
    get: &shared
      operationId: no
      parameters:
        - {name: on, in: query, schema: {type: string, enum: [yes, no, 16:30, 2026-03-01, "1"]}}
      responses:
        200: {description: d, content: {application/json: {schema: {type: integer}}}}
    post:
      <<: *shared
      operationId: other
"""
    )
    no, other = read_api(read_document(tmp_path / "api.yaml")).operations
    assert no.name == "no"
    assert no.input_schema["properties"]["on"]["enum"] == ["yes", "no", "16:30", "2026-03-01", "1"]
    assert no.output_schema == other.output_schema == {"type": "integer"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"openapi": "3.1.0",\n "paths": {"/x": {"get" {}}}}', "api:2:25: broken JSON: expecting ':' delimiter"),
        ("openapi: 3.1.0\npaths:\n  /x: [1\n  /y: {}\n", "api:4:5: broken YAML: did not find expected ',' or ']'"),
        ("openapi: 3.1.0\n\tpaths: {}\n", "api:2:1: broken YAML: found a tab character that violates indentation"),
        ("info: {}\n", "api: not an OpenAPI document: it has neither 'openapi' nor 'swagger'"),
        ("\nopenapi: 4.0.0\n", "api:2: version '4.0.0' is not read, only OpenAPI 3 and Swagger 2.0"),
        ("swagger: 1.2\n", "api:1: version '1.2' is not read, only OpenAPI 3 and Swagger 2.0"),
        ('{"openapi": "3.1.0",\n"paths": []}', "api:2: 'paths' has to be an object"),
        ("- 1\n", "api is not an OpenAPI document"),
        ("", "api is not an OpenAPI document"),
        ("[" * 100_000, "api is nested too deeply"),
        ("- " * 100_000, "api:1:403: broken YAML: it is nested too deeply"),
        ("a: *b", "api:1:4: broken YAML: *b stands for nothing, or for what it is part of"),
        ('{"openapi": NaN}', "api has a number that JSON has not: NaN"),
    ],
)
def test_a_broken_document_is_one_error_that_says_where(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), "api")
    assert caught.value.message == message
    assert caught.value.hint


def test_a_document_that_is_no_text_or_missing_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"api:2: not UTF-8 text"):
        parse(b"openapi: 3.1.0\n\xff", "api")
    with pytest.raises(ConfigError, match=r"none\.json cannot be read: No such file"):
        read_document(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (
            {"parameters": [{"$ref": "#/components/parameters/None"}]},
            "operation GET /bad (line 12) is left out: there is nothing at '#/components/parameters/None'",
        ),
        (
            {"parameters": [{"$ref": "other.yaml#/X"}]},
            "operation GET /bad (line 12) is left out: it refers to another document, 'other.yaml#/X'; "
            "bundle the documents into one",
        ),
        (
            {"requestBody": {"$ref": "#/paths/~1bad/get/requestBody"}},
            "operation GET /bad (line 11) is left out: the reference '#/paths/~1bad/get/requestBody' goes in a circle",
        ),
        ({"parameters": [{"in": "query"}]}, "operation GET /bad (line 11) is left out: parameter 1 has no name"),
        (
            {"parameters": [{"name": "a", "in": "air"}]},
            "operation GET /bad (line 11) is left out: parameter 'a' is in 'air'",
        ),
        ({"parameters": 3}, "operation GET /bad (line 10) is left out: its parameters have to be a list"),
        (
            {"parameters": [{"name": "a", "in": "query", "style": "matrix"}]},
            "operation GET /bad (line 9) is left out: parameter 'a': a parameter in the query has no style 'matrix'",
        ),
        (
            {"parameters": [{"name": "a", "in": "query", "schema": 3}]},
            "operation GET /bad (line 9) is left out: a schema has to be an object, not 3",
        ),
        ({"requestBody": {}}, "operation GET /bad (line 10) is left out: its request body has no content"),
        (3, "operation GET /bad (line 9) is left out: it has to be an object"),
    ],
)
def test_a_bad_operation_is_left_out_alone_and_told(bad: Any, problem: str) -> None:
    described = {"openapi": "3.1.0", "paths": {"/good": {"get": {}, "x-mine": 1}, "/bad": {"get": bad}}}
    text = json.dumps(described, indent=1)
    api = read_api(parse(text.encode(), "api.json"))
    assert [operation.path for operation in api.operations] == ["/good"]
    assert api.problems == (problem,)
    assert "/good" in text.splitlines()[3]


def test_a_bad_path_is_left_out_alone_and_told() -> None:
    paths = {"x-note": 3, "pets": {}, "/a": 3, "/b": {"$ref": "b.yaml"}, "/c": {"get": {}}}
    assert problems({"openapi": "3.1.0", "paths": paths}) == (
        "path pets (line 5) is left out: its name has to begin with /",
        "path /a (line 6) is left out: it has to be an object",
        "path /b (line 8) is left out: it refers to another document, 'b.yaml'; bundle the documents into one",
    )


def test_hundreds_of_bad_operations_are_told_in_short() -> None:
    found = problems({"openapi": "3.1.0", "paths": {f"/{i}": {"get": 3} for i in range(300)}})
    assert len(found) == 21
    assert found[-1] == "280 more operations are left out"


KEYS = ["$ref", "type", "properties", "items", "allOf", "anyOf", "oneOf", "required", "nullable", "enum", "schema"]
KEYS += ["additionalProperties", "discriminator", "description", "content", "application/json", "200", "default"]
nonsense = st.recursive(
    st.sampled_from([None, True, 3, "", "object", "#/paths/~1x", "#/components/schemas/X", "propertyName"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(nonsense, nonsense, st.sampled_from(["3.0.0", "3.1.0", None]))
def test_nonsense_in_an_operation_never_breaks_the_reading(one: Any, other: Any, version: str | None) -> None:
    kind = {"openapi": version} if version else {"swagger": "2.0"}
    described = {
        **kind,
        "paths": {
            "/good": {"get": {}},
            "/x": {"post": {"parameters": one, "requestBody": other, "responses": one, "security": other, "tags": one}},
            "/y": {
                "parameters": [{"name": "b", "in": "query", "schema": one}],
                "put": {
                    "requestBody": {"content": {"application/json": {"schema": other, "encoding": one}}},
                    "responses": {"200": {"content": {"application/json": {"schema": other}}}},
                },
            },
        },
        "components": {"schemas": {"X": other}, "securitySchemes": one},
        "securityDefinitions": one,
    }
    api = read_api(parse(json.dumps(described).encode(), "api"))
    assert api.operations[0].path == "/good"
    assert len(api.operations) + len(api.problems) == 3
    for operation in api.operations:
        jsonschema.Draft202012Validator(operation.input_schema).is_valid({"b": 1})
        json.dumps([operation.input_schema, operation.output_schema])
