"""Takes secrets out of text before it is logged, stored or shown."""

from __future__ import annotations

import re

_KEY = r"(?:api[-_]?key|access[-_]?key|token|secret|password|passwd|authorization|bearer)"
_PATTERNS = [
    re.compile(r"(?i)(\b(?:bearer|basic)\s+)([a-z0-9._~+/=-]{8,})"),
    re.compile(rf"(?i)(\b{_KEY}\b[\"']?\s*[:=]\s*[\"']?)([^\s\"',;&]{{4,}})"),
    re.compile(
        r"()\b(sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|xox[abprs]-[A-Za-z0-9-]{10,}|AKIA[0-9A-Z]{16})\b"
    ),
]


def redact(text: str, secrets: tuple[str, ...] = ()) -> str:
    """`text` with known secret values and things that look like secrets replaced by `[redacted]`."""
    for secret in secrets:
        if len(secret) >= 4:
            text = text.replace(secret, "[redacted]")
    for pattern in _PATTERNS:
        text = pattern.sub(r"\1[redacted]", text)
    return text
