"""The rules by which the benchmark of calls tells right ones from wrong ones, on calls made by hand."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

is_right = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "bfcl.py"))["is_right"]

POSSIBLE: dict[str, Any] = {
    "city": ["San Francisco", "SF, CA"],
    "days": [3],
    "radius": [2.5, 2],
    "unit": ["", "km"],
    "stops": ["", ["Oslo", "Bergen"]],
    "metric": ["", True],
    "user": ["", {"name": ["Ada"], "age": [36, ""]}],
}
SCHEMA = {"properties": {"days": {"type": "integer"}, "radius": {"type": "number"}, "metric": {"type": "boolean"}}}
RIGHT: dict[str, Any] = {"city": "San Francisco", "days": 3, "radius": 2.5}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"city": "san francisco"},
        {"city": "SF/CA"},
        {"unit": "KM"},
        {"radius": 2},
        {"stops": ["oslo", "Bergen"]},
        {"metric": True},
        {"user": {"name": "Ada"}},
        {"user": {"name": "ada", "age": 36}},
    ],
)
def test_right_calls(more: dict[str, Any]) -> None:
    assert is_right({**RIGHT, **more}, POSSIBLE, SCHEMA)


@pytest.mark.parametrize(
    "more",
    [
        {"city": "San Jose"},
        {"days": "3"},
        {"days": 3.0},
        {"days": True},
        {"days": 4},
        {"radius": 3},
        {"unit": "miles"},
        {"stops": ["Bergen", "Oslo"]},
        {"stops": ["Oslo"]},
        {"metric": "true"},
        {"metric": False},
        {"user": {"age": 36}},
        {"user": {"name": "Ada", "size": 1}},
        {"colour": "red"},
    ],
)
def test_wrong_calls(more: dict[str, Any]) -> None:
    assert not is_right({**RIGHT, **more}, POSSIBLE, SCHEMA)


def test_a_call_that_leaves_out_what_is_needed_is_wrong() -> None:
    assert not is_right({"city": "San Francisco", "days": 3}, POSSIBLE, SCHEMA)
