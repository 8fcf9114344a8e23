"""How well it is known that no tool fits: BFCL's requests, each among its own candidate tools, and nonsense in a pool.

    python benchmarks/no_tool.py --data DIR [--keep DIR]

A request fits as well as its nearest candidate does (`ToolHit.nearness`). AUROC tells requests with a right tool from
BFCL's irrelevance requests, whose candidates are all wrong. Then, with the one threshold that searches use: how often
something is returned though nothing fits (false alarms), and how often the right tool is kept. `--keep` is the folder
of `tool_retrieval.py`, whose index of the pool is searched with what no tool is for; left out where there is none.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tool_retrieval import Row, read

from bottega.core.errors import ToolIndexError
from bottega.retrieval import ToolIndex
from bottega.retrieval.scoring import FITS

SEED = 0
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SAID = (
    "I had a lovely afternoon with my grandmother", "why is everyone always so angry", "ok thanks, bye",
    "my knees hurt when it is about to rain", "tell me what you honestly think of me", "good morning to you too",
    "I never liked the second verse of that one", "she said yes and then she cried", "that was not what I meant at all",
    "do you dream when nobody is talking to you", "my brother is taller than yours", "what a strange colour for a door",
    "we used to climb the pear tree behind the church", "I am so tired of waiting", "you are being unfair",
    "the soup was too salty again", "nobody ever laughs at his jokes", "is it wrong to be happy when others are sad",
    "I forgive you", "sometimes I just stare at the ceiling", "he walked away without a word", "let us not argue",
    "her handwriting looks like small birds", "I miss the sound of the old stairs",
)  # fmt: skip
"""What people say that no tool is for."""


def nearest(index: ToolIndex, rows: Sequence[Row]) -> NDArray[np.float64]:
    """The nearness of the nearest candidate of each request."""
    return np.array([max(h.nearness for h in index.search(q["query"], 99, q["candidates"])) for q in rows])


def auroc(fitting: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """How often one that fits is above one that does not, ties counting half (Mann and Whitney 1947)."""
    above = (fitting[:, None] > others[None]).mean()
    return float(above + (fitting[:, None] == others[None]).mean() / 2)


def nonsense(chance: random.Random, count: int) -> list[str]:
    """Strings of letters that are no words."""
    words = ["".join(chance.choices(LETTERS, k=chance.randint(3, 9))) for _ in range(6 * count)]
    return [" ".join(words[6 * n : 6 * n + chance.randint(2, 6)]) for n in range(count)]


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--keep", type=Path)
    a = p.parse_args()
    tools = list(read(a.data / "bfcl" / "tools.jsonl.gz"))
    known = {t["id"] for t in tools}
    rows = [q for q in read(a.data / "bfcl" / "queries.jsonl.gz") if known & set(q.get("candidates") or ())]
    index = ToolIndex.build(tools, a.keep / "index-bfcl" if a.keep else None)
    answerable = nearest(index, [q for q in rows if q["split"] in ("live", "nonlive")])
    irrelevant = nearest(index, [q for q in rows if q["split"] == "irrelevance"])
    print(f"BFCL, among its own candidates: {len(answerable)} requests with a right tool, {len(irrelevant)} without")
    print(f"  AUROC {100 * auroc(answerable, irrelevant):.1f}")
    for threshold in sorted({0.5, FITS, 0.7}):
        mark = " (used)" if threshold == FITS else ""
        false, kept = 100 * (irrelevant >= threshold).mean(), 100 * (answerable >= threshold).mean()
        print(f"  nearness {threshold:.2f}{mark}: false alarms {false:.1f}%, kept {kept:.1f}%")
    try:
        pool = ToolIndex.open(a.keep / "index-pool") if a.keep else None
    except ToolIndexError:
        pool = None
    if pool is None:
        return
    print(f"in a pool of {len(pool):,} tools, with nearness {FITS:.2f}:")
    for name, texts in (("strings of letters", nonsense(random.Random(SEED), 200)), ("what is only said", SAID)):
        returned = [bool(hits) for hits in pool.search_many(texts, 10, fitting=True)]
        print(f"  {name}: {len(texts)}, something returned for {100 * float(np.mean(returned)):.1f}%")


if __name__ == "__main__":
    main()
