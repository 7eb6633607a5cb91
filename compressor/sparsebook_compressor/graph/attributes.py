"""Attributes of a node, read with their defaults."""

from onnx import AttributeProto, NodeProto


def int_attribute(node: NodeProto, name: str, default: int = 0) -> int:
    """An integer attribute; the default where it is absent, or is an attribute of the function around the node."""
    found = _attribute(node, name)
    return default if found is None else int(found.i)


def ints_attribute(node: NodeProto, name: str) -> list[int]:
    """A list of integers; empty where it is absent, or is an attribute of the function around the node."""
    found = _attribute(node, name)
    return [] if found is None else [int(item) for item in found.ints]


def float_attribute(node: NodeProto, name: str) -> float | None:
    """A float attribute; None where it is absent, or is an attribute of the function around the node."""
    found = _attribute(node, name)
    return None if found is None else float(found.f)


def _attribute(node: NodeProto, name: str) -> AttributeProto | None:
    return next((a for a in node.attribute if a.name == name and not a.ref_attr_name), None)
