"""The kinds of parameters that house tools share, with what their schemas say beyond their type."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

PathName = Annotated[str, Field(json_schema_extra={"format": "path"})]
"""A path inside the workspace."""

Instruction = Annotated[str, Field(json_schema_extra={"x-source": "instruction"})]
"""The whole instruction of the step."""

DateText = Annotated[str, Field(json_schema_extra={"format": "date"})]
"""A day: `2026-03-01`, or as people write it."""


def _as_decimal(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"{value} is not a number")
    if isinstance(value, float):
        value = str(value)
    if isinstance(value, str):
        value = value.strip().replace("\N{MINUS SIGN}", "-").removesuffix("%").replace(",", "").strip()
    return value


Number = Annotated[
    Decimal,
    BeforeValidator(_as_decimal),
    Field(allow_inf_nan=False, gt=Decimal("-1e300"), lt=Decimal("1e300")),
    WithJsonSchema({"type": "number"}),
]
"""A finite number, kept exactly as written: 0.1 is a tenth."""
