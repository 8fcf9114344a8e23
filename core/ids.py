"""Identifiers that sort by time and are safe in file names."""

from __future__ import annotations

import secrets
import time


def new_id(kind: str) -> str:
    """A new id such as `run-0mhs2k9a41-7f3c`: the kind, milliseconds since the epoch in base 36, four random digits."""
    return f"{kind}-{_base36(time.time_ns() // 1_000_000):0>10}-{secrets.token_hex(2)}"


def _base36(n: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    out = ""
    while n:
        n, rest = divmod(n, 36)
        out = digits[rest] + out
    return out or "0"
