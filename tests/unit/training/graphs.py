"""Small graphs with their loss and metric inside, as the compressor orders them to be trained."""

from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

CLASSES = 4
FEATURES = 20


@dataclass
class Graph:
    """Nodes and initializers in the making."""

    batch: int | str = "N"
    nodes: list[NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)
    parameters: list[str] = field(default_factory=list)

    def constant(self, name: str, value: np.ndarray) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def parameter(self, name: str, value: np.ndarray) -> str:
        self.parameters.append(name)
        return self.constant(name, value.astype(np.float32))

    def node(self, op: str, inputs: list[str], out: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [out], name=out, **attributes))
        return out

    def linear(self, x: str, name: str, weight: str, width: int) -> str:
        bias = self.parameter(f"{name}.bias", np.zeros(width))
        return self.node("Gemm", [x, weight, bias], f"{name}.out")

    def masked(self, name: str, value: np.ndarray, mask: np.ndarray) -> str:
        self.parameter(name, value)
        self.constant(f"{name}.mask", mask.astype(np.float32))
        return self.node("Mul", [name, f"{name}.mask"], f"{name}.masked")

    def shared(self, name: str, codebook: np.ndarray, codes: np.ndarray) -> str:
        """A weight by its codes; code 0 is exact zero."""
        self.parameter(f"{name}.codebook", codebook)
        self.constant(f"{name}.pads", np.array([1, 0]))
        self.constant(f"{name}.codes", codes.ravel().astype(np.int64))
        self.constant(f"{name}.shape", np.array(codes.shape))
        self.node("Pad", [f"{name}.codebook", f"{name}.pads"], f"{name}.padded")
        self.node("Gather", [f"{name}.padded", f"{name}.codes"], f"{name}.flat")
        return self.node("Reshape", [f"{name}.flat", f"{name}.shape"], f"{name}.dense")

    def classifier(self, logits: str) -> ModelProto:
        """Cross-entropy against `labels`, and how many are right."""
        self.nodes.append(
            helper.make_node("SoftmaxCrossEntropyLoss", [logits, "labels"], ["loss", "log_prob"])
        )
        self.node("ArgMax", [logits], "found", axis=-1, keepdims=0)
        self.node("Equal", ["found", "labels"], "right")
        self.node("Cast", ["right"], "right.float", to=TensorProto.FLOAT)
        self.node("ReduceSum", ["right.float"], "metric_sum", keepdims=0)
        self.node("Size", ["labels"], "count")
        self.node("Cast", ["count"], "metric_weight", to=TensorProto.FLOAT)
        inputs = [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [self.batch, FEATURES]),
            helper.make_tensor_value_info("labels", TensorProto.INT64, [self.batch]),
        ]
        return self.model(inputs)

    def model(self, inputs: list[object], opset: int = 17) -> ModelProto:
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [])
            for name in ("loss", "metric_sum", "metric_weight")
        ]
        graph = helper.make_graph(self.nodes, "g", inputs, outputs, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 8
        return model


def normal(*shape: int, seed: int, scale: float = 0.3) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def mlp(batch: int | str = "N") -> tuple[ModelProto, list[str]]:
    """20-16-4, every weight trained."""
    graph = Graph(batch)
    hidden = graph.linear("x", "fc1", graph.parameter("fc1", normal(FEATURES, 16, seed=1)), 16)
    hidden = graph.node("Relu", [hidden], "hidden")
    out = graph.linear(hidden, "fc2", graph.parameter("fc2", normal(16, CLASSES, seed=2)), CLASSES)
    return graph.classifier(out), graph.parameters


def pruned_and_shared() -> tuple[ModelProto, list[str], np.ndarray]:
    """20-16-4: a masked weight, then one of centroids; and the mask."""
    graph = Graph()
    mask = np.random.default_rng(3).random((FEATURES, 16)) < 0.4
    codes = np.random.default_rng(4).integers(0, 8, (16, CLASSES))
    hidden = graph.linear("x", "fc1", graph.masked("fc1", normal(FEATURES, 16, seed=1), mask), 16)
    hidden = graph.node("Relu", [hidden], "hidden")
    weight = graph.shared("fc2", np.linspace(-0.6, 0.6, 7), codes)
    return graph.classifier(graph.linear(hidden, "fc2", weight, CLASSES)), graph.parameters, mask


def blobs(samples: int, seed: int) -> dict[str, np.ndarray]:
    """Seeded clusters that overlap a little: a network of the sizes above learns them to about 0.95."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((CLASSES, FEATURES)) * 0.7
    labels = rng.integers(0, CLASSES, samples)
    x = centres[labels] + rng.standard_normal((samples, FEATURES))
    return {"x": x.astype(np.float32), "labels": labels.astype(np.int64)}


def regression(
    batch: int | str = "N", free: bool = True, shape: tuple[int, ...] = (FEATURES,)
) -> tuple[ModelProto, list[str]]:
    """x w + b against y: mean squared error, and the sums of its relative RMS.

    Args:
        batch: the first dimension.
        free: whether there is one; else x and y are one sample.
        shape: of a sample of x, all of its elements in a row at last.
    """
    graph = Graph(batch)
    weight = graph.parameter("w", normal(FEATURES, 1, seed=5))
    x = "x"
    if len(shape) > 1:
        row = graph.constant("row", np.array([-1, FEATURES] if free else [FEATURES]))
        x = graph.node("Reshape", [x, row], "x.row")
    product = graph.node("MatMul", [x, weight], "product")
    found = graph.node("Add", [product, graph.parameter("b", np.zeros(1))], "found")
    error = graph.node("Sub", [found, "y"], "error")
    square = graph.node("Mul", [error, error], "square")
    graph.node("ReduceMean", [square], "loss", keepdims=0)
    graph.node("ReduceSum", [square], "metric_sum", keepdims=0)
    graph.node("Mul", ["y", "y"], "y.square")
    graph.node("ReduceSum", ["y.square"], "metric_weight", keepdims=0)
    lead = [batch] if free else []
    return graph.model(
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [*lead, *shape]),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [*lead, 1]),
        ]
    ), graph.parameters


def falling_root() -> tuple[ModelProto, list[str]]:
    """The mean of x times the root of p, which falls until p is negative and the loss is no number."""
    graph = Graph()
    root = graph.node("Sqrt", [graph.parameter("p", np.ones(1))], "root")
    product = graph.node("Mul", ["x", root], "product")
    graph.node("ReduceMean", [product], "loss", keepdims=0)
    graph.node("ReduceSum", [product], "metric_sum", keepdims=0)
    graph.node("Size", ["x"], "count")
    graph.node("Cast", ["count"], "metric_weight", to=TensorProto.FLOAT)
    return graph.model([helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1])]), ["p"]


def line(samples: int, seed: int) -> dict[str, np.ndarray]:
    """Samples of a linear function with a little noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((samples, FEATURES))
    y = x @ np.linspace(-1, 1, FEATURES)[:, None] + 0.5 + 0.1 * rng.standard_normal((samples, 1))
    return {"x": x.astype(np.float32), "y": y.astype(np.float32)}
