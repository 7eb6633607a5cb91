"""Two nets that read a picture as a sequence of strips, each of four rows: an LSTM and a small transformer.

Both are written as exporters write them: gates in one LSTM node, queries, keys and values as a MatMul each, positions looked up in a
table. Weights are drawn from a seed (uniform within one over the root of the fan-in, normal with 0.02 for the table), biases are
zero but the LSTM's forget gate, which starts at 1 (Jozefowicz et al., ICML 2015, section 2.2).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

INPUT = "image"
SIDE, CLASSES = 28, 10
STEPS = 7
STRIP = SIDE * SIDE // STEPS
HIDDEN = 128
WIDTH, HEADS, INNER, LAYERS = 96, 4, 192, 2
_OPSET, _IR = 17, 8
_TRAINED = Path(__file__).parent / "baselines"


@dataclass
class _Builder:
    rng: np.random.Generator
    nodes: list[NodeProto] = field(default_factory=list)
    tensors: list[TensorProto] = field(default_factory=list)

    def op(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """A node; the name of its last output, the ones before it being left out."""
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(op, inputs, [*[""] * (outputs - 1), name], name=name, **attributes)
        )
        return name

    def constant(self, name: str, values: npt.ArrayLike, dtype: type = np.float32) -> str:
        self.tensors.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def uniform(self, name: str, shape: tuple[int, ...], fan_in: int) -> str:
        bound = fan_in**-0.5
        return self.constant(name, self.rng.uniform(-bound, bound, shape))

    def dense(self, name: str, x: str, into: int, out: int) -> str:
        return self.op("MatMul", x, self.uniform(f"{name}.weight", (into, out), into))

    def head(self, x: str, into: int) -> None:
        weight = self.uniform("head.weight", (into, CLASSES), into)
        self.op("Gemm", x, weight, self.constant("head.bias", np.zeros(CLASSES)))

    def normal(self, name: str, x: str, width: int) -> str:
        gain = self.constant(f"{name}.gain", np.ones(width))
        return self.op("LayerNormalization", x, gain, axis=-1)

    def strips(self) -> str:
        """The picture as a sequence: [samples, STEPS, STRIP]."""
        return self.op("Reshape", INPUT, self.constant("strips", (-1, STEPS, STRIP), np.int64))

    def model(self, name: str) -> ModelProto:
        image = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", SIDE, SIDE])
        self.nodes[-1].output[0] = "scores"
        scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", CLASSES])
        graph = helper.make_graph(self.nodes, name, [image], [scores], self.tensors)
        opsets = [helper.make_opsetid("", _OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR)


def lstm(seed: int = 0) -> ModelProto:
    """One LSTM layer over seven strips of four rows, a dense layer on its last state: 124,160 weights, 1,034 biases."""
    net = _Builder(np.random.default_rng(seed))
    strips = net.op("Transpose", net.strips(), perm=[1, 0, 2])
    w = net.uniform("lstm.w", (1, 4 * HIDDEN, STRIP), HIDDEN)
    r = net.uniform("lstm.r", (1, 4 * HIDDEN, HIDDEN), HIDDEN)
    biases = np.zeros((1, 8 * HIDDEN))
    biases[:, 2 * HIDDEN : 3 * HIDDEN] = 1  # gates stand in the order i, o, f, c
    b = net.constant("lstm.b", biases)
    last = net.op("LSTM", strips, w, r, b, outputs=2, hidden_size=HIDDEN)
    state = net.op("Squeeze", last, net.constant("direction", [0], np.int64))
    net.head(state, HIDDEN)
    return net.model("lstm")


def transformer(seed: int = 0) -> ModelProto:
    """The same strips through two layers of attention, their mean to a dense layer: 159,840 weights, 491 other floats.

    Without biases or offsets, as arXiv 2204.02311, section 2, leaves them out.
    """
    net = _Builder(np.random.default_rng(seed))
    table = net.constant("positions", net.rng.normal(0, 0.02, (STEPS, WIDTH)))
    places = net.constant("places", np.arange(STEPS), np.int64)
    x = net.op(
        "Add", net.dense("embed", net.strips(), STRIP, WIDTH), net.op("Gather", table, places)
    )
    split = net.constant("split", (0, 0, HEADS, WIDTH // HEADS), np.int64)
    joined = net.constant("joined", (0, 0, WIDTH), np.int64)
    scale = net.constant("scale", (WIDTH / HEADS) ** -0.5)
    for number in range(LAYERS):
        x = _attention(net, f"layer{number}", x, split, joined, scale)
        y = net.dense(
            f"layer{number}.up", net.normal(f"layer{number}.norm2", x, WIDTH), WIDTH, INNER
        )
        x = net.op("Add", x, net.dense(f"layer{number}.down", net.op("Relu", y), INNER, WIDTH))
    mean = net.op("ReduceMean", net.normal("norm", x, WIDTH), axes=[1], keepdims=0)
    net.head(mean, WIDTH)
    return net.model("transformer")


def _attention(net: _Builder, layer: str, x: str, split: str, joined: str, scale: str) -> str:
    """Vaswani et al., arXiv 1706.03762, section 3.2, normalised before and added to its input."""
    y = net.normal(f"{layer}.norm1", x, WIDTH)
    heads = {}
    for name, perm in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
        flat = net.dense(f"{layer}.{name}", y, WIDTH, WIDTH)
        heads[name] = net.op("Transpose", net.op("Reshape", flat, split), perm=perm)
    scores = net.op("Mul", net.op("MatMul", heads["query"], heads["key"]), scale)
    mixed = net.op("MatMul", net.op("Softmax", scores, axis=-1), heads["value"])
    mixed = net.op("Reshape", net.op("Transpose", mixed, perm=[0, 2, 1, 3]), joined)
    return net.op("Add", x, net.dense(f"{layer}.out", mixed, WIDTH, WIDTH))


@dataclass(frozen=True)
class Net:
    """A net and how it is built from a seed."""

    name: str
    build: Callable[[int], ModelProto]

    @property
    def trained(self) -> Path:
        """The baseline, trained by `benchmarks.baselines.train_labelled`."""
        return _TRAINED / f"{self.name}.onnx"


NETS = {net.name: net for net in (Net("lstm", lstm), Net("transformer", transformer))}
