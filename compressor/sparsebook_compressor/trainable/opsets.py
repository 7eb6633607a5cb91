"""The graph brought to an operator set that ONNX Runtime training 1.19 reads."""

import onnx
from onnx import ModelProto, NodeProto, helper, inliner

from sparsebook_compressor.admit import opset
from sparsebook_compressor.errors import NotTrainable
from sparsebook_compressor.graph.inference import NotInferred, infer_shapes

# Before opset 13 the gradient of Concat wants static shapes, and Split, Squeeze and ReduceSum take axes as attributes.
OLDEST, NEWEST = 13, 21


def convert(model: ModelProto) -> ModelProto:
    """A model of an opset from `OLDEST` to `NEWEST` and of the IR version that goes with it.

    Raises:
        NotTrainable: an op has no equivalent there.
    """
    here = opset(model)
    target = min(max(here, OLDEST), NEWEST)
    if target != here:
        if here > NEWEST:
            model = _without_newer(model)
        try:
            model = onnx.version_converter.convert_version(model, target)
        except (RuntimeError, ValueError, onnx.version_converter.ConvertError) as error:
            reason = str(error).strip().rsplit(": ", maxsplit=1)[-1]
            raise NotTrainable(
                f"the graph cannot be brought from opset {here} to {target}, which training needs: {reason}; export the model "
                f"with an opset from {OLDEST} to {NEWEST}"
            ) from error
    model.ir_version = 8 if target < 19 else 9 if target < NEWEST else 10
    return model


def without_functions(model: ModelProto) -> ModelProto:
    """Local functions written out where they are called, in the model's opset.

    Raises:
        NotTrainable: a function of another opset cannot be brought to the model's.
    """
    imports = {function.name: opset(function) for function in model.functions}
    mixed = any(version not in (0, opset(model)) for version in imports.values())
    try:
        return inliner.inline_local_functions(_typed(model) if mixed else model, mixed)
    except (RuntimeError, NotInferred) as error:
        raise NotTrainable(
            f"functions of other opsets than the graph's cannot be written out: {str(error).strip()}; export the model "
            "without local functions"
        ) from error


def _typed(model: ModelProto) -> ModelProto:
    """With the types that the inliner asks for, those of initializers too."""
    typed = infer_shapes(model)
    for tensor in typed.graph.initializer:
        typed.graph.value_info.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        )
    return typed


def _without_newer(model: ModelProto) -> ModelProto:
    """Ops that did not exist at `NEWEST` written out as the standard defines them, where it does so by a function."""
    nodes = [node for node in model.graph.node if not node.domain and _is_newer(node.op_type)]
    if not nodes:
        return model
    for node in nodes:
        _spell_defaults(node, opset(model))
    newer = sorted({node.op_type for node in nodes})
    return inliner.inline_selected_functions(
        _typed(model), [("", op) for op in newer], exclude=False, inline_schema_functions=True
    )


def _spell_defaults(node: NodeProto, version: int) -> None:
    """Attributes with their defaults: the inliner leaves them out of what it writes, even where the function needs one."""
    given = {attribute.name for attribute in node.attribute}
    for name, attribute in onnx.defs.get_schema(node.op_type, version, "").attributes.items():
        if name not in given and attribute.default_value.name:
            node.attribute.append(attribute.default_value)


def _is_newer(op: str) -> bool:
    try:
        onnx.defs.get_schema(op, NEWEST, "")
    except onnx.defs.SchemaError:
        return onnx.defs.has(op, "")
    return False
