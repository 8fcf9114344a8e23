"""`bottega models`: the task models there are, their cards, and whether they still work."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .output import columns, print_json
from .text import one_line

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
    """List every version of every model: the shipped ones, then yours."""
    from ..models.registry import list_models

    entries = list_models(folder)
    if as_json:
        cards = [e.card.model_dump(mode="json") if e.card else {"name": e.name, "version": e.version} for e in entries]
        extra = [{"shipped": e.shipped, "file": str(e.weights), "problem": e.problem} for e in entries]
        print_json([card | more for card, more in zip(cards, extra, strict=True)])
        return 0
    rows = [
        (e.name, f"v{e.version}", "shipped" if e.shipped else "yours", e.task, e.problem or _figure(e.card))
        for e in entries
    ]
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
@FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def check(folder: Path | None, as_json: bool) -> int:
    """Open every model and ask it something it must know. Exit code 1 if one of them fails."""
    from ..models.encoder import open_encoder
    from ..models.registry import list_models
    from ..models.selftest import check_model

    begin = time.perf_counter()
    encoder = open_encoder()
    entries = list_models(folder)
    problems = [check_model(entry, encoder) for entry in entries]
    if as_json:
        told = [
            {"name": e.name, "version": e.version, "ok": p is None, "problem": p}
            for e, p in zip(entries, problems, strict=True)
        ]
        print_json(told)
    else:
        rows = [(e.name, f"v{e.version}", p or "ok") for e, p in zip(entries, problems, strict=True)]
        for line in columns(rows, shutil.get_terminal_size().columns):
            print(line)
        bad = sum(p is not None for p in problems)
        print(f"{len(entries) - bad} of {len(entries)} work ({time.perf_counter() - begin:.1f} s)")
    return 1 if any(problems) else 0


def _figure(card: Any) -> str:
    beside = "" if card.baseline is None else f" (without training {card.baseline:.3g})"
    return f"{card.metric} {card.figure:.3g}{beside}"
