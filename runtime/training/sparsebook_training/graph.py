"""The graph that is trained, and what ONNX Runtime trains it with: gradient graph, eval graph, optimizer graph, first checkpoint."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, TensorProto, helper

from sparsebook_training.errors import Failed
from sparsebook_training.npy import Input
from sparsebook_training.order import Order
from sparsebook_training.reason import reason, written
from sparsebook_training.remake import remake
from sparsebook_training.torchless import artifacts, onnxblock

OUTPUTS = ("loss", "metric_sum", "metric_weight")
# The gradient starts from loss x share, so that the runs of a batch add up to the batch's mean exactly, whatever the optimizer.
SHARE = "sparsebook.share"
_WEIGHED = "sparsebook.weighed_loss"
_OPSETS = range(12, 22)
_MOST_IR = 10


@dataclass(frozen=True, slots=True)
class Artifacts:
    """The files that a training session is made of.

    Attributes:
        training: the gradient graph.
        evaluation: the graph without gradients.
        optimizer: the step.
        checkpoint: the parameters' first values.
    """

    training: Path
    evaluation: Path
    optimizer: Path
    checkpoint: Path


def load(folder: Path, order: Order) -> ModelProto:
    """`model.onnx` of an order.

    Raises:
        Failed: it is missing or damaged, refers to other files, or is not as docs/training.md, section 1, asks.
    """
    path = folder / "model.onnx"
    try:
        model = onnx.load(path, load_external_data=False)
    except FileNotFoundError as error:
        raise Failed("internal", f"model.onnx is missing in {folder}") from error
    except DecodeError as error:
        raise Failed("internal", f"model.onnx is no ONNX model: {error}") from error
    if model.ir_version > _MOST_IR:
        raise _unfit(f"its IR version is {model.ir_version}, at most {_MOST_IR} can be trained")
    opset = next(
        (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0
    )
    if opset not in _OPSETS:
        raise _unfit(f"its opset is {opset}, only {_OPSETS[0]} to {_OPSETS[-1]} can be trained")
    outputs = tuple(output.name for output in model.graph.output)
    if outputs != OUTPUTS:
        raise _unfit(f"its outputs are {', '.join(outputs)}, not {', '.join(OUTPUTS)}")
    for tensor in _tensors(model.graph):
        # ONNX Runtime 1.19.2 follows such paths out of the folder, and crashes on some.
        if tensor.data_location == TensorProto.EXTERNAL:
            raise _unfit(f"{tensor.name!r} refers to another file; weights have to be inside")
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    for name in order.parameters:
        if name not in initializers:
            raise _unfit(f"the parameter {name!r} is no initializer of it")
        if initializers[name].data_type != TensorProto.FLOAT:
            raise _unfit(f"the parameter {name!r} is not float32")
    if shadowed := initializers.keys() & {value.name for value in model.graph.input}:
        raise _unfit(f"{min(shadowed)!r} is both an initializer and an input")
    return model


def inputs(model: ModelProto) -> dict[str, Input]:
    """What the graph is fed, by name.

    Raises:
        Failed: an input is no tensor of numbers, or of unknown rank.
    """
    return {value.name: _input(value) for value in model.graph.input}


def build(model: ModelProto, order: Order, folder: Path) -> Artifacts:
    """Write the artifacts of a graph into an empty folder.

    Args:
        model: as `load` gives it; it is changed.
        order: parameters and optimizer.
        folder: exists.

    Raises:
        Failed: ONNX Runtime cannot build the gradients ("not-trainable"), with its reason.
        OSError: there is no room.
    """
    fed = {SHARE, *(value.name for value in model.graph.input)} - set(order.constants)
    model.graph.input.append(helper.make_tensor_value_info(SHARE, TensorProto.FLOAT, []))
    model.graph.node.append(helper.make_node("Mul", [OUTPUTS[0], SHARE], [_WEIGHED]))
    # The gradient starts from the first output.
    model.graph.output.insert(0, helper.make_tensor_value_info(_WEIGHED, TensorProto.FLOAT, []))
    optimizer = (
        onnxblock.optim.AdamW(weight_decay=order.weight_decay)
        if order.optimizer == "adamw"
        else onnxblock.optim.SGD()
    )
    try:
        artifacts.generate_artifacts(
            model,
            requires_grad=list(order.parameters),
            optimizer=optimizer,
            artifact_directory=folder,
        )
    except OSError:
        raise
    except Exception as error:  # whatever class ONNX, its checker or ONNX Runtime's binding chose
        if unwritten := written(error):
            raise unwritten from error
        raise Failed("not-trainable", f"the graph cannot be trained: {reason(error)}") from error
    training = folder / "training_model.onnx"
    if order.constants:
        remake(training, order.constants, fed, f"{_WEIGHED}_grad")
    return Artifacts(
        training,
        folder / "eval_model.onnx",
        folder / "optimizer_model.onnx",
        folder / "checkpoint",
    )


def _unfit(message: str) -> Failed:
    return Failed("not-trainable", f"model.onnx: {message}")


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _input(value: onnx.ValueInfoProto) -> Input:
    kind = value.type.tensor_type
    if value.type.WhichOneof("value") != "tensor_type" or not kind.HasField("shape"):
        raise _unfit(f"the input {value.name!r} is no tensor of a known rank")
    try:
        dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
    except KeyError as error:
        raise _unfit(f"the input {value.name!r} has no known dtype") from error
    if dtype.kind not in "biuf":
        raise _unfit(f"the input {value.name!r} is {dtype}, only numbers can be fed")
    dims = tuple(
        dim.dim_value if dim.WhichOneof("value") == "dim_value" and dim.dim_value > 0 else None
        for dim in kind.shape.dim
    )
    return Input(np.dtype(dtype), dims)
