"""How a graph ends: the scores behind the first output, before a final Softmax, Sigmoid or ArgMax is taken of them.

Losses are computed on scores, where the gradient is exact and does not vanish; whoever looks at the outputs of a
classifier sees probabilities or a choice.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from onnx import GraphProto, ModelProto, NodeProto

from sparsebook_compressor.admit import opset
from sparsebook_compressor.graph.attributes import int_attribute
from sparsebook_compressor.graph.roles import is_zip_map

EndingKind: TypeAlias = Literal["softmax", "log-softmax", "sigmoid", "argmax", "none"]

_KINDS: dict[str, EndingKind] = {
    "Softmax": "softmax",
    "LogSoftmax": "log-softmax",
    "Sigmoid": "sigmoid",
    "ArgMax": "argmax",
}
# Nodes that may follow: they move values or keep them, so that they can be repeated on the scores.
_SAME = {"Identity", "Cast", "Dropout"}
_MOVING = {"Squeeze", "Unsqueeze", "Reshape", "Flatten", "Transpose"}


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of the graph at an output.

    Attributes:
        kind: which function of the scores the output is.
        scores: name of the scores.
        axis: of the function; None where it has none, or `moves` follow that change the axes.
        moves: the nodes from the function to the output, first to last, that change the shape.
        keeps_axis: the output of an ArgMax has as many axes as the scores.
    """

    kind: EndingKind
    scores: str
    axis: int | None = None
    moves: tuple[NodeProto, ...] = ()
    keeps_axis: bool = True


def ending(model: ModelProto, output: str) -> Ending:
    """Find how the main graph ends at one of its outputs."""
    made = _producers(model.graph)
    moves: list[NodeProto] = []
    name = output = _matrix(made, output)
    while (node := made.get(name)) is not None and node.op_type in _SAME | _MOVING:
        if node.op_type in _MOVING:
            moves.insert(0, node)
        name = node.input[0]
    version = opset(model)
    if node is not None and node.op_type == "Log":
        inner = made.get(node.input[0])
        if inner is not None and inner.op_type == "Softmax":
            return _ending("log-softmax", inner, moves, version)
    if node is None or node.op_type not in _KINDS or node.domain not in ("", "ai.onnx"):
        return Ending("none", output)
    if node.op_type == "ArgMax":
        return _choice(node, moves, made, output)
    return _ending(_KINDS[node.op_type], node, moves, version)


def _ending(kind: EndingKind, node: NodeProto, moves: list[NodeProto], version: int) -> Ending:
    axis: int | None = None
    if kind != "sigmoid" and not moves:
        # Softmax looked at the axis 1 and all behind it by default before opset 13.
        axis = int_attribute(node, "axis", -1 if version >= 13 else 1)
    return Ending(kind, node.input[0], axis, tuple(moves))


def _choice(
    node: NodeProto, moves: list[NodeProto], made: dict[str, NodeProto], output: str
) -> Ending:
    keeps = bool(int_attribute(node, "keepdims", 1))
    if moves:
        # The one axis that is left of the classes may be taken off behind the ArgMax instead of by it.
        if not keeps or [move.op_type for move in moves] != ["Squeeze"]:
            return Ending("none", output)
        keeps = False
    scores = node.input[0]
    before = made.get(scores)
    if before is not None and before.op_type in ("Softmax", "LogSoftmax"):
        scores = before.input[0]
    return Ending("argmax", scores, int_attribute(node, "axis", 0), keeps_axis=keeps)


def _matrix(made: dict[str, NodeProto], output: str) -> str:
    """What a ZipMap makes maps of; another output itself."""
    node = made.get(output)
    return node.input[0] if node is not None and is_zip_map(node) else output


def _producers(graph: GraphProto) -> dict[str, NodeProto]:
    return {name: node for node in graph.node for name in node.output if name}
