"""Calendar dates: days between, weekdays, counting forward and back."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from typing import Literal

from ...core.errors import ToolError
from ..tool import ToolResult, tool
from .parameters import DateText
from .values import counted

_FIRST = "first second third fourth fifth sixth seventh eighth ninth"
_TEENTH = "tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth"
_ORDINALS = [
    *_FIRST.split(),
    *_TEENTH.split(),
    "twentieth",
    *(f"twenty-{word}" for word in _FIRST.split()),
    "thirtieth",
    "thirty-first",
]
_FEASTS = {
    "new year's day": "1 January",
    "valentine's day": "14 February",
    "halloween": "31 October",
    "christmas eve": "24 December",
    "christmas day": "25 December",
    "christmas": "25 December",
    "new year's eve": "31 December",
}


@tool(read_only=True, checks={"start": lambda text: parse_date(text), "end": lambda text: parse_date(text)})
def days_between(start: DateText, end: DateText) -> ToolResult:
    """How many days there are between two dates.

    Args:
        start: first date
        end: last date
    """
    first, last = parse_date(start), parse_date(end)
    days = abs((last - first).days)
    text = f"There {'is' if days == 1 else 'are'} {counted(days, 'day')} between {_long(first)} and {_long(last)}."
    return ToolResult(text, data={"days": days, "start": first.isoformat(), "end": last.isoformat()})


@tool(read_only=True, checks={"date": lambda text: parse_date(text)})
def weekday_of(date: DateText) -> ToolResult:
    """Which day of the week (Monday to Sunday) a date is.

    Args:
        date: the date
    """
    day = parse_date(date)
    return ToolResult(f"{_long(day)} is a {day:%A}.", data={"weekday": f"{day:%A}", "date": day.isoformat()})


@tool(read_only=True, checks={"date": lambda text: parse_date(text)})
def add_to_date(
    date: DateText,
    amount: int,
    unit: Literal["days", "weeks", "months", "years"],
    direction: Literal["after", "before"] = "after",
) -> ToolResult:
    """The date that is so many days, weeks, months or years after or before a date.

    Args:
        date: date to count from
        amount: how many
        unit: what is counted
        direction: whether to count forward (after) or back (before)
    """
    day = parse_date(date)
    steps = amount if direction == "after" else -amount
    try:
        if unit in ("days", "weeks"):
            found = day + dt.timedelta(**{unit: steps})
        else:
            found = _months_later(day, steps * (12 if unit == "years" else 1))
    except (OverflowError, ValueError):
        raise ToolError(
            f"{amount} {unit} {direction} {day} leaves the calendar", hint="years go from 1 to 9999"
        ) from None
    one = unit.removesuffix("s")
    return ToolResult(
        f"{counted(amount, one)} {direction} {_long(day)} is {found:%A}, {_long(found)}.",
        data={"date": found.isoformat(), "weekday": f"{found:%A}"},
    )


@tool(read_only=True)
def today() -> ToolResult:
    """Today's date and day of the week."""
    day = dt.date.today()
    return ToolResult(f"Today is {day:%A}, {_long(day)}.", data={"date": day.isoformat(), "weekday": f"{day:%A}"})


def parse_date(text: str) -> dt.date:
    """A day: ISO first (`2026-03-01`), then as people write it, with the day before the month (`12/09/2026`).

    Raises `ToolError` for what names no single day.
    """
    plain = " ".join(text.split())
    iso = re.fullmatch(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ]\d{1,2}:\d{2}.*)?", plain) or re.fullmatch(
        r"(\d{4})(\d{2})(\d{2})", plain
    )
    if iso:
        return _day(int(iso[1]), int(iso[2]), int(iso[3]), text)
    if len(plain) > 60:
        raise _no_date(text)
    plain = _in_figures(plain)
    if weekday := re.fullmatch(r"(?:(next|last|this|on) )?(\w+day)", plain):
        return _near_weekday(weekday[2], weekday[1] == "last", text)
    import dateparser

    found = dateparser.parse(
        plain,
        languages=["en"],
        settings={
            "DATE_ORDER": "DMY",
            "REQUIRE_PARTS": ["day", "month"],
            "PREFER_DATES_FROM": "current_period",
            "PARSERS": ["relative-time", "absolute-time"],
            "RETURN_AS_TIMEZONE_AWARE": False,
        },
    )
    if found is None:
        raise _no_date(text)
    day: dt.date = found.date()
    return day


def _in_figures(plain: str) -> str:
    """The words of a date with feasts and ordinals in figures, and nothing that says no day."""
    plain = re.sub(r"\b(?:the|of)\b", " ", plain.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    plain = " ".join(plain.split()).strip(" .,?!")
    for feast, day in _FEASTS.items():
        plain = re.sub(rf"^{feast}\b", day, plain)
    # The longest first: a twenty-first is no first.
    for number in range(len(_ORDINALS), 0, -1):
        plain = re.sub(rf"\b{_ORDINALS[number - 1].replace('-', '[- ]')}\b", str(number), plain)
    return plain


def _near_weekday(name: str, past: bool, text: str) -> dt.date:
    """The next day of that name after today, or the last one before it."""
    names = [day.lower() for day in calendar.day_name]
    day = dt.date.today()
    if name == "today":
        return day
    if name == "yesterday":
        return day - dt.timedelta(days=1)
    if name not in names:
        raise _no_date(text)
    if past:
        return day - dt.timedelta(days=(day.weekday() - names.index(name) - 1) % 7 + 1)
    return day + dt.timedelta(days=(names.index(name) - day.weekday() - 1) % 7 + 1)


def _day(year: int, month: int, day: int, text: str) -> dt.date:
    try:
        return dt.date(year, month, day)
    except ValueError as error:
        raise ToolError(f"{text!r} is not a date: {error}") from None


def _no_date(text: str) -> ToolError:
    return ToolError(f"{text[:80]!r} is not a date", hint="write it as 2026-03-01")


def _months_later(day: dt.date, months: int) -> dt.date:
    """The same day of another month, or that month's last where it is shorter."""
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    return dt.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _long(day: dt.date) -> str:
    return f"{day.day} {day:%B} {day.year}"


TOOLS = (days_between, weekday_of, add_to_date, today)
