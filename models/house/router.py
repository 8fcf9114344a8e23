"""The router model: which of the house's specialists is a request for, or is it several steps? Can the house do it?

Whether nobody at all can do a request depends on who else is there: `agents.router` decides that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.errors import ModelError
from ..adapters import Adapter, Array
from ..backbone import HIDDEN
from ..encoder import Encoder, open_encoder
from ..heads import sigmoid, softmax

PATH = Path(__file__).parent / "router.safetensors"
LIMIT = 96
"""Tokens of a request that are read."""
HEADS = {"role.weight", "role.bias", "doable.weight", "doable.bias", "ours", "nobodys"}
SETTINGS = {"roles", "toolsets", "role_scale", "doable", "foreign", "threshold"}


@dataclass(frozen=True)
class Direction:
    """What the model says of one request. All parts are calibrated probabilities."""

    roles: Mapping[str, float]
    """Each house specialist, and `plan`: who should have it, given that somebody can do it."""
    doable: float
    """That the house's own tools can do it."""
    foreign: float
    """That one of the other tools, those beside the house's, can do it."""

    @property
    def possible(self) -> float:
        """That somebody can do it."""
        return 1 - (1 - self.doable) * (1 - self.foreign)


class RouterModel:
    """Reads requests as vectors of the untrained backbone."""

    def __init__(self, encoder: Encoder, adapter: Adapter) -> None:
        """Raises `ModelError` if the adapter is no router."""
        whole = adapter.heads.keys() >= HEADS and adapter.settings.keys() >= SETTINGS
        if not whole or len(adapter.heads["role.weight"]) != HIDDEN:
            raise ModelError(f"the adapter {adapter.name!r} is no router", hint="install Bottega again")
        self.encoder = encoder
        self.adapter = adapter

    @classmethod
    def open(cls, path: Path = PATH, weights: Path | None = None) -> RouterModel:
        """The shipped model. Raises `ModelError` in one line if it is missing or damaged."""
        return cls(open_encoder(weights), Adapter.load(path))

    @property
    def roles(self) -> tuple[str, ...]:
        """The house specialists, and `plan`."""
        return tuple(self.adapter.settings["roles"])

    @property
    def toolsets(self) -> frozenset[str]:
        """The toolsets it was trained on; every other tool is foreign."""
        return frozenset(self.adapter.settings["toolsets"])

    @property
    def threshold(self) -> float:
        """A request that is less possible than this is refused: wrongly for one in a hundred held-out requests."""
        return float(self.adapter.settings["threshold"])

    @property
    def examples(self) -> tuple[Array, Array]:
        """Vectors of requests that the house gets, and of requests for nobody here."""
        return self.adapter.heads["ours"], self.adapter.heads["nobodys"]

    def embed(self, request: str) -> Array:
        """The vector of one request."""
        return np.asarray(self.encoder.embed([request], limit=LIMIT)[0])

    def doable(self, vectors: Array) -> Array:
        """The probability of each request that the house's own tools can do it."""
        heads, (scale, shift) = self.adapter.heads, self.adapter.settings["doable"]
        return sigmoid((vectors @ heads["doable.weight"][:, 0] + heads["doable.bias"][0]) * scale + shift)

    def read(self, vector: Array, foreign: Array | None = None) -> Direction:
        """What a request is, by its vector. `foreign` are the vectors of the tools beside the house's own."""
        heads, settings = self.adapter.heads, self.adapter.settings
        roles = softmax(((vector @ heads["role.weight"] + heads["role.bias"]) * settings["role_scale"])[None])[0]
        other = 0.0
        if foreign is not None and len(foreign):
            scale, shift = settings["foreign"]
            other = float(sigmoid((foreign @ vector).max() * scale + shift))
        return Direction(
            dict(zip(self.roles, map(float, roles), strict=True)), float(self.doable(vector[None])[0]), other
        )
