"""Plain training of a small classifier with the fine-tuning worker, where there is nothing to compress yet."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper, numpy_helper

from benchmarks import mnist
from benchmarks.worker import worker
from sparsebook_compressor import admit
from sparsebook_compressor.feeds import input_specs
from sparsebook_compressor.graph.view import survey
from sparsebook_compressor.progress import TrainingProgress
from sparsebook_compressor.trainable import prepare
from sparsebook_compressor.training.data.dataset import Dataset
from sparsebook_compressor.training.orders.order import Order, Result, read_result, write_order

OUTPUTS = ("loss", "metric_sum", "metric_weight")


@dataclass(frozen=True)
class Recipe:
    """AdamW with a cosine schedule down to zero; the epoch with the best accuracy on the eval part is kept.

    `shift` is the most pixels by which an image is moved while training (docs/fine-tuning.md).
    """

    epochs: int
    learning_rate: float
    batch_size: int
    weight_decay: float
    seed: int
    shift: int = 0


def fit(model: ModelProto, data: mnist.Mnist, shape: tuple[int, ...], recipe: Recipe) -> Result:
    """Train all of a classifier's initializers for cross-entropy with the labels.

    Args:
        model: one float input, one output of scores [n, classes], weights in initializers; they are changed in place.
        data: whose train part trains; the eval part is measured after every epoch.
        shape: of a sample of the input.
        recipe: how.

    Returns:
        The worker's account. Its files are gone.
    """
    parameters = tuple(
        tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT
    )
    with tempfile.TemporaryDirectory(prefix="sparsebook-fit-") as name:
        folder = Path(name)
        given = folder / "data.npz"
        mnist.write_npz(given, data, model.graph.input[0].name, shape)
        dataset = Dataset.prepare([given], input_specs(model), folder / "data", recipe.seed)
        given.unlink()
        order = Order(
            parameters=parameters,
            metric="mean",
            batch_size=recipe.batch_size,
            feed=recipe.batch_size,
            epochs=recipe.epochs,
            learning_rate=recipe.learning_rate,
            optimizer="adamw",
            schedule="cosine",
            weight_decay=recipe.weight_decay,
            patience=None,
            seed=recipe.seed,
            keep_start=False,
            shift={model.graph.input[0].name: recipe.shift} if recipe.shift else {},
        )
        values = {tensor.name: _reader(tensor) for tensor in model.graph.initializer}
        graph = training_graph(_differentiable(model, folder / "model.onnx"))
        write_order(folder / "order", order, graph, values, folder / "none")
        done = worker()(folder / "order", dataset.shared, folder / "work", _ignore)
        result = read_result(done, parameters)
        for tensor in model.graph.initializer:
            if tensor.name in parameters:
                trained = np.array(result.read(tensor.name))
                tensor.CopyFrom(numpy_helper.from_array(trained, tensor.name))
    return result


def training_graph(model: ModelProto) -> ModelProto:
    """The classifier with cross-entropy as its loss and hits as its metric: what the worker takes."""
    made = ModelProto()
    made.CopyFrom(model)
    graph, node = made.graph, helper.make_node
    scores = graph.output[0].name
    graph.input.append(helper.make_tensor_value_info("labels", TensorProto.INT64, ["N"]))
    graph.node.extend(
        [
            node("SoftmaxCrossEntropyLoss", [scores, "labels"], ["loss", "logs"], reduction="mean"),
            node("ArgMax", [scores], ["found"], axis=1, keepdims=0),
            node("Equal", ["found", "labels"], ["right"]),
            node("Cast", ["right"], ["hits"], to=TensorProto.FLOAT),
            node("ReduceSum", ["hits"], ["metric_sum"], keepdims=0),
            node("Shape", ["labels"], ["samples"]),
            node("Cast", ["samples"], ["samples.float"], to=TensorProto.FLOAT),
            node("ReduceSum", ["samples.float"], ["metric_weight"], keepdims=0),
        ]
    )
    del graph.output[:]
    for name in OUTPUTS:
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, []))
    return made


def _differentiable(model: ModelProto, path: Path) -> ModelProto:
    """The same function of ops that have a gradient; `path` is written."""
    path.write_bytes(model.SerializeToString())
    admitted = admit.load(path)
    return prepare(admitted, survey(admitted, path)).model


def _reader(tensor: TensorProto) -> Callable[[], npt.NDArray[np.float32]]:
    return partial(numpy_helper.to_array, tensor)


def _ignore(progress: TrainingProgress) -> None:
    """Nobody watches."""
