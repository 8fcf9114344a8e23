"""The options that all trainings of house models share."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch


def parse(doc: str, out: Path, steps: int, size: int, rate: float) -> argparse.Namespace:
    """Reads the command line; `doc` is the module's docstring. Sets torch's threads and seed."""
    p = argparse.ArgumentParser(description=doc.splitlines()[0])
    p.add_argument("--data", type=Path, help="folder of the public sets; without it the corpus alone is used")
    p.add_argument("--out", type=Path, default=out, help="the adapter's file; its card is written beside it")
    p.add_argument("--steps", type=int, default=steps)
    p.add_argument("--size", type=int, default=size, help="requests a step")
    p.add_argument("--rate", type=float, default=rate, help="the highest learning rate")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--start", type=Path, help="an adapter to go on from")
    p.add_argument("--half", action="store_true", help="bfloat16, for processors with such units")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--measure", action="store_true", help="do not train, only measure and write the card")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    return a


CORPUS = {"source": "Bottega's own corpus (models/training/corpus)", "licence": "Apache-2.0"}
PUBLIC = {
    "seal_tools": {"source": "Seal-Tools, dev split", "licence": "Apache-2.0"},
    "sgd": {"source": "Schema-Guided Dialogue, train services", "licence": "CC-BY-SA-4.0"},
    "mcp": {"source": "names, descriptions and schemas of public MCP tools", "licence": "MIT or Apache-2.0, mostly"},
    "metatool": {"source": "MetaTool, train split", "licence": "MIT"},
    "ultratool": {"source": "UltraTool, gnn_train split", "licence": "none stated for the requests; MIT for the tools"},
    "toollens": {"source": "ToolLens, train requests for tools that ToolBench lacks", "licence": "none stated"},
    "wikisql": {"source": "WikiSQL, test file (questions only)", "licence": "BSD-3-Clause"},
    "restaurant8k": {"source": "Restaurant-8k, train split", "licence": "CC-BY-4.0"},
    "snips_slots": {"source": "SNIPS, train split", "licence": "CC0-1.0"},
}


def sources(data: Path | None, *names: str) -> list[dict[str, str]]:
    """What a model learned from, for its card."""
    return [CORPUS, *(PUBLIC[name] for name in names if data)]
