"""How requests are cut into clauses, whatever a model says."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bottega.models.adapters import Adapter
from bottega.models.backbone import HIDDEN
from bottega.models.encoder import open_encoder
from bottega.models.house.splitter import SplitterModel, clean


def cutting(everywhere: bool) -> SplitterModel:
    """A model that would cut before every token, or never."""
    heads = {
        "cut.weight": np.zeros(HIDDEN, np.float32),
        "cut.bias": np.array([9.0 if everywhere else -9.0], np.float32),
    }
    return SplitterModel(open_encoder(), Adapter("splitter", {}, heads))


@pytest.mark.parametrize(
    "unit",
    [
        '"first this, then that"',
        "'a and b'",
        "“a; b”",
        "(one, two)",
        "[1, 2, 3]",
        "`ls | wc`",
        "src/main.c",
        "3.14",
        "a.b.c",
        "360/(24*60)",
        "(15+27)/6",
        "f(a, b)",
    ],
)
def test_no_clause_begins_inside_quotes_brackets_file_names_or_numbers(unit: str) -> None:
    request = f"write {unit} down"
    begins = [c.begin for c in cutting(everywhere=True).split(request)]
    assert begins == [0, request.index(unit), request.index("down")]


def test_clauses_come_without_link_words_and_with_their_place() -> None:
    request = "Count, and then sum."
    clauses = cutting(everywhere=True).split(request)
    assert clauses[-1].text == "sum"
    assert all(c.text in request[c.begin : c.end] and c.confidence > 0.99 for c in clauses)


@settings(max_examples=30)
@given(st.text(max_size=60))
def test_there_is_always_a_clause_and_clauses_follow_each_other(request: str) -> None:
    for model in (cutting(True), cutting(False)):
        clauses = model.split(request)
        assert clauses
        assert all(0 <= a.begin <= a.end <= b.begin <= b.end <= len(request) for a, b in itertools.pairwise(clauses))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (", and then move it.", "move it"),
        ("Then, finally, stop", "stop"),
        ("; also list  ,. ", "list"),
        ("and", ""),
        ("Andrew's file", "Andrew's file"),
        ("next's owner", "next's owner"),
        ("a . b", "a . b"),
    ],
)
def test_a_clean_clause_has_no_link_words_and_no_stops_around_it(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize("piece", ["a", "a.", "‘", " ,", "and ", "(", "'a "])  # noqa: RUF001
def test_splitting_takes_no_longer_for_a_long_request_than_it_must(piece: str) -> None:
    model = cutting(everywhere=False)

    def seconds(size: int) -> float:
        begin = time.process_time()
        model.split((piece * size)[:size] + "x")
        return time.process_time() - begin

    seconds(500)
    assert seconds(40_000) < 1.0 + 12 * seconds(10_000)
