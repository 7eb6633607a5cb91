"""Every float of a graph made float32."""

import numpy as np
from onnx import AttributeProto, ModelProto, TensorProto, TypeProto, numpy_helper

from sparsebook_compressor.graph.scopes import scopes
from sparsebook_compressor.trainable.lift import has_data

_OTHER = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE})
# Attributes that name a dtype, of Cast, RandomNormal, Bernoulli, EyeLike, SequenceEmpty and their like.
_DTYPES = frozenset({"to", "dtype", "output_dtype"})


def widen(model: ModelProto) -> bool:
    """Make float16, bfloat16 and float64 float32, in place; whether there was any."""
    changed = False
    for scope in scopes(model):
        if scope.graph is not None:
            for tensor in scope.graph.initializer:
                changed |= _tensor(tensor)
            for value in (*scope.graph.input, *scope.graph.output):
                changed |= _type(value.type)
            del scope.graph.value_info[:]
        for node in scope.body.node:
            for attribute in node.attribute:
                changed |= _attribute(attribute)
    return changed


def _attribute(attribute: AttributeProto) -> bool:
    if attribute.type == AttributeProto.TENSOR:
        return _tensor(attribute.t)
    if attribute.type == AttributeProto.TYPE_PROTO:
        return _type(attribute.tp)
    if attribute.name in _DTYPES and attribute.i in _OTHER:
        attribute.i = TensorProto.FLOAT
        return True
    return False


def _type(kind: TypeProto) -> bool:
    match kind.WhichOneof("value"):
        case "tensor_type":
            if kind.tensor_type.elem_type not in _OTHER:
                return False
            kind.tensor_type.elem_type = TensorProto.FLOAT
            return True
        case "sequence_type":
            return _type(kind.sequence_type.elem_type)
        case "optional_type":
            return _type(kind.optional_type.elem_type)
        case _:
            return False


def _tensor(tensor: TensorProto) -> bool:
    if tensor.data_type not in _OTHER:
        return False
    if not has_data(tensor):
        tensor.data_type = TensorProto.FLOAT
        return True
    name = tensor.name
    with np.errstate(over="ignore"):
        values = numpy_helper.to_array(tensor).astype(np.float32)
    tensor.CopyFrom(numpy_helper.from_array(values, name))
    return True
