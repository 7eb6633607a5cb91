"""What a constant is to the node that consumes it: a weight with a role, or something to leave alone."""

from typing import Literal, TypeAlias

from onnx import NodeProto

from sparsebook_compressor.graph.attributes import int_attribute

Role: TypeAlias = Literal[
    "gemm",
    "matmul",
    "conv",
    "depthwise-conv",
    "conv-transpose",
    "recurrent",
    "embedding",
    "other",
]

_CONTRIB = "com.microsoft"
_STANDARD = ("", "ai.onnx")

# (domain, op) -> input index -> role. Ops that are not listed consume no weight: their constants are operands
# (anchors, scales, position tables), which a small relative error can ruin.
_SLOTS: dict[tuple[str, str], dict[int, Role]] = {
    ("", "Gemm"): {0: "gemm", 1: "gemm"},
    ("", "MatMul"): {0: "matmul", 1: "matmul"},
    ("", "Conv"): {1: "conv"},
    ("", "ConvTranspose"): {1: "conv-transpose"},
    ("", "DeformConv"): {1: "conv"},
    ("", "LSTM"): {1: "recurrent", 2: "recurrent"},
    ("", "GRU"): {1: "recurrent", 2: "recurrent"},
    ("", "RNN"): {1: "recurrent", 2: "recurrent"},
    ("", "Gather"): {0: "embedding"},
    ("", "GatherND"): {0: "embedding"},
    ("", "Einsum"): {0: "other", 1: "other"},
    (_CONTRIB, "Attention"): {1: "other"},
    (_CONTRIB, "FusedConv"): {1: "conv"},
    (_CONTRIB, "MoE"): {2: "other", 4: "other", 6: "other"},
    (_CONTRIB, "FusedGemm"): {0: "gemm", 1: "gemm"},
    (_CONTRIB, "FusedMatMul"): {0: "matmul", 1: "matmul"},
    (_CONTRIB, "EmbedLayerNormalization"): {2: "embedding", 3: "embedding", 4: "embedding"},
}

# Ops that hand a constant on: the role is decided by who consumes their output.
_PASSING = frozenset(
    {
        "Identity",
        "Transpose",
        "Reshape",
        "Cast",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Slice",
        "Split",
    }
)

_QUANTISED = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "QLinearConv",
        "QLinearMatMul",
        "ConvInteger",
        "MatMulInteger",
        "MatMulNBits",
        "QAttention",
        "QGemm",
        "DynamicQuantizeMatMul",
        "MatMulIntegerToFloat",
    }
)


def domain_of(node: NodeProto) -> str:
    """The node's domain, "" for the standard one under either of its names."""
    return "" if node.domain in _STANDARD else node.domain


def passes_on(node: NodeProto, index: int) -> bool:
    """Whether the node hands the elements of its input on, changed in nothing but shape, order or dtype."""
    if domain_of(node) != "":
        return False
    return node.op_type == "Concat" or (index == 0 and node.op_type in _PASSING)


def role_of(node: NodeProto, index: int, shape: tuple[int, ...]) -> Role | None:
    """The role of a constant of this shape as input `index` of a node; None where it is no weight."""
    role = _SLOTS.get((domain_of(node), node.op_type), {}).get(index)
    if role == "conv" and int_attribute(node, "group", 1) > 1 and len(shape) > 1 and shape[1] == 1:
        return "depthwise-conv"
    return role


def output_axis(node: NodeProto, index: int, role: Role, rank: int) -> int:
    """The axis of a weight that runs over the consumer's outputs."""
    match role:
        case "conv" | "depthwise-conv" | "embedding":
            return 0
        case "conv-transpose":
            return 1
        case "recurrent":
            return max(0, rank - 2)
        case "gemm":
            turned = int(int_attribute(node, "transB" if index else "transA") != 0)
            return 1 - turned if index else turned
        case _:
            return rank - 1 if index else rank - 2


def is_quantised(node: NodeProto) -> bool:
    """Whether the node works on integers that stand for floats."""
    return node.op_type in _QUANTISED


def is_zip_map(node: NodeProto) -> bool:
    """Whether a node makes maps from class to probability, as exporters of scikit-learn end a classifier."""
    return node.op_type == "ZipMap" and node.domain == "ai.onnx.ml"


def reason_against(node: NodeProto, index: int) -> str:
    """Why a constant at this input is left alone."""
    if is_quantised(node):
        return f"belongs to a quantised node ({node.op_type})"
    return f"operand of {node.op_type} (input {index}), not a weight"
