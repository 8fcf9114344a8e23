"""Units of measure, by the library pint, under the names that people write."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from ...core.errors import ToolError
from ..tool import ToolResult, tool
from .parameters import Number
from .values import clean, shown

if TYPE_CHECKING:
    from pint import UnitRegistry
    from pint.facets.plain import PlainUnit as Unit

_LONGEST = 60

_MEANINGS = {
    "c": ("degC", "coulomb"),
    "celsius": ("degC",),
    "centigrade": ("degC",),
    "f": ("degF", "farad"),
    "fahrenheit": ("degF",),
    "k": ("kelvin",),
    "kilo": ("kilogram",),
    "kilos": ("kilogram",),
    "gm": ("gram",),
    "ounce": ("ounce", "fluid_ounce"),
    "ounces": ("ounce", "fluid_ounce"),
    "oz": ("ounce", "fluid_ounce"),
    "pound": ("pound", "force_pound"),
    "pounds": ("pound", "force_pound"),
    "kt": ("knot", "kilotonne"),
    "kts": ("knot",),
    "sqm": ("meter**2",),
    "cc": ("centimeter**3",),
    "kmh": ("kilometer/hour",),
    "kmph": ("kilometer/hour",),
    "hr": ("hour",),
    "hrs": ("hour",),
    "mins": ("minute",),
    "sec": ("second",),
    "secs": ("second",),
    "yr": ("year",),
    "yrs": ("year",),
    "kb": ("kilobyte",),
    "mb": ("megabyte", "millibar"),
    "gb": ("gigabyte",),
    "tb": ("terabyte",),
    "hp": ("horsepower",),
    "bhp": ("horsepower",),
    "mps": ("meter/second",),
    "fps": ("foot/second",),
}
"""Names, in any capitals, that pint does not know or takes for something else, or that mean two things."""

_EXACT = {"Mb": ("megabit",), "Gb": ("gigabit",), "kbit": ("kilobit",)}
"""Names whose capitals matter."""

_DIMENSIONS = {
    "[length]": "length",
    "[mass]": "weight",
    "[time]": "time",
    "[temperature]": "temperature",
    "[length] ** 2": "area",
    "[length] ** 3": "volume",
    "[length] / [time]": "speed",
    "[length] ** 2 * [mass] / [time] ** 2": "energy",
    "[length] ** 2 * [mass] / [time] ** 3": "power",
    "[mass] / [length] / [time] ** 2": "pressure",
}


def _check(name: str) -> None:
    _meanings(_registry(), name)


@tool(read_only=True, checks={"from_unit": _check, "to_unit": _check})
def convert_units(value: Number, from_unit: str, to_unit: str) -> ToolResult:
    """Convert a value from one unit of measure to another: length, weight, volume, temperature, speed, data and so on.

    Args:
        value: how many of the first unit
        from_unit: unit to convert from, such as pounds
        to_unit: unit to convert to, such as kg
    """
    import pint

    registry = _registry()
    source, target = _fitting(registry, from_unit, to_unit)
    try:
        result = clean(float(registry.Quantity(float(value), source).to(target).magnitude))
    except (pint.PintError, OverflowError, ZeroDivisionError, ValueError) as error:
        raise ToolError(f"{from_unit} cannot be converted to {to_unit}: {error}") from None
    if result is None:
        raise ToolError(f"{shown(value)} {from_unit} is too much to be converted")
    return ToolResult(
        f"{shown(value)} {from_unit} is {_short(result)} {to_unit}.", data={"value": result, "unit": to_unit}
    )


def in_unit(value: float, source: str, target: str) -> float | None:
    """`value` of one unit in another, None if the names are no units of the same kind."""
    import pint

    with contextlib.suppress(ToolError, pint.PintError, OverflowError, ZeroDivisionError, ValueError):
        registry = _registry()
        one, other = _fitting(registry, source, target)
        found: float | None = clean(float(registry.Quantity(value, one).to(other).magnitude))
        return found
    return None


@cache
def _registry() -> UnitRegistry[Any]:
    from pint import UnitRegistry

    return UnitRegistry(autoconvert_offset_to_baseunit=True)


def _fitting(registry: UnitRegistry[Any], first: str, second: str) -> tuple[Unit, Unit]:
    """What the two names mean: the first pair of meanings that measure the same thing."""
    sources, targets = _meanings(registry, first), _meanings(registry, second)
    for source in sources:
        for target in targets:
            if source.dimensionality == target.dimensionality:
                return source, target
    raise ToolError(
        f"{first} measures {_measured(sources[0])} and {second} measures {_measured(targets[0])}",
        hint="only units of the same kind can be converted",
    )


def _meanings(registry: UnitRegistry[Any], name: str) -> list[Unit]:
    """What a name can mean, the likeliest first: a unit, one per another, a square or cubic one."""
    plain = " ".join(name.split()).strip(" .")
    if len(plain) > _LONGEST or not re.fullmatch(r"[\w°µμ²³%\s./*^()-]+", plain):
        raise ToolError(f"{name[:_LONGEST]!r} is not a unit", hint="write a unit such as kilometres")
    over, per, under = (part.strip() for part in _parted(plain))
    if per:
        return [a / b for a in _meanings(registry, over) for b in _meanings(registry, under)]
    base, power = _power(plain)
    if power > 1:
        return [unit**power for unit in _meanings(registry, base)]
    found = list(dict.fromkeys(_known(registry, _named(plain))))
    if not found:
        raise ToolError(f"the unit {name!r} is not known", hint="write it out, such as kilometres or fluid ounces")
    return found


def _parted(name: str) -> tuple[str, str, str]:
    found = re.search(r" per (?!cent)| ?/ ?", name)
    return (name[: found.start()], "per", name[found.end() :]) if found else (name, "", "")


def _power(name: str) -> tuple[str, int]:
    """A name without what makes it square or cubic, and its power."""
    for power, word, sign in ((2, r"sq(?:uare)?\.?", "[2²]"), (3, r"cu(?:bic)?\.?", "[3³]")):
        found = (
            re.fullmatch(rf"{word} (.+)", name, re.I)
            or re.fullmatch(rf"(.+) {'squared' if power == 2 else 'cubed'}", name, re.I)
            or re.fullmatch(rf"(.*[a-z])(?:\^|\*\*)?{sign}", name, re.I)
        )
        # "H2O" parts of names such as inH2O are no powers.
        if found and not re.search(r"h$", found[1], re.I):
            return found[1], power
    return name, 1


def _named(name: str) -> Iterator[str]:
    """The names under which pint may know a unit."""
    name = re.sub(r"^(?:°|degrees?\b|deg\b) ?(?=[a-z])", "", name, flags=re.I)
    name = re.sub(r"^(?:uk|british|imperial) ", "imperial_", name, flags=re.I)
    name = re.sub(r"^(?:us|american) ", "", name, flags=re.I)
    lower = name.lower()
    special = _EXACT.get(name) or _MEANINGS.get(lower)
    if special:
        yield from special
        return
    for spelling in (name, lower):
        yield from (spelling.replace(" ", "_"), spelling)
    yield "degree" if name == "°" else lower.removesuffix("s").replace(" ", "_")


def _known(registry: UnitRegistry[Any], names: Iterator[str]) -> Iterator[Unit]:
    import pint

    for name in names:
        with contextlib.suppress(pint.PintError, ValueError, TypeError, AttributeError, AssertionError, SyntaxError):
            yield registry.parse_units(name)


def _measured(unit: Unit) -> str:
    return _DIMENSIONS.get(str(unit.dimensionality), str(unit.dimensionality).replace("[", "").replace("]", ""))


def _short(value: float) -> str:
    """A number with as many digits as a person wants to read."""
    if isinstance(value, int) or abs(value) >= 1e6:
        return shown(value)
    return f"{value:.6g}" if abs(value) >= 1e-4 else f"{value:.4g}"


TOOLS = (convert_units,)
