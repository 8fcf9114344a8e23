"""What the words around a value say about the parameter it is for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.agents.cues import as_fraction, cue, siblings


def said(name: str, text: str, value: str) -> float:
    begin = text.index(value)
    return cue(name, text, begin, begin + len(value))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_depth", "a forest of 100 trees with a depth of 5", "5"),
        ("n_trees", "a forest of 100 trees with a depth of 5", "100"),
        ("alpha", "test it at alpha = 0.05", "0.05"),
        ("brand", "a flute of the brand Yamaha", "Yamaha"),
        ("fromCity", "a train to Lyon from Paris", "Paris"),
        ("destination", "a train to Lyon from Paris", "Lyon"),
        ("from_unit", "how many pounds are 12 kilograms", "kilograms"),
        ("source_timezone", "what time is it in Tokyo when it is 9:00 in Paris?", "Paris"),
        ("price", "anything under $40", "40"),
        ("year", "the winners of 2021", "2021"),
    ],
)
def test_a_name_or_a_direction_beside_a_value_speaks_for_it(name: str, text: str, value: str) -> None:
    assert said(name, text, value) > 0


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("fromCity", "a train to Lyon from Paris", "Lyon"),
        ("litres", "bought in 2021", "2021"),
        ("count", "a two-sample test", "two"),
        ("city", "Oslo with stops at Bergen", "Oslo with stops at Bergen"),
    ],
)
def test_other_words_speak_against_it(name: str, text: str, value: str) -> None:
    assert said(name, text, value) < 0


def test_names_that_differ_in_a_number_or_an_end_are_siblings_in_their_order() -> None:
    assert siblings(["num2", "unit", "num1"]) == [["num1", "num2"]]
    assert siblings(["end_year", "religion", "start_year"]) == [["start_year", "end_year"]]
    assert siblings(["c", "a", "b"]) == [["a", "b", "c"]]
    assert siblings(["width", "height"]) == []


def test_a_percentage_is_a_fraction_where_a_rate_is_wanted_and_nothing_says_percent() -> None:
    text = "a rate of 8% a year"
    assert as_fraction("rate", {}, text, text.index("%"))
    assert not as_fraction("rate", {"description": "in percent"}, text, text.index("%"))
    assert not as_fraction("width", {}, text, text.index("%"))
    assert not as_fraction("rate", {}, "a rate of 8", 11)


@given(st.text(max_size=20), st.text(max_size=80), st.integers(0, 80), st.integers(0, 80))
def test_any_text_has_a_cue(name: str, text: str, one: int, other: int) -> None:
    begin, end = sorted((min(one, len(text)), min(other, len(text))))
    assert isinstance(cue(name, text, begin, end), float)
