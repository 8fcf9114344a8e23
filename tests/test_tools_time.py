"""The toolset time: zones by city, country, abbreviation and offset; times as people write them."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from house_tools import data_of, refusal, use

from bottega.core.errors import ToolError
from bottega.tools.house.places import zone_name, zone_of
from bottega.tools.house.time import parse_time


@pytest.mark.parametrize(
    ("place", "zone"),
    [
        ("Tokyo", "Asia/Tokyo"),
        ("tokyo", "Asia/Tokyo"),
        ("Europe/Paris", "Europe/Paris"),
        ("america/new_york", "America/New_York"),
        ("São Paulo", "America/Sao_Paulo"),
        ("Sao Paulo", "America/Sao_Paulo"),
        ("München", "Europe/Berlin"),
        ("San Francisco", "America/Los_Angeles"),
        ("Beijing", "Asia/Shanghai"),
        ("Bombay", "Asia/Kolkata"),
        ("Ghent", "Europe/Brussels"),
        ("NYC", "America/New_York"),
        ("Frankfurt", "Europe/Berlin"),
        ("St. Petersburg", "Europe/Moscow"),
        ("Portland, Oregon", "America/Los_Angeles"),
        ("Portland Oregon", "America/Los_Angeles"),
        ("Valencia, Spain", "Europe/Madrid"),
        ("Valencia (Venezuela)", "America/Caracas"),
        ("Washington, D.C.", "America/New_York"),
        ("Barcelona", "Europe/Madrid"),
        ("Germany", "Europe/Berlin"),
        ("the Netherlands", "Europe/Amsterdam"),
        ("New Zealand", "Pacific/Auckland"),
        ("Portugal", "Europe/Lisbon"),
        ("UK", "Europe/London"),
        ("Kenya", "Africa/Nairobi"),
        ("California", "America/Los_Angeles"),
        ("London time", "Europe/London"),
        ("PST", "America/Los_Angeles"),
        ("Pacific Time", "America/Los_Angeles"),
        ("UTC", "UTC"),
        ("GMT", "GMT"),
        ("UTC+2", "UTC+02:00"),
        ("GMT-05:30", "UTC-05:30"),
    ],
)
def test_a_place_has_its_zone(place: str, zone: str) -> None:
    assert zone_name(zone_of(place)) == zone


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("United States", "several time zones.*America/New_York"),
        ("Australia", "several time zones"),
        ("Valencia", "Venezuela or Valencia, Spain"),
        ("Springfield", "could be"),
        ("IST", "India, Ireland or Israel"),
        ("Atlantis", "not known"),
        ("Lodnon", "did you mean London"),
        ("", "no place"),
        ("UTC+25", "no time zone"),
        ("Paris, Japan", "not known"),
        ("../../etc/passwd", "not known"),
    ],
)
def test_a_place_that_is_unclear_or_unknown_is_said(place: str, said: str) -> None:
    with pytest.raises(ToolError, match=said):
        zone_of(place)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("9:00", "09:00"),
        ("09:15", "09:15"),
        ("9 am", "09:00"),
        ("9am", "09:00"),
        ("5 a.m.", "05:00"),
        ("8:15pm", "20:15"),
        ("7.45 p.m.", "19:45"),
        ("21.30", "21:30"),
        ("1430", "14:30"),
        ("14h30", "14:30"),
        ("15:30:59", "15:30"),
        ("12 am", "00:00"),
        ("12 pm", "12:00"),
        ("12:30 am", "00:30"),
        ("noon", "12:00"),
        ("midnight", "00:00"),
        ("24:00", "00:00"),
        ("half past three", "03:30"),
        ("half past three in the afternoon", "15:30"),
        ("a quarter past nine in the morning", "09:15"),
        ("quarter to midnight", "23:45"),
        ("twenty to five", "04:40"),
        ("ten past ten at night", "22:10"),
        ("2 at night", "02:00"),
        ("ten to one", "12:50"),
        ("seven thirty pm", "19:30"),
        ("7 o'clock in the morning", "07:00"),
        ("three", "03:00"),
    ],
)
def test_a_time_of_day_is_understood(text: str, time: str) -> None:
    assert f"{parse_time(text):%H:%M}" == time


@pytest.mark.parametrize(
    "text", ["", "soon", "25:00", "9:75", "13 am", "half past thirty", "9.5", "²", "-3", "12:00 on Monday"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ToolError, match="not a time of day"):
        parse_time(text)


def test_a_time_is_converted(tmp_path: Path) -> None:
    result = use(tmp_path, "time/convert_time", time="9:00", from_timezone="UTC", to_timezone="Tokyo")
    assert result.data == {"time": "18:00", "day": "same day", "timezone": "Asia/Tokyo", "utc_offset": "+09:00"}
    assert result.text == "09:00 in UTC is 18:00 in Tokyo."


def test_another_day_is_told(tmp_path: Path) -> None:
    later = use(tmp_path, "time/convert_time", time="20:00", from_timezone="GMT", to_timezone="Tokyo")
    assert (later.data["time"], later.data["day"]) == ("05:00", "next day")
    assert later.text == "20:00 in GMT is 05:00, next day, in Tokyo."
    earlier = data_of(tmp_path, "time/convert_time", time="3 am", from_timezone="Tokyo", to_timezone="UTC")
    assert (earlier["time"], earlier["day"]) == ("18:00", "previous day")


def test_the_farthest_zones_are_two_days_apart_and_still_told(tmp_path: Path) -> None:
    data = data_of(tmp_path, "time/convert_time", time="23:30", from_timezone="UTC-12", to_timezone="UTC+14")
    assert (data["time"], data["day"]) == ("01:30", "two days later")


def test_the_time_now_is_that_of_the_zone(tmp_path: Path) -> None:
    before = dt.datetime.now(ZoneInfo("Asia/Kathmandu"))
    data = data_of(tmp_path, "time/current_time", timezone="Kathmandu")
    after = dt.datetime.now(ZoneInfo("Asia/Kathmandu"))
    assert data["time"] in {f"{before:%H:%M}", f"{after:%H:%M}"}
    assert data["timezone"] == "Asia/Kathmandu"
    assert data["utc_offset"] == "+05:45"


def test_without_a_zone_it_is_the_time_here(tmp_path: Path) -> None:
    result = use(tmp_path, "time/current_time")
    assert re.fullmatch(r"\d\d:\d\d", result.data["time"])
    assert result.data["date"] in result.text


def test_an_unknown_zone_is_an_error_result(tmp_path: Path) -> None:
    assert "'Atlantis'" in refusal(tmp_path, "time/current_time", timezone="Atlantis")
