"""The backbone in torch is the one in ONNX, and training is repeatable and can be interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_adapters import random_lora

from bottega.core.errors import ModelError
from bottega.models.adapters import Adapter
from bottega.models.encoder import CLS, SEP, open_encoder

torch: Any = pytest.importorskip("torch")
pytestmark = pytest.mark.train


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """On a busy machine torch's threads wait for each other longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


TEXTS = ["Move it.", "Count how often each customer ordered, and write the number to report.txt", "L-204", ""]


def sequences() -> tuple[list[list[int]], list[list[int]]]:
    rows = [[CLS, *open_encoder().tokenize(text).ids, SEP] for text in TEXTS]
    return rows, [[int(i > 3) for i in range(len(row))] for row in rows]


def in_torch(model: Any, rows: list[list[int]], types: list[list[int]]) -> Any:
    from bottega.models.training.lora import pad

    with torch.no_grad():
        return model.eval()(*pad(rows, types)).numpy()


@pytest.mark.parametrize("rank", [0, 3])
def test_an_adapter_gives_the_same_hidden_states_in_onnx_and_in_torch(rank: int, tmp_path: Path) -> None:
    from bottega.models.training.lora import LoraBackbone

    start = None
    if rank:
        Adapter("random", random_lora(rank)).save(tmp_path / "a.safetensors")
        start = Adapter.load(tmp_path / "a.safetensors")
    model = LoraBackbone(rank or 4, start=start)
    rows, types = sequences()
    expected = in_torch(model, rows, types)
    for adapter in (start, Adapter("exported", model.lora())):
        hidden, mask = open_encoder().hidden(rows, types, adapter)
        seen = mask[..., None] > 0
        assert np.abs(np.where(seen, hidden - expected, 0)).max() < 1e-4


def test_padding_changes_nothing_in_torch() -> None:
    from bottega.models.training.lora import LoraBackbone

    model = LoraBackbone(2)
    rows, types = sequences()
    alone = in_torch(model, rows[:1], types[:1])[0]
    assert np.abs(in_torch(model, rows, types)[0, : len(rows[0])] - alone).max() < 1e-4


def train_backbone(steps: int) -> dict[str, Any]:
    """A few steps that pull two texts together, with dropout."""
    from bottega.models.training.lora import LoraBackbone, Schedule, mean_pool, pad, train

    torch.manual_seed(0)
    model = LoraBackbone(2, dropout=0.1)
    ids, mask, types = pad(sequences()[0][:2])

    def loss(batch: Any) -> Any:
        a, b = mean_pool(model(*batch), batch[1])
        return 1 - a @ b

    def batches() -> Iterator[Any]:
        while True:
            yield ids, mask, types

    train(model, batches(), loss, Schedule(steps, 1e-3, seed=5))
    return model.lora()


def test_a_training_with_the_same_seed_gives_the_same_weights() -> None:
    first, second = train_backbone(4), train_backbone(4)
    assert all(np.array_equal(first[k], second[k]) for k in first)
    assert any(np.abs(first[k]).max() > 0 for k in first if k.endswith("B"))


class Interrupted(Exception):
    """What stands for a power cut."""


def train_small(checkpoint: Path | None, steps: int, stop_at: int | None = None) -> Any:
    """A small network with dropout learns from a stream of random batches."""
    from bottega.models.training.lora import Schedule, train

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1))
    r = np.random.default_rng(1)

    def batches() -> Iterator[Any]:
        for step in range(steps):
            if step == stop_at:
                raise Interrupted
            yield torch.tensor(r.normal(size=(6, 4)), dtype=torch.float32)

    def loss(x: Any) -> Any:
        return ((model(x)[:, 0] - x.sum(1)) ** 2).mean()

    train(model, batches(), loss, Schedule(steps, 1e-2, 3, checkpoint=checkpoint))
    return [p.detach().numpy().copy() for p in model.parameters()]


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    checkpoint = tmp_path / "deep" / "small.checkpoint"
    whole = train_small(None, 460)
    with pytest.raises(Interrupted):
        train_small(checkpoint, 460, stop_at=430)
    assert checkpoint.exists()
    resumed = train_small(checkpoint, 460)
    assert all(np.array_equal(a, b) for a, b in zip(whole, resumed, strict=True))
    assert not list(checkpoint.parent.iterdir())


def test_a_checkpoint_of_another_training_is_not_gone_on_from(tmp_path: Path) -> None:
    checkpoint = tmp_path / "small.checkpoint"
    with pytest.raises(Interrupted):
        train_small(checkpoint, 460, stop_at=430)
    assert all(np.array_equal(a, b) for a, b in zip(train_small(None, 210), train_small(checkpoint, 210), strict=True))


def test_a_loss_that_is_no_number_stops_the_training_in_one_line() -> None:
    from bottega.models.training.lora import Schedule, train

    model = torch.nn.Linear(1, 1)
    with pytest.raises(ModelError, match="the loss is nan at step 0"):
        train(model, iter([torch.tensor([[float("nan")]])]), lambda x: model(x).mean(), Schedule(1))
