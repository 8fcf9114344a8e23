"""Trains all house models again, one after the other.

    python -m bottega.models.training --data DIR [--only slots] [--half]

DIR holds the public sets; without it only the corpus in this folder is used. Progress goes to standard error; an
interrupted training goes on from its last checkpoint when it is started again with the same options.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

MODELS = ("retriever", "splitter", "slots", "router", "table", "reader")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path, help="folder of the public sets")
    p.add_argument("--only", choices=MODELS, action="append", help="train this one; may be given several times")
    a, more = p.parse_known_args()
    for name in a.only or MODELS:
        print(f"== {name}", file=sys.stderr, flush=True)
        data = ["--data", str(a.data)] if a.data else []
        done = subprocess.run([sys.executable, "-m", f"{__package__}.{name}", *data, *more], check=False)
        if done.returncode:
            sys.exit(f"training {name} failed with exit code {done.returncode}; start again to go on")


if __name__ == "__main__":
    main()
