"""Operators back to the standard nodes that they stand for: one of the same name, and what was fused into it behind it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, NodeProto, TensorProto, helper

from sparsebook_compressor.admit import opset
from sparsebook_compressor.errors import InvalidGraph
from sparsebook_compressor.graph.attributes import float_attribute, int_attribute
from sparsebook_compressor.graph.scopes import Scope
from sparsebook_compressor.rewrite.fusing import ADDEND, BIAS, OPSET_CLIP_INPUTS, SCALE
from sparsebook_compressor.rewrite.surgery import Surgeon, fill

_OURS = {"activation", "low", "high"}


def replace(
    surgeon: Surgeon, scope: Scope, node: NodeProto, index: int, name: str, shape: Sequence[int]
) -> None:
    """Make an operator standard nodes.

    Args:
        surgeon: holds the model.
        scope: of the operator.
        node: the operator; it becomes the first of the nodes, or the one behind a Transpose where a MatMul has `transB`.
        index: which of its inputs is the payload.
        name: the weight, which has taken the payload's place.
        shape: the weight's.

    Raises:
        InvalidGraph: an activation that is not known.
    """
    behind = _behind(surgeon, scope, node, shape)
    node.domain = ""
    node.input[index] = name
    transposed = node.op_type == "MatMul" and int_attribute(node, "transB") == 1
    extra = _OURS | ({"transB"} if node.op_type == "MatMul" else set())
    kept = [
        AttributeProto.FromString(a.SerializeToString())
        for a in node.attribute
        if a.name not in extra
    ]
    del node.attribute[:]
    node.attribute.extend(kept)
    if transposed:
        turned = surgeon.fresh(f"{name}.transposed")
        surgeon.put_before(
            scope, node, helper.make_node("Transpose", [name], [turned], perm=[1, 0])
        )
        node.input[index] = turned
    _chain(surgeon, scope, node, behind)


def _behind(
    surgeon: Surgeon, scope: Scope, node: NodeProto, shape: Sequence[int]
) -> list[NodeProto]:
    """The nodes that an operator has taken in, but for what they take from each other and their outputs."""
    found = []
    if node.op_type == "MatMul":
        bias = next(iter(node.input[2:]), "")
        del node.input[2:]
        if bias:
            found.append(helper.make_node("Add", [bias], []))
    if node.op_type == "Conv" and len(node.input) > ADDEND:
        bias, addend, scale = [*node.input[BIAS:], ""][: SCALE - BIAS + 1]
        del node.input[ADDEND:]
        if scale:
            del node.input[BIAS:]
            found.append(_normalisation(surgeon, scope, node, scale, bias, shape[0]))
        elif not bias:
            del node.input[BIAS:]
        if addend:
            found.append(helper.make_node("Add", [addend], []))
    given = (attribute.s for attribute in node.attribute if attribute.name == "activation")
    match next(given, b"none"):
        case b"none":
            pass
        case b"relu":
            found.append(helper.make_node("Relu", [], []))
        case b"clip":
            found.append(_clip(surgeon, scope, node))
        case other:
            raise InvalidGraph(
                f"{node.op_type} {node.name!r}: activation {other!r} is not known to this version"
            )
    return found


def _normalisation(
    surgeon: Surgeon, scope: Scope, node: NodeProto, scale: str, bias: str, channels: int
) -> NodeProto:
    """A BatchNormalization of mean 0 and variance 1: ONNX Runtime folds it into the weight."""
    zeros, ones = (
        _constant(surgeon, scope, node, f"{scale}.{wish}", np.full(channels, value, np.float32))
        for wish, value in (("zeros", 0), ("ones", 1))
    )
    return helper.make_node(
        "BatchNormalization", [scale, bias or zeros, zeros, ones], [], epsilon=0.0
    )


def _clip(surgeon: Surgeon, scope: Scope, node: NodeProto) -> NodeProto:
    low, high = float_attribute(node, "low"), float_attribute(node, "high")
    if opset(scope.function or surgeon.model) < OPSET_CLIP_INPUTS:
        return helper.make_node("Clip", [], [], min=low, max=high)
    ends = {"low": low, "high": high}
    names = [
        ""
        if bound is None
        else _constant(surgeon, scope, node, f"{node.output[0]}.{end}", np.array(bound, np.float32))
        for end, bound in ends.items()
    ]
    while names and not names[-1]:
        names.pop()
    return helper.make_node("Clip", names, [])


def _constant(
    surgeon: Surgeon, scope: Scope, node: NodeProto, wish: str, value: npt.NDArray[np.float32]
) -> str:
    tensor = TensorProto()
    fill(tensor, surgeon.fresh(wish), value)
    if scope.graph is not None:
        surgeon.add_initializer(scope.graph, tensor)
    else:
        surgeon.put_before(
            scope, node, helper.make_node("Constant", [], [tensor.name], value=tensor)
        )
    return tensor.name


def _chain(surgeon: Surgeon, scope: Scope, node: NodeProto, behind: list[NodeProto]) -> None:
    """Nodes behind one another; the last one's output has the name of the operator's."""
    output, last = node.output[0], node
    for new in behind:
        between = surgeon.fresh(f"{output}.before_{new.op_type.lower()}")
        del last.output[:]
        last.output.append(between)
        inputs = [between, *new.input]
        del new.input[:]
        new.input.extend(inputs)
        last = new
        last.output.append("")
    last.output[0] = output
    for new in behind:
        surgeon.put_behind(scope, node, new)
