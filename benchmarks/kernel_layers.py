"""The layers that kernels are measured on, as ONNX graphs of one node: the paper's nets, ResNet's shapes, a transformer's."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from benchmarks.architectures import ALEXNET_PAPER, VGG16_PAPER

F32 = npt.NDArray[np.float32]
OPSET, IR = 17, 8
BATCHES = (1, 8, 64)


@dataclass(frozen=True)
class Dense:
    """A fully connected layer; `op` is the one that its model has: Gemm with transB, or MatMul and Add."""

    name: str
    into: int
    out: int
    density: float
    bits: int
    op: str = "Gemm"

    @property
    def shape(self) -> str:
        """For people."""
        return f"{self.into}x{self.out}"

    def build(self, seed: int) -> ModelProto:
        """The model that is compressed."""
        weight = _student(seed, (self.out, self.into), self.into)
        return self.graph(self.op, weight)

    def graph(self, op: str, weight: F32) -> ModelProto:
        """A weight [out, into] as Gemm or as MatMul and Add."""
        bias = numpy_helper.from_array(np.zeros(self.out, np.float32), "bias")
        if op == "Gemm":
            nodes = [helper.make_node("Gemm", ["x", "weight", "bias"], ["y"], transB=1)]
        else:
            weight = np.ascontiguousarray(weight.T)
            nodes = [
                helper.make_node("MatMul", ["x", "weight"], ["product"]),
                helper.make_node("Add", ["product", "bias"], ["y"]),
            ]
        tensors = [numpy_helper.from_array(weight, "weight"), bias]
        return _model(nodes, tensors, ["batch", self.into], ["batch", self.out])

    def inputs(self, batch: int, seed: int) -> F32:
        """Standard normal."""
        rng = np.random.default_rng(seed)
        return rng.standard_normal((batch, self.into)).astype(np.float32)


@dataclass(frozen=True)
class Conv:
    """A convolution of square images, one sample at a time, padded so that only strides make the image smaller."""

    name: str
    into: int
    size: int
    out: int
    kernel: int
    density: float
    bits: int
    group: int = 1
    stride: int = 1

    @property
    def shape(self) -> str:
        """For people."""
        group = f"/{self.group}" if self.group > 1 else ""
        stride = f" s{self.stride}" if self.stride > 1 else ""
        return f"{self.into}-{self.out}{group} {self.kernel}x{self.kernel}@{self.size}{stride}"

    @property
    def chains(self) -> bool:
        """Whether its output can be its input."""
        return self.into == self.out and self.stride == 1

    def build(self, seed: int, times: int = 1) -> ModelProto:
        """The model that is compressed: the layer so many times in a row."""
        fan_in = self.into // self.group * self.kernel**2
        shape = (self.out, self.into // self.group, self.kernel, self.kernel)
        return self.graph(_student(seed, shape, fan_in), times)

    def graph(self, weight: F32, times: int = 1) -> ModelProto:
        """A weight [out, into / group, kernel, kernel], applied so many times in a row."""
        values = ["x", *(f"t{step}" for step in range(1, times)), "y"]
        attributes: dict[str, Any] = {
            "kernel_shape": [self.kernel] * 2,
            "pads": [self.kernel // 2] * 4,
            "strides": [self.stride] * 2,
            "group": self.group,
        }
        nodes = [
            helper.make_node(
                "Conv", [values[step], "weight", "bias"], [values[step + 1]], **attributes
            )
            for step in range(times)
        ]
        bias = numpy_helper.from_array(np.zeros(self.out, np.float32), "bias")
        tensors = [numpy_helper.from_array(weight, "weight"), bias]
        after = math.ceil(self.size / self.stride)
        ends = [1, self.into, self.size, self.size], [1, self.out, after, after]
        return _model(nodes, tensors, *ends)

    def inputs(self, batch: int, seed: int) -> F32:
        """Standard normal."""
        rng = np.random.default_rng(seed)
        return rng.standard_normal((batch, self.into, self.size, self.size)).astype(np.float32)


def _paper_dense() -> tuple[Dense, ...]:
    sizes = {"fc6": (9216, 4096), "fc7": (4096, 4096), "fc8": (4096, 1000)}
    alexnet = [Dense(f"alexnet {at}", *sizes[at], *ALEXNET_PAPER[at]) for at in sizes]
    sizes["fc6"] = (25088, 4096)
    return (*alexnet, *(Dense(f"vgg16 {at}", *sizes[at], *VGG16_PAPER[at]) for at in sizes))


def _paper_convs() -> tuple[Conv, ...]:
    alexnet = [
        ("conv2", 96, 27, 256, 5, 2),
        ("conv3", 256, 13, 384, 3, 1),
        ("conv4", 384, 13, 384, 3, 2),
        ("conv5", 384, 13, 256, 3, 2),
    ]
    vgg16 = [
        ("conv1_2", 64, 224, 64),
        ("conv2_1", 64, 112, 128),
        ("conv2_2", 128, 112, 128),
        ("conv3_2", 256, 56, 256),
        ("conv4_1", 256, 28, 512),
        ("conv4_2", 512, 28, 512),
        ("conv5_1", 512, 14, 512),
        ("conv5_2", 512, 14, 512),
    ]
    return (
        *(
            Conv(f"alexnet {name}", into, size, out, kernel, *ALEXNET_PAPER[name], group=group)
            for name, into, size, out, kernel, group in alexnet
        ),
        *(
            Conv(f"vgg16 {name}", into, size, out, 3, *VGG16_PAPER[name])
            for name, into, size, out in vgg16
        ),
    )


def _resnet_convs() -> tuple[Conv, ...]:
    shapes = [
        (64, 56, 64, 3, 1),
        (128, 28, 128, 3, 1),
        (256, 14, 256, 3, 1),
        (512, 7, 512, 3, 1),
        (128, 28, 256, 3, 2),
        (64, 56, 256, 1, 1),
        (256, 14, 1024, 1, 1),
        (1024, 14, 256, 1, 1),
    ]
    return tuple(
        Conv(
            f"resnet {into}-{out} {kernel}x{kernel}",
            into,
            size,
            out,
            kernel,
            density,
            5,
            stride=step,
        )
        for into, size, out, kernel, step in shapes
        for density in (0.20, 0.30, 0.38)
    )


TRANSFORMER = tuple(
    Dense(f"transformer {density:.0%}", 768, 3072, density, 4, "MatMul") for density in (0.10, 0.50)
)
DENSE = (*_paper_dense(), *TRANSFORMER)
CONV = (*_paper_convs(), *_resnet_convs())

_QUICK_DENSE = ("alexnet fc7", "vgg16 fc7", "vgg16 fc8", "transformer 10%")
_QUICK_CONV = ("alexnet conv3", "vgg16 conv5_2", "resnet 256-256 3x3", "resnet 256-1024 1x1")
QUICK_DENSE = tuple(layer for layer in DENSE if layer.name in _QUICK_DENSE)
QUICK_CONV = tuple(layer for layer in CONV if layer.name in _QUICK_CONV and layer.density < 0.38)


def _student(seed: int, shape: tuple[int, ...], fan_in: int) -> F32:
    """Student-t(4), He-scaled, as the nets of benchmarks/architectures.py have."""
    rng = np.random.default_rng(seed)
    return (rng.standard_t(4.0, size=shape) * math.sqrt(1 / fan_in)).astype(np.float32)


def _model(
    nodes: list[NodeProto], tensors: list[TensorProto], before: list[Any], after: list[Any]
) -> ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, before)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, after)
    graph = helper.make_graph(nodes, "layer", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
