"""The `Card` of a task model: what it learned from, how well it does and beside what, and how to make it again."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..core.errors import ModelError
from .adapters import Adapter


class Source(BaseModel):
    """A set of data and its licence."""

    model_config = ConfigDict(frozen=True)

    source: str
    licence: str


class Card(BaseModel):
    """One version of a task model. `figure` and `baseline` are in the unit of `metric`, measured on `held_out`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    task: str
    version: int = 1
    data: list[Source] = []
    metric: str
    figure: float
    baseline: float | None = None
    command: str
    seed: int = 0
    parameters: int = 0
    size_bytes: int = 0
    sha256: str = ""
    """Of the adapter's file; where it is empty the file is not compared."""
    trained_on: str = ""
    held_out: str = ""
    created: str = ""
    details: dict[str, Any] = Field(default_factory=dict)
    """Other figures."""

    @classmethod
    def load(cls, path: Path) -> Card:
        """Reads a card. Raises `ModelError` in one line if it is missing or is none."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ModelError(f"the model {path.stem!r} has no card: no file {path}", hint="train it again") from None
        except OSError as error:
            raise ModelError(f"the card {path} cannot be read: {error.strerror}", hint="mend its rights") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            what = f"{where}: {first['msg']}" if where else first["msg"]
            raise ModelError(f"the card {path} is damaged ({what})", hint="train the model again") from None

    def of(self, adapter: Adapter, path: Path) -> Self:
        """This card with what can be counted: parameters, size and digest of the adapter's file, the date."""
        content = path.read_bytes()
        counted = {
            "parameters": sum(x.size for part in (adapter.lora, adapter.heads) for x in part.values()),
            "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "created": datetime.now(UTC).date().isoformat(),
        }
        return self.model_copy(update=counted)

    def save(self, path: Path) -> None:
        """Writes the card as JSON."""
        path.write_text(json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n", "utf-8")
