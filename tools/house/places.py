"""The time zone of a place: a city, a country, an abbreviation such as CET, an offset such as UTC+2, or a zone.

Cities come from `cities.tsv` beside this file (GeoNames, CC BY 4.0), countries from the time zone database and CLDR.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo, available_timezones

from ...core.errors import ToolError

_ABBREVIATIONS = {
    "america/new york": "et est edt eastern",
    "america/chicago": "ct cst cdt central",
    "america/denver": "mt mst mdt mountain",
    "america/los angeles": "pt pst pdt pacific",
    "america/anchorage": "akst akdt",
    "pacific/honolulu": "hst",
    "europe/london": "bst",
    "europe/berlin": "cet cest",
    "europe/athens": "eet eest",
    "europe/lisbon": "wet west",
    "europe/moscow": "msk",
    "asia/tokyo": "jst",
    "asia/seoul": "kst",
    "asia/hong kong": "hkt",
    "asia/singapore": "sgt",
    "australia/sydney": "aest aedt aet",
    "australia/perth": "awst",
    "pacific/auckland": "nzst nzdt nzt",
    "africa/johannesburg": "sast",
    "america/sao paulo": "brt",
    "utc": "z zulu universal coordinated_universal",
    "gmt": "greenwich",
}
"""Zone -> the abbreviations that mean it and hardly anything else."""

_AMBIGUOUS = {"ist": "India, Ireland or Israel", "ast": "Nova Scotia or Saudi Arabia", "sst": "Samoa or Singapore"}

_OTHER_COUNTRY_NAMES = {
    "US": "usa us america states",
    "GB": "uk great_britain britain england scotland wales northern_ireland",
    "AE": "uae emirates",
    "NL": "holland",
    "CZ": "czech_republic",
    "TR": "turkey",
    "CI": "ivory_coast",
    "HK": "hong_kong",
    "MO": "macau",
    "MM": "burma",
    "CV": "cape_verde",
    "KR": "korea",
    "CD": "drc",
}

_DOMINANT = 0.85
"""A zone in which this share of a country's city people live is the country's."""

_FAR_BETTER_KNOWN = 2.5
"""A city so many times better known than its namesakes is the one that is meant."""


@dataclass(frozen=True)
class _Place:
    region: str
    zone: str
    people: int
    names: int
    name: str

    @property
    def renown(self) -> int:
        """How well known it is, by its size and by how many languages have a name for it."""
        return self.people * self.names

    @property
    def country(self) -> str:
        return self.region[:2]


def zone_of(place: str) -> dt.tzinfo:
    """The time zone of a place. `ToolError` for one that is not known, or that could be several."""
    name = _fold(place)
    if not name:
        raise ToolError("there is no place to take the time zone of")
    fixed = _offset(name)
    if fixed:
        return fixed
    if name in _AMBIGUOUS:
        raise ToolError(f"{place!r} could be the time of {_AMBIGUOUS[name]}", hint="say which")
    zone = _zone_names().get(name)
    if zone is None:
        town, _, region = (part.strip() for part in re.sub(r"\(([^)]*)\)", r",\1", name).partition(","))
        zone = _of_city(town, region, place) if region else _of_country(name, place) or _of_city(name, "", place)
    if zone is None and " " in name:
        town, _, region = name.rpartition(" ")
        zone = _of_city(town, region, place)
    if zone is None:
        raise ToolError(f"the time zone of {place!r} is not known", hint=_suggestion(name))
    return ZoneInfo(zone)


def in_full(place: str) -> str | None:
    """A city alone with its state or country, `Boston` as `Boston, MA` and `Lima` as `Lima, Peru`; None if it is none.

    Of several cities of one name the best known is meant.
    """
    found = _cities().get(_key(place))
    if not found or "," in place:
        return None
    best = max(found, key=lambda p: p.renown)
    if not best.people:
        return None
    if best.region.startswith("US-"):
        return f"{place}, {best.region[3:]}"
    from babel import Locale

    return f"{place}, {Locale('en').territories[best.country]}"


def zone_name(zone: dt.tzinfo) -> str:
    """What a zone is called: `Asia/Tokyo`, or `UTC+02:00`."""
    return str(zone)


def _fold(text: str) -> str:
    """Lower case without accents, full stops, dashes, and the words around a place that say nothing."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    plain = re.sub(r"[_\s]+", " ", plain.casefold().replace(".", "")).strip(" ?!,")
    plain = re.sub(r"^(?:the|in|at) ", "", plain)
    plain = re.sub(r"^st ", "saint ", plain)
    return re.sub(r" (?:local |standard |daylight )?(?:time(?: ?zone)?)$", "", plain)


def _key(text: str) -> str:
    return _fold(text).replace("-", " ").replace("'", "")


def _offset(name: str) -> dt.tzinfo | None:
    match = re.fullmatch(r"(?:utc|gmt)? ?([+\N{MINUS SIGN}-]) ?(\d{1,2})(?::?([0-5]\d))?", name)
    if not match:
        return None
    minutes = int(match[2]) * 60 + int(match[3] or 0)
    if minutes > 14 * 60:
        raise ToolError(f"no time zone is {name}", hint="offsets go from -12:00 to +14:00")
    return dt.timezone(dt.timedelta(minutes=minutes if match[1] == "+" else -minutes))


@cache
def _zone_names() -> dict[str, str]:
    """Folded name of a zone, its last part where only one zone has it, and abbreviations -> the zone."""
    # Of the old names of one word, such as `Portugal`, these are all that is still right to use.
    names = {_fold(zone): zone for zone in sorted(available_timezones()) if "/" in zone or zone in ("UTC", "GMT")}
    for zone, words in _ABBREVIATIONS.items():
        names |= {word.replace("_", " "): names[zone] for word in words.split()}
    return names


def _of_city(name: str, qualifier: str, place: str) -> str | None:
    found = _cities().get(_key(name), [])
    if qualifier:
        found = [p for p in found if _is_in(p, qualifier)]
    if not found:
        return None if qualifier else _last_parts().get(_key(name))
    best, *rest = sorted(found, key=lambda p: -p.renown)
    others = [p for p in rest if _seasons(p.zone) != _seasons(best.zone)]
    if not others or best.renown >= _FAR_BETTER_KNOWN * others[0].renown:
        return best.zone
    raise ToolError(
        f"{place!r} could be {' or '.join(f'{p.name}, {_region_name(p)}' for p in found[:5])}", hint="say which"
    )


def _of_country(name: str, place: str) -> str | None:
    code = _countries().get(_key(name))
    if code is None:
        return None
    zones = _country_zones().get(code, [])
    if len({_seasons(zone) for zone in zones}) == 1:
        return zones[0]
    people: Counter[tuple[dt.timedelta, ...]] = Counter()
    for city in _by_country().get(code, []):
        people[_seasons(city.zone)] += city.people
    if people:
        season, most = people.most_common(1)[0]
        if most >= _DOMINANT * people.total():
            return next(city.zone for city in _by_country()[code] if _seasons(city.zone) == season)
    if _key(name) in _cities():
        return None
    different = {_seasons(zone): zone for zone in reversed(zones)}
    some = ", ".join(zone for zone in zones if zone in different.values())
    raise ToolError(f"{place!r} has several time zones", hint=f"name a city or one of {some}")


def _seasons(zone: str) -> tuple[dt.timedelta, ...]:
    """What a zone is off UTC in winter and in summer of this year."""
    year = dt.date.today().year
    tz = ZoneInfo(zone)
    return tuple(dt.datetime(year, month, 1, tzinfo=tz).utcoffset() or dt.timedelta() for month in (1, 7))


@cache
def _places() -> tuple[tuple[_Place, str], ...]:
    """Every place with all its names, the one with most people first."""
    text = resources.files(__package__).joinpath("cities.tsv").read_text(encoding="utf-8")
    found = []
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        region, zone, people, names, name, others = line.split("\t")
        found.append((_Place(region, zone, int(people), int(names), name), others))
    return tuple(found)


@cache
def _cities() -> dict[str, list[_Place]]:
    """Folded name -> the places of that name. Where a city has it as its own name, no other city's by-name counts."""
    own: dict[str, list[_Place]] = defaultdict(list)
    other: dict[str, list[_Place]] = defaultdict(list)
    states: dict[str, list[_Place]] = defaultdict(list)
    for place, others in _places():
        (own if place.people else states)[_key(place.name)].append(place)
        for name in filter(None, others.split("|")):
            other[_key(name)].append(place)
    beginnings: dict[str, list[_Place]] = defaultdict(list)
    for key, places in own.items():
        for space in re.finditer(" ", key):
            beginnings[key[: space.start()]] += places
    return {**beginnings, **states, **other, **own}


@cache
def _by_country() -> dict[str, list[_Place]]:
    found: dict[str, list[_Place]] = defaultdict(list)
    for place, _ in _places():
        found[place.country].append(place)
    return found


@cache
def _last_parts() -> dict[str, str]:
    return {_key(zone.rsplit("/", 1)[-1]): zone for zone in sorted(available_timezones()) if "/" in zone}


@cache
def _countries() -> dict[str, str]:
    """Folded name of a country -> its code."""
    from babel import Locale

    codes = _country_zones()
    names = {_key(name): code for code, name in Locale("en").territories.items() if code in codes}
    for code, others in _OTHER_COUNTRY_NAMES.items():
        names |= {_key(other): code for other in others.split()}
    return names


@cache
def _country_zones() -> dict[str, list[str]]:
    """Code of a country -> its zones, the main one first."""
    found: dict[str, list[str]] = defaultdict(list)
    text = resources.files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            code, _, zone = line.split("\t")[:3]
            found[code].append(zone)
    return found


def _is_in(place: _Place, qualifier: str) -> bool:
    key = _key(qualifier)
    states = {p.region: _key(p.name) for p, _ in _places() if not p.people}
    return (
        _countries().get(key) == place.country
        or key == place.country.casefold()
        or key in (place.region[3:].casefold(), states.get(place.region))
    )


def _region_name(place: _Place) -> str:
    from babel import Locale

    return place.region[3:] or str(Locale("en").territories.get(place.country, place.country))


def _suggestion(name: str) -> str:
    cities = _cities()
    near = difflib.get_close_matches(_key(name), [*cities, *_countries()], n=10, cutoff=0.75)
    if not near:
        return "name a larger city, a country, or a zone such as Europe/Paris"
    best = max(near, key=lambda key: max((place.renown for place in cities.get(key, [])), default=0))
    return f"did you mean {cities[best][0].name if best in cities else best.title()}?"
