"""Keeps vectors of texts on disk by content, so that a tool is encoded once, not at every start."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
_MOST = 200_000
_AT_ONCE = 512
_WIDTH = 384


def cached(
    path: Path | None,
    texts: Sequence[str],
    version: str,
    encode: Callable[[list[str]], Vectors],
    at_hand: Mapping[str, Vectors] | None = None,
) -> Vectors:
    """Vectors of `texts` (len(texts), width): those `at_hand` or in the file at `path`; others are encoded and added.

    `version` names the encoder: another one, other vectors. A file that cannot be read or written only costs time.
    """

    def key_of(text: str) -> bytes:
        return hashlib.blake2b(f"{version}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()

    known = _read(path) if path else {}
    known |= {key_of(text): vector for text, vector in (at_hand or {}).items()}
    keys = [key_of(text) for text in texts]
    missing = list({key: text for key, text in zip(keys, texts, strict=True) if key not in known}.items())
    for at in range(0, len(missing), _AT_ONCE):
        some = missing[at : at + _AT_ONCE]
        known |= zip([key for key, _ in some], encode([text for _, text in some]), strict=True)
        if path:
            _write(path, known)  # so that a kill costs little
    return np.stack([known[key] for key in keys]) if keys else np.zeros((0, _WIDTH), np.float32)


def _read(path: Path) -> dict[bytes, Vectors]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            keys, vectors = stored["keys"], stored["vectors"]
    except Exception:  # damage shows as errors of numpy, zipfile, zlib and more
        return {}
    if keys.shape != (len(vectors), 16) or vectors.shape != (len(keys), _WIDTH) or vectors.dtype != np.float32:
        return {}
    return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}


def _write(path: Path, known: dict[bytes, Vectors]) -> None:
    kept = list(known.items())[-_MOST:]
    keys = np.frombuffer(b"".join(k for k, _ in kept), np.uint8).reshape(len(kept), 16)
    packed = io.BytesIO()  # on a full disk a half-written archive could not even be closed
    np.savez(packed, keys=keys, vectors=np.stack([v for _, v in kept]))
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "wb") as f:
            f.write(packed.getbuffer())
        Path(part).replace(path)
    except OSError:
        if part:
            with contextlib.suppress(OSError):
                Path(part).unlink()
