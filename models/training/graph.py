"""Builds the backbone as ONNX graphs that point into model.safetensors: `backbone.onnx` and those of 8 bits.

    python -m bottega.models.training.graph

Weights are external data at their offset in the safetensors file, so nothing is exported at install. In the first,
every linear layer adds `(x A) B` with the LoRA matrices A (in, rank) and B (rank, out) as optional inputs, by default
zeros of rank 1. In the others, linear layers multiply integers of 8 bits; `models/quantized.py` hands their weights,
into which an adapter is merged, to the session that opens it. The last one stops after three of the six layers.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..backbone import HEADS, HIDDEN, LAYERS, find
from ..quantized import GRAPHS, PARTS

OUTPUT = Path(__file__).parent.parent / "backbone.onnx"
_OPSET = 20


def build(weights: Path) -> onnx.ModelProto:
    """The graph for the safetensors file `weights`. Inputs: ids, mask, types, each (batch, tokens); output: hidden."""
    return _Builder(weights).model()


def build_quantized(weights: Path, layers: int) -> onnx.ModelProto:
    """The graph of the first `layers` for `models/quantized.py`. Inputs: ids and mask (batch, tokens)."""
    return _QuantizedBuilder(weights).first(layers)


class _Builder:
    def __init__(self, weights: Path) -> None:
        with weights.open("rb") as f:
            (size,) = struct.unpack("<Q", f.read(8))
            self.header = json.loads(f.read(size))
        self.data_start = 8 + size
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.lora: list[onnx.ValueInfoProto] = []

    def model(self) -> onnx.ModelProto:
        x = self.embeddings()
        bias = self.mask_bias()
        for layer in range(LAYERS):
            x = self.layer(layer, x, bias)
        self.nodes.append(helper.make_node("Identity", [x], ["hidden"]))
        axes = ["batch", "tokens"]
        inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, axes) for n in ("ids", "mask", "types")]
        output = helper.make_tensor_value_info("hidden", TensorProto.FLOAT, [*axes, HIDDEN])
        graph = helper.make_graph(self.nodes, "backbone", inputs + self.lora, [output], self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, name: str, value: np.ndarray | np.floating) -> str:
        if all(i.name != name for i in self.initializers):
            self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weight(self, name: str) -> str:
        """An initializer that lies in the safetensors file."""
        entry = self.header[name]
        begin, end = entry["data_offsets"]
        tensor = TensorProto(
            name=name, data_type=TensorProto.FLOAT, dims=entry["shape"], data_location=TensorProto.EXTERNAL
        )
        for key, value in (
            ("location", "model.safetensors"),
            ("offset", self.data_start + begin),
            ("length", end - begin),
        ):
            tensor.external_data.add(key=key, value=str(value))
        self.initializers.append(tensor)
        return name

    def norm(self, x: str, prefix: str) -> str:
        return self.op(
            "LayerNormalization", x, self.weight(f"{prefix}.weight"), self.weight(f"{prefix}.bias"), epsilon=1e-12
        )

    def linear(self, x: str, layer: int, name: str) -> str:
        prefix = f"encoder.layer.{layer}.{name}"
        out, inside = self.header[f"{prefix}.weight"]["shape"]
        transposed = self.op("Transpose", self.weight(f"{prefix}.weight"), perm=[1, 0])
        y = self.op("Add", self.op("MatMul", x, transposed), self.weight(f"{prefix}.bias"))
        pair = []
        for side, shape, default in (("A", [inside, "rank"], (inside, 1)), ("B", ["rank", out], (1, out))):
            key = f"{layer}.{name}.{side}"
            self.lora.append(helper.make_tensor_value_info(key, TensorProto.FLOAT, shape))
            pair.append(self.constant(key, np.zeros(default, np.float32)))
        return self.op("Add", y, self.op("MatMul", self.op("MatMul", x, pair[0]), pair[1]))

    def embeddings(self) -> str:
        words = self.op("Gather", self.weight("embeddings.word_embeddings.weight"), "ids")
        types = self.op("Gather", self.weight("embeddings.token_type_embeddings.weight"), "types")
        one = self.constant("one", np.array([1], np.int64))
        length = self.op("Slice", self.op("Shape", "ids"), one, self.constant("two", np.array([2], np.int64)))
        zero = self.constant("zero", np.array([0], np.int64))
        positions = self.op("Slice", self.weight("embeddings.position_embeddings.weight"), zero, length, zero)
        return self.norm(self.op("Add", self.op("Add", words, types), positions), "embeddings.LayerNorm")

    def mask_bias(self) -> str:
        """0 where there is a token, a large negative number where there is padding; (batch, 1, 1, tokens)."""
        mask = self.op("Cast", "mask", to=TensorProto.FLOAT)
        off = self.op("Sub", self.constant("one_f", np.float32(1)), mask)
        scaled = self.op("Mul", off, self.constant("minus", np.float32(-1e9)))
        return self.op("Unsqueeze", scaled, self.constant("axes", np.array([1, 2], np.int64)))

    def heads(self, x: str, perm: list[int]) -> str:
        shape = self.constant("split", np.array([0, 0, HEADS, HIDDEN // HEADS], np.int64))
        return self.op("Transpose", self.op("Reshape", x, shape), perm=perm)

    def layer(self, i: int, x: str, bias: str) -> str:
        query, key, value = (self.linear(x, i, f"attention.self.{n}") for n in ("query", "key", "value"))
        scores = self.op("MatMul", self.heads(query, [0, 2, 1, 3]), self.heads(key, [0, 2, 3, 1]))
        scaled = self.op("Mul", scores, self.constant("scale", np.float32((HIDDEN // HEADS) ** -0.5)))
        attention = self.op("Softmax", self.op("Add", scaled, bias), axis=-1)
        mixed = self.op("Transpose", self.op("MatMul", attention, self.heads(value, [0, 2, 1, 3])), perm=[0, 2, 1, 3])
        joined = self.op("Reshape", mixed, self.constant("join", np.array([0, 0, HIDDEN], np.int64)))
        y = self.op("Add", self.linear(joined, i, "attention.output.dense"), x)
        y = self.norm(y, f"encoder.layer.{i}.attention.output.LayerNorm")
        wide = self.op("Gelu", self.linear(y, i, "intermediate.dense"))
        z = self.op("Add", self.linear(wide, i, "output.dense"), y)
        return self.norm(z, f"encoder.layer.{i}.output.LayerNorm")


class _QuantizedBuilder(_Builder):
    """Each row (a token) is scaled to 1..255 around 128 by its own largest value: it does not depend on its batch."""

    def first(self, layers: int) -> onnx.ModelProto:
        x, bias = self.embeddings(), self.mask_bias()
        for layer in range(layers):
            x = self.layer(layer, x, bias)
        self.nodes.append(helper.make_node("Identity", [x], ["hidden"]))
        axes = ["batch", "tokens"]
        inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, axes) for n in ("ids", "mask")]
        output = helper.make_tensor_value_info("hidden", TensorProto.FLOAT, [*axes, HIDDEN])
        graph = helper.make_graph(self.nodes, "quantized", inputs, [output], self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)

    def given(self, name: str, kind: int, shape: list[int]) -> str:
        """An initializer that is handed over when the graph is opened."""
        tensor = TensorProto(name=name, data_type=kind, dims=shape, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="handed over")
        self.initializers.append(tensor)
        return name

    def linear(self, x: str, layer: int, name: str) -> str:
        inside, out = PARTS[name][1]
        last = self.constant("last", np.array([-1], np.int64))
        most = self.op("ReduceMax", self.op("Abs", x), last, keepdims=1)
        most = self.op("Max", most, self.constant("least", np.float32(1e-9)))
        scaled = self.op("Mul", x, self.op("Div", self.constant("most", np.float32(127)), most))
        centred = self.op("Add", scaled, self.constant("centre", np.float32(128.5)))  # which is then rounded down
        small = self.op("Cast", centred, to=TensorProto.UINT8)
        prefix = f"{layer}.{name}"
        weight = self.given(f"{prefix}.weight", TensorProto.INT8, [inside, out])
        product = self.op("MatMulInteger", small, weight, self.constant("zero_point", np.array(128, np.uint8)))
        step = self.op("Mul", most, self.constant("step", np.float32(1 / 127)))
        y = self.op("Mul", self.op("Cast", product, to=TensorProto.FLOAT), step)
        y = self.op("Mul", y, self.given(f"{prefix}.scale", TensorProto.FLOAT, [out]))
        return self.op("Add", y, self.given(f"{prefix}.bias", TensorProto.FLOAT, [out]))

    def embeddings(self) -> str:
        words = self.op("Gather", self.weight("embeddings.word_embeddings.weight"), "ids")
        zero, one = self.constant("zero", np.array([0], np.int64)), self.constant("one", np.array([1], np.int64))
        length = self.op("Slice", self.op("Shape", "ids"), one, self.constant("two", np.array([2], np.int64)))
        positions = self.op("Slice", self.weight("embeddings.position_embeddings.weight"), zero, length, zero)
        kind = self.op("Slice", self.weight("embeddings.token_type_embeddings.weight"), zero, one, zero)
        placed = self.op("Add", positions, kind)
        return self.norm(self.op("Add", words, placed), "embeddings.LayerNorm")

    def layer(self, i: int, x: str, bias: str) -> str:
        y = self.op(
            "Add", self.linear(self.attention(self.linear(x, i, "attention.self"), bias), i, "attention.output"), x
        )
        y = self.norm(y, f"encoder.layer.{i}.attention.output.LayerNorm")
        wide = self.op("Gelu", self.linear(y, i, "intermediate"))
        z = self.op("Add", self.linear(wide, i, "output"), y)
        return self.norm(z, f"encoder.layer.{i}.output.LayerNorm")

    def attention(self, mixed: str, bias: str) -> str:
        """Of queries, keys and values that lie side by side."""
        size = HIDDEN // HEADS
        shape = self.constant("three", np.array([0, 0, 3, HEADS, size], np.int64))
        parts = self.op("Transpose", self.op("Reshape", mixed, shape), perm=[2, 0, 3, 1, 4])
        names = [f"{parts}.{side}" for side in "qkv"]
        self.nodes.append(helper.make_node("Split", [parts], names, axis=0, num_outputs=3))
        query, key, value = (self.op("Squeeze", name, self.constant("zero", np.array([0], np.int64))) for name in names)
        scores = self.op("MatMul", query, self.op("Transpose", key, perm=[0, 1, 3, 2]))
        scaled = self.op("Mul", scores, self.constant("scale", np.float32(size**-0.5)))
        attention = self.op("Softmax", self.op("Add", scaled, bias), axis=-1)
        mixed = self.op("Transpose", self.op("MatMul", attention, value), perm=[0, 2, 1, 3])
        return self.op("Reshape", mixed, self.constant("join", np.array([0, 0, HIDDEN], np.int64)))


def main() -> None:
    weights = find().weights
    graphs = {OUTPUT: build(weights)} | {path: build_quantized(weights, n) for n, path in GRAPHS.items()}
    for path, graph in graphs.items():
        path.write_bytes(graph.SerializeToString(deterministic=True))
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
