"""The reader: answers from passages, none where there is none, spans neatly cut. Reads with the shipped adapter."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.core.errors import ModelError
from bottega.models.adapters import Adapter
from bottega.models.encoder import open_encoder
from bottega.models.house.reader import (
    LONGEST,
    PATH,
    Answer,
    Layout,
    ReaderModel,
    best_span,
    bm25,
    lay_out,
    trim,
    windows,
)

HANGAR = (
    "Minutes of the gliding club, 21 May. Wanda Kessler chaired the meeting; Oskar Thiel took notes. The hangar door "
    "will be repaired by Brandt Metallbau for 2,300 euros. Winch training takes place on Sundays from ten o'clock. "
    "The new glider, an old K8, was bought in Aalen."
)
LEASE = "The notice period is six weeks to the end of a quarter. Subletting is not allowed. The deposit is 1,500 euros."
PARKING = (
    "Staff park behind the boiler house. Motorbikes stand free of charge beside the gate. Visitors use the meadow."
)


@pytest.fixture(scope="module")
def reader() -> ReaderModel:
    return ReaderModel.open()


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Who chaired the meeting?", "Wanda Kessler"),
        ("Who took notes?", "Oskar Thiel"),
        ("Where was the new glider bought?", "Aalen"),
        ("How much does the repair of the hangar door cost?", "2,300 euros"),
        ("Which company will repair the hangar door?", "Brandt Metallbau"),
    ],
)
def test_a_question_is_answered_with_the_words_of_the_passage(reader: ReaderModel, question: str, answer: str) -> None:
    found = reader.best(question, [HANGAR])
    assert found is not None
    assert found.text == answer
    assert HANGAR[found.start : found.end] == answer


def test_the_passage_that_answers_is_found_among_others(reader: ReaderModel) -> None:
    others = [f"Paragraph {n}. The weather was fine and the birds sang in the trees of the park." for n in range(20)]
    found = reader.best("From the contract, find the notice period", [*others, PARKING, LEASE, HANGAR])
    assert found is not None
    assert found.passage == 21
    assert found.text in "six weeks to the end of a quarter"


def test_a_right_passage_is_trusted_more_than_a_wrong_one(reader: ReaderModel) -> None:
    right = reader.best("How high is the deposit?", [LEASE])
    wrong = reader.best("How high is the deposit?", [PARKING])
    assert right is not None
    assert wrong is None or wrong.confidence < right.confidence


def test_a_question_that_no_passage_answers_has_no_answer(reader: ReaderModel) -> None:
    assert reader.read("Who won the chess tournament in Havana?", [PARKING, LEASE]) is None


def test_an_answer_at_the_end_of_a_long_passage_is_found(reader: ReaderModel) -> None:
    long = "The committee talked about many things and came to no decision on any of them. " * 40
    found = reader.best("Who chaired the meeting?", [long + HANGAR])
    assert found is not None
    assert found.text == "Wanda Kessler"
    assert (long + HANGAR)[found.start : found.end] == "Wanda Kessler"


@pytest.mark.parametrize(
    ("question", "passages"), [("Who?", []), ("Who?", ["", "  \n "]), ("", [HANGAR]), (" ", ["x"])]
)
def test_nothing_to_read_is_no_answer(reader: ReaderModel, question: str, passages: list[str]) -> None:
    assert reader.read(question, passages) is None


def test_an_answer_over_two_lines_is_given_on_one(reader: ReaderModel) -> None:
    found = reader.best("Who chaired the meeting?", [HANGAR.replace("Wanda Kessler", "Wanda\nKessler")])
    assert found is not None
    assert "\n" not in found.text


def test_a_missing_adapter_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="adapter 'reader' is missing"):
        ReaderModel.open(tmp_path / "reader.safetensors")


def test_the_confidence_follows_the_calibration_of_the_adapter(reader: ReaderModel) -> None:
    adapter = Adapter.load(PATH)
    doubtful = ReaderModel(
        reader.encoder, Adapter("reader", adapter.lora, adapter.heads, {"scale": 0.0, "shift": -1.0})
    )
    found = doubtful.best("Who chaired the meeting?", [HANGAR])
    assert found is not None
    assert found.confidence == pytest.approx(1 / (1 + np.e))
    assert doubtful.read("Who chaired the meeting?", [HANGAR]) is None


@pytest.mark.parametrize(
    ("text", "span", "trimmed"),
    [
        ("It costs 20 euros.", (9, 18), "20 euros"),
        ('He said "never again".', (8, 22), "never again"),
        ("We met (Anna and Bo) there.", (7, 20), "Anna and Bo"),
        ("Call the office (room 4), please.", (9, 25), "office (room 4)"),
        ("At 5 p.m. we go", (3, 9), "5 p.m."),
        ("It is -5 degrees.", (6, 17), "-5 degrees"),
        ("- Chair: Ingeborg", (7, 14), "Ingeborg"),
        ("Wolfgang came.", (2, 6), "Wolfgang"),
        ("... !", (0, 5), ""),
    ],
)
def test_a_span_is_cut_to_whole_words_without_marks_around_them(text: str, span: tuple[int, int], trimmed: str) -> None:
    start, end = trim(text, *span)
    assert text[start:end] == trimmed


@given(st.text(alphabet='ab 1.,()-\n"é', max_size=30), st.integers(0, 30), st.integers(0, 30))
def test_trimming_stays_in_the_text_and_does_not_change_what_is_trimmed(text: str, a: int, b: int) -> None:
    start, end = trim(text, *sorted((min(a, len(text)), min(b, len(text)))))
    assert 0 <= start <= end <= len(text)
    assert start == end or trim(text, start, end) == (start, end)


def test_windows_of_a_long_passage_overlap_and_cover_it() -> None:
    passage = " ".join(f"word{n}" for n in range(600))
    found = windows(open_encoder(), passage, 3)
    assert found[0].spans[0][0] == 0
    assert found[-1].spans[-1][1] == len(passage)
    assert all(after.spans[0][0] < before.spans[-1][1] for before, after in pairwise(found))
    assert {w.passage for w in found} == {3}


def test_the_end_of_a_long_question_is_read() -> None:
    layout = lay_out(list(range(1000, 1100)), [7, 8])
    assert layout.ids[layout.text - 2] == 1099
    assert layout.ids[layout.text :] == [7, 8, 102]
    assert len(layout.types) == len(layout.ids)


@given(st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_the_best_span_is_in_order_and_no_longer_than_allowed(tokens: int, seed: int) -> None:
    r = np.random.default_rng(seed)
    start, end = r.normal(size=(2, tokens + 5)).astype(np.float32)
    first, last, margin = best_span(start, end, Layout([0] * (tokens + 5), [0] * (tokens + 5), 4), tokens)
    assert 0 <= first <= last < min(tokens, first + LONGEST)
    spans = [(i, j) for i in range(tokens) for j in range(i, min(tokens, i + LONGEST))]
    best = max(start[4 + i] + end[4 + j] for i, j in spans) - start[0] - end[0]
    assert margin == pytest.approx(best, abs=1e-4)


def test_ranking_by_words_prefers_the_rarer_word() -> None:
    texts = ["the boat and the oar", "the boat and the net", "the harp and the boat"]
    scores = bm25("the boat with a harp", texts)
    assert int(scores.argmax()) == 2


def test_the_shipped_adapter_says_what_it_answers_with() -> None:
    assert isinstance(ReaderModel.open().best("How high is the deposit?", [LEASE]), Answer)
