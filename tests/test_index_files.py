"""A tool index in a folder: what a search finds is exact, and no kill, damage or full disk leaves half an index."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bottega.core.errors import BottegaError, ToolIndexError, UsageError
from bottega.models.adapters import Array
from bottega.retrieval import ToolHit, ToolIndex, ToolSpec
from bottega.retrieval.fields import DENSE, LEXICAL, dense_texts, lexical_texts
from bottega.retrieval.lexical import Postings
from bottega.retrieval.order import top
from bottega.retrieval.scoring import Evidence, rank
from bottega.retrieval.stores import MatrixStore, matrix

WORDS = "send mail weather rain loan book archive convert unit city fetch list issue branch".split()  # noqa: SIM905


class Letters:
    """Vectors from the letters of a text: quick, and alike for texts that are alike. Remembers what it encoded."""

    def __init__(self, version: str = "letters") -> None:
        self.version = version
        self.encoded: list[str] = []
        self._turn = np.random.default_rng(0).standard_normal((256, 384)).astype(np.float32)

    def encode_requests(self, texts: Sequence[str]) -> Array:
        counts = [np.bincount(np.frombuffer(t.encode("utf-8", "replace"), np.uint8), minlength=256) for t in texts]
        vectors = np.array(counts, np.float32).reshape(-1, 256) @ self._turn
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)  # type: ignore[no-any-return]

    def encode_tools(self, texts: Sequence[str]) -> Array:
        self.encoded += texts
        return self.encode_requests(texts)


def tool(n: int, text: str = "") -> ToolSpec:
    words = [WORDS[(n * 7 + i * i) % len(WORDS)] for i in range(4)]
    schema = {"type": "object", "properties": {words[3]: {"type": "string", "description": f"the {words[2]}"}}}
    return ToolSpec(f"s{n % 9}/t{n}", f"s{n % 9}", f"{words[0]}_{n}", text or f"{words[1]} a {words[2]} {n}", schema)


def tools(count: int) -> list[ToolSpec]:
    return [tool(n) for n in range(count)]


specs = st.builds(
    lambda n, words: dataclasses.replace(tool(n), description=" ".join(words)),
    st.integers(0, 12),
    st.lists(st.sampled_from(WORDS), max_size=5),
)
catalogs = st.lists(specs, max_size=12)
queries = st.lists(st.sampled_from([*WORDS, "zebra"]), max_size=5).map(" ".join)


def brute_force(catalog: Sequence[ToolSpec], query: str, k: int, within: set[str] | None) -> list[ToolHit]:
    """Every tool compared, one by one."""
    kept = list({t.id: t for t in catalog}.values())
    encoding = Letters()
    words = Postings.of([lexical_texts(t) for t in kept], len(LEXICAL))
    asked = encoding.encode_requests([query])[0]
    dense = np.array([[encoding.encode_requests([text])[0] @ asked for text in dense_texts(t)] for t in kept])
    chosen = [n for n, t in enumerate(kept) if within is None or t.id in within]
    if not chosen:
        return []
    evidence = Evidence(
        query,
        dense.reshape(-1, len(DENSE)).T[:, chosen].astype(np.float32),
        words.scores(query)[:, chosen],
        words.coverage(query)[chosen],
        words.share(query, LEXICAL.index("name"))[chosen],
        words.share(query, LEXICAL.index("description"))[chosen],
    )
    best, scores = rank(evidence, k)
    near = evidence.dense.max(0)[best]
    return [
        ToolHit(kept[chosen[i]].id, float(s), kept[chosen[i]], float(n))
        for i, s, n in zip(best, scores, near, strict=True)
    ]


def same(found: Sequence[ToolHit], expected: Sequence[ToolHit]) -> bool:
    """The same scores; and the same tools but for those that are level."""
    scores = [h.score for h in found], [h.score for h in expected]
    known = {h.id: h.score for h in expected}
    return (
        len(found) == len(expected)
        and np.allclose(*scores, atol=1e-4)
        and all(h.tool.id == h.id and abs(known.get(h.id, scores[1][-1]) - h.score) < 1e-4 for h in found)
    )


@settings(max_examples=40, deadline=None)
@given(catalogs, queries, st.integers(0, 15), st.none() | st.sets(st.integers(0, 14).map(lambda n: tool(n).id)))
def test_a_search_finds_what_comparing_every_tool_finds(
    catalog: list[ToolSpec], query: str, k: int, within: set[str] | None
) -> None:
    assert same(
        ToolIndex.build(catalog, model=Letters()).search(query, k, within), brute_force(catalog, query, k, within)
    )


@settings(max_examples=15, deadline=None)
@given(st.lists(catalogs, min_size=2, max_size=4), queries)
def test_an_index_brought_up_to_date_is_the_one_built_anew(history: list[list[ToolSpec]], query: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        index = ToolIndex.build(history[0], folder, Letters())
        for catalog in history[1:]:
            encoding = index._encoding
            assert isinstance(encoding, Letters)
            encoding.encoded.clear()
            known = {text for t in index.tools for text in dense_texts(t)}
            index = index.sync(catalog)
            assert sorted(encoding.encoded) == sorted({x for t in index.tools for x in dense_texts(t)} - known)
            anew = ToolIndex.build(catalog, model=Letters())
            for one in (index, ToolIndex.open(folder, Letters())):
                assert list(one.tools) == list(anew.tools)
                assert same(one.search(query, 20), anew.search(query, 20))
                assert one._contents.lexical.terms == anew._contents.lexical.terms


@given(st.lists(st.integers(0, 9), max_size=200), st.integers(-1, 40))
def test_the_best_are_those_that_sorting_finds(scores: list[int], k: int) -> None:
    array = np.array(scores, np.float32)
    assert top(array, k).tolist() == np.argsort(-array, kind="stable")[: max(k, 0)].tolist()


def test_in_a_large_index_the_nearest_and_the_asked_for_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "LARGE", 1000)
    r = np.random.default_rng(1)
    centres = r.standard_normal((60, 384))
    rows = centres[r.integers(0, 60, (2, 4000))] + 0.7 * r.standard_normal((2, 4000, 384))
    rows = (rows / np.linalg.norm(rows, axis=2, keepdims=True)).astype(np.float32)
    store = MatrixStore(rows)
    assert store.narrow is not None
    query = rows[0, 17] + 0.02 * r.standard_normal(384).astype(np.float32)
    exact = rows @ query
    also = np.array([5, 3999])
    found = store.cosines(query[None], None, also)[0]
    for kind in range(2):
        best = top(exact[kind], 10)
        assert top(found[kind], 10).tolist() == best.tolist()
        assert np.allclose(found[kind][[*best, *also]], exact[kind][[*best, *also]], atol=1e-5)
        assert abs(found[kind].mean() - exact[kind].mean()) < 0.02
    assert np.allclose(store.cosines(np.stack([query, query]))[1], exact, atol=1e-5)
    assert np.allclose(store.cosines(query[None], also)[0], exact[:, also], atol=1e-5)


def test_batches_find_what_each_query_finds_alone_however_memory_cuts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    index = ToolIndex.build(tools(50), model=Letters())
    asked = [f"{a} {b}" for a in WORDS[:6] for b in WORDS]
    singles = [index.search(q, 5) for q in asked]
    monkeypatch.setattr("bottega.retrieval.index.MEMORY", 4 * 50 * len(DENSE) * 7)
    assert all(same(a, b) for a, b in zip(index.search_many(asked, 5), singles, strict=True))
    assert index.search_many([], 5) == []


def test_within_only_those_named_are_found_and_unknown_ones_are_nothing() -> None:
    index = ToolIndex.build(tools(30), model=Letters())
    some = {tool(3).id, tool(8).id, "no/such"}
    assert {h.id for h in index.search("send mail", 10, within=some)} == {tool(3).id, tool(8).id}
    assert index.search("send mail", 10, within=[]) == []
    assert index.search_many(["a", "b"], 10, within={"no/such"}) == [[], []]


def test_of_tools_with_one_id_the_last_one_counts() -> None:
    index = ToolIndex.build([tool(1), tool(2), tool(1, "another text")], model=Letters())
    assert [t.description for t in index.tools] == ["another text", tool(2).description]


def test_an_explanation_has_the_score_of_the_search_and_its_reasons() -> None:
    index = ToolIndex.build(tools(30), model=Letters())
    query = "convert the weather"
    for place, hit in enumerate(index.search(query, 5), 1):
        why = index.explain(query, hit.id)
        assert (why.id, why.place) == (hit.id, place)
        assert np.isclose(why.score, hit.score, atol=1e-5)
        assert set(why.cosines) == set(DENSE)
        assert set(why.bm25) == set(why.words) == set(LEXICAL)
        for field, words in why.words.items():
            assert np.isclose(sum(words.values()), why.bm25[field], atol=1e-4)
            assert set(words) <= {"convert", "weather"}
    with pytest.raises(UsageError, match="no tool 'x'"):
        index.explain(query, "x")


def test_an_opened_index_finds_the_same_and_a_sync_of_nothing_writes_nothing(tmp_path: Path) -> None:
    built = ToolIndex.build(tools(40), tmp_path, Letters())
    encoding = Letters()
    opened = ToolIndex.open(tmp_path, encoding)
    assert opened.search("fetch rain") == built.search("fetch rain")
    assert opened.tools[3:5] == [tool(3), tool(4)]
    assert opened.tools[-1] == tool(39)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.npy")}
    assert opened.sync(tools(40)) is opened
    assert ToolIndex.build(tools(40), tmp_path, encoding).search("fetch rain") == built.search("fetch rain")
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.npy")} == before
    assert encoding.encoded == []


def test_an_index_stays_usable_while_another_process_replaces_it(tmp_path: Path) -> None:
    old = ToolIndex.build(tools(40), tmp_path, Letters())
    found = old.search("fetch rain", 40)
    ToolIndex.open(tmp_path, Letters()).sync(tools(5))
    assert old.search("fetch rain", 40) == found
    newer = Letters()
    synced = ToolIndex(old._contents, old._store, newer, tmp_path, old._generation).sync(tools(6))
    assert newer.encoded == list(dense_texts(tool(5)))  # what the other process knows is taken over
    assert len(synced) == len(ToolIndex.open(tmp_path, newer)) == 6
    assert sum(p.name.startswith("index-") for p in tmp_path.iterdir()) == 1


def test_texts_of_any_kind_survive_the_disk(tmp_path: Path) -> None:
    odd = ToolSpec(
        "a\n\udcff/b", "a\n", 'q"uote', "line\nline\x00 İ😀", {"properties": {"日本": {"description": None}}}
    )
    ToolIndex.build([odd, tool(1)], tmp_path, Letters())
    assert ToolIndex.open(tmp_path, Letters()).tools[0] == odd


def test_no_index_and_one_of_another_retriever_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ToolIndexError, match="there is no tool index") as error:
        ToolIndex.open(tmp_path / "none", Letters())
    assert "bottega tools index" in str(error.value.hint)
    ToolIndex.build(tools(3), tmp_path, Letters())
    with pytest.raises(ToolIndexError, match="another retriever"):
        ToolIndex.open(tmp_path, Letters("newer"))
    newer = Letters("newer")
    assert len(ToolIndex.build(tools(3), tmp_path, newer)) == 3
    assert len(newer.encoded) == 3


FILES = ["manifest.json", "matrix.npy", "places.npy", "starts.npy", "tools.jsonl", "words.json", "offsets.npy"]
MANIFESTS = ["[]", '{"format": 99}', '{"format": 1}', '{"format": 1, "generation": 3, "files": {}}']


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, "flipped") for name in FILES),
        *(("manifest.json", damage) for damage in ("empty", "junk", "cut", "gone", "folder")),
        *(("matrix.npy", damage) for damage in ("empty", "cut", "gone", "folder")),
    ],
)
def test_damage_is_one_plain_error_and_mended_by_building_again(tmp_path: Path, name: str, damage: str) -> None:
    found = ToolIndex.build(tools(12), tmp_path, Letters()).search("rain")
    (path,) = tmp_path.rglob(name)
    whole = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "gone":
        at = len(whole) * 2 // 3
        flipped = whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]
        path.write_bytes({"empty": b"", "junk": b"[1]" * 40, "cut": whole[:-9], "flipped": flipped}[damage])
    with pytest.raises(ToolIndexError):
        ToolIndex.open(tmp_path, Letters())
    if (name, damage) != ("manifest.json", "folder"):
        assert ToolIndex.build(tools(12), tmp_path, Letters()).search("rain") == found
        assert ToolIndex.open(tmp_path, Letters()).search("rain") == found


def test_an_index_whose_tools_were_taken_apart_otherwise_is_made_anew_of_its_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ToolIndex.build(tools(9), tmp_path, Letters())
    monkeypatch.setattr("bottega.retrieval.index.form", lambda: "another")
    with pytest.raises(ToolIndexError, match="version"):
        ToolIndex.open(tmp_path, Letters())
    encoding = Letters()
    assert len(ToolIndex.build(tools(9), tmp_path, encoding)) == len(ToolIndex.open(tmp_path, encoding)) == 9
    assert encoding.encoded == []


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_a_manifest_of_another_kind_is_one_plain_error(tmp_path: Path, manifest: str) -> None:
    ToolIndex.build(tools(2), tmp_path, Letters())
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(ToolIndexError):
        ToolIndex.open(tmp_path, Letters())


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[3])
import test_index_files as t
from bottega.retrieval import ToolIndex, index
index.BLOCK = 10
def progress(done, total):
    if done >= int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
ToolIndex.build(t.tools(100), sys.argv[1], t.Letters(), progress=progress)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_build_that_is_killed_goes_on_where_it_was_and_the_old_index_stays(tmp_path: Path) -> None:
    ToolIndex.build(tools(4), tmp_path, Letters())
    arguments = [sys.executable, "-c", KILLED, str(tmp_path), "50", str(Path(__file__).parent)]
    assert subprocess.run(arguments, check=False).returncode == -signal.SIGKILL
    assert len(ToolIndex.open(tmp_path, Letters())) == 4
    with (tmp_path / "unfinished.bin").open("ab") as f:
        f.write(b"btg1 a block that the kill cut short")
    encoding, seen = Letters(), []
    index = ToolIndex.build(tools(100), tmp_path, encoding, progress=lambda done, total: seen.append((done, total)))
    assert len(encoding.encoded) == 100 - 4 - 50
    assert seen[0] == (0, 46)
    assert seen[-1] == (46, 46)
    assert same(index.search("rain", 9), ToolIndex.build(tools(100), model=Letters()).search("rain", 9))
    assert sorted(p.name for p in tmp_path.iterdir() if not p.is_dir()) == ["lock", "manifest.json"]


def failing_at(step: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Makes the nth step of writing an index fail as on a full disk; counts them."""
    count = [0]

    def failing(original: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            count[0] += 1
            if count[0] == step:
                raise OSError(28, "No space left on device")
            return original(*arguments, **named)

        return call

    for name in ("rename", "replace", "write_bytes", "write_text"):
        monkeypatch.setattr(Path, name, failing(getattr(Path, name)))
    monkeypatch.setattr(np.lib.format, "write_array", failing(np.lib.format.write_array))
    return count


def test_wherever_the_disk_is_full_the_old_index_or_the_new_one_is_whole(tmp_path: Path) -> None:
    ToolIndex.build(tools(4), tmp_path, Letters())
    refused = 0
    for step in range(1, 60):
        with pytest.MonkeyPatch.context() as patch:
            count = failing_at(step, patch)
            try:
                ToolIndex.build(tools(4 + step), tmp_path, Letters())
            except ToolIndexError as error:
                refused += "No space left" in error.message
        assert len(ToolIndex.open(tmp_path, Letters())) == 4 + (step if count[0] < step else 0)
        assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == 1
        if count[0] < step:
            break
    assert refused == step - 1 > 10


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on the size of files")
def test_where_no_more_can_be_written_while_encoding_what_is_there_is_kept(tmp_path: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bottega.retrieval.index.BLOCK", 5)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # room for two blocks
        try:
            with pytest.raises(ToolIndexError, match="cannot be written"):
                ToolIndex.build(tools(30), tmp_path, Letters())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    encoding = Letters()
    assert len(ToolIndex.build(tools(30), tmp_path, encoding)) == 30
    assert len(encoding.encoded) == 20


def test_a_place_that_cannot_be_a_folder_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ToolIndexError, match="cannot be"):
            ToolIndex.build(tools(2), path, Letters())
        with pytest.raises(ToolIndexError):
            ToolIndex.open(path, Letters())


def test_those_who_build_sync_and_open_at_once_do_no_harm(tmp_path: Path) -> None:
    ToolIndex.build(tools(10), tmp_path, Letters())
    start, wrong = threading.Barrier(4), list[str]()
    done = threading.Event()

    def write(who: int) -> None:
        start.wait()
        for n in range(6):
            size = 10 + who + n
            if len(ToolIndex.build(tools(size), tmp_path, Letters())) != size:
                wrong.append(f"{who} {n}")

    def look() -> None:
        start.wait()
        while not done.is_set():
            try:
                index = ToolIndex.open(tmp_path, Letters())
                if list(index.tools) != tools(len(index)) or len(index.search("rain", 3)) != 3:
                    wrong.append("torn")
            except BottegaError as error:
                wrong.append(str(error))

    writers = [threading.Thread(target=write, args=(who,)) for who in range(3)]
    reader = threading.Thread(target=look)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert not wrong
    assert len(ToolIndex.open(tmp_path, Letters())) >= 15
