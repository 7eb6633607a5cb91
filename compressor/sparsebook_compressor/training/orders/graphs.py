"""The graphs of a task with the weights as they are: pruned or shared for a worker, whole for ONNX Runtime."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, SparseTensorProto, TensorProto, helper

from sparsebook_compressor.graph.tensors import is_float, read, read_sparse, read_stored
from sparsebook_compressor.graph.view import Holder
from sparsebook_compressor.training.losses.attach import adapt_inputs, attach
from sparsebook_compressor.training.orders.order import write_graph
from sparsebook_compressor.training.orders.parameters import Fill, Parameter, prune
from sparsebook_compressor.training.orders.rate import add_rate, kilobytes
from sparsebook_compressor.training.orders.rounding import Bins, rounded
from sparsebook_compressor.training.orders.task import Task
from sparsebook_compressor.training.orders.values import Values

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class TrainingGraph:
    """A training graph, where its data comes from, what of it is trained, and which weights that stands for."""

    model: ModelProto
    fill: Fill
    parameters: tuple[str, ...]
    entered: dict[str, Parameter]

    @property
    def constants(self) -> tuple[str, ...]:
        """Inputs that are the same in every run."""
        return tuple(name for each in self.entered.values() for name in each.constants)


def pruned_graph(
    task: Task, values: Values, names: Mapping[str, str], rate: float
) -> TrainingGraph:
    """The graph in which survivors are trained.

    Args:
        task: what is trained.
        values: the weights.
        names: of the weights that are trained -> their initializers.
        rate: what the size of the weights as the user has them weighs in the loss, 0 for none.
    """
    model = attach(task.trainable.model, task.objective, task.dataset)
    entered = {
        name: prune(model, initializer, partial(values.read, name))
        for name, initializer in names.items()
    }
    if rate > 0:
        rms = {name: _rms(values.original(name)) for name in entered}
        size = sum(kilobytes(values.original(name), rms[name]) for name in entered)
        scales = {parameter.value: rms[name] for name, parameter in entered.items()}
        add_rate(model, scales, rate / max(size, 1e-9))
    return _graph(task, values, model, entered)


def rounded_graph(
    task: Task, floats: Values, values: Values, names: Mapping[str, str]
) -> TrainingGraph:
    """The graph in which weights are trained while it sees their centroids.

    Args:
        task: what is trained.
        floats: the weights as they were before they were shared.
        values: the shared weights.
        names: of the weights that are trained -> their initializers.
    """
    model = attach(task.trainable.model, task.objective, task.dataset)
    codebooks = values.codebooks
    entered = {}
    for name, initializer in names.items():
        read = partial(floats.read, name)
        parameter = prune(model, initializer, read)
        alive = read()
        bins = Bins.of(codebooks[name], alive[alive != 0])
        entered[name] = rounded(model, parameter, bins)
    return _graph(task, values, model, entered)


def shared_graph(task: Task, values: Values, names: Mapping[str, str]) -> TrainingGraph:
    """The graph in which centroids are trained; arguments as `pruned_graph`."""
    model = attach(task.trainable.model, task.objective, task.dataset)
    codebooks = values.codebooks
    entered = {
        name: task.sharing(model, initializer, codebooks[name], partial(values.codes, name))
        for name, initializer in names.items()
    }
    return _graph(task, values, model, entered)


def write_inference(path: Path, task: Task, values: Values) -> None:
    """Write the model for ONNX Runtime, with the original's inputs and outputs."""
    model = ModelProto()
    model.CopyFrom(task.trainable.model)
    adapt_inputs(model, task.dataset, sampled=False)
    write_graph(path, model, _fill(task, values), task.source)


def write_loss(path: Path, task: Task, values: Values, inputs: Iterable[str]) -> None:
    """Write the graph of loss and metric; some of the initializers become inputs, to be fed in every run."""
    model = attach(task.trainable.model, task.objective, task.dataset)
    graph, wanted = model.graph, set(inputs)
    for tensor in [tensor for tensor in graph.initializer if tensor.name in wanted]:
        shape = list(tensor.dims)
        graph.input.append(helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, shape))
        graph.initializer.remove(tensor)
    write_graph(path, model, _fill(task, values), task.source)


def _graph(
    task: Task, values: Values, model: ModelProto, entered: dict[str, Parameter]
) -> TrainingGraph:
    fill = _fill(task, values)
    for parameter in entered.values():
        fill.update(parameter.fill)
    trained = (*(parameter.name for parameter in entered.values()), *task.vectors)
    return TrainingGraph(model, fill, trained, entered)


def _fill(task: Task, values: Values) -> Fill:
    """Where the data of every tensor without data comes from."""
    constants: Fill = {
        name: partial(_read, holder, task.source)
        for name, holder in task.trainable.constants.items()
    }
    weights: Fill = {
        initializer: partial(values.read, name)
        for name, initializer in task.trainable.weights.items()
    }
    vectors: Fill = {name: partial(_given, vector) for name, vector in values.vectors.items()}
    return {**constants, **weights, **vectors}


def _rms(original: npt.NDArray[np.float32]) -> float:
    return math.sqrt(float(np.square(original, dtype=np.float64).mean()))


def _given(array: Array) -> Array:
    return array


def _read(holder: Holder, source: Path) -> Array:
    if isinstance(holder, SparseTensorProto):
        return read_sparse(holder, source)
    tensor: TensorProto = holder
    return read(tensor, source) if is_float(tensor) else read_stored(tensor, source)
