"""What the service's benchmark sends: magika's model in any number of versions, models that keep a job busy, real models."""

import itertools
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, load_model_from_string, numpy_helper

MODELS = Path(".models")
MAGIKA = MODELS / "magika/models/standard_v3_3/model.onnx"
# Of a model that is sent thousands of times.
MOST_BYTES = 5 << 20
# Trained for the paper's tables.
BASELINES = Path("benchmarks/baselines")
# What exporters of four frameworks have written of small nets, each another framework or another family of layers.
EXPORTS = Path("tests/golden/exports")
EXPORTED = (
    "torch-transformer",
    "torch-lstm-script",
    "tensorflow-cnn",
    "paddle-lstm",
    "sklearn-mlp",
)


def magika(version: int) -> bytes:
    """The model with one weight a little other than in any other version: no two have the same answer."""
    model = load_model_from_string(MAGIKA.read_bytes())
    tensor = max(model.graph.initializer, key=lambda each: each.ByteSize())
    values = numpy_helper.to_array(tensor).copy()
    values.flat[version % values.size] *= np.float32(1.0 + 1e-3 * (1 + version // values.size))
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model.SerializeToString()


def layers(*sizes: int, seed: int) -> bytes:
    """Fully connected layers of these sizes."""
    generator = np.random.default_rng(seed)
    nodes, weights = [], []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        values = generator.standard_normal((inputs, outputs), np.float32) / inputs**0.5
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"w{number}"))
        nodes.append(helper.make_node("MatMul", [f"x{number}", f"w{number}"], [f"x{number + 1}"]))
    last = len(sizes) - 1
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, ["n", sizes[0]])],
        [helper.make_tensor_value_info(f"x{last}", TensorProto.FLOAT, ["n", sizes[-1]])],
        weights,
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


def small(seed: int) -> bytes:
    """A model of 100 KB."""
    return layers(64, 256, 32, seed=seed)


def busy(seed: int) -> bytes:
    """A model of 34 MB."""
    return layers(1024, 2048, 2048, 1024, seed=seed)


def real() -> list[bytes]:
    """Twenty different models, the smallest first: those that packages ship, of at most 5 MiB, the LeNets, and exports of four frameworks."""
    paths = [
        *(path for path in MODELS.rglob("*.onnx") if path.stat().st_size <= MOST_BYTES),
        *BASELINES.glob("*.onnx"),
        *(EXPORTS / f"{name}.onnx" for name in EXPORTED),
    ]
    return sorted(
        {path.read_bytes() for path in paths}, key=lambda content: (len(content), content)
    )
