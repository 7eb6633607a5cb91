"""Attributes are read with their defaults, and none is taken from a reference to a function's attribute."""

from onnx import AttributeProto, helper

from sparsebook_compressor.graph.attributes import int_attribute, ints_attribute


def test_attributes_have_defaults() -> None:
    node = helper.make_node("Gemm", ["a", "b"], ["c"], transB=1, perm=[2, 0, 1])
    assert int_attribute(node, "transB") == 1
    assert int_attribute(node, "transA") == 0
    assert int_attribute(node, "group", 1) == 1
    assert ints_attribute(node, "perm") == [2, 0, 1]
    assert ints_attribute(node, "axes") == []


def test_a_reference_to_a_functions_attribute_says_nothing() -> None:
    node = helper.make_node("Conv", ["a", "b"], ["c"])
    for name, kind in (("group", AttributeProto.INT), ("pads", AttributeProto.INTS)):
        node.attribute.add(name=name, type=kind, ref_attr_name=f"outer_{name}")
    assert int_attribute(node, "group", 1) == 1
    assert ints_attribute(node, "pads") == []
