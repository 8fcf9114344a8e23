"""The time of day around the world."""

from __future__ import annotations

import datetime as dt
import re

from ...core.errors import ToolError
from ..tool import ToolResult, tool
from .places import zone_name, zone_of

_HOURS = ["twelve", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"]
_MINUTES = {
    "five": 5,
    "ten": 10,
    "quarter": 15,
    "a quarter": 15,
    "twenty": 20,
    "twenty five": 25,
    "twenty-five": 25,
    "half": 30,
}


@tool(read_only=True, checks={"timezone": zone_of})
def current_time(timezone: str | None = None) -> ToolResult:
    """The time and date now, here or in a city, country or time zone.

    Args:
        timezone: city, country or time zone; left out, the zone of this machine
    """
    now = dt.datetime.now(zone_of(timezone)) if timezone else dt.datetime.now().astimezone()
    zone = zone_name(now.tzinfo) if timezone and now.tzinfo else now.strftime("%Z")
    data = {
        "time": f"{now:%H:%M}",
        "date": f"{now:%Y-%m-%d}",
        "weekday": f"{now:%A}",
        "timezone": zone,
        "utc_offset": _offset(now),
    }
    return ToolResult(
        f"It is {now:%H:%M} on {now:%A} {now:%Y-%m-%d}{f' in {timezone}' if timezone else ''} ({zone}).", data=data
    )


@tool(
    read_only=True,
    checks={"time": lambda text: parse_time(text), "from_timezone": zone_of, "to_timezone": zone_of},
)
def convert_time(time: str, from_timezone: str, to_timezone: str) -> ToolResult:
    """What a time of day in one city, country or time zone is in another.

    Args:
        time: time of day, such as 09:00
        from_timezone: city, country or time zone in which that time is given
        to_timezone: city, country or time zone in which the time is wanted
    """
    clock = parse_time(time)
    source, target = zone_of(from_timezone), zone_of(to_timezone)
    there = dt.datetime.combine(dt.datetime.now(source).date(), clock, tzinfo=source)
    # By way of UTC, as a time that the clocks skip in the night of a change has no other meaning.
    here = there.astimezone(dt.UTC).astimezone(target)
    days = (here.date() - there.date()).days
    day = {-2: "two days earlier", -1: "previous day", 0: "same day", 1: "next day", 2: "two days later"}[days]
    data = {"time": f"{here:%H:%M}", "day": day, "timezone": zone_name(target), "utc_offset": _offset(here)}
    return ToolResult(
        f"{clock:%H:%M} in {from_timezone} is {here:%H:%M}{'' if days == 0 else f', {day},'} in {to_timezone}.",
        data=data,
    )


def parse_time(text: str) -> dt.time:
    """A time of day: `9:00`, `9 am`, `21.30`, `1430`, `noon`, `half past three`. `ToolError` for what is none."""
    plain = re.sub(r"\s+", " ", text.strip().lower().replace(".m.", "m").replace(".m", "m")).rstrip(".!?")
    plain = re.sub(r"^(?:at|around) ", "", plain)
    plain, half = _half_of_day(plain)
    hour, minute = _clock(plain, text)
    if half:
        if not 1 <= hour <= 12:
            if half == "am" or hour > 23:
                raise _no_time(text)
        else:
            hour = hour % 12 + (12 if half == "pm" else 0)
    if hour == 24 and minute == 0:
        hour = 0
    if hour > 23 or minute > 59:
        raise _no_time(text)
    return dt.time(hour, minute)


def _half_of_day(plain: str) -> tuple[str, str | None]:
    """The text without `am`, `in the evening` and the like, and which half of the day they mean."""
    for pattern, half in (
        (r" ?\bin the morning$|(?<=[\d ])am$|(?<=\d)a$", "am"),
        (r" ?\b(?:in the (?:afternoon|evening)|at night)$|(?<=[\d ])pm$|(?<=\d)p$", "pm"),
    ):
        found = re.search(pattern, plain)
        if found:
            plain = plain[: found.start()].strip()
            if found[0].strip() == "at night" and _at_small_hours(plain):
                half = "am"
            return plain, half
    return plain, None


def _at_small_hours(plain: str) -> bool:
    words = re.findall(r"\w+", plain)
    return bool(words) and words[0] in {"12", "1", "2", "3", "4", "twelve", "one", "two", "three", "four"}


def _clock(plain: str, text: str) -> tuple[int, int]:
    plain = plain.removesuffix("o'clock").removesuffix("oclock").removesuffix(" hours").removesuffix(" hrs").strip()
    if plain in ("noon", "midday", "12 noon", "12noon"):
        return 12, 0
    if plain in ("midnight", "12 midnight"):
        return 0, 0
    found = re.fullmatch(r"(\d{1,2})(?: ?[:.h] ?(\d{2})(?::\d{2})?|h)?", plain) or re.fullmatch(
        r"(\d{2})(\d{2})h?", plain
    )
    if found:
        return int(found[1]), int(found[2] or 0)
    found = re.fullmatch(r"(?:(.+?)(?: minutes?)? (past|after|to|before) )?(\w+)", plain)
    if found and (hour := _hour(found[3])) is not None:
        if found[1] is None:
            return hour, 0
        minutes = _MINUTES.get(found[1], int(found[1]) if found[1].isascii() and found[1].isdigit() else 60)
        if minutes < 60:
            if found[2] in ("past", "after"):
                return hour % 24, minutes
            return hour - 1 if hour > 1 else 12, 60 - minutes
    found = re.fullmatch(r"(\w+)[ -](fifteen|twenty|thirty|forty|forty-five|fifty)", plain)
    if found and (hour := _hour(found[1])) is not None:
        return hour, {"fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "forty-five": 45, "fifty": 50}[found[2]]
    raise _no_time(text)


def _hour(word: str) -> int | None:
    if word in _HOURS:
        return _HOURS.index(word) or 12
    if word in ("noon", "midday"):
        return 12
    if word == "midnight":
        return 24
    return int(word) if word.isascii() and word.isdigit() and len(word) < 3 else None


def _no_time(text: str) -> ToolError:
    return ToolError(f"{text!r} is not a time of day", hint="write it as 09:00 or 9 am")


def _offset(moment: dt.datetime) -> str:
    text = f"{moment:%z}"
    return f"{text[:3]}:{text[3:5]}"


TOOLS = (current_time, convert_time)
