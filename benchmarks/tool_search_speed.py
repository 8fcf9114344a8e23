"""How fast the tool index is built, opened, synced and searched, beside others on the same machine in the same run.

    python benchmarks/tool_search_speed.py --data DIR [--index DIR] [--peers PYTHON] [--large 100000]

DIR/pool/tools.jsonl.gz has tools as JSON lines; those with `"mcp": true` are indexed. `--index` keeps the index between
runs (a build of 19,111 tools takes minutes). `--peers` is a Python that has sentence-transformers and hnswlib; without
it those rows are left out. `--large` adds copies of the tools whose vectors have noise on them, and are not encoded.

Everything runs on one core. Times are medians (and minima) in milliseconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import numpy as np

from bottega.models.backbone import find
from bottega.models.house.retriever import TOOL_TOKENS
from bottega.retrieval import ToolIndex, ToolSpec
from bottega.retrieval.encoding import QuickRetriever
from bottega.retrieval.fields import dense_texts

SAMPLE = 480
"""Tools that are encoded by each for the figure of tools a second."""

REQUESTS = [
    "find the open pull requests of the repository that mention the failing test",
    "what will the weather be like in Lisbon tomorrow",
    "send a message to the channel of the release team",
    "convert an amount of money from one currency into another",
    "list the files of a folder with their sizes",
    "create an issue with a title, a description and two labels",
    "which flights are there from Paris to New York on Friday",
    "run a query against the customer database",
    "translate this paragraph into Japanese and save it",
    "show the price history of a share over the last month",
    "book a table for four people at an Italian restaurant near the station",
    "summarise the page behind this link in three sentences",
]
"""About 13 words each, as a planner writes for a step."""

ENCODE = """
import json, sys, time, torch
torch.set_num_threads(1)
from sentence_transformers import SentenceTransformer
model, texts = SentenceTransformer(sys.argv[1], device="cpu"), json.load(open(sys.argv[2]))
model.max_seq_length = int(sys.argv[3])
model.encode(texts[:32])
start = time.perf_counter()
model.encode(texts)
print(len(texts) / (time.perf_counter() - start))
"""

NEIGHBOURS = """
import json, sys, time, hnswlib, numpy as np
vectors, queries = np.load(sys.argv[1]), np.load(sys.argv[2])
index = hnswlib.Index(space="cosine", dim=vectors.shape[1])
index.init_index(len(vectors), M=16, ef_construction=100)
index.set_num_threads(1)
index.add_items(vectors)
index.set_ef(64)
times, found = [], []
for query in queries:
    start = time.perf_counter()
    labels, _ = index.knn_query(query, k=10)
    times.append(1000 * (time.perf_counter() - start))
    found.append(labels[0].tolist())
print(json.dumps([times, found]))
"""

FRESH = """
import json, sys, time
from bottega.retrieval import ToolIndex
start = time.perf_counter()
index = ToolIndex.open(sys.argv[1])
opened = time.perf_counter() - start
start = time.perf_counter()
index.search(sys.argv[2])
first = time.perf_counter() - start
rows = dict(line.split(":", 1) for line in open("/proc/self/status"))
now, most = (int(rows[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
print(json.dumps([1000 * opened, 1000 * first, now, most]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--index", type=Path)
    parser.add_argument("--peers")
    parser.add_argument("--large", type=int, default=100_000, help="tools of the second, larger index; 0 for none")
    options = parser.parse_args()
    with gzip.open(options.data / "pool" / "tools.jsonl.gz", "rt", encoding="utf-8") as lines:
        tools = [ToolSpec.of(row) for row in map(json.loads, lines) if row.get("mcp")]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        encoding(tools, options.peers, work)
        place = options.index or work / "index"
        started = time.perf_counter()
        index = ToolIndex.build(tools, place, progress=told)
        print(
            f"\n{len(index)} tools: at hand after {time.perf_counter() - started:.1f} s (what was kept is not encoded)"
        )
        searching(index, tools, place, options.peers, work)
        if options.large:
            many = copies(tools, options.large)
            large = ToolIndex.build(many, work / "large", Perturbed(index, len(tools)))
            print(f"\n{len(large)} tools")
            searching(large, many, work / "large", options.peers, work)


def encoding(tools: Sequence[ToolSpec], peers: str | None, work: Path) -> None:
    texts = [text for tool in tools[:: max(1, len(tools) // SAMPLE)] for text in dense_texts(tool)]
    ours = QuickRetriever()
    ours.encode_tools(texts[:32])
    start = time.perf_counter()
    ours.encode_tools(texts)
    rate = len(texts) / (time.perf_counter() - start)
    print(f"encoding {len(texts)} tools of at most {TOOL_TOKENS} tokens: {rate:.0f} a second")
    (work / "texts.json").write_text(json.dumps(texts))
    theirs = peer(peers, ENCODE, str(find().folder), str(work / "texts.json"), str(TOOL_TOKENS))
    if theirs is not None:
        print(f"  sentence-transformers: {theirs:.0f} a second; ours {rate / theirs:.1f} times that")


def searching(index: ToolIndex, tools: Sequence[ToolSpec], place: Path, peers: str | None, work: Path) -> None:
    encoder = index._encoding
    queries = encoder.encode_requests(REQUESTS)
    whole = timed(lambda i: index.search(REQUESTS[i]))
    alone = timed(lambda i: encoder.encode_requests([REQUESTS[i]]))
    fixed = ToolIndex(index._contents, index._store, _Known(dict(zip(REQUESTS, queries, strict=True)), encoder.version))
    beyond = timed(lambda i: fixed.search(REQUESTS[i]))
    show("search, encoding included", whole)
    show("  encoding alone", alone)
    show("  beyond encoding", beyond)
    some = {tool.id for tool in tools[::40]}
    show(f"  beyond encoding, within {len(some)} of them", timed(lambda i: fixed.search(REQUESTS[i], within=some)))
    thousand = [f"{REQUESTS[i % len(REQUESTS)]} {i}" for i in range(1000)]
    vectors = encoder.encode_requests(thousand)
    known = ToolIndex(index._contents, index._store, _Known(dict(zip(thousand, vectors, strict=True)), encoder.version))
    for name, one, each in (("encoding included", index, whole), ("beyond encoding", known, beyond)):
        start = time.perf_counter()
        one.search_many(thousand)
        batch = time.perf_counter() - start
        print(f"a batch of 1,000, {name}: {batch:.2f} ms a query, {np.median(each) / batch:.1f} times cheaper than one")
    matrix = index._store.vectors(np.arange(len(index)))[0]
    neighbours(matrix, queries, peers, work, beyond)
    start = time.perf_counter()
    same = index.sync(tools)
    print(
        f"sync of nothing: {time.perf_counter() - start:.2f} s, {'nothing' if same is index else 'SOMETHING'} written"
    )
    if Path("/proc/self/status").exists() and isinstance(encoder, QuickRetriever):
        code = [sys.executable, "-c", FRESH, str(place), REQUESTS[0]]
        opened, first, rss, most = json.loads(subprocess.run(code, capture_output=True, text=True, check=True).stdout)
        print(f"a fresh process: opens in {opened:.0f} ms, first search (opens the retriever) {first:.0f} ms,")
        print(f"  then takes {rss:.0f} MB, at most {most:.0f} MB")


def neighbours(matrix: Any, queries: Any, peers: str | None, work: Path, ours: Sequence[float]) -> None:
    """Nearest vectors alone, without words: numpy, Chroma, hnswlib."""
    exact = [np.argsort(-(matrix @ query), kind="stable")[:10].tolist() for query in queries]
    rows = {"numpy, exact": timed(lambda i: np.argpartition(-(matrix @ queries[i]), 10)[:10])}
    recalls = {"numpy, exact": 1.0}
    import chromadb
    from chromadb.config import Settings

    place = tempfile.mkdtemp(dir=work)
    client = chromadb.PersistentClient(place, settings=Settings(anonymized_telemetry=False))
    made = client.create_collection("tools", embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
    for start in range(0, len(matrix), 5000):
        part = matrix[start : start + 5000]
        made.add(ids=[str(start + n) for n in range(len(part))], embeddings=part)
    rows["Chroma"] = timed(lambda i: made.query(query_embeddings=queries[i : i + 1], n_results=10, include=[]))
    got = [made.query(query_embeddings=query[None], n_results=10, include=[])["ids"][0] for query in queries]
    recalls["Chroma"] = overlap([[int(id) for id in ids] for ids in got], exact)
    np.save(work / "vectors.npy", matrix)
    np.save(work / "queries.npy", np.concatenate([queries] * 9))
    found = peer(peers, NEIGHBOURS, str(work / "vectors.npy"), str(work / "queries.npy"))
    if found is not None:
        rows["hnswlib"], recalls["hnswlib"] = found[0], overlap(found[1][: len(exact)], exact)
    for name, times in rows.items():
        ratio = np.median(ours) / np.median(times)
        show(
            f"vectors alone, {name}",
            times,
            f"finds {recalls[name]:.0%}; ours, words and all, takes {ratio:.1f} times that",
        )


def overlap(found: Sequence[Sequence[int]], exact: Sequence[Sequence[int]]) -> float:
    return float(np.mean([len({*a} & {*b}) / 10 for a, b in zip(found, exact, strict=True)]))


class _Known:
    """Vectors of requests that are encoded already."""

    def __init__(self, vectors: dict[str, Any], version: str) -> None:
        self.version = version
        self._vectors = vectors

    def encode_requests(self, texts: Sequence[str]) -> Any:
        nothing = next(iter(self._vectors.values()))
        return np.stack([self._vectors.get(text, nothing) for text in texts])

    encode_tools = encode_requests


class Perturbed:
    """Vectors of copies: those of the tools that they are copies of, with noise."""

    def __init__(self, index: ToolIndex, count: int) -> None:
        self._quick = index._encoding
        self.version = f"{self._quick.version}-noise"
        self.encode_requests = self._quick.encode_requests
        rows = index._store.vectors(np.arange(count))[0]
        texts = [dense_texts(tool)[0] for tool in index.tools]
        self._rows = dict(zip(texts, rows, strict=True))
        self._random = np.random.default_rng(0)

    def encode_tools(self, texts: Sequence[str]) -> Any:
        base = np.stack([self._rows[_original(text)] for text in texts])
        noisy = base + 0.01 * self._random.standard_normal(base.shape).astype(np.float32)
        return noisy / np.linalg.norm(noisy, axis=1, keepdims=True)


COPY = " copy "


def copies(tools: Sequence[ToolSpec], count: int) -> list[ToolSpec]:
    """`count` tools: these, and copies whose names say so."""
    found = list(tools)
    while len(found) < count:
        n = len(found) // len(tools)
        some = tools[: count - len(found)]
        found += [dataclasses.replace(t, id=f"{t.id}-{n}", name=f"{t.name}{COPY}{n}") for t in some]
    return found


def _original(text: str) -> str:
    return re.sub(rf"{COPY}\d+", "", text, count=1)


def timed(work: Callable[[int], object], rounds: int = 9) -> list[float]:
    work(0)
    times = []
    for i in [*range(len(REQUESTS))] * rounds:
        start = time.perf_counter()
        work(i)
        times.append(1000 * (time.perf_counter() - start))
    return times


def show(name: str, times: Sequence[float], more: str = "") -> None:
    print(f"{name}: {np.median(times):.2f} ({min(times):.2f}) ms{'; ' + more if more else ''}")


def peer(python: str | None, code: str, *arguments: str) -> Any:
    """What a script prints in another Python; None where that has not what it needs."""
    if not python:
        print("  (peers are left out: name a Python that has them with --peers)")
        return None
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [python, "-c", code, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        print(f"  (a peer is left out: {done.stderr.strip().splitlines()[-1]})")
        return None
    return json.loads(done.stdout)


def told(done: int, of: int) -> None:
    if of and done % 2560 == 0:
        print(f"encoded {done} of {of}", file=sys.stderr)


if __name__ == "__main__":
    main()
