"""Small graphs around one operator, and sessions that know the operators."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import sparsebook_runtime
from tests.unit.runtime.payload_writer import Options, sparse_weight, write

Array = NDArray[Any]

_TYPES = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.int32): TensorProto.INT32,
    np.dtype(np.int64): TensorProto.INT64,
    np.dtype(np.uint8): TensorProto.UINT8,
    np.dtype(np.bool_): TensorProto.BOOL,
}


def u8(payload: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(payload, np.uint8)


def weight(
    shape: Sequence[int],
    density: float = 0.3,
    centroids: int = 31,
    seed: int = 0,
    options: Options | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A payload as a tensor, and the dense weight that it stands for."""
    codes, codebook, dense = sparse_weight(shape, density, centroids, seed)
    return u8(write(codes, codebook, options or Options())), dense


def normal(*shape: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def node(
    op: str, inputs: Sequence[str], domain: str = "sparsebook", **attributes: Any
) -> onnx.NodeProto:
    made = helper.make_node(op, list(inputs), ["y"], domain=domain)
    for name, value in attributes.items():
        kind = onnx.AttributeProto.INTS if value == [] else None
        made.attribute.append(helper.make_attribute(name, value, attr_type=kind))
    return made


def graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Array],
    initializers: Mapping[str, Array],
    opset: int = 17,
) -> onnx.ModelProto:
    """A model whose inputs have free dimensions and whose output is the float tensor y."""
    infos = [
        helper.make_tensor_value_info(name, _TYPES[value.dtype], [None] * value.ndim)
        for name, value in inputs.items()
    ]
    constants = [numpy_helper.from_array(value, name) for name, value in initializers.items()]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    return helper.make_model(
        helper.make_graph(list(nodes), "graph", infos, [output], constants),
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("sparsebook", 1)],
        ir_version=8,
    )


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised as well
    return sparsebook_runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(
    made: onnx.NodeProto, inputs: Mapping[str, Array], initializers: Mapping[str, Array]
) -> Array:
    (y,) = session(graph([made], inputs, initializers)).run(None, dict(inputs))
    return np.asarray(y)
