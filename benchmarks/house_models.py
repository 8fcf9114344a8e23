"""Prints the figures of the house models beside their baselines, from the cards in models/house, as a Markdown table.

python benchmarks/house_models.py
"""

from __future__ import annotations

import sys
from pathlib import Path

from bottega.core.errors import ModelError
from bottega.models.cards import Card

CARDS = Path(__file__).parents[1] / "models" / "house"


def main(folder: Path = CARDS) -> int:
    """Prints the table; a card that cannot be read is a line on standard error, and the exit code is 1."""
    print("| model | figure | baseline | of what | measured on | size |\n| --- | ---: | ---: | --- | --- | ---: |")
    failed = False
    for path in sorted(folder.glob("*.json")):
        try:
            print(row(Card.load(path)))
        except ModelError as error:
            print(error, file=sys.stderr)
            failed = True
    return int(failed)


def row(card: Card) -> str:
    baseline = "" if card.baseline is None else f"{card.baseline:g}"
    size = f"{card.size_bytes / 1e6:.1f} MB"
    return f"| {card.name} | {card.figure:g} | {baseline} | {card.metric} | {card.held_out} | {size} |"


if __name__ == "__main__":
    sys.exit(main())
