"""ONNX's inference of types and shapes, whose C++ throws more than it declares."""

import onnx
from onnx import ModelProto


class NotInferred(Exception):
    """Types and shapes of a model cannot be told; the message is ONNX's own."""


def infer_shapes(model: ModelProto, *, data_prop: bool = False) -> ModelProto:
    """A copy of a model that says all types and shapes which follow from its nodes.

    Raises:
        NotInferred: some nodes or tensors are such that none follow.
    """
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=data_prop)
    except (
        RuntimeError,
        ValueError,
        IndexError,
        TypeError,
        onnx.shape_inference.InferenceError,
    ) as error:
        raise NotInferred(str(error).strip()) from error
