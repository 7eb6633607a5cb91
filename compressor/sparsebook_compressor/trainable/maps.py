"""Outputs that are maps from class to probability, as matrices: training knows tensors alone."""

from onnx import ModelProto, TensorProto, helper

from sparsebook_compressor.graph.roles import is_zip_map


def unzip(model: ModelProto) -> list[str]:
    """Give the matrix in the place of a ZipMap's maps; in place, the names of the outputs that were."""
    outputs = {value.name: value for value in model.graph.output}
    done = []
    for node in model.graph.node:
        if not is_zip_map(node) or node.output[0] not in outputs:
            continue
        name = node.output[0]
        node.CopyFrom(helper.make_node("Identity", [node.input[0]], [name], node.name))
        outputs[name].CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        done.append(name)
    return done
