"""Tools are found by what they do; vectors are kept by content and survive whatever happens to their file."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.core.errors import UsageError
from bottega.models.adapters import Adapter, Array
from bottega.models.encoder import open_encoder
from bottega.models.house.retriever import RetrieverModel
from bottega.retrieval import ToolHit, ToolIndex, ToolSpec
from bottega.retrieval.lexical import Postings, terms
from bottega.retrieval.vectors import cached

TOOLS: list[dict[str, Any]] = [
    {
        "id": "library/find_loan",
        "server": "library",
        "name": "find_loan",
        "description": "Look up the open loan of a library member.",
        "input_schema": {"type": "object", "properties": {"member": {"type": "string", "description": "full name"}}},
    },
    {"id": "weather/forecast", "server": "weather", "name": "forecast", "description": "Rain, wind and sun by city."},
    {"id": "mail/send", "server": "mail", "name": "sendMessage", "description": "Send an e-mail to somebody."},
    {"id": "bare", "name": "convert_units", "description": None, "server": None, "input_schema": None},
]


class Counting(RetrieverModel):
    """The untrained backbone as a retriever; remembers what it encoded."""

    def __init__(self, version: str = "test") -> None:
        super().__init__(open_encoder(), Adapter("untrained", settings={"version": version}))
        self.encoded: list[str] = []

    def encode_tools(self, texts: Sequence[str]) -> Array:
        self.encoded += texts
        return super().encode_tools(texts)


@pytest.fixture(scope="module")
def index() -> ToolIndex:
    return ToolIndex.build(TOOLS, model=Counting())


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("Which book has Olga Petrov borrowed?", "library/find_loan"),
        ("Do I need an umbrella in Porto tomorrow?", "weather/forecast"),
        ("write to Sam that I am late", "mail/send"),
        ("how many miles are 5 km", "bare"),
    ],
)
def test_the_tool_that_does_it_comes_first(index: ToolIndex, query: str, first: str) -> None:
    assert index.search(query, 2)[0].id == first


def test_a_hit_has_the_tool_and_a_score_between_0_and_1_best_first(index: ToolIndex) -> None:
    hits = index.search("send a message", 10)
    assert len(hits) == len(TOOLS)
    assert all(isinstance(hit, ToolHit) and isinstance(hit.tool, ToolSpec) and hit.tool.id == hit.id for hit in hits)
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    bare = next(hit.tool for hit in hits if hit.id == "bare")
    assert (bare.server, bare.description, dict(bare.input_schema)) == ("", "", {})


@pytest.mark.parametrize("query", ["", "???", "xyzzy", "日本語", "\udcff", "word " * 3000])
def test_a_query_that_fits_nothing_still_gives_as_many_hits_as_asked_for(index: ToolIndex, query: str) -> None:
    assert len(index.search(query, 3)) == 3


def test_many_queries_find_what_each_finds_alone(index: ToolIndex) -> None:
    queries = ["borrowed books", "rain", "a much longer question about sending an e-mail to several people at once"]
    for query, hits in zip(queries, index.search_many(queries, 4), strict=True):
        alone = index.search(query, 4)
        assert [h.id for h in hits] == [h.id for h in alone]
        assert np.allclose([h.score for h in hits], [h.score for h in alone], atol=1e-4)


def test_tools_may_be_specs_or_mappings(index: ToolIndex) -> None:
    assert ToolIndex.build(index.tools, model=Counting()).search("rain", 1)[0].tool == index.search("rain", 1)[0].tool


def test_an_empty_catalog_has_no_hits(tmp_path: Path) -> None:
    empty = ToolIndex.build([], tmp_path / "v.npz", Counting())
    assert empty.search("anything") == []
    assert empty.search_many(["a", "b"]) == [[], []]
    assert len(empty.sync(TOOLS).search("anything")) == 4


@pytest.mark.parametrize("tool", [{"name": "x"}, {"id": "x"}, {"id": "", "name": "x"}])
def test_a_tool_without_a_name_is_refused(tool: Mapping[str, Any]) -> None:
    with pytest.raises(UsageError, match="without id or name"):
        ToolIndex.build([tool], model=Counting())


@pytest.mark.parametrize("properties", [[], "x", {"a": True}, {"a": {"description": 5}}])
def test_a_schema_of_any_shape_is_indexed(properties: object) -> None:
    tool = {"id": "odd", "name": "odd", "input_schema": {"properties": properties}}
    assert ToolIndex.build([tool], model=Counting()).search("odd", 1)[0].id == "odd"


@pytest.mark.parametrize("kept", [True, False])
def test_sync_encodes_only_what_changed(tmp_path: Path, kept: bool) -> None:
    model = Counting()
    index = ToolIndex.build(TOOLS, tmp_path / "v.npz" if kept else None, model)
    model.encoded.clear()
    changed = [*TOOLS[1:], {**TOOLS[0], "description": "Renew a passport."}]
    synced = index.sync(changed)
    assert len(model.encoded) == 1
    assert "passport" in model.encoded[0]
    assert synced.search("my passport has expired", 1)[0].id == "library/find_loan"
    assert [t.id for t in index.tools] == [t["id"] for t in TOOLS]


def test_vectors_are_encoded_once_for_all_runs_until_the_model_changes(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "v.npz"
    first, again, other = Counting(), Counting(), Counting("another")
    hits = ToolIndex.build(TOOLS, path, first).search("rain")
    assert ToolIndex.build(TOOLS, str(path), again).search("rain") == hits
    ToolIndex.build(TOOLS, path, other)
    assert [len(m.encoded) for m in (first, again, other)] == [4, 0, 4]
    assert [f.name for f in path.parent.iterdir()] == ["v.npz"]


def made_up(texts: list[str]) -> Array:
    return np.array([[len(t), *[ord(t[0])] * 383] for t in texts], np.float32)


def refuse(texts: list[str]) -> Array:
    raise AssertionError(f"{texts} should be known")


def test_equal_texts_are_encoded_once() -> None:
    seen: list[str] = []
    vectors = cached(None, ["b", "a", "b"], "v", lambda texts: seen.extend(texts) or made_up(texts))
    assert seen == ["b", "a"]
    assert np.array_equal(vectors, made_up(["b", "a", "b"]))


@pytest.mark.parametrize("damage", ["empty", "junk", "cut", "flipped", "foreign", "narrow", "folder"])
def test_a_damaged_file_of_vectors_only_costs_time(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "v.npz"
    texts = ["alpha", "beta", "gamma"]
    cached(path, texts, "v", made_up)
    whole = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "foreign":
        np.savez(path, other=np.zeros(3))
    elif damage == "narrow":
        np.savez(path, keys=np.zeros((3, 16), np.uint8), vectors=np.zeros((3, 5), np.float32))
    else:
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
        path.write_bytes({"empty": b"", "junk": b"junk" * 99, "cut": whole[:-200], "flipped": flipped}[damage])
    assert np.array_equal(cached(path, texts, "v", made_up), made_up(texts))
    if damage != "folder":
        assert np.array_equal(cached(path, texts, "v", refuse), made_up(texts))


def test_where_vectors_cannot_be_kept_they_are_made_each_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "v.npz", Path(os.devnull) / "v.npz"):
        assert np.array_equal(cached(path, ["a"], "v", made_up), made_up(["a"]))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_only_be_read_is_no_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert np.array_equal(cached(tmp_path / "v.npz", ["a"], "v", made_up), made_up(["a"]))


def test_writers_at_the_same_time_leave_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    start = threading.Barrier(4)
    wrong: list[str] = []

    def write(who: int) -> None:
        start.wait()
        for n in range(6):
            texts = [f"{who} {n}", "shared"]
            if not np.array_equal(cached(path, texts, "v", made_up), made_up(texts)):
                wrong.append(texts[0])

    threads = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert np.array_equal(cached(path, ["shared"], "v", refuse), made_up(["shared"]))
    assert [f.name for f in tmp_path.iterdir()] == ["v.npz"]


def test_terms_are_stems_of_words_in_names_and_sentences() -> None:
    assert terms("sendMessages to_the OLD archive2") == ["send", "messag", "old", "archiv", "2"]
    assert terms("Übermäßig naïve") == terms("übermäßig NAÏVE") != []
    assert terms("the of and") == []


WORDS = st.lists(st.sampled_from("send mail weather rain loan book archive convert unit the 7".split()), max_size=8)  # noqa: SIM905
TEXTS = st.lists(WORDS.map(" ".join), min_size=1, max_size=8)


def bm25(texts: Sequence[str], query: str) -> Array:
    return Postings.of([(text,) for text in texts], 1).scores(query)[0]


@given(TEXTS, WORDS.map(" ".join))
def test_bm25_scores_exactly_the_texts_that_share_a_term(texts: list[str], query: str) -> None:
    scores = bm25(texts, query)
    assert scores.shape == (len(texts),)
    assert [score > 0 for score in scores] == [bool(set(terms(t)) & set(terms(query))) for t in texts]


@given(TEXTS, WORDS.map(" ".join), st.randoms(use_true_random=False))
def test_bm25_does_not_depend_on_the_order_of_texts_or_words(texts: list[str], query: str, r: Any) -> None:
    order = r.sample(range(len(texts)), len(texts))
    words = query.split()
    r.shuffle(words)
    scores = bm25(texts, query)
    assert np.allclose(bm25([texts[i] for i in order], " ".join(words)), scores[order], atol=1e-5)


@given(TEXTS, st.sampled_from(["rain", "book"]))
def test_in_bm25_a_text_gains_by_saying_the_word_once_more(texts: list[str], word: str) -> None:
    once, twice = bm25([*texts, f"{word} tool", f"{word} {word}"], word)[-2:]
    assert twice > once > 0


def test_in_bm25_a_rare_word_counts_more_than_a_common_one() -> None:
    rare, common = bm25(["zebra x", "horse x", "horse y", "horse z"], "zebra horse")[:2]
    assert rare > common


def test_bm25_of_no_texts_has_no_scores() -> None:
    assert bm25([], "anything").shape == (0,)


@given(TEXTS, TEXTS, st.data())
def test_an_inverted_index_brought_up_to_date_equals_one_made_anew(old: list[str], new: list[str], data: Any) -> None:
    fields = [(text, text[::2]) for text in old], [(text, text[::2]) for text in new]
    sources = data.draw(st.permutations([*range(len(old)), *range(-len(new), 0)]))
    gone = data.draw(st.sets(st.integers(0, len(old) - 1)))
    sources = [s for s in sources if s not in gone]
    found = Postings.of(fields[0], 2).rearranged(sources, fields[1])
    anew = Postings.of([fields[0][s] if s >= 0 else fields[1][-1 - s] for s in sources], 2)
    assert found.terms == anew.terms
    assert all(np.array_equal(found.arrays[name], anew.arrays[name]) for name in anew.arrays)


@given(TEXTS, WORDS.map(" ".join))
def test_coverage_is_the_share_of_the_querys_words_that_a_text_has(texts: list[str], query: str) -> None:
    index = Postings.of([(text,) for text in texts], 1)
    for text, share in zip(texts, index.coverage(query), strict=True):
        asked, said = set(terms(query)), set(terms(text))
        weights = {term: index.rarity(term) for term in asked}
        expected = sum(weights[t] for t in asked & said) / sum(weights.values()) if asked else 0
        assert np.isclose(share, expected, atol=1e-5)


def test_the_words_of_a_query_that_a_text_has_make_its_bm25() -> None:
    index = Postings.of([("send mail", "mail"), ("rain", "")], 2)
    words = index.words("send rain by mail", 0)
    assert [set(found) for found in words] == [{"send", "mail"}, {"mail"}]
    assert np.allclose([sum(found.values()) for found in words], index.scores("send rain by mail")[:, 0])
