"""Trained weights and biases in the artifact, wherever the user's model keeps them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, TensorProto, helper

from sparsebook_compressor import pack
from sparsebook_compressor.rewrite.surgery import Surgeon
from sparsebook_compressor.summary import Done
from sparsebook_compressor.training.course.course import Course
from sparsebook_compressor.training.orders.graphs import write_inference
from tests.unit.compressor.models import constant, graph_of, model_of, node, value
from tests.unit.compressor.training.bench import (
    CLASSES,
    FEATURES,
    HIDDEN,
    Bench,
    blobs,
    fitted,
    mlp,
)

X, Y = value("x", ["n", FEATURES]), value("y", ["n", CLASSES])


def halves() -> ModelProto:
    """Everything in float16."""
    arrays = {name: array.astype(np.float16) for name, array in fitted().items()}
    nodes = list(mlp().graph.node)
    x = value("x", ["n", FEATURES], TensorProto.FLOAT16)
    return model_of(graph_of(nodes, [x], [value("y", ["n", CLASSES], TensorProto.FLOAT16)], arrays))


def constants() -> ModelProto:
    """Weights and biases in Constant nodes, each in front of its consumer."""
    held = fitted()
    first, relu, second = mlp().graph.node
    nodes = [
        constant("fc1", held["fc1"]),
        constant("b1", held["b1"]),
        first,
        relu,
        constant("b2", held["b2"]),
        constant("fc2", held["fc2"]),
        second,
    ]
    return model_of(graph_of(nodes, [X], [Y]))


def typed() -> ModelProto:
    """Biases whose values stand in float_data."""
    model = mlp()
    for each in model.graph.initializer:
        array = onnx.numpy_helper.to_array(each)
        each.CopyFrom(helper.make_tensor(each.name, TensorProto.FLOAT, array.shape, array.ravel()))
    return model


def old() -> ModelProto:
    """IR 3, where initializers are inputs as well."""
    model = mlp(opset=11, ir=3)
    for each in model.graph.initializer:
        model.graph.input.append(value(each.name, list(each.dims)))
    return model


def normalised() -> ModelProto:
    """BatchNormalization with statistics of its own behind the first layer."""
    rng = np.random.default_rng(3)
    held = fitted()
    held |= {
        "gain": rng.uniform(0.5, 1.5, HIDDEN).astype(np.float32),
        "offset": rng.uniform(-0.2, 0.2, HIDDEN).astype(np.float32),
        "mean": rng.uniform(-0.3, 0.3, HIDDEN).astype(np.float32),
        "variance": rng.uniform(0.5, 2, HIDDEN).astype(np.float32),
    }
    first, relu, second = mlp().graph.node
    norm = node("BatchNormalization", ["h", "gain", "offset", "mean", "variance"], ["n"])
    relu.input[0] = "n"
    return model_of(graph_of([first, norm, relu, second], [X], [Y], held))


def tied() -> ModelProto:
    """One weight in two places: relu(x w) w^T, with a third layer behind."""
    rng = np.random.default_rng(4)
    held = {
        "w": (rng.standard_normal((FEATURES, HIDDEN)) / 4).astype(np.float32),
        "fc2": (rng.standard_normal((FEATURES, CLASSES)) / 2).astype(np.float32),
        "b": np.zeros(FEATURES, np.float32),
    }
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("Gemm", ["r", "w", "b"], ["s"], transB=1),
        node("MatMul", ["s", "fc2"], ["y"]),
    ]
    return model_of(graph_of(nodes, [X], [Y], held))


def nested() -> ModelProto:
    """Beside the layers that are trained an If, whose branches have a weight each that gets no gradient."""
    held = fitted()
    rng = np.random.default_rng(8)
    branches = []
    for name in ("then", "other"):
        product = node("MatMul", ["x", f"{name}.w"], [f"{name}.y"])
        own = {f"{name}.w": (rng.standard_normal((FEATURES, CLASSES)) / 4).astype(np.float32)}
        branches.append(graph_of([product], [], [value(f"{name}.y", None)], own, name))
    first, relu, second = mlp().graph.node
    second.output[0] = "z"
    nodes = [
        *(first, relu, second),
        node("ReduceSum", ["x"], ["total"], keepdims=0),
        node("Less", ["total", "zero"], ["flag"]),
        node("If", ["flag"], ["chosen"], then_branch=branches[0], else_branch=branches[1]),
        node("Add", ["z", "chosen"], ["y"]),
    ]
    return model_of(graph_of(nodes, [X], [Y], {**held, "zero": np.zeros((), np.float32)}))


def calling() -> ModelProto:
    """A weight in a local function that is called twice."""
    held = fitted()
    rng = np.random.default_rng(6)
    square = (rng.standard_normal((HIDDEN, HIDDEN)) / 6).astype(np.float32)
    body = [constant("w", square), node("MatMul", ["a", "w"], ["p"]), node("Relu", ["p"], ["q"])]
    function = helper.make_function(
        "own", "Layer", ["a"], ["q"], body, [helper.make_opsetid("", 17)]
    )
    nodes = [
        node("Gemm", ["x", "fc1", "b1"], ["h"]),
        node("Layer", ["h"], ["k"], domain="own"),
        node("Layer", ["k"], ["l"], domain="own"),
        node("Gemm", ["l", "fc2", "b2"], ["y"]),
    ]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    graph = graph_of(nodes, [X], [Y], held)
    return model_of(graph, functions=[function], opset_imports=imports)


MODELS: dict[str, tuple[Callable[[], ModelProto], float]] = {
    "initializers": (mlp, 1e-5),
    "float16": (halves, 4e-3),
    "Constant nodes": (constants, 1e-5),
    "float_data": (typed, 1e-5),
    "IR 3": (old, 1e-5),
    "BatchNormalization": (normalised, 1e-4),
    "a weight in two places": (tied, 1e-5),
    "If": (nested, 1e-5),
    "a local function": (calling, 1e-5),
}
VECTORS = {
    "BatchNormalization": {"b1", "b2", "gain", "offset"},
    "a weight in two places": {"b"},
}


def carried_out(bench: Bench) -> tuple[Course, Done, Path]:
    """The course, what was packed, and the artifact."""
    course = Course(bench.plan, bench.weights, bench.tuning, bench.config, bench.folder / "stages")
    course.run()
    surgeon = Surgeon(bench.model)
    done = course.pack(surgeon)
    surgeon.finish()
    out = bench.folder / "out"
    out.mkdir()
    pack.write_model(surgeon.model, out, bench.folder / "model.onnx")
    return course, done, out / pack.MODEL_NAME


def run(path: Path, x: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kind = np.float16 if "float16" in session.get_inputs()[0].type else np.float32
    (found,) = session.run(None, {"x": x.astype(kind)})
    return np.asarray(found, np.float64)


def settings(**weights: Any) -> dict[str, Any]:
    return {
        "output": "dense",
        "weights": weights or {"*": {"density": 0.4, "bits": 4}},
        "train": {"epochs": 2, "learning_rate": 0.003},
        "prune": {"rounds": 1},
    }


def vectors_in(model: ModelProto, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Biases and gains where the user keeps them: initializers, or Constant nodes."""
    held = {each.name: each for each in model.graph.initializer}
    for each in model.graph.node:
        if each.op_type == "Constant":
            held[each.output[0]] = each.attribute[0].t
    return {name: onnx.numpy_helper.to_array(held[name]) for name in names}


@pytest.mark.parametrize("name", MODELS)
def test_the_artifact_is_the_function_that_was_tuned(name: str, tmp_path: Path) -> None:
    make, tolerance = MODELS[name]
    arrays = blobs(300)
    if name == "float16":
        arrays["x"] = arrays["x"].astype(np.float16)
    bench = Bench.of(tmp_path, make(), arrays, **settings())
    _, done, artifact = carried_out(bench)
    held = bench.tuning.values
    assert bench.tuning.journal.phases[0].kept_epoch > 0
    assert {coded.row.name for coded in done.coded} == set(bench.weights)
    # The user's file is only read.
    assert (tmp_path / "model.onnx").read_bytes() == make().SerializeToString()
    assert set(held.vectors) == VECTORS.get(name, {"b1", "b2"})
    onnx.checker.check_model(artifact, full_check=True)
    tuned = tmp_path / "tuned.onnx"
    write_inference(tuned, bench.tuning.task, bench.tuning.values)
    x = blobs(60, seed=3)["x"]
    before, expected, found = (run(path, x) for path in (tmp_path / "model.onnx", tuned, artifact))
    scale = np.abs(expected).max()
    assert np.abs(found - expected).max() < tolerance * scale
    assert np.abs(before - expected).max() > 0.02 * scale
    before_training, written = (
        vectors_in(make(), held.vectors),
        vectors_in(onnx.load(artifact), held.vectors),
    )
    for bias, trained in held.vectors.items():
        kind = before_training[bias].dtype
        assert written[bias].dtype == kind
        np.testing.assert_array_equal(written[bias], trained.astype(kind))
        assert (written[bias] != before_training[bias]).any()
    for coded in done.coded:
        assert coded.facts.nonzeros == round(0.4 * coded.row.elements)


def test_a_weight_that_was_not_trained_is_not_said_to_be(tmp_path: Path) -> None:
    """Those in the branches of an If get no gradient; at 255 centroids 160 elements would become larger."""
    weights = {
        "fc*": {"density": 0.4, "bits": 4},
        "*.w": {"density": 1.0, "bits": 8, "init": "random"},
    }
    bench = Bench.of(
        tmp_path, nested(), blobs(300), **{**settings(**weights), "output": "portable"}
    )
    _, done, _ = carried_out(bench)
    reasons = {each.name: each.reason for each in done.kept}
    for name in ("then.w", "other.w"):
        assert reasons[name] == "pruned, but its codes would not be smaller than its floats"


def test_what_training_moved_beyond_float16_is_written_as_its_largest(tmp_path: Path) -> None:
    arrays = blobs(60)
    arrays["x"] = arrays["x"].astype(np.float16)
    weights = {
        "fc1": {"density": 0.4, "bits": 4},
        "fc2": {"density": 1.0, "bits": 8, "init": "random"},
    }
    raw = {**settings(**weights), "output": "portable"}
    bench = Bench.of(tmp_path, halves(), arrays, **raw)
    held = bench.tuning.values
    course = Course(bench.plan, bench.weights, bench.tuning, bench.config, tmp_path / "stages")
    course.run()
    assert set(held.codebooks) == {"fc1"}
    held.move_centroids("fc1", held.codebooks["fc1"] * np.float32(1e9))
    held.write("fc2", np.full(256, -1e6, np.float32))
    held.write_vector("b1", np.full(HIDDEN, 70_000, np.float32))
    surgeon = Surgeon(bench.model)
    course.pack(surgeon)
    surgeon.finish()
    stored = {each.name: each for each in surgeon.model.graph.initializer}
    arrays = {name: onnx.numpy_helper.to_array(each) for name, each in stored.items()}
    assert (arrays["fc2"] == -65504).all()
    assert (arrays["b1"] == 65504).all()
    (codebook,) = [each for name, each in arrays.items() if "codebook" in name]
    assert np.abs(codebook).max() == 65504


def test_a_weight_that_would_not_be_smaller_is_packed_as_trained_floats(tmp_path: Path) -> None:
    """256 elements at 255 centroids: what they become in the portable output is larger than they are."""
    weights = {
        "fc1": {"density": 0.4, "bits": 4},
        "fc2": {"density": 1.0, "bits": 8, "init": "random"},
    }
    bench = Bench.of(tmp_path, mlp(), blobs(300), **{**settings(**weights), "output": "portable"})
    _, done, artifact = carried_out(bench)
    assert [coded.row.name for coded in done.coded] == ["fc1"]
    (kept,) = [each for each in done.kept if each.name == "fc2"]
    assert "not be smaller" in kept.reason
    (found,) = [each for each in onnx.load(artifact).graph.initializer if each.name == "fc2"]
    array = onnx.numpy_helper.to_array(found).ravel()
    np.testing.assert_array_equal(array, bench.tuning.values.read("fc2"))
    assert (array != fitted()["fc2"].ravel()).mean() > 0.9
    tuned = tmp_path / "tuned.onnx"
    write_inference(tuned, bench.tuning.task, bench.tuning.values)
    x = blobs(60, seed=3)["x"]
    np.testing.assert_allclose(run(artifact, x), run(tuned, x), atol=1e-4)
