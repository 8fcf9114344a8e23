"""Shows on stderr how far long work is: on a terminal in one line, elsewhere in a line for each part."""

from __future__ import annotations

import sys
from collections.abc import Callable


def stages() -> Callable[[str, int, int], None]:
    """What is to be told what is being done, how much of it is done, and of how much."""
    terminal = sys.stderr.isatty()

    def show(what: str, done: int, total: int) -> None:
        if terminal:
            end = "\n" if done == total else ""
            print(f"\r{what}: {100 * done // max(1, total)}%", end=end, file=sys.stderr, flush=True)
        elif done == 0:
            print(f"{what} ({total}) ..." if total > 1 else f"{what} ...", file=sys.stderr, flush=True)

    return show
