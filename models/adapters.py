"""An `Adapter`: what turns the backbone into one task model. LoRA matrices, heads and settings in one safetensors file.

LoRA as in Hu et al. 2021 (arXiv 2106.09685), with the scale folded into B. Heads are small numpy arrays beside it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ModelError
from .backbone import HIDDEN, LAYERS

Array = NDArray[np.float32]

LINEARS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)


@dataclass(frozen=True)
class Adapter:
    """One task model.

    `lora` maps `LAYER.LINEAR.A` to (in, rank) and `LAYER.LINEAR.B` to (rank, out); empty for a frozen backbone. `heads`
    maps names to arrays that the task's own code applies to the backbone's output. `settings` is JSON: thresholds and
    labels.
    """

    name: str
    lora: Mapping[str, Array] = field(default_factory=dict)
    heads: Mapping[str, Array] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes one file, whole or not at all; LoRA in half precision, heads in single.

        Raises `ModelError` where it cannot.
        """
        from safetensors.numpy import save

        tensors: dict[str, NDArray[Any]] = {
            f"lora.{k}": np.ascontiguousarray(v, np.float16) for k, v in self.lora.items()
        }
        tensors |= {f"head.{k}": np.ascontiguousarray(v, np.float32) for k, v in self.heads.items()}
        metadata = {"name": self.name, "format": "bottega-adapter-1", "settings": json.dumps(self.settings)}
        metadata["sha256"] = _digest(tensors, metadata["settings"])
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(_ordered(save(tensors, metadata)))
            part.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink()
            raise ModelError(f"{path} cannot be written: {error.strerror}") from None

    @classmethod
    def load(cls, path: Path, heads: Mapping[str, tuple[int, ...]] | None = None) -> Adapter:
        """Reads and checks a file. Raises `ModelError` in one line if it is missing, damaged or of another shape.

        `heads` are the shapes of the heads that it must have, -1 for any length.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as f:
                metadata = f.metadata() or {}
                tensors = {key: f.get_tensor(key) for key in f.keys()}  # noqa: SIM118 - not a mapping
            if metadata.get("sha256") not in (None, _digest(tensors, metadata.get("settings", ""))):
                raise ValueError("its SHA-256 is another")
            settings = json.loads(metadata.get("settings", "{}"))
        except FileNotFoundError:
            raise ModelError(
                f"the adapter {path.stem!r} is missing: no file {path}", hint="install Bottega again"
            ) from None
        except (SafetensorError, OSError, ValueError, TypeError) as error:
            raise ModelError(
                f"the adapter {path.stem!r} is damaged ({error})", hint=f"remove {path} and install Bottega again"
            ) from None
        if metadata.get("format") != "bottega-adapter-1":
            raise ModelError(f"{path} is not an adapter of Bottega", hint="name a file that `bottega train` wrote")
        single = {k: v.astype(np.float32) for k, v in tensors.items()}
        lora = {k[5:]: v for k, v in single.items() if k.startswith("lora.")}
        found = {k[5:]: v for k, v in single.items() if k.startswith("head.")}
        for wrong in (*_misfits(lora), *_missing(found, heads or {})):
            raise ModelError(f"the adapter {path.stem!r} does not fit: {wrong}", hint="train it again")
        return cls(metadata.get("name", path.stem), lora, found, settings)


def _ordered(content: bytes) -> bytes:
    """A safetensors file with its metadata sorted, which are written in a random order: the same model, same bytes."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    written = json.dumps(header, separators=(",", ":")).encode()
    written += b" " * (-len(written) % 8)
    return len(written).to_bytes(8, "little") + written + content[end:]


def _digest(tensors: Mapping[str, NDArray[Any]], settings: str) -> str:
    """Of all that a file says; safetensors itself finds only damage to its structure."""
    found = hashlib.sha256(settings.encode())
    for key in sorted(tensors):
        found.update(f"{key} {tensors[key].dtype} {tensors[key].shape}".encode())
        found.update(tensors[key].tobytes())
    return found.hexdigest()


def _misfits(lora: Mapping[str, Array]) -> Iterator[str]:
    """What of the LoRA matrices the backbone cannot take."""
    pairs = [(layer, linear) for layer in range(LAYERS) for linear in LINEARS] if lora else []
    for layer, linear in pairs:
        inside = 4 * HIDDEN if linear == "output.dense" else HIDDEN
        outside = 4 * HIDDEN if linear == "intermediate.dense" else HIDDEN
        a, b = lora.get(f"{layer}.{linear}.A"), lora.get(f"{layer}.{linear}.B")
        if a is None or b is None:
            yield f"layer {layer} has no matrices for {linear}"
        elif a.shape[:1] + b.shape[1:] != (inside, outside) or a.shape[1:] != b.shape[:1]:
            yield f"in layer {layer} the matrices for {linear} are {a.shape} and {b.shape}"
    if len(lora) > 2 * len(pairs):
        yield "it has matrices for another backbone"


def _missing(heads: Mapping[str, Array], wanted: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """What of the heads that a task needs is not there, or is of another shape."""
    for name, shape in wanted.items():
        if name not in heads:
            yield f"it has no head {name!r}"
        elif len(shape) != heads[name].ndim or any(
            want not in (-1, have) for want, have in zip(shape, heads[name].shape, strict=True)
        ):
            yield f"its head {name!r} is {heads[name].shape}, not {shape}"
