"""The graph brought to an operator set that ONNX Runtime training 1.19 reads."""

import onnx
from onnx import ModelProto, inliner

from sparsebook_compressor.admit import opset
from sparsebook_compressor.errors import NotTrainable

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


def _without_newer(model: ModelProto) -> ModelProto:
    """Ops that did not exist at `NEWEST` written out as the standard defines them, where it does so by a function."""
    newer = sorted({node.op_type for node in model.graph.node if _is_newer(node.op_type)})
    if not newer:
        return model
    return inliner.inline_selected_functions(
        model, [("", op) for op in newer], exclude=False, inline_schema_functions=True
    )


def _is_newer(op: str) -> bool:
    try:
        onnx.defs.get_schema(op, NEWEST, "")
    except onnx.defs.SchemaError:
        return onnx.defs.has(op, "")
    return False
