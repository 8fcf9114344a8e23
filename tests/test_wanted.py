"""What a parameter makes of what an instruction mentions: the form its name, type and description ask for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.agents.wanted import by_default, completed, wanted


def found(name: str, kind: str, description: str, text: str) -> list[Any]:
    finds = wanted(name, kind, {"type": kind, "description": description})
    assert finds is not None
    return [m.value for m in finds(text)]


@pytest.mark.parametrize(
    ("name", "kind", "description", "text", "expected"),
    [
        ("duration", "integer", "in seconds", "for 3 minutes", [180]),
        ("capacitance", "number", "the capacitance in farads", "100µF", [0.0001]),
        ("days", "integer", "number of days", "for 2 weeks", [14]),
        ("days", "integer", "number of days", "the coming week", [7]),
        ("distance", "integer", "in kilometres", "5 km", [5]),
        ("rate", "number", "the yearly interest rate", "at 5%", [0.05]),
        ("rate", "number", "the rate in percent", "at 5%", [5]),
        ("share", "number", "as a decimal, e.g. 5% is 0.05", "20 %", [0.2]),
        ("n", "integer", "times interest is compounded per year", "compounded quarterly", [4]),
        ("initial_velocity", "number", "in m/s", "it started from rest", [0]),
        ("hour", "integer", "hour of the day", "at 11 PM", [23]),
        ("start_date", "string", "first day", "from 3 May 2027", ["2027-05-03"]),
        ("start", "string", "in the form MM/DD/YYYY", "3 May 2027", ["05/03/2027"]),
        ("at", "string", "ISO 8601, e.g. 2026-01-02T10:00:00Z", "3 May 2027 at 8pm", ["2027-05-03T20:00:00Z"]),
        ("base_currency", "string", "", "200 US dollars in Swiss francs", ["USD", "CHF"]),
        ("to_address", "string", "", "to Ana at ana@example.org.", ["ana@example.org"]),
        ("timezone", "string", "IANA name", "8pm London time", ["Europe/London"]),
    ],
)
def test_values_are_given_in_the_form_that_is_asked_for(
    name: str, kind: str, description: str, text: str, expected: list[Any]
) -> None:
    assert found(name, kind, description, text) == expected


def test_words_that_are_no_currency_are_none() -> None:
    assert found("currency", "string", "", "try all of it") == []


def test_a_plain_text_is_wanted_in_no_form() -> None:
    assert wanted("city", "string", {"type": "string"}) is None


@pytest.mark.parametrize(
    ("description", "value", "expected"),
    [
        ("the city and state, e.g. Austin, TX", "Boston", "Boston, MA"),
        ("in the form City, Country", "Lima", "Lima, Peru"),
        ("in the form City, Country", "Lima, Peru", "Lima, Peru"),
        ("in the form City, Country", "my place", "my place"),
        ("a city", "Boston", "Boston"),
    ],
)
def test_a_city_is_completed_where_both_are_asked_for(description: str, value: str, expected: str) -> None:
    assert completed({"type": "string", "description": description}, value) == expected


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer", "default": 3}, 3),
        ({"type": "integer", "description": "Size of the deck. Default is 52."}, 52),
        ({"type": "string", "description": "The unit, default 'km'."}, "km"),
        ({"type": "string", "description": "By default the newest"}, None),
        ({"type": "integer"}, None),
        (None, None),
    ],
)
def test_a_default_is_read_from_the_schema_or_its_words(schema: dict[str, Any] | None, expected: Any) -> None:
    assert by_default(schema) == expected


@given(st.text(max_size=60), st.sampled_from(["duration", "currency", "start_date", "hour", "timezone", "email"]))
def test_no_text_breaks_it(text: str, name: str) -> None:
    for kind in ("integer", "number", "string"):
        finds = wanted(name, kind, {"type": kind, "description": "in seconds, default 3, ISO 8601 date"})
        for mention in finds(text) if finds else ():
            assert 0 <= mention.begin <= mention.end <= len(text)
