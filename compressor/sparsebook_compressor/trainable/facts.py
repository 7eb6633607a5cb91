"""What is known of a graph's values without running it: dtypes, shapes, constants, consumers."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from onnx import (
    ModelProto,
    NodeProto,
    TensorProto,
    TypeProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from sparsebook_compressor.admit import opset
from sparsebook_compressor.errors import NotTrainable
from sparsebook_compressor.graph.inference import NotInferred, infer_shapes
from sparsebook_compressor.graph.scopes import subgraphs
from sparsebook_compressor.trainable.lift import has_data

# A dimension is a number, or None where it is free.
Shape: TypeAlias = tuple[int | None, ...]

FLOATS = frozenset(
    {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
)


class Facts:
    """Facts about the main graph of a model as it is at this moment.

    Attributes:
        opset: of the model.
        makers: value -> the node that makes it.
    """

    def __init__(self, model: ModelProto, *, infer: bool = True) -> None:
        """Infer the shapes, unless they are not asked for.

        Raises:
            NotTrainable: the types of the graph contradict each other.
        """
        graph = (_inferred(model) if infer else model).graph
        self.opset = opset(model)
        self._types = {
            value.name: value.type for value in (*graph.value_info, *graph.input, *graph.output)
        }
        self._tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        self.makers = {name: node for node in model.graph.node for name in node.output if name}
        self._consumed = {value.name for value in model.graph.output}
        for node in model.graph.node:
            self._consumed.update(captured(node))
            self._consumed.update(node.input)

    def is_constant(self, name: str) -> bool:
        """Whether it is an initializer."""
        return name in self._tensors

    def is_consumed(self, name: str) -> bool:
        """Whether a node consumes it, or it is an output."""
        return name in self._consumed

    def dtype(self, name: str) -> int:
        """TensorProto.DataType; UNDEFINED where it is unknown."""
        if name in self._tensors:
            return self._tensors[name].data_type
        kind = self._tensor_type(name)
        return TensorProto.UNDEFINED if kind is None else kind.elem_type

    def may_be_float(self, name: str) -> bool:
        """Whether a gradient may be asked for it."""
        return self.dtype(name) in FLOATS or (
            self.dtype(name) == TensorProto.UNDEFINED and name != ""
        )

    def shape(self, name: str) -> Shape | None:
        """None where not even the rank is known."""
        if name in self._tensors:
            return tuple(self._tensors[name].dims)
        kind = self._tensor_type(name)
        if kind is None or not kind.HasField("shape"):
            return None
        return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)

    def rank(self, name: str) -> int | None:
        """Number of dimensions."""
        shape = self.shape(name)
        return None if shape is None else len(shape)

    def value(self, name: str) -> npt.NDArray[Any] | None:
        """The elements of an initializer whose data is at hand."""
        tensor = self._tensors.get(name)
        if tensor is None or not has_data(tensor):
            return None
        return np.asarray(numpy_helper.to_array(tensor))

    def _tensor_type(self, name: str) -> TypeProto.Tensor | None:
        kind = self._types.get(name)
        if kind is None or kind.WhichOneof("value") != "tensor_type":
            return None
        return kind.tensor_type


def _inferred(model: ModelProto) -> ModelProto:
    """With shapes; where onnx gives up, Conv and Reshape say the rank of their results, and it goes on from there."""
    told: set[str] = set()
    while True:
        inferred = _infer(model)
        hints = {name: rank for name, rank in _ranks(inferred).items() if name not in told}
        if not hints:
            return inferred
        told.update(hints)
        values = [value for value in inferred.graph.value_info if value.name not in hints]
        for name, rank in hints.items():
            values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank))
        copies = [ValueInfoProto.FromString(value.SerializeToString()) for value in values]
        model = inferred
        del model.graph.value_info[:]
        model.graph.value_info.extend(copies)


def _ranks(inferred: ModelProto) -> dict[str, int]:
    """Float results of unknown rank, and the rank that the inputs of their nodes tell."""
    graph = inferred.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    unknown: set[str] = set()
    for value in graph.value_info:
        kind = value.type.tensor_type
        if kind.HasField("shape"):
            shapes[value.name] = tuple(dim.dim_value for dim in kind.shape.dim)
        elif kind.elem_type == TensorProto.FLOAT:
            unknown.add(value.name)
    for value in graph.input:
        kind = value.type.tensor_type
        shapes[value.name] = tuple(dim.dim_value for dim in kind.shape.dim)
    found: dict[str, int] = {}
    for node in graph.node:
        if node.output[0] not in unknown or len(node.input) < 2:
            continue
        shape = shapes.get(node.input[1], ())
        if node.op_type in ("Conv", "ConvTranspose") and shape:
            found[node.output[0]] = len(shape)
        if node.op_type == "Reshape" and shape and shape[0]:
            found[node.output[0]] = shape[0]
    return found


def _infer(model: ModelProto) -> ModelProto:
    try:
        return infer_shapes(model, data_prop=True)
    except NotInferred as error:
        raise NotTrainable(
            f"shapes cannot be inferred: {error}; onnx.shape_inference shows it too: mend the model's export, or "
            "compress it without data"
        ) from error


def captured(node: NodeProto) -> set[str]:
    """Names that the subgraphs of a node take from around it, and some that they define themselves."""
    found: set[str] = set()
    for _, graph in subgraphs(node):
        found.update(value.name for value in graph.output)
        for inner in graph.node:
            found.update(inner.input)
            found |= captured(inner)
    return found
