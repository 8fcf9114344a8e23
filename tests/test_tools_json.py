"""The toolset json: keys as they are written, or as people say them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from house_tools import data_of, refusal, use

SETTINGS = {
    "tax_rate": 0.21,
    "currency": "EUR",
    "debug": False,
    "nothing": None,
    "database": {"host": "db.example", "port": 5432, "maxConnections": 8},
    "cache": {"host": "cache.example", "ttl": 60},
    "servers": [{"name": "one", "roles": ["web"]}, {"name": "two", "roles": []}],
    "a.b": 1,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    return tmp_path


@pytest.mark.parametrize(
    ("key", "found", "value"),
    [
        ("tax_rate", "tax_rate", 0.21),
        ("tax rate", "tax_rate", 0.21),
        ("the tax rate", "tax_rate", 0.21),
        ("Tax Rate", "tax_rate", 0.21),
        ("taxRate", "tax_rate", 0.21),
        ("sales tax rate", "tax_rate", 0.21),
        ("database.port", "database.port", 5432),
        ("database port", "database.port", 5432),
        ("port", "database.port", 5432),
        ("port of the database", "database.port", 5432),
        ("max connections", "database.maxConnections", 8),
        ("connection", "database.maxConnections", 8),
        ("cache host", "cache.host", "cache.example"),
        ("servers.1.name", "servers.1.name", "two"),
        ("servers[0].roles[0]", "servers.0.roles.0", "web"),
        ("$.servers[0].name", "servers.0.name", "one"),
        ("a.b", "a.b", 1),
        ("nothing", "nothing", None),
        ("debug", "debug", False),
        ("cache", "cache", {"host": "cache.example", "ttl": 60}),
    ],
)
def test_a_key_is_found(folder: Path, key: str, found: str, value: Any) -> None:
    assert data_of(folder, "json/json_value", path="settings.json", key=key) == {"value": value, "key": found}


def test_the_value_is_told_with_its_key(folder: Path) -> None:
    assert use(folder, "json/json_value", path="settings.json", key="tax rate").text == "tax_rate: 0.21"
    assert use(folder, "json/json_value", path="settings.json", key="debug").text == "debug: no"
    assert '"ttl": 60' in use(folder, "json/json_value", path="settings.json", key="cache").text


def test_a_key_that_could_be_several_is_asked_about(folder: Path) -> None:
    said = refusal(folder, "json/json_value", path="settings.json", key="host")
    assert "database.host, cache.host" in said
    assert "whole path" in said


def test_a_key_that_is_not_there_names_the_nearest(folder: Path) -> None:
    assert "did you mean currency" in refusal(folder, "json/json_value", path="settings.json", key="curency")
    assert "it has tax_rate" in refusal(folder, "json/json_value", path="settings.json", key="weather")
    assert "no key" in refusal(folder, "json/json_value", path="settings.json", key=" ")


def test_keys_are_shown_with_what_they_hold(folder: Path) -> None:
    result = use(folder, "json/json_keys", path="settings.json")
    assert result.data == {"keys": list(SETTINGS)}
    assert "database: {host, port, maxConnections}" in result.text
    assert "servers: a list of 2 items" in result.text
    (folder / "list.json").write_text('[{"a": 1}, {"b": 2}, 3]')
    assert data_of(folder, "json/json_keys", path="list.json") == {"keys": ["a", "b"]}


@pytest.mark.parametrize(
    "content", ["", "{", '{"a": 1,}', "[" * 100_000, "not json", '{"a": "\ud83d"}'.encode("utf-16", "surrogatepass")]
)
def test_what_is_no_json_is_one_clear_line(folder: Path, content: str | bytes) -> None:
    path = folder / "broken.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    result = use(folder, "json/json_value", path="broken.json", key="x")
    assert result.is_error
    assert "\n" not in result.text
    assert result.text.startswith("broken.json")


def test_deep_and_wide_files_are_searched_in_time(folder: Path) -> None:
    deep: Any = {"end": 1}
    for _ in range(300):
        deep = {"in": deep}
    (folder / "deep.json").write_text(json.dumps(deep))
    refusal(folder, "json/json_value", path="deep.json", key="end")
    (folder / "wide.json").write_text(json.dumps([{"id": i, "the_name": f"n{i}"} for i in range(5000)]))
    assert "could be several" in refusal(folder, "json/json_value", path="wide.json", key="name")
    assert data_of(folder, "json/json_value", path="wide.json", key="4999.id")["value"] == 4999


def test_numbers_that_json_does_not_have_are_null(folder: Path) -> None:
    (folder / "nan.json").write_text('{"a": NaN, "b": Infinity}')
    assert data_of(folder, "json/json_value", path="nan.json", key="a")["value"] is None
