"""The graphs that ship are those that the code builds."""

from __future__ import annotations

import pytest

from bottega.models.backbone import find
from bottega.models.encoder import GRAPH
from bottega.models.quantized import GRAPHS

pytest.importorskip("onnx")
pytestmark = pytest.mark.train


def test_the_shipped_graph_is_what_the_code_builds() -> None:
    from bottega.models.training.graph import build

    built = build(find().weights).SerializeToString(deterministic=True)
    assert built == GRAPH.read_bytes(), "python -m bottega.models.training.graph"


@pytest.mark.parametrize("layers", GRAPHS)
def test_the_shipped_quantized_graphs_are_what_the_code_builds(layers: int) -> None:
    from bottega.models.training.graph import build_quantized

    built = build_quantized(find().weights, layers).SerializeToString(deterministic=True)
    assert built == GRAPHS[layers].read_bytes(), "python -m bottega.models.training.graph"


def test_the_graph_is_sound_and_small(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx

    from bottega.models.training.graph import build

    monkeypatch.chdir(find().folder)  # where the checker looks for the weights
    onnx.checker.check_model(build(find().weights), full_check=True)
    assert GRAPH.stat().st_size < 250_000
