"""Small models of the kinds that users have, beyond those that say where a weight can hide.

`FAMILIES` lists them: what each is, the weights that are to be compressed, and what must come through untouched.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from onnx import ModelProto, NodeProto, helper

from tests.unit.compressor.models import (
    BRAIN,
    FLOAT,
    HALF,
    INT64,
    constant,
    graph_of,
    model_of,
    node,
    value,
    values,
)

MS = "com.microsoft"
D, HEADS, WORDS, FF = 32, 4, 80, 64


@dataclass(frozen=True)
class Family:
    """A kind of model.

    Attributes:
        name: of the kind.
        build: makes one.
        compressed: names of the weights that become codes.
        untouched: constants whose bytes stay.
        runs: whether the pinned ONNX Runtime has kernels for all of it on a CPU.
    """

    name: str
    build: Callable[[], ModelProto]
    compressed: tuple[str, ...]
    untouched: tuple[str, ...] = ()
    runs: bool = True


def contrib(graph: Any, opset: int = 17) -> ModelProto:
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(MS, 1)]
    return model_of(graph, opset_imports=imports)


def _linear(name: str, source: str, into: int, out: int, kept: dict[str, Any]) -> NodeProto:
    kept[f"{name}.w"] = values(into, out)
    return node("MatMul", [source, f"{name}.w"], [name])


def transformer(opset: int = 17) -> ModelProto:
    """A decoder block whose table of words is its head too, with a causal mask of floats and a table of positions."""
    kept: dict[str, Any] = {
        "words": values(WORDS, D),
        "positions": values(16, D),
        "gain": np.ones(D, np.float32),
        "shift": np.zeros(D, np.float32),
        "split": np.array([0, 0, HEADS, D // HEADS]),
        "join": np.array([0, 0, D]),
        "mask": np.triu(np.full((16, 16), -1e9, np.float32), 1),
        "scale": np.float32((D // HEADS) ** -0.5),
        "start": np.array([0]),
        "axis": np.array([0]),
        "row": np.array([1]),
        "one": np.array(1),
    }
    nodes = [
        node("Gather", ["words", "ids"], ["e"]),
        node("Shape", ["ids"], ["shape"]),
        node("Gather", ["shape", "one"], ["steps"]),
        node("Unsqueeze", ["steps", "axis"], ["steps1"]),
        node("Slice", ["positions", "start", "steps1", "axis"], ["p"]),
        node("Add", ["e", "p"], ["h"]),
        node("Slice", ["mask", "start", "steps1", "axis"], ["mask0"]),
        node("Slice", ["mask0", "start", "steps1", "row"], ["mask1"]),
        node("LayerNormalization", ["h", "gain", "shift"], ["n"], axis=-1),
    ]
    for part, turned in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        nodes += [
            _linear(part, "n", D, D, kept),
            node("Reshape", [part, "split"], [f"{part}s"]),
            node("Transpose", [f"{part}s"], [f"{part}t"], perm=turned),
        ]
    nodes += [
        node("MatMul", ["qt", "kt"], ["scores"]),
        node("Mul", ["scores", "scale"], ["scaled"]),
        node("Add", ["scaled", "mask1"], ["masked"]),
        node("Softmax", ["masked"], ["shares"], axis=-1),
        node("MatMul", ["shares", "vt"], ["mixed"]),
        node("Transpose", ["mixed"], ["mixedt"], perm=[0, 2, 1, 3]),
        node("Reshape", ["mixedt", "join"], ["joined"]),
        _linear("o", "joined", D, D, kept),
        node("Add", ["h", "o"], ["r"]),
        _linear("up", "r", D, FF, kept),
        node("Erf", ["up"], ["act"]),
        _linear("down", "act", FF, D, kept),
        node("Add", ["r", "down"], ["last"]),
        node("Transpose", ["words"], ["head"], perm=[1, 0]),
        node("MatMul", ["last", "head"], ["y"]),
    ]
    ids = value("ids", [1, "steps"], INT64)
    return model_of(graph_of(nodes, [ids], [value("y", [1, "steps", WORDS])], kept), opset=opset)


def standard_attention() -> ModelProto:
    """The standard's own Attention (opset 23) between products."""
    kept: dict[str, Any] = {}
    nodes = [_linear(part, "x", D, D, kept) for part in "qkv"]
    nodes += [
        node("Attention", ["q", "k", "v"], ["a"], q_num_heads=HEADS, kv_num_heads=HEADS),
        _linear("o", "a", D, D, kept),
    ]
    graph = graph_of(nodes, [value("x", [1, "t", D])], [value("o", [1, "t", D])], kept)
    return model_of(graph, opset=23, ir=10)


def fused_attention() -> ModelProto:
    kept = {
        "w": values(D, 3 * D),
        "b": values(1, 3 * D)[0],
        "gain": np.ones(D, np.float32),
        "up": values(D, FF),
        "bias": values(1, FF)[0],
    }
    nodes = [
        node("Attention", ["x", "w", "b"], ["a"], domain=MS, num_heads=HEADS),
        node("SkipLayerNormalization", ["x", "a", "gain"], ["n"], domain=MS),
        node("MatMul", ["n", "up"], ["u"]),
        node("BiasGelu", ["u", "bias"], ["y"], domain=MS),
    ]
    return contrib(graph_of(nodes, [value("x", [1, "t", D])], [value("y", [1, "t", FF])], kept))


def recurrent(op: str, gates: int) -> Callable[[], ModelProto]:
    def build() -> ModelProto:
        kept = {"w": values(1, gates * 16, 20), "r": values(1, gates * 16, 16)}
        nodes = [node(op, ["x", "w", "r"], ["y"], hidden_size=16)]
        return model_of(graph_of(nodes, [value("x", ["t", 1, 20])], [value("y", None)], kept))

    return build


def depthwise() -> ModelProto:
    """As mobile nets have it: depthwise, pointwise, normalisation, Clip to 6."""
    kept = {
        "stem": values(16, 3, 3, 3),
        "deep": values(16, 1, 5, 5),
        "point": values(24, 16, 1, 1),
        "low": np.float32(0),
        "high": np.float32(6),
        **{name: np.ones(16, np.float32) for name in ("gain", "shift", "mean", "spread")},
    }
    nodes = [
        node("Conv", ["x", "stem"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["a", "gain", "shift", "mean", "spread"], ["n"]),
        node("Clip", ["n", "low", "high"], ["c"]),
        node("Conv", ["c", "deep"], ["d"], group=16, pads=[2, 2, 2, 2]),
        node("HardSwish", ["d"], ["s"]),
        node("Conv", ["s", "point"], ["p"]),
        node("GlobalAveragePool", ["p"], ["y"]),
    ]
    graph = graph_of(nodes, [value("x", [1, 3, 16, 16])], [value("y", [1, 24, 1, 1])], kept)
    return model_of(graph)


def transposed() -> ModelProto:
    kept = {"in": values(16, 8, 3, 3), "up": values(16, 8, 4, 4), "line": values(8, 12, 12)}
    nodes = [
        node("Conv", ["x", "in"], ["a"], pads=[1, 1, 1, 1]),
        node("ConvTranspose", ["a", "up"], ["b"], strides=[2, 2], group=2),
        node("ReduceMean", ["b"], ["m"], axes=[3], keepdims=0),
        node("Slice", ["m", "from", "to", "axis"], ["s"]),
        node("ConvTranspose", ["s", "line"], ["y"]),
    ]
    kept |= {"from": np.array([0]), "to": np.array([8]), "axis": np.array([1])}
    return model_of(graph_of(nodes, [value("x", [1, 8, 6, 6])], [value("y", None)], kept))


def half(dtype: int = HALF) -> ModelProto:
    """A float16 (or bfloat16) net whole: products, a convolution's kin, a table."""
    kind = np.float16 if dtype == HALF else ml_dtypes.bfloat16
    kept = {"table": values(60, 24, dtype=kind), "w": values(24, 40, dtype=kind)}
    nodes = [
        node("Gather", ["table", "ids"], ["e"]),
        node("MatMul", ["e", "w"], ["h"]),
        node("Relu", ["h"], ["y"]),
    ]
    graph = graph_of(
        nodes, [value("ids", [1, "t"], INT64)], [value("y", [1, "t", 40], dtype)], kept
    )
    return model_of(graph)


def quantised_weights() -> ModelProto:
    """DequantizeLinear in front of a product, as static quantisation leaves it, beside a product of floats."""
    rng = np.random.default_rng(0)
    kept = {
        "q": rng.integers(-128, 127, (D, FF)).astype(np.int8),
        "scale": np.abs(values(1, FF)[0]) + np.float32(0.01),
        "zero": np.zeros(FF, np.int8),
        "xs": np.float32(0.05),
        "xz": np.uint8(128),
        "float": values(FF, D),
    }
    nodes = [
        node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        node("DequantizeLinear", ["q", "scale", "zero"], ["w"], axis=1),
        node("MatMul", ["xd", "w"], ["h"]),
        node("MatMul", ["h", "float"], ["y"]),
    ]
    return model_of(graph_of(nodes, [value("x", ["n", D])], [value("y", ["n", D])], kept))


def dynamic_quantised() -> ModelProto:
    """As dynamic quantisation leaves a convolution and a product."""
    rng = np.random.default_rng(0)
    kept = {
        "cq": rng.integers(0, 255, (8, 3, 3, 3)).astype(np.uint8),
        "cz": np.uint8(120),
        "cs": np.float32(0.01),
        "mq": rng.integers(0, 255, (8, 32)).astype(np.uint8),
        "mz": np.uint8(128),
        "float": values(32, 40),
    }
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"]),
        node("ConvInteger", ["xq", "cq", "xz", "cz"], ["ci"]),
        node("Cast", ["ci"], ["cf"], to=FLOAT),
        node("Mul", ["xs", "cs"], ["s"]),
        node("Mul", ["cf", "s"], ["c"]),
        node("GlobalAveragePool", ["c"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("DynamicQuantizeLinear", ["f"], ["fq", "fs", "fz"]),
        node("MatMulInteger", ["fq", "mq", "fz", "mz"], ["mi"]),
        node("Cast", ["mi"], ["mf"], to=FLOAT),
        node("Mul", ["mf", "fs"], ["m"]),
        node("MatMul", ["m", "float"], ["y"]),
    ]
    return model_of(graph_of(nodes, [value("x", [1, 3, 8, 8])], [value("y", [1, 40])], kept))


def four_bits() -> ModelProto:
    """MatMulNBits beside a product of floats."""
    rng = np.random.default_rng(0)
    kept = {
        "q": rng.integers(0, 255, (FF, D // 32, 16)).astype(np.uint8),
        "scales": np.abs(values(FF, 1)[:, 0]) + np.float32(0.01),
        "float": values(FF, D),
    }
    nodes = [
        node(
            "MatMulNBits", ["x", "q", "scales"], ["h"], domain=MS, K=D, N=FF, bits=4, block_size=32
        ),
        node("MatMul", ["h", "float"], ["y"]),
    ]
    return contrib(graph_of(nodes, [value("x", ["n", D])], [value("y", ["n", D])], kept))


def float_scales() -> ModelProto:
    """Block-wise quantisation of opset 21, whose scales are a matrix of floats that no one may touch."""
    rng = np.random.default_rng(0)
    kept = {
        "q": rng.integers(-128, 127, (64, FF)).astype(np.int8),
        "scales": np.abs(values(64 // 16, FF)) + np.float32(0.01),
        "float": values(FF, D),
    }
    nodes = [
        node("DequantizeLinear", ["q", "scales"], ["w"], axis=0, block_size=16),
        node("MatMul", ["x", "w"], ["h"]),
        node("MatMul", ["h", "float"], ["y"]),
    ]
    graph = graph_of(nodes, [value("x", ["n", 64])], [value("y", ["n", D])], kept)
    return model_of(graph, opset=21, ir=10)


def unknown_domain() -> ModelProto:
    """An op that nobody here knows takes constants and a product's result; they are its own business."""
    kept = {"mine": values(32, 32), "w": values(D, 32)}
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Mystery", ["h", "mine"], ["y"], domain="acme.ai", depth=3),
    ]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("acme.ai", 7)]
    graph = graph_of(nodes, [value("x", ["n", D])], [value("y", None)], kept)
    return model_of(graph, opset_imports=imports)


def by_opset(opset: int) -> Callable[[], ModelProto]:
    """A convolution, a product and a Gemm, as every opset has them."""

    def build() -> ModelProto:
        kept = {
            "c": values(12, 3, 3, 3),
            "w": values(48, 32),
            "g": values(16, 32),
            "b": values(1, 16)[0],
        }
        nodes = [
            node("Conv", ["x", "c"], ["a"]),
            node("Relu", ["a"], ["r"]),
            node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
            node("Flatten", ["p"], ["f"]),
            node("MatMul", ["f", "w"], ["h"]),
            node("Gemm", ["h", "g", "b"], ["y"], transB=1),
        ]
        graph = graph_of(nodes, [value("x", [1, 3, 6, 6])], [value("y", [1, 16])], kept)
        if opset < 9:  # IR 3: initializers are inputs too
            graph.input.extend(value(name, list(array.shape)) for name, array in kept.items())
        return model_of(graph, opset=opset, ir=3 if opset < 9 else 10)

    return build


def vast_fill() -> ModelProto:
    """A ConstantOfShape of 2^36 elements of which one is taken, beside a product."""
    kept = {"w": values(D, D), "at": np.array([0]), "zero": np.array(0)}
    nodes = [
        constant("size", np.array([1 << 36])),
        node("ConstantOfShape", ["size"], ["fill"]),
        node("Gather", ["fill", "at"], ["one"]),
        node("MatMul", ["x", "w"], ["h"]),
        node("Add", ["h", "one"], ["y"]),
    ]
    return model_of(graph_of(nodes, [value("x", ["n", D])], [value("y", ["n", D])], kept))


def grouped_query() -> ModelProto:
    """What large language models export to: GroupQueryAttention with caches, RMS normalisation, a gated product."""
    kept = {
        "qkv": values(D, 2 * D),
        "gain": np.ones(D, np.float32),
        "gate": values(D, FF),
        "up": values(D, FF),
        "down": values(FF, D),
        "cos": values(16, 8),
        "sin": values(16, 8),
    }
    kept |= {"before": np.array([8], np.int32), "total": np.array([9], np.int32)}
    inputs = [
        value("x", [1, 1, D]),
        value("past_k", [1, 1, 8, 16]),
        value("past_v", [1, 1, 8, 16]),
    ]
    attributes = {"num_heads": 2, "kv_num_heads": 1, "do_rotary": 1, "domain": MS}
    nodes = [
        node("SimplifiedLayerNormalization", ["x", "gain"], ["n"], axis=-1),
        node("MatMul", ["n", "qkv"], ["p"]),
        node(
            "GroupQueryAttention",
            ["p", "", "", "past_k", "past_v", "before", "total", "cos", "sin"],
            ["a", "present_k", "present_v"],
            **attributes,
        ),
        node("Add", ["x", "a"], ["r"]),
        node("MatMul", ["r", "gate"], ["g"]),
        node("Sigmoid", ["g"], ["s"]),
        node("Mul", ["g", "s"], ["silu"]),
        node("MatMul", ["r", "up"], ["u"]),
        node("Mul", ["silu", "u"], ["m"]),
        node("MatMul", ["m", "down"], ["y"]),
    ]
    outputs = [value("y", [1, 1, D]), value("present_k", None), value("present_v", None)]
    return contrib(graph_of(nodes, inputs, outputs, kept))


def optimised() -> ModelProto:
    """What ONNX Runtime's own optimiser writes: LayerNormalization in the standard domain of opset 12, which had none."""
    kept = {"w": values(D, D), "gain": np.ones(D, np.float32), "shift": np.zeros(D, np.float32)}
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("LayerNormalization", ["h", "gain", "shift"], ["n"], axis=-1),
        node("FastGelu", ["n"], ["y"], domain=MS),
    ]
    return contrib(graph_of(nodes, [value("x", ["n", D])], [value("y", ["n", D])], kept), 12)


def gathered_mask() -> ModelProto:
    """A causal mask of which rows are gathered, as decoders do that take positions: minus infinity is meant."""
    kept = {"mask": np.triu(np.full((D, D), -np.inf, np.float32), 1), "w": values(D, D)}
    nodes = [
        node("Gather", ["mask", "positions"], ["rows"]),
        node("MatMul", ["x", "w"], ["h"]),
        node("Add", ["h", "rows"], ["a"]),
        node("Softmax", ["a"], ["y"], axis=-1),
    ]
    inputs = [value("x", ["t", D]), value("positions", ["t"], INT64)]
    return model_of(graph_of(nodes, inputs, [value("y", ["t", D])], kept))


def experts() -> ModelProto:
    """ONNX Runtime's mixture of experts, whose weights are one tensor a layer."""
    kept = {
        "gate": np.eye(D, 4, dtype=np.float32),
        "up": values(4, D, FF),
        "up.b": values(4, FF),
        "down": values(4, FF, D),
        "down.b": values(4, D),
    }
    nodes = [
        node("MatMul", ["x", "gate"], ["r"]),
        node("MoE", ["x", "r", *list(kept)[1:]], ["y"], domain=MS, k=2, activation_type="relu"),
    ]
    return contrib(graph_of(nodes, [value("x", ["t", D])], [value("y", ["t", D])], kept))


def gathered_nd() -> ModelProto:
    """A table that TensorFlow's gather_nd looks up, beside one whose integers have no other bound than to be few."""
    kept = {"table": values(WORDS, D), "few": values(8, 8), "w": values(D, FF)}
    nodes = [
        node("GatherND", ["table", "ids"], ["e"]),
        node("MatMul", ["e", "w"], ["y"]),
        node("GatherElements", ["few", "which"], ["z"]),
    ]
    inputs = [value("ids", ["t", 1], INT64), value("which", [2, 8], INT64)]
    outputs = [value("y", ["t", FF]), value("z", [2, 8])]
    return model_of(graph_of(nodes, inputs, outputs, kept))


def zip_map() -> ModelProto:
    """How scikit-learn's classifiers are exported by default: a label, and a map from class to probability."""
    kept = {"w": values(D, FF), "v": values(FF, 6)}
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("MatMul", ["r", "v"], ["s"]),
        node("Softmax", ["s"], ["p"], axis=-1),
        node("ArgMax", ["p"], ["label"], axis=1, keepdims=0),
        node("ZipMap", ["p"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=list(range(6))),
    ]
    maps = helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, []))
    output = helper.make_value_info("maps", helper.make_sequence_type_proto(maps))
    graph = graph_of(nodes, [value("x", ["n", D])], [value("label", ["n"], INT64), output], kept)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return model_of(graph, opset_imports=imports)


FAMILIES = [
    Family("optimised by ONNX Runtime", optimised, ("w",)),
    Family(
        "transformer",
        transformer,
        ("words", "q.w", "k.w", "v.w", "o.w", "up.w", "down.w"),
        ("mask",),
    ),
    Family("attention of the standard", standard_attention, ("q.w", "k.w", "v.w", "o.w")),
    Family("fused attention", fused_attention, ("w", "up")),
    Family("grouped-query attention", grouped_query, ("qkv", "gate", "up", "down"), ("cos", "sin")),
    Family("gathered mask", gathered_mask, ("w",), ("mask",)),
    Family("mixture of experts", experts, ("gate", "up", "down")),
    Family("GatherND", gathered_nd, ("table", "w"), ("few",)),
    Family("ZipMap", zip_map, ("w", "v")),
    Family("LSTM", recurrent("LSTM", 4), ("w", "r")),
    Family("GRU", recurrent("GRU", 3), ("w", "r")),
    Family("RNN", recurrent("RNN", 1), ("w", "r")),
    Family("depthwise", depthwise, ("stem", "deep", "point")),
    Family("transposed convolution", transposed, ("in", "up", "line")),
    Family("float16", half, ("table", "w")),
    Family("bfloat16", lambda: half(BRAIN), ("table", "w"), runs=False),
    Family("QDQ", quantised_weights, ("float",), ("q", "scale", "zero")),
    Family("dynamic quantisation", dynamic_quantised, ("float",), ("cq", "mq")),
    Family("MatMulNBits", four_bits, ("float",), ("q", "scales")),
    Family("block scales", float_scales, ("float",), ("q", "scales")),
    Family("unknown domain", unknown_domain, ("w",), ("mine",), runs=False),
    Family("vast ConstantOfShape", vast_fill, ("w",), runs=False),
    *(Family(f"opset {n}", by_opset(n), ("c", "w", "g")) for n in range(7, 26)),
]
