"""Why a try to get a reply came to nothing, whether another may do better, and what a person is told."""

from __future__ import annotations

import email.utils
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ...core.errors import BottegaError, ModelError, ServerError
from ...core.redaction import redact

SHOWN = 300
"""Characters of a server's own words that an error repeats."""

_AGAIN = (408, 409, 425, 429)
_TOO_LONG = ("context length", "context_length", "context window", "maximum context", "too many tokens", "too long")
_NO_CREDIT = (
    "insufficient_quota",
    "insufficient quota",
    "insufficient credit",
    "insufficient balance",
    "credit balance",
)


class Failure(Exception):
    """One try that failed. Its text goes on from the server's name: `refused the key`.

    `again`: another try may do better; `wait`: how many seconds the server asked for until then. `away`: it is the
    server that is in trouble, and not the request; always so where another try may do better. `said`: all of the
    server's words with its codes, where it refused the request.
    """

    def __init__(
        self,
        what: str,
        *,
        again: bool = False,
        wait: float | None = None,
        away: bool = False,
        hint: str = "",
        said: str = "",
    ) -> None:
        super().__init__(what)
        self.again = again
        self.away = away or again
        self.wait = wait
        self.hint = hint
        self.said = said


def failure_of(body: Any, status: int | None, headers: Mapping[str, str]) -> Failure:
    """The failure that a server tells with an HTTP status, or with an `error` in place of a reply."""
    error = body.get("error", body) if isinstance(body, dict) else body
    code = ""
    if isinstance(error, dict):
        code = " ".join(str(error[key]) for key in ("code", "type", "param") if error.get(key))
        if status is None and isinstance(error.get("code"), int):
            status = error["code"]
        error = error.get("message") or error.get("detail") or error
    words = f"{error or ''}".strip() or "no reason given"
    return refusal(words, code, status, asked_wait(headers))


def refusal(words: str, code: str, status: int | None, wait: float | None) -> Failure:
    """The failure behind a server's `words`, error `code` and HTTP `status`."""
    said, short = f"{words} {code}".lower(), shortened(words)
    if status == 402 or any(word in said for word in _NO_CREDIT):
        return Failure(f"has no credit left: {short}", hint="add credit there, or use another model")
    if status in (401, 403):
        return Failure(f"refused the key: {short}", hint="give an API key that is valid there")
    if status == 429:
        return Failure(f"is busy (429): {short}", again=True, wait=wait)
    if status is None or status >= 500 or status in _AGAIN:
        return Failure(f"failed ({status}): {short}" if status else f"failed: {short}", again=True, wait=wait)
    if status == 413 or any(word in said for word in _TOO_LONG):
        hint = "ask for less at once, or use a model with a longer context"
        return Failure(f"finds the request too long: {short}", hint=hint)
    if status == 404 and "model" not in said:
        hint = "check the base URL; most end in /v1"
        return Failure(f"has no chat completions there (404): {short}", hint=hint, said=said)
    hint = "use a model that the server has" if status == 404 else ""
    return Failure(f"refused the request ({status}): {short}", hint=hint, said=said)


def shortened(words: str) -> str:
    """`words` of a server on one line of text, cut where they go on for too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in words[: 4 * SHOWN]).split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """The seconds that the headers of a response ask to wait, by `retry-after-ms` or `retry-after`; None if not."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if not value:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            try:
                seconds = (email.utils.parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
            except (ValueError, TypeError):
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None


def error_of(failure: Failure, name: str, secrets: tuple[str, ...]) -> BottegaError:
    """What a person is told about a failure of the server `name` that no other try mended: one line, no secrets."""
    text = redact(f"{name} {failure}", secrets)
    if not failure.away:
        return ModelError(text, hint=failure.hint or None)
    hint = failure.hint or "try again later"
    if failure.wait is not None:
        then = datetime.now(UTC) + timedelta(seconds=failure.wait)
        hint = f"try again in {failure.wait:.0f} s, at {then:%H:%M:%S} UTC"
    return ServerError(text, hint=hint)
