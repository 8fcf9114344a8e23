"""The toolset dates."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from house_tools import data_of, refusal, use
from hypothesis import given, settings
from hypothesis import strategies as st

from bottega.core.errors import ToolError
from bottega.tools.house.dates import parse_date


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-03-01", "2026-03-01"),
        ("2026/3/1", "2026-03-01"),
        ("20260301", "2026-03-01"),
        ("2026-03-01T10:00:00", "2026-03-01"),
        ("1 March 2026", "2026-03-01"),
        ("March 1, 2026", "2026-03-01"),
        ("Jan 5, 2026", "2026-01-05"),
        ("November 8th 2022", "2022-11-08"),
        ("the 1st of June 2026", "2026-06-01"),
        ("the first of January 2000", "2000-01-01"),
        ("the twenty-first of May 2026", "2026-05-21"),
        ("Friday, 13 March 2026", "2026-03-13"),
        ("12/09/2025", "2025-09-12"),
        ("30/11/2025", "2025-11-30"),
        ("12/25/2026", "2026-12-25"),
        ("31.12.2026", "2026-12-31"),
        ("Christmas Eve 2024", "2024-12-24"),
        ("New Year’s Day 2027", "2027-01-01"),
    ],
)
def test_a_date_is_understood(text: str, day: str) -> None:
    assert parse_date(text).isoformat() == day


@pytest.mark.parametrize(
    "text", ["", "hello", "2026-02-30", "30 February 2026", "March 2026", "2026", "1", "99/99/2026", "x" * 500]
)
def test_what_names_no_day_is_refused(text: str) -> None:
    with pytest.raises(ToolError, match="not a date"):
        parse_date(text)


def test_days_near_today_are_counted_from_it() -> None:
    today = dt.date.today()
    assert parse_date("today") == today
    assert parse_date("tomorrow") == today + dt.timedelta(days=1)
    assert parse_date("yesterday") == today - dt.timedelta(days=1)
    assert parse_date("3 days ago") == today - dt.timedelta(days=3)
    assert parse_date("25 December").year == today.year
    monday, last = parse_date("Monday"), parse_date("last Monday")
    assert monday.weekday() == last.weekday() == 0
    assert 0 < (monday - today).days <= 7
    assert 0 < (today - last).days <= 7


@settings(max_examples=60, deadline=None)
@given(st.dates())
def test_every_iso_date_is_itself(day: dt.date) -> None:
    assert parse_date(day.isoformat()) == day


def test_days_between_are_counted_either_way(tmp_path: Path) -> None:
    result = use(tmp_path, "dates/days_between", start="2026-03-01", end="25 December 2026")
    assert result.data == {"days": 299, "start": "2026-03-01", "end": "2026-12-25"}
    assert result.text == "There are 299 days between 1 March 2026 and 25 December 2026."
    assert data_of(tmp_path, "dates/days_between", start="2026-12-25", end="2026-03-01")["days"] == 299
    assert data_of(tmp_path, "dates/days_between", start="2024-02-28", end="2024-03-01")["days"] == 2


def test_the_weekday_is_told(tmp_path: Path) -> None:
    assert data_of(tmp_path, "dates/weekday_of", date="14 March 2027") == {"weekday": "Sunday", "date": "2027-03-14"}


@pytest.mark.parametrize(
    ("date", "amount", "unit", "direction", "result"),
    [
        ("2026-03-01", 10, "days", "after", "2026-03-11"),
        ("2026-03-01", 10, "days", "before", "2026-02-19"),
        ("2026-03-01", 2, "weeks", "after", "2026-03-15"),
        ("2026-01-31", 1, "months", "after", "2026-02-28"),
        ("2024-02-29", 1, "years", "after", "2025-02-28"),
        ("2024-02-29", 4, "years", "before", "2020-02-29"),
        ("2026-01-15", 13, "months", "before", "2024-12-15"),
        ("2026-03-01", -10, "days", "after", "2026-02-19"),
    ],
)
def test_dates_are_counted_on(tmp_path: Path, date: str, amount: int, unit: str, direction: str, result: str) -> None:
    data = data_of(tmp_path, "dates/add_to_date", date=date, amount=amount, unit=unit, direction=direction)
    assert data["date"] == result
    assert data["weekday"] == f"{dt.date.fromisoformat(result):%A}"


@pytest.mark.parametrize(("amount", "unit"), [(99999, "years"), (10**9, "days"), (10**30, "weeks"), (10**30, "months")])
def test_leaving_the_calendar_is_an_error(tmp_path: Path, amount: int, unit: str) -> None:
    assert "leaves the calendar" in refusal(tmp_path, "dates/add_to_date", date="2026-01-01", amount=amount, unit=unit)


def test_an_unknown_unit_is_an_error_that_names_the_units(tmp_path: Path) -> None:
    assert "'days'" in refusal(tmp_path, "dates/add_to_date", date="2026-01-01", amount=1, unit="hours")


def test_today_is_today(tmp_path: Path) -> None:
    assert data_of(tmp_path, "dates/today")["date"] == dt.date.today().isoformat()
