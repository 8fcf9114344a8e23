"""An `Adapter`: what turns the backbone into one task model. LoRA matrices, heads and settings in one safetensors file.

LoRA as in Hu et al. 2021 (arXiv 2106.09685), with the scale folded into B. Heads are small numpy arrays beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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

    `lora` maps `LAYER.LINEAR.A` to (in, rank) and `LAYER.LINEAR.B` to (rank, out); empty for a frozen backbone. `heads` maps
    names to arrays that the task's own code applies to the backbone's output. `settings` is JSON: thresholds, labels.
    """

    name: str
    lora: Mapping[str, Array] = field(default_factory=dict)
    heads: Mapping[str, Array] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes one file; LoRA in half precision, heads in single."""
        from safetensors.numpy import save_file

        tensors: dict[str, NDArray[Any]] = {f"lora.{k}": v.astype(np.float16) for k, v in self.lora.items()}
        tensors |= {f"head.{k}": np.ascontiguousarray(v, np.float32) for k, v in self.heads.items()}
        metadata = {"name": self.name, "format": "bottega-adapter-1", "settings": json.dumps(self.settings)}
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path, metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> Adapter:
        """Reads and checks a file. Raises `ModelError` in one line if it is missing, cut short or of another shape."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as f:
                metadata = f.metadata() or {}
                tensors = {key: f.get_tensor(key) for key in f.keys()}  # noqa: SIM118 - not a mapping
        except FileNotFoundError:
            raise ModelError(f"the adapter {path.stem!r} is missing: no file {path}", hint="install Bottega again") from None
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelError(f"the adapter {path.stem!r} is damaged ({error})", hint=f"remove {path} and install Bottega again") from None
        if metadata.get("format") != "bottega-adapter-1":
            raise ModelError(f"{path} is not an adapter of Bottega", hint="name a file that `bottega train` wrote")
        lora = {k[5:]: v.astype(np.float32) for k, v in tensors.items() if k.startswith("lora.")}
        heads = {k[5:]: v for k, v in tensors.items() if k.startswith("head.")}
        _check_shapes(path, lora)
        return cls(metadata.get("name", path.stem), lora, heads, json.loads(metadata.get("settings", "{}")))


def _check_shapes(path: Path, lora: Mapping[str, Array]) -> None:
    if not lora:
        return
    for layer in range(LAYERS):
        for linear in LINEARS:
            inside = 4 * HIDDEN if linear == "output.dense" else HIDDEN
            outside = 4 * HIDDEN if linear == "intermediate.dense" else HIDDEN
            a, b = lora.get(f"{layer}.{linear}.A"), lora.get(f"{layer}.{linear}.B")
            if a is None or b is None or a.shape[0] != inside or b.shape[1] != outside or a.shape[1] != b.shape[0]:
                raise ModelError(f"the adapter {path.stem!r} does not fit the backbone (layer {layer}, {linear})", hint="train it again")
