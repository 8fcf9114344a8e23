"""Adapters go to a file and come back, and a file that is no adapter is one clear error."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from bottega.core.errors import ModelError
from bottega.models.adapters import LINEARS, Adapter
from bottega.models.backbone import HIDDEN, LAYERS
from bottega.models.house import slots, splitter


def random_lora(rank: int = 2, seed: int = 0) -> dict[str, Any]:
    r = np.random.default_rng(seed)
    lora = {}
    for layer in range(LAYERS):
        for linear in LINEARS:
            inside = 4 * HIDDEN if linear == "output.dense" else HIDDEN
            outside = 4 * HIDDEN if linear == "intermediate.dense" else HIDDEN
            lora[f"{layer}.{linear}.A"] = r.normal(0, 0.05, (inside, rank)).astype(np.float32)
            lora[f"{layer}.{linear}.B"] = r.normal(0, 0.05, (rank, outside)).astype(np.float32)
    return lora


def an_adapter() -> Adapter:
    heads = {"cut.weight": np.arange(HIDDEN, dtype=np.float32), "cut.bias": np.array([0.123456], np.float32)}
    return Adapter("splitter", random_lora(), heads, {"labels": ["a", "ü"], "threshold": 0.25})


def test_an_adapter_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    made = an_adapter()
    path = tmp_path / "deep" / "splitter.safetensors"
    made.save(path)
    read = Adapter.load(path, splitter.HEADS)
    assert (read.name, read.settings) == (made.name, made.settings)
    assert read.lora.keys() == made.lora.keys()
    assert all(np.allclose(read.lora[k], made.lora[k], rtol=1e-3, atol=1e-6) for k in made.lora)  # half precision
    assert all(np.array_equal(read.heads[k], made.heads[k]) for k in made.heads)
    assert {a.dtype for a in (*read.lora.values(), *read.heads.values())} == {np.dtype(np.float32)}
    assert [f.name for f in path.parent.iterdir()] == ["splitter.safetensors"]


def test_arrays_come_back_however_they_lie_in_memory(tmp_path: Path) -> None:
    lora = {k: np.asfortranarray(v) for k, v in random_lora().items()}
    Adapter("turned", lora, {"x": np.arange(6.0).reshape(2, 3).T}).save(tmp_path / "a.safetensors")
    read = Adapter.load(tmp_path / "a.safetensors")
    assert all(np.allclose(read.lora[k], lora[k], rtol=1e-3, atol=1e-6) for k in lora)
    assert read.heads["x"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_the_same_adapter_is_the_same_bytes(tmp_path: Path) -> None:
    for n in range(6):
        an_adapter().save(tmp_path / f"{n}.safetensors")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_an_adapter_without_lora_is_one(tmp_path: Path) -> None:
    Adapter("untrained").save(tmp_path / "a.safetensors")
    assert not Adapter.load(tmp_path / "a.safetensors").lora


def test_an_adapters_file_has_the_rights_that_new_files_have(tmp_path: Path) -> None:
    an_adapter().save(tmp_path / "a.safetensors")
    (tmp_path / "other").touch()
    assert stat.S_IMODE((tmp_path / "a.safetensors").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "other").stat().st_mode
    )


def test_where_an_adapter_cannot_be_written_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="cannot be written"):
        an_adapter().save(tmp_path / "file" / "a.safetensors")


def missing(path: Path) -> None:
    path.unlink()


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def cut_in_the_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def a_text_file(path: Path) -> None:
    path.write_text("hello " * 100)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_flipped_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def foreign(path: Path) -> None:
    save_file({"weight": np.zeros(3, np.float32)}, path)


def with_broken_settings(path: Path) -> None:
    save_file({}, path, {"format": "bottega-adapter-1", "settings": "{"})


def without_a_layer(path: Path) -> None:
    lora = {k: v for k, v in random_lora().items() if not k.startswith("3.")}
    Adapter("splitter", lora, an_adapter().heads).save(path)


def of_a_larger_backbone(path: Path) -> None:
    lora = random_lora()
    Adapter("splitter", {**lora, "6.output.dense.A": lora["5.output.dense.A"]}, an_adapter().heads).save(path)


def with_unequal_ranks(path: Path) -> None:
    lora = random_lora()
    lora["2.output.dense.A"] = lora["2.output.dense.A"][:, :1]
    Adapter("splitter", lora, an_adapter().heads).save(path)


def with_numbers_for_matrices(path: Path) -> None:
    Adapter("splitter", {k: np.ones(1) for k in random_lora()}, an_adapter().heads).save(path)


def without_a_head(path: Path) -> None:
    Adapter("splitter", random_lora(), {"cut.bias": np.zeros(1)}).save(path)


def with_a_head_of_another_width(path: Path) -> None:
    Adapter("splitter", random_lora(), {"cut.weight": np.zeros(100), "cut.bias": np.zeros(1)}).save(path)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (missing, "is missing"),
        (truncated, "is damaged"),
        (cut_in_the_header, "is damaged"),
        (empty, "is damaged"),
        (a_text_file, "is damaged"),
        (a_folder, "is damaged"),
        (a_flipped_bit, "is damaged"),
        (with_broken_settings, "is damaged"),
        (foreign, "is not an adapter of Bottega"),
        (without_a_layer, "layer 3 has no matrices"),
        (of_a_larger_backbone, "another backbone"),
        (with_unequal_ranks, "output.dense"),
        (with_numbers_for_matrices, "layer 0"),
        (without_a_head, "'cut.weight'"),
        (with_a_head_of_another_width, "(100,)"),
    ],
)
def test_what_is_no_adapter_is_one_clear_line(tmp_path: Path, spoil: Callable[[Path], None], says: str) -> None:
    path = tmp_path / "splitter.safetensors"
    an_adapter().save(path)
    spoil(path)
    with pytest.raises(ModelError) as error:
        Adapter.load(path, splitter.HEADS)
    assert says in str(error.value)
    assert "splitter" in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.hint


def test_one_house_models_adapter_is_no_other_house_models(tmp_path: Path) -> None:
    an_adapter().save(tmp_path / "splitter.safetensors")
    with pytest.raises(ModelError, match="has no head"):
        slots.SlotsModel.open(tmp_path / "splitter.safetensors")


def test_adapters_from_before_the_digest_still_open(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    save_file(
        {"head.x": np.ones(2, np.float32)}, path, {"format": "bottega-adapter-1", "settings": json.dumps({"a": 1})}
    )
    assert Adapter.load(path).settings == {"a": 1}
