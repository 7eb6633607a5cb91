"""Writes the golden nodes into the folder beside this file: a model around each operator, what goes in, and what has to come out.

    python -m tests.golden.make_nodes

Run it only to add a node: a model that lies here is never written again, since every released library must go on running it. What has to come
out is what ONNX Runtime's own operator gives for the decoded weights.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tests.unit.runtime.models import Array, graph, node, normal, session, weight

FOLDER = Path(__file__).parent / "nodes"
MANIFEST = FOLDER / "manifest.json"


@dataclass(frozen=True)
class Golden:
    """A node whose inputs are named as here; `dense` are the weights that its payloads stand for, `standard` what ONNX calls the same."""

    op: str
    inputs: list[str]
    feed: Mapping[str, Array]
    payloads: Mapping[str, Array]
    dense: Mapping[str, Array]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    standard: list[onnx.NodeProto] = field(default_factory=list)


def goldens() -> dict[str, Golden]:
    """All of them, by name."""
    return {
        "decode": _decode(),
        "gemm": _gemm(),
        "matmul": _matmul(),
        "conv": _conv(),
        "conv-scale": _scaled(),
        "conv-depthwise": _depthwise(),
        "lstm": _recurrent("LSTM", 4, {"direction": "bidirectional"}),
        "gru": _recurrent("GRU", 3, {"linear_before_reset": 1}),
        "gather": _gather(),
    }


def _standard(op: str, inputs: list[str], **attributes: Any) -> onnx.NodeProto:
    return node(op, inputs, domain="", **attributes)


def _then(first: onnx.NodeProto, second: str, *more: str) -> list[onnx.NodeProto]:
    """A node whose output another one takes on."""
    first.output[0] = "between"
    return [first, _standard(second, ["between", *more])]


def _decode() -> Golden:
    payload, dense = weight((6, 10), density=0.4)
    given = {"x": normal(6, 10)}
    return Golden(
        "Decode",
        ["w"],
        given,
        {"w": payload},
        {"w": dense},
        {"shape": [6, 10]},
        [_standard("Identity", ["w"])],
    )


def _gemm() -> Golden:
    payload, dense = weight((40, 70), density=0.2)
    bias = {"b": normal(40, seed=2)}
    numbers = {"alpha": 0.5, "beta": -2.0, "transB": 1}
    return Golden(
        "Gemm",
        ["x", "w", "b"],
        {"x": normal(5, 70)} | bias,
        {"w": payload},
        {"w": dense},
        numbers | {"activation": "relu"},
        _then(_standard("Gemm", ["x", "w", "b"], **numbers), "Relu"),
    )


def _matmul() -> Golden:
    payload, dense = weight((70, 40), density=0.2, centroids=255)
    return Golden(
        "MatMul",
        ["x", "w", "b"],
        {"x": normal(2, 3, 70), "b": normal(40, seed=2)},
        {"w": payload},
        {"w": dense},
        {},
        _then(_standard("MatMul", ["x", "w"]), "Add", "b"),
    )


def _conv() -> Golden:
    payload, dense = weight((12, 4, 3, 3), density=0.35)
    shape = {
        "group": 2,
        "kernel_shape": [3, 3],
        "pads": [1, 0, 2, 1],
        "strides": [2, 1],
        "dilations": [1, 2],
    }
    convolution = _standard("Conv", ["x", "w", "b"], **shape)
    convolution.output[0] = "sums"
    added = _standard("Add", ["sums", "z"])
    added.output[0] = "between"
    return Golden(
        "Conv",
        ["x", "w", "b", "z"],
        {"x": normal(2, 8, 9, 11), "b": normal(12, seed=2), "z": normal(2, 12, 5, 8, seed=3)},
        {"w": payload},
        {"w": dense},
        shape | {"activation": "clip", "low": -0.5, "high": 1.5},
        [convolution, added, _standard("Clip", ["between", "low", "high"])],
    )


def _scaled() -> Golden:
    payload, dense = weight((8, 3, 3, 3), density=0.6)
    shape = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    convolution = _standard("Conv", ["x", "w"], **shape)
    normalised = _standard("BatchNormalization", ["sums", "s", "b", "zeros", "ones"], epsilon=0.0)
    added = _standard("Add", ["scaled", "z"])
    for each, output in ((convolution, "sums"), (normalised, "scaled"), (added, "between")):
        each.output[0] = output
    return Golden(
        "Conv",
        ["x", "w", "b", "z", "s"],
        {
            "x": normal(2, 3, 7, 9),
            "b": normal(8, seed=2),
            "z": normal(2, 8, 7, 9, seed=3),
            "s": normal(8, seed=4),
        },
        {"w": payload},
        {"w": dense, "zeros": np.zeros(8, np.float32), "ones": np.ones(8, np.float32)},
        shape | {"activation": "relu"},
        [convolution, normalised, added, _standard("Relu", ["between"])],
    )


def _depthwise() -> Golden:
    payload, dense = weight((7, 1, 5), density=0.8)
    shape = {"group": 7, "kernel_shape": [5], "auto_pad": "SAME_UPPER"}
    return Golden(
        "Conv",
        ["x", "w"],
        {"x": normal(1, 7, 33)},
        {"w": payload},
        {"w": dense},
        shape,
        [_standard("Conv", ["x", "w"], **shape)],
    )


def _recurrent(op: str, gates: int, attributes: Mapping[str, Any]) -> Golden:
    hidden, width = 10, 14
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    w, dense_w = weight((directions, gates * hidden, width), density=0.3)
    r, dense_r = weight((directions, gates * hidden, hidden), density=0.3, seed=5)
    inputs = ["x", "w", "r", "b", "lengths"]
    numbers = {"hidden_size": hidden} | dict(attributes)
    given = {
        "x": normal(6, 3, width),
        "b": normal(directions, 2 * gates * hidden, seed=2),
        "lengths": np.array([6, 2, 4], np.int32),
    }
    return Golden(
        op,
        inputs,
        given,
        {"w": w, "r": r},
        {"w": dense_w, "r": dense_r},
        numbers,
        [_standard(op, inputs, **numbers)],
    )


def _gather() -> Golden:
    payload, dense = weight((50, 20), density=0.4)
    indices = {"i": np.array([[0, 49, -1], [7, 7, -50]], np.int64)}
    return Golden(
        "Gather",
        ["w", "i"],
        indices,
        {"w": payload},
        {"w": dense},
        {"axis": 0},
        [_standard("Gather", ["w", "i"], axis=0)],
    )


def expected(golden: Golden) -> Array:
    """What ONNX Runtime's own operator gives."""
    bounds = {"low": np.float32(-0.5).reshape(()), "high": np.float32(1.5).reshape(())}
    constants = dict(golden.dense) | (bounds if "low" in golden.attributes else {})
    return np.array(
        session(graph(golden.standard, golden.feed, constants)).run(["y"], dict(golden.feed))[0]
    )


def main() -> None:
    """Write what is not there yet."""
    FOLDER.mkdir(exist_ok=True)
    manifest = json.loads(MANIFEST.read_text()) if MANIFEST.exists() else {}
    for name, golden in goldens().items():
        path = FOLDER / f"{name}.onnx"
        if path.exists():
            continue
        model = graph(
            [node(golden.op, golden.inputs, **golden.attributes)], golden.feed, golden.payloads
        )
        path.write_bytes(model.SerializeToString(deterministic=True))
        np.savez_compressed(FOLDER / f"{name}.npz", **golden.feed, y=expected(golden))
        manifest[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    MANIFEST.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
