"""What a parameter makes of what the text mentions: a percentage as a fraction, minutes as seconds, a date in its form.

Deterministic; libraries know the units (pint), the currencies (Unicode CLDR by way of babel) and the dates.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from ..core.errors import ToolError
from ..models.house.slots import kind_of, words
from ..tools.house.places import in_full, zone_name, zone_of
from ..tools.house.units import in_unit
from .cues import as_fraction
from .mentions import Mention, dates, datetimes, mails, numbers, times
from .plan import Json

Finds = Callable[[str], list[Mention]]

_TIMES_A_YEAR = {
    "annually": 1,
    "yearly": 1,
    "semi-annually": 2,
    "semiannually": 2,
    "half-yearly": 2,
    "quarterly": 4,
    "monthly": 12,
    "weekly": 52,
    "daily": 365,
}
_OFTEN = re.compile(rf"\b(?:{'|'.join(_TIMES_A_YEAR)})\b", re.I)
_PER_YEAR = re.compile(r"\bcompound|\btimes\b.*\b(?:year|period)|\bperiods? per year|\bper year\b", re.I)
_PERIOD = re.compile(r"\b(?:next|coming|upcoming|following|past|last) (week|fortnight|month|year|hour)\b(?! of)", re.I)
_AT_REST = re.compile(r"\b(?:from|at) rest\b", re.I)
_SPEED = re.compile(r"\b(?:initial|start\w*|first) (?:velocity|speed)\b|\bv0\b", re.I)
_UNIT_AFTER = re.compile(
    r"[ \t-]?((?:sq(?:uare)?\.? |cubic )?[a-zµ°Ω]+(?:[²³]|\^[23])?(?:/[a-z]+[²³]?(?:\^2)?)?)", re.I
)
_UNIT_WANTED = re.compile(r"\bin (?:an? )?((?:square |cubic )?[a-z]{2,}(?:(?: per |/)[a-z]+(?: squared)?)?)", re.I)
_TIME_UNIT = re.compile(r"\b(seconds|minutes|hours|days|weeks|months|years)\b|_(?:in_)?(sec|mins?|hrs?)\b", re.I)
_DATE_FORM = re.compile(r"\b(?:YYYY|YY|MM|DD)(?:([-/. ])(?:YYYY|YY|MM|DD))(?:\1(?:YYYY|YY|MM|DD))\b", re.I)
_DATETIME = re.compile(
    r"\bISO.?8601\b.{0,30}T|\bYYYY-MM-DD(?:T|['\" ]T?)HH|\bdate.?time\b.{0,20}\bISO"
    r"|(?:DD|MM)[-/.]YYYY HH|\d{4}-\d\d-\d\dT\d\d:",
    re.I,
)
_ZONE = re.compile(r"\b(?:IANA|Olson)\b|\btime ?zone:.*\b(?:Europe|America|Asia|Africa|Australia)/[A-Z]")
_PLACE_TIME = re.compile(r"\b([A-Z][\w.]+(?: [A-Z][\w.]+)*) time\b")
_CITY_IN_FULL = re.compile(r"\bcity(?: and|,| &) ?(?:the )?(?:state|country)\b", re.I)
_DEFAULT = re.compile(r"\bdefault(?:s| value)?(?: is| to|:)? (?:['\"]([^'\"]{1,40})['\"]|(-?[\d.]*\d))", re.I)
_DIRECTIVES = {"YYYY": "%Y", "YY": "%y", "MM": "%m", "DD": "%d"}


def wanted(name: str, kind: str, schema: Mapping[str, Any]) -> Finds | None:
    """How to find what a parameter takes, when its type, name and description tell; None for any text."""
    if kind in ("integer", "number"):
        return functools.partial(_wanted_numbers, name, kind, schema)
    description = str(schema.get("description") or "")
    if kind == "date-time" or _DATETIME.search(description):
        return functools.partial(_wanted_datetimes, description)
    if kind == "date" or re.search(r"\bISO (?:8601 )?date\b", description, re.I) or _DATE_FORM.search(description):
        return functools.partial(_wanted_dates, description)
    if kind == "time" or re.search(r"\bHH:MM\b", description):
        return times
    if kind == "string" and re.search(r"\bdate\b(?! (?:range|format))", words(name)):
        return functools.partial(_wanted_dates, description)
    if kind == "string" and re.search(r"\bcurrency(?: code)?$", words(name)):
        return currencies
    if kind == "string" and re.search(r"\be ?mails?(?: address(?:es)?)?$|\b(?:to|from|cc|bcc) address$", words(name)):
        return mails
    if kind == "string" and _ZONE.search(f"{words(name)}: {description}"):
        return _zones
    return None


def _wanted_datetimes(description: str, text: str) -> list[Mention]:
    found = datetimes(text) or dates(text)
    if form := _DATE_FORM.search(description):
        day = _directives(form[0])
        return [replace(m, value=datetime.fromisoformat(m.value).strftime(f"{day} %H:%M")) for m in found]
    zulu = "Z" if re.search(r"\dZ\b", description) else ""
    return [replace(m, value=m.value + zulu if "T" in m.value else m.value) for m in found]


def _directives(form: str) -> str:
    return re.sub("YYYY|YY|MM|DD", lambda part: _DIRECTIVES[part[0].upper()], form, flags=re.I)


def _wanted_dates(description: str, text: str) -> list[Mention]:
    found = dates(text)
    if form := _DATE_FORM.search(description):
        found = [replace(m, value=date.fromisoformat(m.value).strftime(_directives(form[0]))) for m in found]
    return found


def _wanted_numbers(name: str, kind: str, schema: Mapping[str, Any], text: str) -> list[Mention]:
    """The numbers that are said, and those that are meant by `quarterly`, `from rest`, `next week` or `6:30 PM`."""
    said = f"{words(name)}: {schema.get('description') or ''}"
    found = [_converted(m, name, schema, said, text) for m in numbers(text)]
    if _PER_YEAR.search(said):
        found += [Mention(*m.span(), _TIMES_A_YEAR[m[0].lower()], meant=True) for m in _OFTEN.finditer(text)]
    if _SPEED.search(said):
        found += [Mention(*m.span(), 0, meant=True) for m in _AT_REST.finditer(text)]
    found += [*_periods(said, text), *_clock(name, text)]
    found.sort(key=lambda m: m.begin)
    if kind == "number":
        return found
    return [replace(m, value=int(m.value)) for m in found if m.value == int(m.value)]


def _converted(m: Mention, name: str, schema: Mapping[str, Any], said: str, text: str) -> Mention:
    """A number as a fraction if it is a percentage of something, or in the unit that the parameter is in."""
    if as_fraction(name, schema, text, m.end):
        return replace(m, value=m.value / 100)
    target, after = _unit(said), _UNIT_AFTER.match(text, m.end)
    if (
        not target
        or not after
        or after[1].lower() in ("in", "a", "at", "to", target.lower(), target.lower().rstrip("s"))
    ):
        return m
    value = in_unit(m.value, after[1], target)
    return m if value is None else replace(m, value=int(value) if value == int(value) else float(f"{value:.10g}"))


def _unit(said: str) -> str:
    """The unit that a parameter's name or description names, or nothing."""
    found = _UNIT_WANTED.search(said) or _TIME_UNIT.search(said)
    return next((part for part in found.groups() if part), "") if found else ""


def _zones(text: str) -> list[Mention]:
    """Places whose time is meant, as names of the time zone database: `8pm London time`."""
    found = []
    for m in _PLACE_TIME.finditer(text):
        with contextlib.suppress(ToolError):
            found.append(Mention(m.start(1), m.end(1), zone_name(zone_of(m[1]))))
    return found


def by_default(schema: Mapping[str, Any] | None) -> Json:
    """The value that a parameter has when nothing is said, by its schema or in the words of its description."""
    if not schema:
        return None
    if "default" in schema:
        return schema["default"]
    found = _DEFAULT.search(str(schema.get("description") or ""))
    if not found:
        return None
    kind, _ = kind_of(schema)
    if kind == "string":
        return found[1]
    if kind in ("integer", "number") and re.fullmatch(r"-?\d+(?:\.\d+)?", found[2] or ""):
        value = float(found[2])
        return int(value) if value == int(value) else value
    return None


def completed(schema: Mapping[str, Any], value: Json) -> Json:
    """A city with its state or country, where the parameter's description asks for both."""
    if isinstance(value, str) and _CITY_IN_FULL.search(str(schema.get("description") or "")):
        return in_full(value) or value
    return value


def _periods(said: str, text: str) -> Iterator[Mention]:
    """`next week` as 7 for a parameter in days."""
    unit = _TIME_UNIT.search(said)
    for m in _PERIOD.finditer(text) if unit and unit[1] else ():
        value = in_unit(1, m[1].lower(), unit[1].lower()) if unit else None
        if value is not None and value >= 1:
            yield Mention(*m.span(), int(value), meant=True)


def _clock(name: str, text: str) -> Iterator[Mention]:
    """The hour or the minute of a time of day, for a parameter of that name."""
    part = re.search(r"\b(?:(hours?)|minutes?)\b", words(name))
    for m in times(text) if part else ():
        hour, minute = map(int, m.value.split(":"))
        yield replace(m, value=hour if part and part[1] else minute, meant=True)


def currencies(text: str) -> list[Mention]:
    """Currencies that are named in words, by code or by sign, as ISO 4217 codes."""
    codes, pattern = _currency_names()
    return [Mention(*m.span(), codes.get(m[0]) or codes[m[0].lower()]) for m in pattern.finditer(text)]


@functools.cache
def _currency_names() -> tuple[dict[str, str], re.Pattern[str]]:
    """ISO 4217 codes in use by code, sign, and lower-case name; and a pattern for all of them."""
    from babel.core import get_global
    from babel.numbers import get_currency_name

    tender = {
        c for spans in get_global("territory_currencies").values() for c, _, end, legal in spans if legal and not end
    }
    codes = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", **{code: code for code in tender}}
    names = {"dollar": "USD", "pound": "GBP", "pound sterling": "GBP", "yen": "JPY", "rupee": "INR", "yuan": "CNY"}
    for code in sorted(tender):
        name = get_currency_name(code, locale="en").lower()
        names |= {name: code, name.replace("us ", "united states "): code}
    names |= {f"{name}s": code for name, code in names.items()}
    exact, any_case = ("|".join(map(re.escape, sorted(n, key=len, reverse=True))) for n in (tender, names))
    return codes | names, re.compile(rf"\b(?:{exact})\b|\b(?i:{any_case})\b|[$€£¥]")
