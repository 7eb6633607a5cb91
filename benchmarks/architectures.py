"""AlexNet and VGG-16 at full size, straight from onnx.helper, with seeded heavy-tailed weights.

Weights are Student-t(4), He-scaled: good for bytes, memory and speed at the paper's densities, never for accuracy.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

F32 = npt.NDArray[np.float32]

# Density and bits of every layer: arXiv 1510.00149, Tables 4 and 5.
ALEXNET_PAPER = {
    "conv1": (0.84, 8),
    "conv2": (0.38, 8),
    "conv3": (0.35, 8),
    "conv4": (0.37, 8),
    "conv5": (0.37, 8),
    "fc6": (0.09, 5),
    "fc7": (0.09, 5),
    "fc8": (0.25, 5),
}
VGG16_PAPER = {
    "conv1_1": (0.58, 8),
    "conv1_2": (0.22, 8),
    "conv2_1": (0.34, 8),
    "conv2_2": (0.36, 8),
    "conv3_1": (0.53, 8),
    "conv3_2": (0.24, 8),
    "conv3_3": (0.42, 8),
    "conv4_1": (0.32, 8),
    "conv4_2": (0.27, 8),
    "conv4_3": (0.34, 8),
    "conv5_1": (0.35, 8),
    "conv5_2": (0.29, 8),
    "conv5_3": (0.36, 8),
    "fc6": (0.04, 5),
    "fc7": (0.04, 5),
    "fc8": (0.23, 5),
}
PAPER = {"alexnet": ALEXNET_PAPER, "vgg16": VGG16_PAPER}


@dataclass
class _Builder:
    rng: np.random.Generator
    value: str = "data"
    nodes: list[NodeProto] = field(default_factory=list)
    tensors: list[TensorProto] = field(default_factory=list)

    def weight(self, shape: tuple[int, ...], degrees: float = 4.0) -> F32:
        fan_in = int(np.prod(shape[1:]))
        scale = np.sqrt(2 / fan_in) / np.sqrt(degrees / (degrees - 2))
        drawn: F32 = (self.rng.standard_t(degrees, size=shape) * scale).astype(np.float32)
        return drawn

    def add(self, op: str, *parameters: str, **attributes: Any) -> None:
        output = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [self.value, *parameters], [output], **attributes))
        self.value = output

    def parameters(self, name: str, shape: tuple[int, ...]) -> tuple[str, str]:
        self.tensors.append(numpy_helper.from_array(self.weight(shape), f"{name}.weight"))
        self.tensors.append(numpy_helper.from_array(np.zeros(shape[0], np.float32), f"{name}.bias"))
        return f"{name}.weight", f"{name}.bias"

    def conv(
        self, name: str, out: int, into: int, kernel: int, pad: int, stride: int = 1, group: int = 1
    ) -> None:
        names = self.parameters(name, (out, into // group, kernel, kernel))
        self.add(
            "Conv",
            *names,
            kernel_shape=[kernel] * 2,
            pads=[pad] * 4,
            strides=[stride] * 2,
            group=group,
        )
        self.add("Relu")

    def linear(self, name: str, out: int, into: int) -> None:
        self.add("Gemm", *self.parameters(name, (out, into)), transB=1)
        if name != "fc8":
            self.add("Relu")

    def pool(self, kernel: int, stride: int) -> None:
        self.add("MaxPool", kernel_shape=[kernel] * 2, strides=[stride] * 2)

    def classifier(self, into: int) -> None:
        self.add("Flatten", axis=1)
        self.linear("fc6", 4096, into)
        self.linear("fc7", 4096, 4096)
        self.linear("fc8", 1000, 4096)
        self.add("Softmax", axis=1)

    def model(self, name: str, size: int) -> ModelProto:
        data = helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 3, size, size])
        output = helper.make_tensor_value_info(self.value, TensorProto.FLOAT, ["N", 1000])
        graph = helper.make_graph(self.nodes, name, [data], [output], self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def alexnet(seed: int = 0) -> ModelProto:
    """BVLC AlexNet: 60,965,224 parameters."""
    net = _Builder(np.random.default_rng(seed))
    net.conv("conv1", 96, 3, 11, 0, stride=4)
    net.add("LRN", size=5, alpha=1e-4, beta=0.75, bias=1.0)
    net.pool(3, 2)
    net.conv("conv2", 256, 96, 5, 2, group=2)
    net.add("LRN", size=5, alpha=1e-4, beta=0.75, bias=1.0)
    net.pool(3, 2)
    net.conv("conv3", 384, 256, 3, 1)
    net.conv("conv4", 384, 384, 3, 1, group=2)
    net.conv("conv5", 256, 384, 3, 1, group=2)
    net.pool(3, 2)
    net.classifier(9216)
    return net.model("alexnet", 227)


def vgg16(seed: int = 0, size: int = 224) -> ModelProto:
    """VGG-16 on squares of `size` pixels, a multiple of 32: at 224 it has 138,357,544 parameters."""
    net = _Builder(np.random.default_rng(seed))
    into = 3
    for block, (out, layers) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], 1):
        for layer in range(1, layers + 1):
            net.conv(f"conv{block}_{layer}", out, into, 3, 1)
            into = out
        net.pool(2, 2)
    net.classifier(512 * (size // 32) ** 2)
    return net.model("vgg16", size)


BUILDERS = {"alexnet": alexnet, "vgg16": vgg16}
