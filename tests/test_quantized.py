"""The backbone in 8 bits: near enough to the exact one, and a vector of a text does not depend on other texts."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from test_adapters import random_lora

from bottega.core.errors import ModelError
from bottega.models.adapters import Adapter
from bottega.models.backbone import HIDDEN, Backbone
from bottega.models.encoder import open_encoder
from bottega.models.quantized import GRAPHS, QuantizedEncoder, open_quantized

TEXTS = [
    "find loan: Look up the open loan of a library member. (member full name) [library]",
    "forecast: Rain, wind and sun by city. [weather]",
    "send message: Send an e-mail to somebody. (to address; subject; body text) [mail]",
    "Which book has Olga Petrov borrowed?",
    "convert units",
]


@pytest.fixture(scope="module")
def adapter() -> Adapter:
    return Adapter("random", random_lora(4, seed=4))


@pytest.fixture(scope="module")
def quantized(adapter: Adapter) -> QuantizedEncoder:
    return open_quantized(adapter)


def test_vectors_are_near_those_of_the_exact_backbone_with_the_adapter(
    quantized: QuantizedEncoder, adapter: Adapter
) -> None:
    exact, plain = open_encoder().embed(TEXTS, adapter), open_encoder().embed(TEXTS)
    found = quantized.embed(TEXTS)
    assert found.shape == (len(TEXTS), HIDDEN)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert ((found * exact).sum(1) > 0.985).all()
    assert ((found * plain).sum(1) < (found * exact).sum(1)).all()


def test_a_texts_vector_does_not_depend_on_what_it_is_computed_beside(quantized: QuantizedEncoder) -> None:
    together = quantized.embed([*TEXTS, "word " * 200])
    assert np.allclose(together[: len(TEXTS)], [quantized.embed([text])[0] for text in TEXTS], atol=1e-5)


def test_three_layers_are_the_first_three_of_six(adapter: Adapter) -> None:
    vectors = open_quantized(adapter, layers=3).embed(TEXTS)
    changed = {name: value * (int(name[0]) < 3) for name, value in adapter.lora.items()}
    assert np.array_equal(open_quantized(Adapter("first", changed), layers=3).embed(TEXTS), vectors)
    assert not np.allclose(open_quantized(adapter).embed(TEXTS), vectors, atol=0.1)


def test_a_head_makes_vectors_of_its_width(quantized: QuantizedEncoder) -> None:
    full, narrow = quantized.embed(TEXTS), quantized.embed(TEXTS, head=np.eye(HIDDEN, 128, dtype=np.float32))
    assert narrow.shape == (len(TEXTS), 128)
    assert np.allclose(full[:, :128] / np.linalg.norm(full[:, :128], axis=1, keepdims=True), narrow, atol=1e-5)


@pytest.mark.parametrize("text", ["", "\x00", "\udcff lone", "a" * 5000, "word " * 2000, "İstanbul 😀 日本語"])
def test_whatever_the_text_it_has_a_vector(quantized: QuantizedEncoder, text: str) -> None:
    assert np.isclose(np.linalg.norm(quantized.embed([text], limit=10_000 if len(text) < 100 else 64)), 1, atol=1e-5)


def test_no_texts_have_no_vectors_and_progress_counts_texts(quantized: QuantizedEncoder) -> None:
    assert quantized.embed([]).shape == (0, HIDDEN)
    counts: list[int] = []
    quantized.embed(["word " * 100] * 7, done=counts.append)
    assert counts[-1] == 7
    assert counts == sorted(set(counts))
    assert len(counts) > 1


def test_threads_that_ask_at_once_get_one_encoder_an_adapter(adapter: Adapter) -> None:
    start, found = threading.Barrier(4), []

    def ask() -> None:
        start.wait()
        found.append(open_quantized(Adapter("copy", dict(adapter.lora))))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(map(id, found)) == {id(open_quantized(adapter))}
    assert open_quantized(Adapter("other")) is not found[0]


def test_graphs_are_small() -> None:
    assert all(path.stat().st_size < 50_000 for path in GRAPHS.values())


def test_weights_that_cannot_be_opened_are_a_model_error(tmp_path: Path, adapter: Adapter) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"short")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be opened"):
        QuantizedEncoder(Backbone(tmp_path), adapter)
