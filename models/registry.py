"""Where trained task models live: the shipped ones beside their code, a person's own in a folder of theirs, by version.

A person's model is `FOLDER/NAME/VERSION/` with `model.safetensors` and `card.json`. A version never changes: it appears
whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ModelError, UsageError
from .adapters import Adapter
from .cards import Card
from .classifier import Classifier
from .encoder import Encoder, open_encoder

HOUSE = Path(__file__).parent / "house"
SHIPPED = ("reader", "retriever", "router", "slots", "splitter", "table")
"""The models that have to be there; listed even if their files are gone."""

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def user_folder() -> Path:
    """Where a person's models are kept unless another folder is named."""
    from platformdirs import user_data_path

    return user_data_path("bottega") / "models"


@dataclass(frozen=True)
class Entry:
    """One version of a model. With a `problem`, a line that says what is wrong with it, there may be no card."""

    name: str
    version: int
    weights: Path
    shipped: bool
    card: Card | None = None
    problem: str | None = None

    @property
    def task(self) -> str:
        return self.card.task if self.card else "unknown"


def list_models(folder: Path | None = None) -> list[Entry]:
    """Every version of every model, shipped ones first; damaged cards are listed with their problem."""
    shipped = [_entry(n, 1, HOUSE / f"{n}.json", HOUSE / f"{n}.safetensors", True) for n in SHIPPED]
    return shipped + [
        _entry(name.name, version, *_files(name / str(version)), False)
        for name in _folders(folder or user_folder())
        for version in _versions(name)
    ]


def find_model(name: str, version: int | None = None, folder: Path | None = None) -> Entry:
    """A model by name, its newest version by default. Raises `ModelError` if there is none or it is damaged."""
    entries = [entry for entry in list_models(folder) if entry.name == name]
    if not entries:
        raise ModelError(f"there is no model {name!r}", hint=_near(name, folder))
    found = next((e for e in reversed(entries) if version is None or e.version == version), None)
    if found is None:
        there = ", ".join(str(e.version) for e in entries)
        raise ModelError(f"the model {name!r} has no version {version}", hint=f"there are {there}")
    if found.problem:
        raise ModelError(found.problem, hint=repair(found))
    return found


def open_adapter(name: str, version: int | None = None, folder: Path | None = None) -> tuple[Card, Adapter]:
    """A model's card and adapter, its file compared with the digest of the card. Raises `ModelError` in one line."""
    found = find_model(name, version, folder)
    assert found.card
    return found.card, read_adapter(found)


def read_adapter(entry: Entry) -> Adapter:
    """The adapter of an entry. Raises `ModelError` if it is missing, damaged or another one than its card's."""
    if entry.problem:
        raise ModelError(entry.problem, hint=repair(entry))
    assert entry.card
    if entry.card.sha256 and entry.weights.exists():
        with entry.weights.open("rb") as f:
            digest = hashlib.file_digest(f, "sha256").hexdigest()
        if digest != entry.card.sha256:
            what = "its file is not the one of its card"
            raise ModelError(f"the model {entry.name!r} is damaged: {what} ({entry.weights})", hint=repair(entry))
    return Adapter.load(entry.weights)


def repair(entry: Entry) -> str:
    """What to do about a model that does not work."""
    return "install Bottega again" if entry.shipped else f"remove {entry.weights.parent} or train it again"


def open_model(
    name: str, version: int | None = None, folder: Path | None = None, encoder: Encoder | None = None
) -> Classifier:
    """A trained classifier by name, ready to use. Raises `ModelError` in one line if it is missing, damaged or none."""
    card, adapter = open_adapter(name, version, folder)
    if card.task != "classify":
        raise ModelError(
            f"the model {name!r} is for {card.task}, not for giving texts labels", hint="bottega models list"
        )
    return Classifier(adapter, encoder or open_encoder())


def newest(name: str, folder: Path) -> Entry | None:
    """The newest version of a person's own model in a folder, which may be damaged; None if there is none."""
    versions = _versions(folder / name)
    return _entry(name, versions[-1], *_files(folder / name / str(versions[-1])), False) if versions else None


def register(adapter: Adapter, card: Card, folder: Path | None = None, *, in_place: bool = False) -> Entry:
    """Keeps a model as the next version of its name, all of it or nothing.

    With `in_place` it may have the name of a shipped model, in whose place it is used where its folder counts. Raises
    `UsageError` for a name that cannot be one or is a shipped model's, `ModelError` for a folder that cannot be
    written.
    """
    root = folder or user_folder()
    if not (in_place and card.name in SHIPPED):
        check_name(card.name)
    place = root / card.name
    try:
        place.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=place))
    except OSError as error:
        raise ModelError(
            f"the models folder {root} cannot be written: {error.strerror}", hint="name another one"
        ) from None
    try:
        return _publish(adapter, card, made, place)
    except OSError as error:
        raise ModelError(
            f"the model {card.name!r} could not be kept: {error.strerror}", hint=f"see to {root}"
        ) from None
    finally:
        shutil.rmtree(made, ignore_errors=True)


def check_name(name: str) -> None:
    """Raises `UsageError` if a model of one's own cannot have this name."""
    if not NAME.fullmatch(name):
        hint = "use at most 64 small letters, digits, dots, - and _, starting with a letter or digit"
        raise UsageError(f"{name!r} cannot be the name of a model", hint=hint)
    if name in SHIPPED:
        raise UsageError(f"{name!r} is a model that ships with Bottega", hint="take another name")


def _publish(adapter: Adapter, card: Card, made: Path, place: Path) -> Entry:
    """Writes both files in a folder nobody sees, then gives it the first free number by one rename."""
    weights, paper = _files(made)[::-1]
    adapter.save(weights)
    version = max(_versions(place), default=0) + 1
    while True:
        numbered = card.model_copy(update={"version": version}).of(adapter, weights)
        numbered.save(paper)
        for path in (weights, paper):
            _sync(path)
        with contextlib.suppress(OSError):
            made.chmod(0o755)
        try:
            made.rename(place / str(version))
        except OSError:
            if not (place / str(version)).exists():
                raise
            version += 1  # somebody else was first
            continue
        _sync(place)
        return Entry(card.name, version, place / str(version) / weights.name, False, numbered)


def _sync(path: Path) -> None:
    """Makes what was written last through a power cut; folders cannot be synced everywhere."""
    with contextlib.suppress(PermissionError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _files(version: Path) -> tuple[Path, Path]:
    """The card and the weights of a version."""
    return version / "card.json", version / "model.safetensors"


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(p for p in root.iterdir() if p.is_dir() and NAME.fullmatch(p.name))
    except OSError:
        return []


def _versions(name: Path) -> list[int]:
    try:
        return sorted(int(p.name) for p in name.iterdir() if re.fullmatch(r"[1-9][0-9]{0,8}", p.name))
    except OSError:
        return []


def _entry(name: str, version: int, card: Path, weights: Path, shipped: bool) -> Entry:
    try:
        found = Card.load(card)
    except ModelError as error:
        return Entry(name, version, weights, shipped, problem=error.message)
    return Entry(name, found.version if shipped else version, weights, shipped, found)


def _near(name: str, folder: Path | None) -> str:
    from difflib import get_close_matches

    names = sorted({entry.name for entry in list_models(folder)})
    near = get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else "`bottega models list` shows those there are"
