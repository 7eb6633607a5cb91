"""Biases and normalisation gains that are worth training beside the weights."""

from collections.abc import Iterator, Mapping

from onnx import ModelProto, NodeProto

from sparsebook_compressor.graph import tensors
from sparsebook_compressor.graph.roles import domain_of
from sparsebook_compressor.trainable.facts import Facts
from sparsebook_compressor.trainable.result import Vector

_SLOTS: Mapping[str, tuple[int, ...]] = {
    "Gemm": (2,),
    "Conv": (2,),
    "ConvTranspose": (2,),
    "LSTM": (3,),
    "GRU": (3,),
    "RNN": (3,),
    "BatchNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "SkipLayerNormalization": (2, 3, 4),
    "SkipSimplifiedLayerNormalization": (2, 3),
    "BiasGelu": (1,),
}
_LINEAR = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose", "FusedMatMul", "Einsum"})


def candidates(model: ModelProto, original: ModelProto) -> list[str]:
    """Names of vectors in slots of biases, gains and offsets.

    Args:
        model: before the rewrites, its constants initializers.
        original: says what can be written back: float initializers and Constants of its main graph.
    """
    held = set(_writable(original))
    facts = Facts(model, infer=False)
    found: dict[str, None] = {}
    for node in model.graph.node:
        for name in _slots(node, facts):
            shape = facts.shape(name)
            if name in held and shape and sum(dim != 1 for dim in shape) <= 1:
                found[name] = None
    return list(found)


def vectors(names: list[str], trained: set[str]) -> tuple[Vector, ...]:
    """Those of the candidates that get a gradient."""
    return tuple(Vector(name, name) for name in names if name in trained)


def _slots(node: NodeProto, facts: Facts) -> Iterator[str]:
    for index in _SLOTS.get(node.op_type, ()):
        if index < len(node.input):
            yield node.input[index]
    if domain_of(node) == "" and node.op_type in ("Add", "Mul"):
        for at in (0, 1):
            maker = facts.makers.get(node.input[at])
            if maker is None or not facts.is_constant(node.input[1 - at]):
                continue
            if node.op_type == "Mul" and maker.op_type == "Div":
                yield node.input[1 - at]
            if node.op_type == "Add" and (
                maker.op_type in _LINEAR or _is_gain(maker, facts.makers)
            ):
                yield node.input[1 - at]


def _is_gain(node: NodeProto, makers: Mapping[str, NodeProto]) -> bool:
    """Whether it is the Mul by the gain of a normalisation that is spelled out: behind a Div."""
    inputs = [makers[name].op_type for name in node.input if name in makers]
    return node.op_type == "Mul" and inputs == ["Div"]


def _writable(original: ModelProto) -> Iterator[str]:
    inputs = {value.name for value in original.graph.input}
    initializers = {tensor.name for tensor in original.graph.initializer}
    defaults = set() if initializers <= inputs else inputs
    for tensor in original.graph.initializer:
        if tensors.is_float(tensor) and tensor.name not in defaults:
            yield tensor.name
    for node in original.graph.node:
        held = [each.t for each in node.attribute if each.name == "value"]
        if (
            node.op_type == "Constant"
            and domain_of(node) == ""
            and any(map(tensors.is_float, held))
        ):
            yield node.output[0]
