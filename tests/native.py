"""The C++ decoder, reached the way a model reaches it: a `sparsebook::Decode` node in ONNX Runtime."""

import re

import numpy as np
import onnxruntime as ort
from onnx import AttributeProto, TensorProto, helper

from sparsebook_runtime import library_path


def decode(payload: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """The weight as float32 of `shape`; whatever ONNX Runtime raises where the payload is refused."""
    return session(payload, shape).run(None, {})[0]


def session(payload: bytes, shape: tuple[int, ...]) -> ort.InferenceSession:
    node = helper.make_node("Decode", ["payload"], ["weight"], domain="sparsebook")
    node.attribute.append(helper.make_attribute("shape", shape, attr_type=AttributeProto.INTS))
    output = helper.make_tensor_value_info("weight", TensorProto.FLOAT, shape)
    tensor = helper.make_tensor("payload", TensorProto.UINT8, [len(payload)], payload, raw=True)
    graph = helper.make_graph([node], "decode", [], [output], [tensor])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("sparsebook", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.register_custom_ops_library(str(library_path()))
    return ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def rule_against(payload: bytes, shape: tuple[int, ...]) -> str:
    """The id for which a session over the payload is refused, "" where it is not."""
    try:
        session(payload, shape)
    except Exception as error:  # its class depends on whether the optimiser folds the node first
        found = re.search(r"payload: ([a-z-]+): ", str(error))
        if found is None:
            raise
        return found[1]
    return ""
