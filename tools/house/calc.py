"""Arithmetic, exact as far as fractions go. Expressions are parsed, never executed."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Literal

from ...core.errors import ToolError
from ..tool import ToolResult, tool
from .parameters import Number
from .values import clean, shown

_LONGEST = 500
_LARGEST_POWER = 10_000
_MOST_BITS = 4000

_WORDS = (
    (r"square root of (?=[\d(])(\d[\d.,]*|\([^()]*\))", r"sqrt(\1)"),
    (r"to the power of|\*\*", "^"),
    (r"multiplied by|times|[×·⋅]", "*"),
    (r"divided by|÷", "/"),
    (r"\bplus\b", "+"),
    (r"\bminus\b|[\N{MINUS SIGN}\N{EN DASH}]", "-"),
    (r"\bmod(?:ulo)?\b", "%"),
    (r"\bsquared\b|²", "^2"),
    (r"\bcubed\b|³", "^3"),
    (r"\bper ?cent\b", "%"),
    (r"√ ?(\d[\d.]*)", r"sqrt(\1)"),
    (r"√", "sqrt"),
    (r"π", "pi"),
)


def _check(text: str) -> None:
    evaluate(text)
    if re.fullmatch(r"\s*[-+]?[\d.,]+\s*", text):
        raise ToolError(f"there is nothing to work out in {text.strip()!r}", hint="write the whole expression")


@tool(read_only=True, checks={"expression": _check})
def calculate(expression: str) -> ToolResult:
    """Work out an arithmetic expression with several numbers or brackets, such as (7.25 - 2) * 4 or sqrt(2) * 5.

    Args:
        expression: the expression, with + - * / ^ and brackets; sqrt, abs, round, min, max, pi and 15% are understood
    """
    result = clean(evaluate(expression))
    return ToolResult(f"{' '.join(expression.split()).rstrip(' =?')} = {shown(result)}", data={"result": result})


@tool(read_only=True)
def percentage(percent: Number, of: Number) -> ToolResult:
    """So many percent of a number: 20% of 65 is 13.

    Args:
        percent: how many percent
        of: the number of which the percentage is taken
    """
    result = clean(Fraction(percent) * Fraction(of) / 100)
    return ToolResult(f"{shown(percent)}% of {shown(of)} is {shown(result)}.", data={"result": result})


@tool(read_only=True)
def share_of(part: Number, whole: Number) -> ToolResult:
    """What percentage one number is of another: 13 of 65 is 20%.

    Args:
        part: the number whose share is wanted
        whole: the number that counts as 100 percent
    """
    if not whole:
        raise ToolError("nothing is a share of 0")
    result = clean(Fraction(part) / Fraction(whole) * 100)
    return ToolResult(f"{shown(part)} is {shown(result)}% of {shown(whole)}.", data={"percent": result})


@tool(read_only=True)
def arithmetic(
    left: Number, operation: Literal["add", "subtract", "multiply", "divide", "power"], right: Number
) -> ToolResult:
    """One operation on two numbers: add, subtract, multiply, divide, or raise to a power.

    Args:
        left: first number
        operation: what is done; subtract takes the second from the first, divide divides the first by the second
        right: second number
    """
    sign = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "^"}[operation]
    result = clean(_OPERATIONS[sign](Fraction(left), Fraction(right)))
    return ToolResult(f"{shown(left)} {sign} {shown(right)} = {shown(result)}", data={"result": result})


def evaluate(expression: str) -> Fraction:
    """The value of an arithmetic expression. `ToolError` for what is none, or is out of all bounds."""
    if len(expression) > _LONGEST:
        raise ToolError(f"the expression is longer than {_LONGEST} characters")
    source = _as_python(expression)
    try:
        tree = ast.parse(source, mode="eval")
        return _value(tree.body, source)
    except ToolError as error:
        raise ToolError(f"{error.message} in {expression!r}", hint=error.hint) from None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        hint = "write numbers, + - * / ^ and brackets"
        raise ToolError(f"{expression!r} cannot be worked out", hint=hint) from None
    except OverflowError:
        raise _too_large() from None


def _as_python(expression: str) -> str:
    """The expression with everyday notation in Python's: percent signs, thousands separators, times signs, words."""
    text = " ".join(expression.lower().split()).rstrip("=? ").strip()
    for pattern, replacement in _WORDS:
        text = re.sub(pattern, replacement, text)
    if not re.search(r"\b(?:min|max|round)\b", text):
        text = re.sub(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?!\d)", lambda m: m[0].replace(",", ""), text)
    text = re.sub(r"(?<=[\d)%]) ?x ?(?=[\d(.])", "*", text)
    text = re.sub(r"[$€£¥]", "", text)
    # A percent sign before a number or bracket is a remainder; anywhere else it means hundredths.
    text = re.sub(r"(\d[\d.]*|\([^()]*\)) ?%(?! ?[\w.(])", r"percent(\1)", text)
    text = re.sub(r"(\d[\d.]*|\([^()]*\)) ?% ?of\b", r"percent(\1)*", text)
    text = re.sub(r"(?<=[\d)]) ?(?=\()", "*", text)
    text = re.sub(r"(?<![\w.])0+(?=\d)", "", text)
    return text.replace("^", "**")


def _value(node: ast.expr, source: str) -> Fraction:
    match node:
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            return _number(ast.get_source_segment(source, node) or "")
        case ast.Name(id="pi"):
            return Fraction(math.pi)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, source)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, source)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _SIGNS:
            first, second = _value(left, source), _value(right, source)
            if isinstance(op, ast.Add | ast.Sub) and _is_percent(right) and not _is_percent(left):
                second *= first  # as on a pocket calculator: 200 + 15% is 230
            return _OPERATIONS[_SIGNS[type(op)]](first, second)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            values = [_value(a, source) for a in args]
            try:
                return _bounded(_FUNCTIONS[name](*values))
            except TypeError:
                raise ToolError(f"{name} does not take {len(values)} numbers") from None
        case ast.Name(id=name) | ast.Call(func=ast.Name(id=name)):
            raise ToolError(f"{name!r} is not known", hint=f"known are pi, {', '.join(sorted(_FUNCTIONS))}")
        case _:
            raise ValueError


def _number(text: str) -> Fraction:
    try:
        number = Decimal(text.replace("_", ""))
    except InvalidOperation:
        raise ValueError from None
    if abs(number.adjusted()) > 1000:
        raise _too_large()
    return Fraction(number)


def _is_percent(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "percent"


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if abs(exponent) > _LARGEST_POWER:
        raise _too_large()
    if exponent.denominator == 1:
        if base == 0 and exponent < 0:
            raise ToolError("0 cannot be divided by")
        size = max(base.numerator.bit_length(), base.denominator.bit_length())
        if abs(base) != 1 and size * abs(exponent.numerator) > _MOST_BITS * 2:
            raise _too_large()
        return _bounded(base**exponent.numerator)
    if base < 0:
        raise ToolError("a negative number has no such root")
    root = _exact_root(base, exponent.denominator)
    return _power(root, Fraction(exponent.numerator)) if root else _finite(float(base) ** float(exponent))


def _exact_root(value: Fraction, degree: int) -> Fraction | None:
    """The root where it is a fraction itself."""
    if degree > 64:
        return None
    parts = []
    for number in (value.numerator, value.denominator):
        guess = round(number ** (1 / degree)) if number.bit_length() < 1000 else 0
        if guess**degree != number:
            return None
        parts.append(guess)
    return Fraction(*parts)


def _divided(first: Fraction, second: Fraction) -> Fraction:
    if not second:
        raise ToolError("0 cannot be divided by")
    return first / second


def _remainder(first: Fraction, second: Fraction) -> Fraction:
    if not second:
        raise ToolError("0 cannot be divided by")
    return first % second


def _rounded(value: Fraction, digits: Fraction = Fraction(0)) -> Fraction:
    """Rounded as people do: a half goes up, away from zero."""
    if digits.denominator != 1 or abs(digits) > 100:
        raise ToolError("round takes a whole number of digits")
    scale = Fraction(10) ** digits.numerator
    whole = math.floor(abs(value) * scale + Fraction(1, 2))
    return Fraction(whole if value >= 0 else -whole) / scale


def _finite(value: float) -> Fraction:
    if not math.isfinite(value):
        raise _too_large()
    return Fraction(value)


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MOST_BITS:
        raise _too_large()
    return value


def _too_large() -> ToolError:
    return ToolError("the result is too large or too fine to be worked out")


_OPERATIONS: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": lambda a, b: _bounded(a + b),
    "-": lambda a, b: _bounded(a - b),
    "*": lambda a, b: _bounded(a * b),
    "/": lambda a, b: _bounded(_divided(a, b)),
    "//": lambda a, b: Fraction(math.floor(_divided(a, b))),
    "%": _remainder,
    "^": _power,
}
_SIGNS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "^",
}
_FUNCTIONS: dict[str, Callable[..., Fraction]] = {
    "sqrt": lambda a: _power(a, Fraction(1, 2)),
    "abs": lambda a: abs(a),
    "round": _rounded,
    "floor": lambda a: Fraction(math.floor(a)),
    "ceil": lambda a: Fraction(math.ceil(a)),
    "min": lambda a, *more: min(a, *more) if more else a,
    "max": lambda a, *more: max(a, *more) if more else a,
    "percent": lambda a: a / 100,
}

TOOLS = (calculate, percentage, share_of, arithmetic)
