"""The backbone in ONNX Runtime: its vectors are those of the published model, whatever they are computed beside."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from test_adapters import random_lora

from bottega.core.errors import ModelError
from bottega.models import encoder as module
from bottega.models.adapters import Adapter
from bottega.models.backbone import HIDDEN, Backbone
from bottega.models.encoder import CLS, MAX_TOKENS, SEP, Encoder, open_encoder


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return open_encoder()


def test_embeddings_are_those_of_the_published_model(encoder: Encoder) -> None:
    vectors = encoder.embed(["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."])
    # From the model's page on the Hugging Face hub, where sentence-transformers computed them.
    expected = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    assert np.allclose(vectors @ vectors.T, expected, atol=1e-4)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_texts_vector_does_not_depend_on_what_it_is_computed_beside(encoder: Encoder) -> None:
    short, long = "Move it.", "Count how often each customer ordered in the last twelve months, " * 5
    together = encoder.embed([long, short, long])
    alone = encoder.embed([short, long], batch=1)
    assert np.allclose(together, [alone[1], alone[0], alone[1]], atol=1e-5)


def test_adapters_are_inputs_of_the_one_session(encoder: Encoder) -> None:
    text = ["Move it to the archive folder."]
    plain, small, large = (encoder.embed(text, a) for a in (None, lora(rank=1), lora(rank=7)))
    assert float((plain @ small.T)[0, 0]) < 0.999
    assert float((small @ large.T)[0, 0]) < 0.999
    zero = Adapter("zero", {k: v * k.endswith("A") for k, v in random_lora().items()})
    assert np.allclose(encoder.embed(text, zero), plain, atol=1e-5)
    assert np.array_equal(encoder.embed(text), plain)


def lora(rank: int) -> Adapter:
    return Adapter("random", random_lora(rank, seed=rank))


def test_segment_types_are_seen(encoder: Encoder) -> None:
    ids = [[CLS, 2000, SEP, 3000, SEP]]
    one, _ = encoder.hidden(ids)
    two, mask = encoder.hidden(ids, [[0, 0, 0, 1, 1]])
    assert one.shape == two.shape == (1, 5, HIDDEN)
    assert mask.tolist() == [[1] * 5]
    assert not np.allclose(one, two, atol=1e-3)


@pytest.mark.parametrize(
    "text", ["", " ", "\x00\x01", "\udcff lone", "a" * 5000, "word " * 2000, "İstanbul 😀 日本語", "[SEP] [CLS]"]
)
def test_whatever_the_text_it_has_a_vector(encoder: Encoder, text: str) -> None:
    assert np.isfinite(encoder.embed([text], limit=10_000 if len(text) < 100 else 64)).all()
    tokens = encoder.tokenize(text)
    assert len(tokens.ids) == len(tokens.spans)
    assert all(0 <= begin <= end <= len(text) for begin, end in tokens.spans)


def test_more_text_than_the_backbone_has_positions_for_is_cut(encoder: Encoder) -> None:
    vectors = encoder.embed(["word " * (MAX_TOKENS + 100)], limit=10 * MAX_TOKENS)
    assert vectors.shape == (1, HIDDEN)


def test_no_texts_have_no_vectors(encoder: Encoder) -> None:
    assert encoder.embed([]).shape == (0, HIDDEN)


def test_token_spans_are_characters_of_the_text(encoder: Encoder) -> None:
    text = "Öffne das Café: 😀 notes.md"
    words = [text[b:e] for b, e in encoder.tokenize(text).spans]
    assert words[-3:] == ["notes", ".", "md"] or words[-2:] == [".", "md"]
    assert "😀" in words


def test_threads_that_ask_at_once_get_the_same_encoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[object] = []
    start = threading.Barrier(4)

    def slow(backbone: object) -> object:
        opened.append(backbone)
        threading.Event().wait(0.05)
        return object()

    monkeypatch.setattr(module, "find", lambda folder: folder)
    monkeypatch.setattr(module, "Encoder", slow)
    found: list[object] = []

    def ask() -> None:
        start.wait()
        found.append(open_encoder(tmp_path))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1
    assert len(set(map(id, found))) == 1


@pytest.mark.parametrize("tokenizer", ["{}", "no json"])
def test_weights_that_cannot_be_opened_are_a_model_error(tmp_path: Path, tokenizer: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"short")
    (tmp_path / "tokenizer.json").write_text(tokenizer)
    with pytest.raises(ModelError, match="cannot be opened"):
        Encoder(Backbone(tmp_path))
