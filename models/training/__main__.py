"""Trains all house models again, one after the other.

    python -m bottega.models.training --data DIR [--only slots] [--half]

DIR holds the public sets; without it only the corpus in this folder is used. Other options are handed to the
training that `--only` names. Progress goes to standard error; an interrupted training goes on from its last checkpoint
when it is started again with the same options.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

MODELS = ("retriever", "splitter", "slots", "router", "table", "reader")
CORPUS_ONLY = ("router",)


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    p.add_argument("--data", type=Path, help="folder of the public sets")
    p.add_argument("--only", choices=MODELS, action="append", help="train this one; may be given several times")
    a, more = p.parse_known_args()
    chosen = a.only or MODELS
    if more and len(chosen) > 1:
        p.error(f"{' '.join(more)}: say with --only which training this is for")
    for name in chosen:
        print(f"== {name}", file=sys.stderr, flush=True)
        data = ["--data", str(a.data)] if a.data and name not in CORPUS_ONLY else []
        done = subprocess.run([sys.executable, "-m", f"{__package__}.{name}", *data, *more], check=False)
        if done.returncode:
            sys.exit(f"training {name} failed with exit code {done.returncode}; start again to go on")


if __name__ == "__main__":
    main()
