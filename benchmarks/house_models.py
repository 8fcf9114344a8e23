"""Prints the figures of the house models beside their baselines: the untrained backbone or a rule, as each card says.

python benchmarks/house_models.py                      # from the cards in models/house, at once
    python benchmarks/house_models.py --data DIR --most 60 # and the planner on public sets in DIR, measured now
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import calls
import honesty
import links
import segments

from bottega.core.errors import ModelError
from bottega.models.cards import Card

PARTS: dict[str, Callable[[list[str]], None]] = {
    "Calls filled rightly (benchmarks/calls.py)": calls.main,
    "Right number of calls (benchmarks/segments.py)": segments.main,
    "Calls where no tool fits (benchmarks/honesty.py)": honesty.main,
    "Links between calls (benchmarks/links.py)": links.main,
}
CARDS = Path(__file__).parents[1] / "models" / "house"


def main() -> int:
    p = argparse.ArgumentParser(description="Print the figures of the house models.")
    p.add_argument("--data", type=Path, help="folder of the public sets; without it only the cards are printed")
    p.add_argument("--most", type=int, default=60, help="requests of each public set at most")
    a = p.parse_args()
    failed = cards(CARDS)
    if a.data:
        for title, measure in PARTS.items():
            print(f"\n{title}\n", flush=True)
            measure(["--data", str(a.data), "--most", str(a.most)])
    return failed


def cards(folder: Path) -> int:
    """Prints the table; a card that cannot be read is a line on standard error, and 1 is returned instead of 0."""
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
