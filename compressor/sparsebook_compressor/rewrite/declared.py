"""Shapes that a model declares and its nodes contradict: corrected, before they are all that is known.

ONNX Runtime infers every shape from the nodes and only warns where the model says otherwise, so that a stale declaration does no harm. Behind
an operator of a library nothing is inferred, and the declaration is believed: the artifact would be refused for what the original
was forgiven.
"""

from onnx import ModelProto, TensorShapeProto, ValueInfoProto

from sparsebook_compressor.admit import without_large_tensors
from sparsebook_compressor.graph.inference import NotInferred, infer_shapes


def correct(model: ModelProto) -> tuple[str, ...]:
    """Give the main graph's values the shapes that its nodes give them, where another is declared.

    Args:
        model: as admitted; declarations are changed in it, nothing else.

    Returns:
        Names of the values whose declaration was wrong; empty where shapes cannot be inferred.
    """
    declared = [value for value in (*model.graph.value_info, *model.graph.output) if _shape(value)]
    inferred = _inferred(model) if declared else {}
    wrong = []
    for value in declared:
        found = inferred.get(value.name)
        if found is not None and _contradicts(value.type.tensor_type.shape, found):
            value.type.tensor_type.shape.CopyFrom(found)
            wrong.append(value.name)
    return tuple(wrong)


def _inferred(model: ModelProto) -> dict[str, TensorShapeProto]:
    """What the nodes alone say, without what is declared of their outputs."""
    light = without_large_tensors(model)
    for value in light.graph.output:
        if value.type.WhichOneof("value") == "tensor_type":
            value.type.tensor_type.ClearField("shape")
    try:
        found = infer_shapes(light).graph
    except NotInferred:
        return {}  # nothing is known better than what is declared
    values = (*found.value_info, *found.output)
    return {value.name: value.type.tensor_type.shape for value in values if _shape(value)}


def _shape(value: ValueInfoProto) -> bool:
    kind = value.type
    return kind.WhichOneof("value") == "tensor_type" and kind.tensor_type.HasField("shape")


def _contradicts(one: TensorShapeProto, other: TensorShapeProto) -> bool:
    """Whether two shapes cannot be of one value."""
    if len(one.dim) != len(other.dim):
        return True
    return any(
        a.HasField("dim_value") and b.HasField("dim_value") and a.dim_value != b.dim_value
        for a, b in zip(one.dim, other.dim, strict=True)
    )
