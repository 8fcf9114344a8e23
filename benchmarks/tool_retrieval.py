"""How well tools are found: BM25, plain MiniLM, their fusion, and Bottega's index, on labelled requests, in one run.

    python benchmarks/tool_retrieval.py --data DIR [--pool] [--sets NAME,...] [--most N] [--keep DIR]

DIR has the sets as JSON Lines: `NAME/tools.jsonl.gz` with id, server, name, description, input_schema, and
`NAME/queries.jsonl.gz` with query, relevant_tools, split; `pool/` has the tools of all sets and of public MCP servers
in one catalog, and `pool/map.jsonl.gz` which of them each is. Each set is searched in its own catalog and, with
`--pool`, in the pool. `--keep` is a folder for vectors and indices, so that a second run is quick.

The figures are percent, with 95% intervals by bootstrap over requests: recall@5 and @10, nDCG@10 (a tool is right or
not) and completeness@10 (all right tools are among ten). Sets marked * share no tool with what the retriever was
trained on. `cap` is the nDCG@10 of who cannot tell tools of one name and nearly one description apart.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bottega.models.adapters import Adapter
from bottega.models.encoder import open_encoder
from bottega.models.house.retriever import RetrieverModel
from bottega.retrieval import ToolIndex, ToolSpec
from bottega.retrieval.encoding import QuickRetriever
from bottega.retrieval.fields import dense_texts, lexical_texts
from bottega.retrieval.lexical import Postings
from bottega.retrieval.scoring import top
from bottega.retrieval.vectors import cached

SEED = 0
METRICS = ("recall@5", "recall@10", "nDCG@10", "completeness@10")
BM25, MINILM, FUSION, OURS, SMALL = "BM25", "MiniLM", "fusion", "Bottega", "Bottega small"

Row = Mapping[str, Any]
Array = NDArray[np.float32]
Found = list[list[str]]
"""Ids of the ten best tools for each request."""


@dataclass(frozen=True)
class Labelled:
    """A set of requests: its folder, which of its requests, and whether the retriever was trained on its catalog."""

    folder: str
    keep: Callable[[Row], bool]
    seen: bool = False


def _split(name: str) -> Callable[[Row], bool]:
    return lambda q: q["split"] == name


def _group(name: str) -> Callable[[Row], bool]:
    return lambda q: q["split"] == "test" and q["meta"]["group"].startswith(name)


TARGET = {
    "BFCL nonlive": Labelled("bfcl", _split("nonlive")),
    "BFCL live": Labelled("bfcl", _split("live")),
    "ToolBench G1": Labelled("toolbench", _group("G1")),
    "ToolBench G2": Labelled("toolbench", _group("G2")),
    "ToolAlpaca": Labelled("toolalpaca", lambda q: True),
    "Seal-Tools OOD": Labelled("seal_tools", _split("test_ood"), seen=True),
    "UltraTool test": Labelled("ultratool", _split("test"), seen=True),
}
"""The sets that the macro averages are over."""
OTHERS = {
    "Seal-Tools ID": Labelled("seal_tools", _split("test_id"), seen=True),
    "ToolBench G3": Labelled("toolbench", _group("G3")),
    "BFCL multi-turn": Labelled("bfcl", _split("multi_turn")),
    "ToolLens test": Labelled("toollens", _split("test"), seen=True),
    "MetaTool test": Labelled("metatool", _split("test"), seen=True),
    "MetaTool multi": Labelled("metatool", _split("multi"), seen=True),
    "APIBench": Labelled("apibench", lambda q: True),
}


@dataclass(frozen=True)
class Question:
    """A request with the ids of its right tools."""

    text: str
    right: frozenset[str]


class Catalog:
    """A catalog with what each method needs of it."""

    def __init__(self, name: str, data: Path, keep: Path, minilm: RetrieverModel, small: bool) -> None:
        self.name = name
        self.tools = [ToolSpec.of(t) for t in read(data / name / "tools.jsonl.gz")]
        self._minilm = minilm
        texts = [dense_texts(t)[0] for t in self.tools]
        began = time.perf_counter()
        self._vectors = cached(keep / f"minilm-{name}.npz", texts, minilm.version, minilm.encode_tools)
        self._words = Postings.of(map(lexical_texts, self.tools), len(lexical_texts(self.tools[0])))
        self._indices = {OURS: ToolIndex.build(self.tools, keep / f"index-{name}")}
        if small:
            self._indices[SMALL] = ToolIndex.build(self.tools, keep / f"small-{name}", QuickRetriever(small=True))
        told(f"{name}: {len(self.tools):,} tools ready in {time.perf_counter() - began:.0f} s")

    def found(self, texts: Sequence[str]) -> dict[str, Found]:
        """Ids of the ten best tools by method, for each of the texts."""
        out: dict[str, Found] = defaultdict(list)
        for begin in range(0, len(texts), 256):
            some = texts[begin : begin + 256]
            dense = self._minilm.encode_requests(some) @ self._vectors.T
            for text, cosines in zip(some, dense, strict=True):
                words = self._words.scores(text)[0]
                for method, scores in (
                    (BM25, words),
                    (MINILM, cosines),
                    (FUSION, 0.5 * _spread(words) + 0.5 * _spread(cosines)),
                ):
                    out[method].append([self.tools[i].id for i in top(scores, 10)])
            for method, index in self._indices.items():
                out[method] += [[hit.id for hit in hits] for hits in index.search_many(some, 10)]
        return out


def _spread(scores: Array, most: int = 200) -> Array:
    """Min-max over the highest `most` scores; all others 0. The best untrained fusion takes the scores so."""
    least = np.partition(scores, len(scores) - most)[len(scores) - most] if most < len(scores) else scores.min()
    return np.clip((scores - least) / max(float(scores.max() - least), 1e-9), 0, None)


def measured(found: Found, questions: Sequence[Question]) -> NDArray[np.float64]:
    """(requests, 4): the `METRICS` of each request, in percent."""
    discounts = 1 / np.log2(np.arange(2, 12))
    rows = []
    for ids, question in zip(found, questions, strict=True):
        hits = np.array([id in question.right for id in ids], float)
        size = len(question.right)
        gain = float(hits @ discounts[: len(hits)]) / discounts[: min(size, 10)].sum()
        rows.append((hits[:5].sum() / size, hits.sum() / size, gain, float(hits.sum() == size)))
    return 100 * np.array(rows)


def cap(questions: Sequence[Question], tools: Sequence[ToolSpec]) -> float:
    """Mean nDCG@10 of an order that is right but for tools of one name whose descriptions are nearly the same."""
    by_id = {t.id: t for t in tools}
    namesakes: dict[str, list[ToolSpec]] = defaultdict(list)
    for tool in tools:
        namesakes[tool.name.lower()].append(tool)
    gains = []
    for question in questions:
        for id in question.right:
            tool = by_id[id]
            like = sum(_near(tool.description, other.description) for other in namesakes[tool.name.lower()])
            gains.append(np.mean([1 / np.log2(n + 2) if n < 10 else 0.0 for n in range(max(like, 1))]))
    return 100 * float(np.mean(gains))


def _near(a: str, b: str) -> bool:
    one, other = ({t[i : i + 4] for i in range(max(len(t) - 3, 1))} for t in (a.lower(), b.lower()))
    return len(one & other) >= 0.6 * (len(one) * len(other)) ** 0.5


def interval(rows: Sequence[NDArray[np.float64]], draws: int = 500) -> NDArray[np.float64]:
    """(2, columns): 95% interval of the mean over sets of each column, requests drawn anew within each set."""
    chance = np.random.default_rng(SEED)
    means = [np.mean([r[chance.integers(0, len(r), len(r))].mean(0) for r in rows], 0) for _ in range(draws)]
    return np.percentile(means, [2.5, 97.5], axis=0)


def table(title: str, results: Mapping[str, Mapping[str, NDArray[np.float64]]], caps: Mapping[str, float]) -> None:
    """One row a set, nDCG@10 / completeness@10 a method; then macro averages with all metrics."""
    methods = list(next(iter(results.values())))
    print(f"\n## {title}\n\n| set | requests | {' | '.join(methods)} | cap |\n|---|---|{'---|' * len(methods)}---|")
    for name, by_method in results.items():
        cells = [f"{m[:, 2].mean():.1f} / {m[:, 3].mean():.1f}" for m in by_method.values()]
        mark = "" if _labelled(name).seen else " *"
        print(f"| {name}{mark} | {len(by_method[OURS])} | {' | '.join(cells)} | {caps[name]:.0f} |")
    groups = {"the seven": TARGET, "the five unseen": {n: s for n, s in TARGET.items() if not s.seen}, "all": results}
    print(
        "\n| mean of | method | recall@5 | recall@10 | nDCG@10 | completeness@10 | above fusion |\n" + "|---" * 7 + "|"
    )
    for group, names in groups.items():
        if not results.keys() >= names.keys() or (group == "all" and results.keys() == TARGET.keys()):
            continue
        for method in methods:
            rows = [results[n][method] for n in names]
            low, high = interval(rows)
            cells = [
                f"{m:.1f} [{a:.1f}, {b:.1f}]"
                for m, a, b in zip(np.mean([r.mean(0) for r in rows], 0), low, high, strict=True)
            ]
            over = [results[n][method] - results[n][FUSION] for n in names]
            a, b = interval(over)[:, 2]
            gained = f"{np.mean([d[:, 2].mean() for d in over]):+.1f} [{a:+.1f}, {b:+.1f}]" if method != FUSION else ""
            print(f"| {group} ({len(names)}) | {method} | {' | '.join(cells)} | {gained} |")


def _labelled(name: str) -> Labelled:
    return (TARGET | OTHERS)[name]


def read(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def told(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--pool", action="store_true", help="search the pool of all tools too")
    p.add_argument("--sets", help="names of sets, with commas; all of them by default, 'target' for the seven")
    p.add_argument("--most", type=int, help="requests of a set at most, drawn at random; all by default")
    p.add_argument("--keep", type=Path, help="folder for vectors and indices")
    p.add_argument("--small", action="store_true", help="the retriever's three layers and 128 dimensions too")
    p.add_argument("--json", type=Path, help="write the means here")
    a = p.parse_args()
    names = list(TARGET | OTHERS) if a.sets is None else list(TARGET) if a.sets == "target" else a.sets.split(",")
    with tempfile.TemporaryDirectory() as folder:
        keep = a.keep or Path(folder)
        minilm = RetrieverModel(open_encoder(), Adapter("untrained"))
        chance = np.random.default_rng(SEED)
        chosen = {}
        for name in names:
            rows = [q for q in read(a.data / _labelled(name).folder / "queries.jsonl.gz") if q["relevant_tools"]]
            rows = [q for q in rows if _labelled(name).keep(q)]
            if a.most and len(rows) > a.most:
                rows = [rows[i] for i in sorted(chance.choice(len(rows), a.most, replace=False))]
            chosen[name] = rows
        out: dict[str, Any] = {}
        place = {r["id"]: r["pool"] for r in read(a.data / "pool" / "map.jsonl.gz")} if a.pool else {}
        for title, common in (("own catalogs", None), *((("the pool", "pool"),) if a.pool else ())):
            catalogs: dict[str, Catalog] = {}
            results: dict[str, dict[str, NDArray[np.float64]]] = {}
            caps = {}
            for name, rows in chosen.items():
                folder_name = common or _labelled(name).folder
                if folder_name not in catalogs:
                    catalogs[folder_name] = Catalog(folder_name, a.data, keep, minilm, a.small)
                catalog = catalogs[folder_name]
                asked = [
                    Question(q["query"], frozenset(place[t] if common else t for t in q["relevant_tools"]))
                    for q in rows
                ]
                found = catalog.found([q.text for q in asked])
                results[name] = {method: measured(found[method], asked) for method in found}
                caps[name] = cap(asked, catalog.tools)
                told(f"{title}: {name} {', '.join(f'{m} {r[:, 2].mean():.1f}' for m, r in results[name].items())}")
            table(title, results, caps)
            out[title] = {
                n: {m: dict(zip(METRICS, r.mean(0).round(2).tolist(), strict=True)) for m, r in by.items()}
                for n, by in results.items()
            }
        if a.json:
            a.json.write_text(json.dumps(out, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
