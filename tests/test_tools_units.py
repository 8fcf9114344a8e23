"""The toolset units: names as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from house_tools import refusal, use

from bottega.tools.house.units import TOOLS


@pytest.mark.parametrize(
    ("value", "source", "target", "result"),
    [
        (26.2, "miles", "kilometres", 42.1648128),
        (26.2, "mi", "KM", 42.1648128),
        (5, "kg", "lbs", 11.0231131),
        (82, "kilos", "stone", 12.9127896),
        (100, "°C", "°F", 212),
        (98.6, "Fahrenheit", "celsius", 37),
        (350, "degrees F", "degrees C", 176.6666667),
        (0, "kelvin", "centigrade", -273.15),
        (300, "K", "C", 26.85),
        (-40, "C", "F", -40),
        (60, "mph", "km/h", 96.56064),
        (100, "km/hr", "miles per hour", 62.1371192),
        (5, "feet per second", "metres per second", 1.524),
        (2.5, "acres", "square metres", 10117.1815),
        (10, "ft2", "m²", 0.9290304),
        (3, "km2", "square miles", 1.1583065),
        (2, "sq ft", "sqm", 0.18580608),
        (1, "metre cubed", "liters", 1000),
        (8, "ounces", "cups", 1),
        (8, "oz", "grams", 226.796185),
        (3, "fluid ounces", "ml", 88.7205887),
        (10, "litres", "imperial pints", 17.5975399),
        (1, "UK gallon", "l", 4.54609),
        (1, "US gallon", "l", 3.785411784),
        (5, "nautical miles", "km", 9.26),
        (700, "MB", "GB", 0.7),
        (1, "GiB", "megabytes", 1073.741824),
        (8, "Mb", "MB", 1),
        (3, "kilowatt hours", "MJ", 10.8),
        (500, "kcal", "kJ", 2092),
        (2.2, "bar", "psi", 31.9083023),
        (90, "mins", "hours", 1.5),
        (1, "fortnight", "days", 14),
        (180, "degrees", "radians", 3.1415927),
        (0.1, "m", "cm", 10),
    ],
)
def test_a_value_is_converted(tmp_path: Path, value: float, source: str, target: str, result: float) -> None:
    found = use(tmp_path, "units/convert_units", value=value, from_unit=source, to_unit=target)
    assert not found.is_error, found.text
    assert found.data["value"] == pytest.approx(result, rel=1e-7)
    assert found.data["unit"] == target


def test_the_answer_is_short_and_the_value_whole(tmp_path: Path) -> None:
    result = use(tmp_path, "units/convert_units", value=26.2, from_unit="miles", to_unit="km")
    assert result.text == "26.2 miles is 42.1648 km."
    assert result.data["value"] == 42.1648128
    assert use(tmp_path, "units/convert_units", value=1, from_unit="hour", to_unit="minutes").data["value"] == 60


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("kg", "km", "kg measures weight and km measures length"),
        ("dollars", "euros", "'dollars' is not known"),
        ("km", "flurbs", "'flurbs' is not known"),
        ("", "km", "not a unit"),
        ("__import__('os')", "km", "not a unit"),
        ("x" * 200, "km", "not a unit"),
        ("m/0", "km", "not known"),
        ("5 km", "m", "not known"),
    ],
)
def test_what_cannot_be_converted_is_said(tmp_path: Path, source: str, target: str, said: str) -> None:
    assert said in refusal(tmp_path, "units/convert_units", value=5, from_unit=source, to_unit=target)


def test_a_planner_can_ask_whether_something_is_a_unit() -> None:
    (convert,) = TOOLS
    assert convert.accepts({"value": 3, "from_unit": "fluid ounces", "to_unit": "ml"})
    assert not convert.accepts({"value": 650, "from_unit": "T1", "to_unit": "T4"})
