"""The paper's two LeNets as plain ONNX: LeNet-300-100, and LeNet-5 as Caffe has it (20-50-500-10).

Weights are He-initialised, normal with variance 2 / fan-in, biases zero; arXiv 1510.00149, section 5.1, has the sizes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

INPUT = "image"
CLASSES = 10
_OPSET, _IR = 17, 8
_TRAINED = Path(__file__).parent / "baselines"


@dataclass
class _Builder:
    rng: np.random.Generator
    value: str = INPUT
    nodes: list[NodeProto] = field(default_factory=list)
    tensors: list[TensorProto] = field(default_factory=list)

    def add(self, op: str, *parameters: str, **attributes: Any) -> None:
        output = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [self.value, *parameters], [output], **attributes))
        self.value = output

    def parameters(
        self, name: str, shape: tuple[int, ...], fan_in: int, out: int
    ) -> tuple[str, str]:
        scale = np.sqrt(2 / fan_in)
        weight = (self.rng.standard_normal(shape) * scale).astype(np.float32)
        self.tensors.append(numpy_helper.from_array(weight, f"{name}.weight"))
        self.tensors.append(numpy_helper.from_array(np.zeros(out, np.float32), f"{name}.bias"))
        return f"{name}.weight", f"{name}.bias"

    def linear(self, name: str, into: int, out: int) -> None:
        self.add("Gemm", *self.parameters(name, (into, out), into, out))

    def conv(self, name: str, into: int, out: int) -> None:
        names = self.parameters(name, (out, into, 5, 5), into * 25, out)
        self.add("Conv", *names, kernel_shape=[5, 5])
        self.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])

    def model(self, name: str, shape: tuple[int, ...]) -> ModelProto:
        image = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", *shape])
        self.nodes[-1].output[0] = "scores"
        scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", CLASSES])
        graph = helper.make_graph(self.nodes, name, [image], [scores], self.tensors)
        opsets = [helper.make_opsetid("", _OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR)


def lenet_300_100(seed: int = 0) -> ModelProto:
    """Three dense layers: 266,200 weights, 410 biases."""
    net = _Builder(np.random.default_rng(seed))
    net.linear("fc1", 784, 300)
    net.add("Relu")
    net.linear("fc2", 300, 100)
    net.add("Relu")
    net.linear("fc3", 100, CLASSES)
    return net.model("lenet-300-100", (784,))


def lenet_5(seed: int = 0) -> ModelProto:
    """Two convolutions, two dense layers: 430,500 weights, 580 biases."""
    net = _Builder(np.random.default_rng(seed))
    net.conv("conv1", 1, 20)
    net.conv("conv2", 20, 50)
    net.add("Flatten", axis=1)
    net.linear("fc1", 800, 500)
    net.add("Relu")
    net.linear("fc2", 500, CLASSES)
    return net.model("lenet-5", (1, 28, 28))


@dataclass(frozen=True)
class Lenet:
    """A net, the shape of its input without the samples' axis, and the paper's error before compression."""

    name: str
    build: Callable[[int], ModelProto]
    shape: tuple[int, ...]
    paper_error: float

    @property
    def trained(self) -> Path:
        """The baseline, trained by `benchmarks.baselines.train`."""
        return _TRAINED / f"{self.name}.onnx"


LENETS = {
    net.name: net
    for net in (
        Lenet("lenet-300-100", lenet_300_100, (784,), 0.0164),
        Lenet("lenet-5", lenet_5, (1, 28, 28), 0.0080),
    )
}
