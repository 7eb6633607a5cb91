"""Small real models, made here."""

import itertools
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

OPSET = [helper.make_opsetid("", 17)]


def mlp(*sizes: int, seed: int = 0) -> ModelProto:
    """Fully connected layers with normal, He-scaled weights; input `x` [n, first], output `y` [n, last]."""
    generator = np.random.default_rng(seed)
    nodes, weights, name = [], [], "x"
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        values = generator.standard_normal((inputs, outputs), np.float32) * (2 / inputs) ** 0.5
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"w{layer}"))
        last = layer == len(sizes) - 2
        out = "y" if last else f"h{layer}"
        nodes.append(helper.make_node("MatMul", [name, f"w{layer}"], [out]))
        if not last:
            nodes.append(helper.make_node("Relu", [out], [f"r{layer}"]))
        name = f"r{layer}"
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", sizes[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", sizes[-1]])],
        weights,
    )
    return helper.make_model(graph, opset_imports=OPSET, ir_version=8)


def recurrent(into: int = 20, hidden: int = 24, seed: int = 0) -> ModelProto:
    """A bidirectional LSTM and two GRUs with optional outputs, given and not; input `x` [1, steps, into], output `y` [1, …]."""
    generator = np.random.default_rng(seed)

    def values(*shape: int) -> np.ndarray:
        return (generator.standard_normal(shape) / shape[-1] ** 0.5).astype(np.float32)

    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node(
            "LSTM",
            ["t", "w0", "r0", "b0"],
            ["a", "", "c"],
            hidden_size=hidden,
            direction="bidirectional",
        ),
        helper.make_node("GRU", ["t", "w1", "r1"], ["", "g"], hidden_size=hidden),
        helper.make_node(
            "GRU", ["t", "w1", "r1"], ["h"], hidden_size=hidden, linear_before_reset=1
        ),
        helper.make_node("Gather", ["table", "ids"], ["e"]),
        *(helper.make_node("Reshape", [each, "row"], [f"{each}.row"]) for each in "acghe"),
        helper.make_node("Concat", [f"{each}.row" for each in "acghe"], ["y"], axis=1),
    ]
    weights = {
        "w0": values(2, 4 * hidden, into),
        "r0": values(2, 4 * hidden, hidden),
        "b0": values(2, 8 * hidden),
        "w1": values(1, 3 * hidden, into),
        "r1": values(1, 3 * hidden, hidden),
        "table": values(50, 70),
        "ids": np.array([[3, -1], [49, 0]]),
        "row": np.array([1, -1]),
    }
    graph = helper.make_graph(
        nodes,
        "recurrent",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "steps", into])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, "n"])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=OPSET, ir_version=8)


def small(seed: int = 0) -> bytes:
    """A model of 99 KB whose weights are all worth compressing."""
    return mlp(64, 256, 32, seed=seed).SerializeToString()


def slow(seed: int = 0) -> bytes:
    """A model of 34 MB, which keeps a job busy for some seconds."""
    return mlp(1024, 2048, 2048, 1024, seed=seed).SerializeToString()


def with_nan() -> bytes:
    """A weight holds NaN."""
    model = mlp(64, 256, 32)
    values = numpy_helper.to_array(model.graph.initializer[0]).copy()
    values[3, 5] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "w0"))
    return model.SerializeToString()


def without_weights() -> bytes:
    """Nothing but an activation."""
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])],
    )
    model = helper.make_model(graph, opset_imports=OPSET, ir_version=8)
    return model.SerializeToString()


def invalid_graph() -> bytes:
    """A node reads a tensor that nobody makes."""
    model = mlp(64, 256, 32)
    model.graph.node[1].input[0] = "nowhere"
    return model.SerializeToString()


def with_external(folder: Path, location: str = "weights.bin") -> Path:
    """A model in `folder` whose weights lie in one external file."""
    path = folder / "model.onnx"
    onnx.save(
        mlp(64, 256, 32),
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=location,
        size_threshold=0,
    )
    return path


def pointing_at(location: str) -> bytes:
    """A model whose first weight claims to lie in a file of this name."""
    model = mlp(64, 256, 32)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return model.SerializeToString()


def samples(count: int = 12, seed: int = 1) -> dict[str, np.ndarray]:
    """Inputs for `mlp(64, …)`, as a data file holds them."""
    return {"x": np.random.default_rng(seed).normal(size=(count, 64)).astype(np.float32)}
