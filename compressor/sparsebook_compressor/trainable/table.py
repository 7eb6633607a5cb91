"""The table of ops: which have a gradient in ONNX Runtime training 1.19 on the CPU, which are rebuilt, and from what.

Measured row by row against finite differences (tests/unit/compressor/trainable); an op that is not listed has none, and
freezes what lies before it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from onnx import NodeProto

from sparsebook_compressor.graph.roles import domain_of
from sparsebook_compressor.trainable.draft import Draft
from sparsebook_compressor.trainable.rebuilds import (
    activations,
    contrib,
    einsum,
    entropy,
    normalisation,
    pooling,
    recurrent,
    reductions,
    shapes,
    upsampling,
)

Rebuild: TypeAlias = Callable[[Draft], str | None]
# A reason against the gradient of a node in the form that it has.
Unless: TypeAlias = Callable[[Draft], str | None]

_CONTRIB = "com.microsoft"


@dataclass(frozen=True)
class Row:
    """One op.

    Attributes:
        native: whether it has a gradient itself.
        inputs: those that a gradient goes back through; None for all. The others are treated as if it had none.
        outputs: those that a gradient comes back from; None for all.
        unless: says in which form it has none after all.
        rebuild: writes it anew; None as its result means that the node may stay.
        note: for docs/trainable.md.
    """

    op: str
    native: bool
    inputs: frozenset[int] | None = None
    outputs: frozenset[int] | None = None
    unless: Unless | None = None
    rebuild: Rebuild | None = None
    note: str = ""
    domain: str = ""


def documented() -> str:
    """The table as docs/trainable.md shows it: a line an op, standard ones first."""
    lines = ["| op | gradient |", "|---|---|"]
    for _, row in sorted(TABLE.items()):
        name = f"{row.domain}.{row.op}" if row.domain else row.op
        how = "its own" if row.native else f"rebuilt: {row.note}"
        if row.native and row.inputs is not None:
            how += (
                f", to input{'s' * (len(row.inputs) > 1)} {', '.join(map(str, sorted(row.inputs)))}"
            )
        if row.native and row.note:
            how += f"; {row.note}"
        lines.append(f"| `{name}` | {how} |")
    return "\n".join(lines) + "\n"


def row_of(node: NodeProto) -> Row | None:
    """The row of a node's op."""
    return TABLE.get((domain_of(node), node.op_type))


def _native(
    op: str,
    *inputs: int,
    out: Iterable[int] | None = None,
    unless: Unless | None = None,
    rebuild: Rebuild | None = None,
    note: str = "",
) -> Row:
    return Row(
        op,
        native=True,
        inputs=frozenset(inputs) or None,
        outputs=None if out is None else frozenset(out),
        unless=unless,
        rebuild=rebuild,
        note=note,
    )


def _rebuilt(op: str, rebuild: Rebuild, note: str, domain: str = "") -> Row:
    return Row(op, native=False, rebuild=rebuild, note=note, domain=domain)


def _pad_mode(draft: Draft) -> str | None:
    mode = draft.attribute("mode", "constant")
    return None if mode == "constant" else f"has none in mode {mode!r}"


def _grouped(draft: Draft) -> str | None:
    weight = draft.facts.shape(draft.input(1)) or ()
    axes = len(draft.attribute("kernel_shape", weight[2:]))
    outside = draft.attribute("group", 1) > 1 and axes != 2
    return "has one in groups that writes outside of its memory" if outside else None


def _scattering(draft: Draft) -> str | None:
    reduction = draft.attribute("reduction", "none")
    return None if reduction == "none" else f"has none with reduction {reduction!r}"


_ROWS: Final = (
    *(
        _native(op)
        for op in (
            "Abs",
            "Add",
            "Concat",
            "Cos",
            "Div",
            "Erf",
            "Exp",
            "Flatten",
            "Gemm",
            "GlobalAveragePool",
            "Identity",
            "LeakyRelu",
            "Log",
            "LogSoftmax",
            "Max",
            "Min",
            "Mul",
            "Neg",
            "Reciprocal",
            "Relu",
            "Sigmoid",
            "Sin",
            "Softmax",
            "Sqrt",
            "Sub",
            "Tanh",
        )
    ),
    _native("Cast", note="from float to float"),
    _native("Clip", 0),
    _native(
        "Conv",
        unless=_grouped,
        rebuild=pooling.conv,
        note="auto_pad is spelled out; in groups with one or two axes",
    ),
    _native("Expand", 0),
    _native("Gather", 0),
    _native("GatherElements", 0),
    _native("GatherND", 0),
    _native("MatMul", rebuild=shapes.mat_mul, note="vectors become matrices"),
    _native(
        "MaxPool",
        out=(0,),
        rebuild=pooling.max_pool,
        note="Gather where dimensions other than the batch are free",
    ),
    _native("Pad", 0, unless=_pad_mode, rebuild=shapes.pad, note="mode `constant`"),
    _native("Pow", 0, rebuild=shapes.power, note="in its base"),
    _native("ReduceL2", 0, rebuild=reductions.norm),
    _native("ReduceLogSumExp", 0, rebuild=reductions.norm),
    _native("ReduceMean", 0, rebuild=reductions.reduce_axes),
    _native("ReduceSum", 0, rebuild=reductions.reduce_axes),
    _native("Reshape", 0),
    _native("ScatterElements", 0, 2, unless=_scattering, note="without a reduction"),
    _native("ScatterND", 0, 2, unless=_scattering, note="without a reduction"),
    _native("Slice", 0),
    _native("Squeeze", 0),
    _native("Tile", 0),
    _native("TopK", 0, out=(0,)),
    _native("Transpose", rebuild=shapes.transpose),
    _native("Unsqueeze", 0),
    _native("Where", 1, 2, rebuild=shapes.where, note="operands that broadcast are expanded"),
    _native("Gelu", rebuild=activations.gelu, note="approximate: its formula with Tanh"),
    _native(
        "LayerNormalization",
        out=(0,),
        rebuild=normalisation.layer_normalization,
        note="all three outputs declared",
    ),
    _native(
        "LSTM",
        *(0, 1, 2, 3, 5, 6),
        rebuild=recurrent.lstm,
        note="forward, with its states given and all its outputs declared",
    ),
    _native(
        "GRU",
        *(0, 1, 2, 3, 5),
        rebuild=recurrent.gru,
        note="forward, with its state given and both outputs declared",
    ),
    _rebuilt("RNN", recurrent.rnn, "its steps, where the length is known"),
    _rebuilt("BatchNormalization", normalisation.batch_normalization, "Mul and Add"),
    _rebuilt("InstanceNormalization", normalisation.instance_normalization, "ReduceMean, Div"),
    _rebuilt("GroupNormalization", normalisation.group_normalization, "ReduceMean, Div"),
    _rebuilt(
        "MeanVarianceNormalization", normalisation.mean_variance_normalization, "ReduceMean, Div"
    ),
    _rebuilt("LpNormalization", normalisation.lp_normalization, "ReduceL2 or ReduceSum, Div"),
    _rebuilt("AveragePool", pooling.average_pool, "ReduceMean, or Conv and Mul"),
    _rebuilt("LRN", normalisation.lrn, "Pad, Slice, Pow, Div"),
    _rebuilt("HardSigmoid", activations.hard_sigmoid, "Clip"),
    _rebuilt("HardSwish", activations.hard_swish, "Clip, Mul"),
    _rebuilt("PRelu", activations.p_relu, "Relu, Mul"),
    _rebuilt("Elu", activations.elu, "Relu, Exp"),
    _rebuilt("Celu", activations.celu, "Relu, Exp"),
    _rebuilt("Selu", activations.selu, "Relu, Exp"),
    _rebuilt("Softplus", activations.softplus, "Relu, Exp, Log"),
    _rebuilt("Mish", activations.mish, "Relu, Exp, Log, Tanh"),
    _rebuilt("Softsign", activations.softsign, "Abs, Div"),
    _rebuilt("ThresholdedRelu", activations.thresholded_relu, "Where"),
    _rebuilt("Shrink", activations.shrink, "Where"),
    _rebuilt("Tan", activations.tan, "Sin, Cos"),
    _rebuilt("Sinh", activations.sinh, "Exp"),
    _rebuilt("Cosh", activations.cosh, "Exp"),
    *(
        _rebuilt(op, activations.step, "int64, since its derivative is 0")
        for op in ("Floor", "Ceil", "Round", "Sign")
    ),
    _rebuilt("Split", shapes.split, "Slice"),
    _rebuilt("DepthToSpace", shapes.depth_to_space, "Reshape, Transpose"),
    _rebuilt("SpaceToDepth", shapes.space_to_depth, "Reshape, Transpose"),
    _rebuilt("CastLike", shapes.cast_like, "Cast"),
    _rebuilt("Dropout", shapes.dropout, "Identity"),
    _rebuilt("CumSum", shapes.cum_sum, "MatMul, where the length of the axis is known"),
    _rebuilt("Einsum", einsum.einsum, "Transpose, Reshape, MatMul; one or two operands"),
    _rebuilt("ReduceMax", reductions.extreme, "Equal, Where, ReduceSum"),
    _rebuilt("ReduceMin", reductions.extreme, "Equal, Where, ReduceSum"),
    _rebuilt("GlobalMaxPool", reductions.global_max_pool, "Equal, Where, ReduceSum"),
    _rebuilt("ReduceL1", reductions.l1, "Abs, ReduceSum"),
    _rebuilt("ReduceSumSquare", reductions.sum_square, "Mul, ReduceSum"),
    _rebuilt("ReduceLogSum", reductions.log_sum, "ReduceSum, Log"),
    _rebuilt("Sum", reductions.total, "Add"),
    _rebuilt("Mean", reductions.mean, "Add, Mul"),
    _rebuilt("NegativeLogLikelihoodLoss", entropy.negative_log_likelihood, "GatherElements"),
    _rebuilt(
        "SoftmaxCrossEntropyLoss", entropy.softmax_cross_entropy, "LogSoftmax, GatherElements"
    ),
    _rebuilt("ConvTranspose", upsampling.conv_transpose, "Reshape, Pad, Conv"),
    *(
        _rebuilt(op, rebuild, note, _CONTRIB)
        for op, rebuild, note in (
            ("Gelu", contrib.gelu, "Erf, Mul"),
            ("BiasGelu", contrib.bias_gelu, "Add, Erf, Mul"),
            ("FastGelu", contrib.fast_gelu, "Add, Tanh, Mul"),
            ("QuickGelu", contrib.quick_gelu, "Sigmoid, Mul"),
            ("FusedMatMul", contrib.fused_mat_mul, "Transpose, MatMul, Mul"),
            ("SkipLayerNormalization", contrib.skip_layer_normalization, "Add, LayerNormalization"),
            (
                "SkipSimplifiedLayerNormalization",
                contrib.skip_simplified_layer_normalization,
                "Add, ReduceMean, Div",
            ),
        )
    ),
    _rebuilt("Resize", upsampling.resize, "Expand; nearest, by integer factors"),
)

TABLE: Final = {(row.domain, row.op): row for row in _ROWS}
