"""Which recurrent nodes the operator library computes: those that take both weights as payloads, in the plain form (docs/operator.md)."""

from onnx import AttributeProto, NodeProto

from sparsebook_compressor.graph.uses import Use

OPS = ("LSTM", "GRU")
WEIGHTS = (1, 2)
"""The inputs W and R."""
RANK = 3
"""Axes of either."""
PEEPHOLES = 7
"""The input that no kernel takes, the last one of LSTM."""
_DEFAULTS = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"]}


def partner(use: Use) -> int | None:
    """The input of the other weight that the node needs a payload for; None for nodes that need but one."""
    return sum(WEIGHTS) - use.index if use.node.op_type in OPS else None


def is_plain(node: NodeProto) -> bool:
    """Whether nothing about a node is beyond the kernels: no peepholes, clips, other activations or layouts."""
    known = all(_is_known(attribute, node.op_type) for attribute in node.attribute)
    sized = any(attribute.name == "hidden_size" for attribute in node.attribute)
    return known and sized and not any(node.input[PEEPHOLES:])


def _is_known(attribute: AttributeProto, op: str) -> bool:
    if attribute.ref_attr_name:
        return False
    match attribute.name:
        case "hidden_size" | "direction" | "linear_before_reset":
            return True
        case "layout" | "input_forget":
            return attribute.i == 0
        case "activations":  # of one direction or two
            names = [name.decode("utf-8", "replace").lower() for name in attribute.strings]
            return names in (_DEFAULTS[op], 2 * _DEFAULTS[op])
    return False
