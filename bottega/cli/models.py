"""`bottega models`: the task models there are, their cards, and whether they still work."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .output import columns, print_json
from .text import one_line

if TYPE_CHECKING:
    from ..models.registry import Entry

FOLDER: Callable[[Any], Any] = click.option(
    "--models", "folder", envvar="BOTTEGA_MODELS", type=click.Path(path_type=Path), help="Where your models are kept."
)


@click.group()
def models() -> None:
    """List task models, show their cards, check their files."""


@models.command("list")
@FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(folder: Path | None, as_json: bool) -> int:
    """List every version of every model with its size and figure: the shipped ones, then yours."""
    from ..models.registry import list_models

    entries = list_models(folder)
    if as_json:
        cards = [e.card.model_dump(mode="json") if e.card else {"name": e.name, "version": e.version} for e in entries]
        extra = [{"shipped": e.shipped, "file": str(e.weights), "problem": e.problem} for e in entries]
        print_json([card | more for card, more in zip(cards, extra, strict=True)])
        return 0
    rows = [(e.name, f"v{e.version}", "shipped" if e.shipped else "yours", *_told(e)) for e in entries]
    for line in columns(rows, shutil.get_terminal_size().columns):
        print(line)
    return 0


@models.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="An older version.")
@FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print the card as one JSON object.")
def card(name: str, version: int | None, folder: Path | None, as_json: bool) -> int:
    """Show the card of the model NAME: its data, figure, baseline, and the command that makes it again."""
    from ..models.registry import find_model

    found = find_model(name, version, folder).card
    assert found
    values = found.model_dump(mode="json")
    if as_json:
        print_json(values)
        return 0
    values["data"] = "; ".join(f"{source.source} ({source.licence})" for source in found.data)
    details = values.pop("details")
    for key, value in [*values.items(), *details.items()]:
        if value not in ("", None):
            print(f"{key.replace('_', ' ') + ':':<20} {one_line(str(value))}")
    return 0


@models.command()
@click.argument("name", required=False)
@FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def check(name: str | None, folder: Path | None, as_json: bool) -> int:
    """Open every model, or all versions of NAME, and ask it something it must know.

    Says of each `ok`, or what is wrong and what to do. Exit code 1 if one of them fails.

    \b
    Examples:
      bottega models check
      bottega models check slots
      bottega models check --json
    """
    from ..models.encoder import open_encoder
    from ..models.registry import find_model, list_models
    from ..models.selftest import check_model

    entries = [e for e in list_models(folder) if name in (None, e.name)]
    if name and not entries:
        find_model(name, folder=folder)  # says which name is near
    encoder = open_encoder()
    told = []
    for entry in entries:
        begin = time.perf_counter()
        wrong = check_model(entry, encoder)
        seconds = round(time.perf_counter() - begin, 3)
        known = {"name": entry.name, "version": entry.version}
        told.append({**known, "ok": wrong is None, "problem": wrong, "seconds": seconds})
    bad = sum(not one["ok"] for one in told)
    if as_json:
        print_json(told)
    else:
        for one in told:
            print(f"{one['name']:<12} v{one['version']:<3} {one['seconds']:5.2f} s  {one['problem'] or 'ok'}")
        print(f"{len(told) - bad} of {len(told)} work")
    return int(bad > 0)


def _told(entry: Entry) -> tuple[str, str, str]:
    """Size, figure beside that without training, and what it measures; or what is wrong with the card."""
    card = entry.card
    if card is None:
        return "", "", entry.problem or ""
    beside = "" if card.baseline is None else f" (baseline {card.baseline:.3g})"
    return f"{card.size_bytes / 1e6:.1f} MB", f"{card.figure:.3g}{beside}", f"{card.task}: {card.metric}"
