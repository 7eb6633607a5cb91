"""One case for every loss: a model, data, and the loss and metric by their textbook formulas in float64.

`LOSSES` lists them; values and gradients are tested over the list, at several opsets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from sparsebook_compressor.training.aim.own import OwnGraph, read_own
from tests.unit.compressor.models import graph_of, model_of, node, value
from tests.unit.compressor.training.data import CLASSES, FEATURES, inputs, linear

F64 = np.ndarray
SAMPLES = 40


@dataclass(frozen=True)
class LossCase:
    """A case.

    Attributes:
        make: the model by seed and opset: 0 is the original, 1 what is trained.
        arrays: of the data.
        formula: the loss, from scores, the original's outputs by index, and the arrays.
        loss, metric: the kinds that must be decided.
        choice: options of `decide`.
        own: makes the caller's own loss in a folder.
    """

    make: Callable[[int, int], ModelProto]
    arrays: Mapping[str, np.ndarray]
    formula: Callable[[F64, Mapping[int, F64], Mapping[str, np.ndarray]], float]
    loss: str
    metric: str
    choice: Mapping[str, str] = field(default_factory=dict)
    own: Callable[[Path], OwnGraph] | None = None


def log_softmax(scores: F64, axis: int = -1) -> F64:
    shifted = scores - scores.max(axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


def softmax(scores: F64, axis: int = -1) -> F64:
    return np.exp(log_softmax(scores, axis))


def unit(vectors: F64) -> F64:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def sigmoid(scores: F64) -> F64:
    return 1 / (1 + np.exp(-scores))


def plain(*endings: Callable[[int], NodeProto], **options: Any) -> Callable[[int, int], ModelProto]:
    """x w + b and an ending that may depend on the opset."""
    return lambda seed, opset: linear(
        *(ending(opset) for ending in endings), seed=seed, opset=opset, **options
    )


def op(name: str, **attributes: Any) -> Callable[[int], NodeProto]:
    return lambda _: node(name, ["z"], ["y"], **attributes)


def convolved(axis: int) -> Callable[[int, int], ModelProto]:
    """A classifier of every pixel: [n, 3, 2, 5] -> softmax over the axis 1 of [n, 4, 2, 5]."""

    def make(seed: int, opset: int) -> ModelProto:
        rng = np.random.default_rng(seed)
        weights = {
            "w": rng.standard_normal((CLASSES, 3, 1, 1)).astype(np.float32),
            "b": rng.standard_normal(CLASSES).astype(np.float32),
        }
        nodes = [node("Conv", ["x", "w", "b"], ["z"]), node("Softmax", ["z"], ["y"], axis=axis)]
        output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        return model_of(
            graph_of(nodes, [value("x", ["n", 3, 2, 5])], [output], weights), opset=opset
        )

    return make


def heads(seed: int, opset: int) -> ModelProto:
    """Two outputs of floats of very different scale, and one of integers."""
    rng = np.random.default_rng(seed)
    weights = {
        "w": rng.standard_normal((FEATURES, CLASSES)).astype(np.float32),
        "b": rng.standard_normal(CLASSES).astype(np.float32),
        "big": np.array([1000], np.float32),
    }
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Add", ["h", "b"], ["z"]),
        node("ArgMax", ["z"], ["i"], axis=1, keepdims=0),
        node("Mul", ["h", "big"], ["large"]),
    ]
    outputs = [value("z", ["n", CLASSES]), value("i", ["n"], TensorProto.INT64)]
    outputs.append(value("large", ["n", CLASSES]))
    return model_of(graph_of(nodes, [value("x", ["n", FEATURES])], outputs, weights), opset=opset)


def squeezed(opset: int) -> NodeProto:
    if opset >= 13:
        return node("Squeeze", ["p", "b0"], ["y"])
    return node("Squeeze", ["p"], ["y"], axes=[1])


def behind_moves(seed: int, opset: int) -> ModelProto:
    """[n, 1, 3] -> a Softmax of [n, 1, 4] that is squeezed to [n, 4] afterwards."""
    softmax_node = node("Softmax", ["z"], ["p"], axis=2)
    model = linear(softmax_node, squeezed(opset), seed=seed, opset=opset, shape=["n", 1, FEATURES])
    if opset >= 13:
        model.graph.initializer.append(helper.make_tensor("b0", TensorProto.INT64, [1], [1]))
    return model


def weighted_loss(folder: Path) -> OwnGraph:
    """mean(weight * (z - teacher_z)^2), written for opset 12."""
    nodes = [
        node("Sub", ["z", "teacher_z"], ["error"]),
        node("Mul", ["error", "error"], ["square"]),
        node("Mul", ["square", "weight"], ["weighted"]),
        node("ReduceMean", ["weighted"], ["loss"], keepdims=0),
    ]
    given = [value("z", ["n", "c"]), value("teacher_z", ["n", "c"]), value("weight", ["n", 1])]
    return read_loss(folder / "weighted.onnx", nodes, given)


def rebuilt_loss(folder: Path) -> OwnGraph:
    """mean(softplus(-z)) + 0.3 mean(max over classes), in operators that have no gradient; the mean of a scalar, too."""
    nodes = [
        node("Neg", ["z"], ["minus"]),
        node("Softplus", ["minus"], ["soft"]),
        node("ReduceMean", ["soft"], ["mean_soft"], keepdims=0),
        node("ReduceMax", ["z"], ["top"], axes=[1], keepdims=0),
        node("ReduceMean", ["top"], ["mean_top"], keepdims=0),
        node("Constant", [], ["share"], value_float=0.3),
        node("Mul", ["mean_top", "share"], ["scaled"]),
        node("Add", ["mean_soft", "scaled"], ["both"]),
        node("ReduceMean", ["both"], ["loss"], keepdims=0),
    ]
    return read_loss(folder / "rebuilt.onnx", nodes, [value("z", ["n", "c"])])


def read_loss(path: Path, nodes: list[NodeProto], given: list[Any]) -> OwnGraph:
    graph = graph_of(nodes, given, [value("loss", [])])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model_of(graph, opset=12).SerializeToString())
    return read_own(path, "loss", ["z"])


RNG = np.random.default_rng(3)
X = inputs(SAMPLES)
CLASS = RNG.integers(0, CLASSES, SAMPLES)
YES = RNG.integers(0, 2, (SAMPLES, CLASSES))
TARGETS = RNG.standard_normal((SAMPLES, CLASSES)).astype(np.float32)
CHANCES = softmax(RNG.standard_normal((SAMPLES, CLASSES)))
SEQUENCES = inputs(SAMPLES, (6, FEATURES))
TAGS = RNG.integers(0, CLASSES, (SAMPLES, 6))
IMAGES = inputs(SAMPLES, (3, 2, 5))
PIXELS = RNG.integers(0, CLASSES, (SAMPLES, 2, 5))
WEIGHT = RNG.uniform(0, 2, (SAMPLES, 1)).astype(np.float32)


def cross_entropy(scores: F64, classes: np.ndarray, axis: int = -1) -> float:
    logs = log_softmax(scores, axis)
    return float(-np.take_along_axis(logs, np.expand_dims(classes, axis), axis).mean())


def soft_cross_entropy(scores: F64, chances: F64, axis: int = -1) -> float:
    return float(-(chances * log_softmax(scores, axis)).sum(axis).mean())


def binary_cross_entropy(scores: F64, chances: F64) -> float:
    right = -chances * np.log(sigmoid(scores))
    return float((right - (1 - chances) * np.log(1 - sigmoid(scores))).mean())


def heated(scores: F64, teacher: F64, axis: int = -1) -> float:
    return 4 * soft_cross_entropy(scores / 2, softmax(teacher / 2, axis), axis)


SOFTMAX, LOG_SOFTMAX, SIGMOID = op("Softmax", axis=1), op("LogSoftmax", axis=1), op("Sigmoid")
ARGMAX = op("ArgMax", axis=1, keepdims=0)
CHOICE = {"kind": TensorProto.INT64}

LOSSES: dict[str, LossCase] = {
    "labels, scores": LossCase(
        plain(),
        {"x": X, "labels": CLASS},
        lambda s, t, a: cross_entropy(s, a["labels"]),
        "cross-entropy",
        "accuracy",
        {"loss": "labels"},
    ),
    "labels, softmax": LossCase(
        plain(SOFTMAX),
        {"x": X, "labels": CLASS.astype(np.uint8)[:, None]},
        lambda s, t, a: cross_entropy(s, a["labels"][:, 0]),
        "cross-entropy",
        "accuracy",
        {"loss": "labels"},
    ),
    "labels, log-softmax": LossCase(
        plain(LOG_SOFTMAX),
        {"x": X, "labels": CLASS},
        lambda s, t, a: cross_entropy(s, a["labels"]),
        "cross-entropy",
        "accuracy",
        {"loss": "labels"},
    ),
    "labels, softmax that is squeezed": LossCase(
        behind_moves,
        {"x": X[:, None], "labels": CLASS},
        lambda s, t, a: cross_entropy(s[:, 0], a["labels"]),
        "cross-entropy",
        "accuracy",
        {"loss": "labels"},
    ),
    "labels, a sequence": LossCase(
        plain(op("Softmax", axis=2), shape=["n", "t", FEATURES]),
        {"x": SEQUENCES, "labels": TAGS},
        lambda s, t, a: cross_entropy(s, a["labels"]),
        "cross-entropy",
        "accuracy",
        {"loss": "labels"},
    ),
    "labels, every pixel": LossCase(
        convolved(1),
        {"x": IMAGES, "labels": PIXELS},
        lambda s, t, a: cross_entropy(s, a["labels"], 1),
        "cross-entropy",
        "accuracy",
        {"loss": "labels"},
    ),
    "labels, a choice": LossCase(
        plain(ARGMAX, **CHOICE),
        {"x": X, "labels": CLASS},
        lambda s, t, a: cross_entropy(s, a["labels"]),
        "cross-entropy",
        "accuracy",
        {"loss": "labels"},
    ),
    "labels and the original": LossCase(
        plain(SOFTMAX),
        {"x": X, "labels": CLASS},
        lambda s, t, a: (cross_entropy(s, a["labels"]) + heated(s, np.log(t[0]))) / 2,
        "labels-and-original",
        "accuracy",
    ),
    "labels, probabilities": LossCase(
        plain(SOFTMAX),
        {"x": X, "labels": CHANCES},
        lambda s, t, a: soft_cross_entropy(s, a["labels"]),
        "soft-cross-entropy",
        "accuracy",
    ),
    "labels, yes or no": LossCase(
        plain(SIGMOID),
        {"x": X, "labels": YES},
        lambda s, t, a: binary_cross_entropy(s, a["labels"]),
        "binary-cross-entropy",
        "accuracy",
    ),
    "labels, one yes or no": LossCase(
        plain(SIGMOID, columns=1),
        {"x": X, "labels": YES[:, 0].astype(np.float64)},
        lambda s, t, a: binary_cross_entropy(s[:, 0], a["labels"]),
        "binary-cross-entropy",
        "accuracy",
    ),
    "labels, values": LossCase(
        plain(),
        {"x": X, "labels": TARGETS},
        lambda s, t, a: float(np.square(s - a["labels"]).mean()),
        "squared-error",
        "fidelity",
    ),
    "distilled, softmax": LossCase(
        plain(SOFTMAX),
        {"x": X},
        lambda s, t, a: heated(s, np.log(t[0])),
        "distil-classes",
        "agreement",
    ),
    "distilled, log-softmax, labels beside": LossCase(
        plain(LOG_SOFTMAX),
        {"x": X, "labels": CLASS},
        lambda s, t, a: heated(s, t[0]),
        "distil-classes",
        "accuracy",
        {"loss": "distill"},
    ),
    "distilled, every pixel": LossCase(
        convolved(1),
        {"x": IMAGES},
        lambda s, t, a: heated(s, np.log(t[0]), 1),
        "distil-classes",
        "agreement",
    ),
    "distilled, scores that the config calls classes": LossCase(
        plain(),
        {"x": X},
        lambda s, t, a: heated(s, t[0]),
        "distil-classes",
        "agreement",
        {"metric": "agreement"},
    ),
    "distilled, sigmoid": LossCase(
        plain(SIGMOID),
        {"x": X},
        lambda s, t, a: binary_cross_entropy(s, t[0]),
        "distil-binary",
        "agreement",
    ),
    "distilled, a choice": LossCase(
        plain(ARGMAX, **CHOICE),
        {"x": X},
        lambda s, t, a: cross_entropy(s, t[0]),
        "distil-choice",
        "agreement",
    ),
    "distilled, outputs": LossCase(
        heads,
        {"x": X},
        lambda s, t, a: float(
            np.mean(
                [
                    np.square(s - t[0]).mean() / a["scale 0"],
                    np.square(a["large"] - t[2]).mean() / a["scale 2"],
                ]
            )
        ),
        "distil-outputs",
        "fidelity",
    ),
    "distilled, an embedding": LossCase(
        plain(),
        {"x": X},
        lambda s, t, a: float(np.square(unit(s) - unit(t[0])).sum(1).mean()),
        "distil-embedding",
        "retrieval",
        {"metric": "retrieval"},
    ),
    "the caller's own": LossCase(
        plain(),
        {"x": X, "weight": WEIGHT},
        lambda s, t, a: float((a["weight"] * np.square(s - t[0])).mean()),
        "own",
        "fidelity",
        own=weighted_loss,
    ),
    "the caller's own, of operators that have no gradient": LossCase(
        plain(),
        {"x": X},
        lambda s, t, a: float(np.logaddexp(0, -s).mean() + 0.3 * s.max(1).mean()),
        "own",
        "fidelity",
        own=rebuilt_loss,
    ),
}
