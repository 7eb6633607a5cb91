"""One small graph for every row of the table, and for every form of it that is special.

Each begins with `z`, [2, ...] of the case's shape, which a weight makes: `MatMul(x, w)` and a Reshape. The leading dimension of
all inputs is free. What the nodes of a case add behind `z` ends in `y`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from tests.unit.compressor.models import graph_of, model_of, node, value

BATCH, INNER = 2, 16
NEWEST = 21


def normal(*shape: int, seed: int = 0, scale: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng([seed, *shape])
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@dataclass
class Body:
    """Nodes and constants behind `z`."""

    opset: int
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def __call__(
        self, op: str, *inputs: "str | np.ndarray", out: str = "y", **attributes: Any
    ) -> str:
        self.many(op, inputs, [out], **attributes)
        return out

    def many(
        self,
        op: str,
        inputs: "Sequence[str | np.ndarray]",
        outs: list[str],
        domain: str = "",
        **attributes: Any,
    ) -> None:
        self.nodes.append(
            node(op, [self.hold(each) for each in inputs], outs, domain=domain, **attributes)
        )

    def hold(self, each: "str | np.ndarray") -> str:
        if isinstance(each, str):
            return each
        name = f"c{len(self.constants)}"
        self.constants[name] = each
        return name

    def reduce(self, op: str, axes: list[int], **attributes: Any) -> None:
        """A reduction of z with its axes as the opset wants them."""
        if self.opset >= (13 if op == "ReduceSum" else 18):
            self(op, "z", ints(*axes), **attributes)
        else:
            self(op, "z", axes=axes, **attributes)


@dataclass(frozen=True)
class Case:
    """One graph.

    Attributes:
        name: of the case; the op, and what is special behind a space.
        build: writes the nodes.
        shape: of z behind its leading dimension.
        since, until: opsets at which the ops exist in this form.
        shift, scale: of z's elements, where an op needs positive ones or well-separated ones.
        free: whether z's other dimensions are unknown too.
        trained: how many vectors are to be found.
        outputs: of the graph.
    """

    name: str
    build: Callable[[Body], object]
    shape: tuple[int, ...] = (5, 8)
    since: int = 12
    until: int = NEWEST
    shift: float = 0.0
    scale: float = 1.0
    free: bool = False
    trained: int = 0
    outputs: tuple[str, ...] = ("y",)

    @property
    def op(self) -> str:
        return self.name.partition(" ")[0].removeprefix("com.microsoft.")

    def model(self, opset: int) -> ModelProto:
        body = Body(opset)
        self.build(body)
        flat = int(np.prod(self.shape))
        start = [node("MatMul", ["x", "w"], ["flat"]), node("Reshape", ["flat", "size"], ["z0"])]
        constants = {
            "w": normal(INNER, flat, scale=self.scale / INNER**0.5, seed=1),
            "size": ints(-1, *self.shape),
            **body.constants,
        }
        inputs = [value("x", ["n", INNER])]
        if self.free:
            # Nobody can know the dimensions: they come from an input.
            start[1].input[1] = "shape"
            inputs.append(value("shape", [len(self.shape) + 1], TensorProto.INT64))
            del constants["size"]
        start.append(node("Add", ["z0", "shift"], ["z"]))
        constants["shift"] = np.array(self.shift, np.float32)
        graph = graph_of(
            [*start, *body.nodes],
            inputs,
            [value(name, None) for name in self.outputs],
            constants,
        )
        made = model_of(graph, opset, ir=8 if opset < 19 else 9 if opset < 21 else 10)
        if self.name.startswith("com.microsoft"):
            made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        return made

    def feeds(self) -> dict[str, np.ndarray]:
        found = {"x": normal(BATCH, INNER, scale=1.0, seed=2)}
        if self.free:
            found["shape"] = ints(BATCH, *self.shape)
        return found


IMAGE = (4, 6, 6)
C = IMAGE[0]


def unary(op: str, **attributes: Any) -> Callable[[Body], object]:
    return lambda body: body(op, "z", **attributes)


def _plain() -> list[Case]:
    found = [
        Case(op, unary(op))
        for op in ("Abs", "Cos", "Erf", "Exp", "Identity", "LeakyRelu", "Neg", "Relu", "Sigmoid")
    ]
    found += [Case(op, unary(op)) for op in ("Sin", "Tanh", "LogSoftmax", "Softmax", "Flatten")]
    found += [Case(op, unary(op), shift=4.0) for op in ("Log", "Reciprocal", "Sqrt")]
    found += [
        Case("Softmax axis", unary("Softmax", axis=1)),
        Case("LogSoftmax axis", unary("LogSoftmax", axis=1)),
        Case("LeakyRelu alpha", unary("LeakyRelu", alpha=0.3)),
        Case("Flatten axis", unary("Flatten", axis=2)),
        Case("Transpose", unary("Transpose", perm=[2, 0, 1])),
        Case("Transpose default", unary("Transpose")),
        Case("Cast", unary("Cast", to=TensorProto.FLOAT)),
        Case("CastLike", lambda b: b("CastLike", "z", np.zeros(1, np.float32)), since=15),
        Case("Clip", lambda b: b("Clip", "z", np.float32(-0.2), np.float32(0.4))),
        Case("Clip low", lambda b: b("Clip", "z", np.float32(-0.2))),
        Case("Clip none", lambda b: b("Clip", "z")),
        Case("Elu", unary("Elu", alpha=0.7)),
        Case("Selu", unary("Selu")),
        Case("Celu", unary("Celu", alpha=0.6)),
        Case("Softplus", unary("Softplus")),
        Case("Softsign", unary("Softsign")),
        Case("ThresholdedRelu", unary("ThresholdedRelu", alpha=0.2)),
        Case("Shrink", unary("Shrink", bias=0.37, lambd=0.37)),
        Case("HardSigmoid", unary("HardSigmoid")),
        Case("HardSwish", unary("HardSwish"), since=14),
        Case("Mish", unary("Mish"), since=18),
        Case("Gelu", unary("Gelu"), since=20),
        Case("Gelu tanh", unary("Gelu", approximate="tanh"), since=20),
        Case("Tan", unary("Tan"), scale=0.5),
        Case("Sinh", unary("Sinh")),
        Case("Cosh", unary("Cosh")),
        Case("PRelu", lambda b: b("PRelu", "z", normal(8, seed=3))),
        Case("PRelu channels", lambda b: b("PRelu", "z", normal(C, 1, 1, seed=3)), IMAGE),
        Case("Dropout", unary("Dropout")),
        Case("Dropout ratio", lambda b: b("Dropout", "z", np.float32(0.5))),
    ]
    for op in ("Floor", "Ceil", "Round", "Sign"):
        # Its derivative is 0: what comes through is that of the other summand.
        found.append(
            Case(op, lambda b, op=op: b("Add", b(op, "z", out="whole"), "z"), scale=0.3, shift=0.2)
        )
    return found


def _arithmetic() -> list[Case]:
    def both(op: str) -> Callable[[Body], object]:
        """z with a part of itself, which broadcasts."""

        def build(b: Body) -> None:
            b("Slice", "z", ints(0), ints(1), ints(1), out="part")
            b("Exp", "part", out="positive")
            b(op, "z", "positive")

        return build

    found = [Case(op, both(op)) for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean")]
    found += [
        Case("Add self", lambda b: b("Add", "z", "z")),
        Case("Mul self", lambda b: b("Mul", "z", "z")),
        Case("Sub constant", lambda b: b("Sub", normal(8), "z")),
        Case("Div constant", lambda b: b("Div", normal(8), "z"), shift=4.0),
        Case("Max three", lambda b: b("Max", "z", normal(8), np.float32(0.1))),
        Case("Sum one", lambda b: b("Sum", "z")),
        Case("Mean three", lambda b: b("Mean", "z", normal(8), "z")),
        Case("Pow", lambda b: b("Pow", "z", np.float32(2))),
        Case("Pow half", lambda b: b("Pow", "z", np.float32(0.5)), shift=4.0),
        Case("Pow vector", lambda b: b("Pow", "z", np.full(8, 3, np.float32))),
        Case(
            "Pow wide", lambda b: b("Pow", b("Flatten", "z", out="f"), normal(3, 1, 1)), shift=4.0
        ),
    ]
    return found


def _linear() -> list[Case]:
    def gemm(**attributes: Any) -> Callable[[Body], object]:
        shape = (6, 40) if attributes.get("transB") else (40, 6)

        def build(b: Body) -> None:
            b("Flatten", "z", out="rows")
            if attributes.get("transA"):
                b("Transpose", "rows", out="turned")
            name = "turned" if attributes.get("transA") else "rows"
            b("Gemm", name, normal(*shape), normal(6, seed=4), **attributes)

        return build

    def conv(*shape: int, **attributes: Any) -> Callable[[Body], object]:
        return lambda b: b("Conv", "z", normal(*shape), normal(shape[0], seed=4), **attributes)

    def transposed(*shape: int, **attributes: Any) -> Callable[[Body], object]:
        channels = shape[1] * attributes.get("group", 1)
        return lambda b: b(
            "ConvTranspose", "z", normal(*shape), normal(channels, seed=4), **attributes
        )

    def einsum(equation: str, *shape: int) -> Callable[[Body], object]:
        return lambda b: b("Einsum", "z", *([normal(*shape)] if shape else []), equation=equation)

    def with_itself(equation: str) -> Callable[[Body], object]:
        return lambda b: b("Einsum", "z", b("Tanh", "z", out="t"), equation=equation)

    return [
        Case("Gemm", gemm(), trained=1),
        Case("Gemm turned", gemm(transA=1, transB=1), trained=1),
        Case("Gemm scaled", gemm(alpha=0.5, beta=2.0), trained=1),
        Case("MatMul", lambda b: b("MatMul", "z", normal(8, 20))),
        Case("MatMul left", lambda b: b("MatMul", normal(20, 5), "z")),
        Case(
            "MatMul bias",
            lambda b: b("Add", b("MatMul", "z", normal(8, 20), out="m"), normal(20)),
            trained=1,
        ),
        Case(
            "MatMul batched",
            lambda b: b("MatMul", "z", b("Transpose", "z", out="t", perm=[0, 2, 1])),
        ),
        Case(
            "MatMul broadcast",
            lambda b: b(
                "MatMul",
                "z",
                b(
                    "Reshape",
                    b("Slice", "z", ints(0), ints(1), ints(0), out="s"),
                    ints(8, 5),
                    out="t",
                ),
            ),
        ),
        Case("MatMul vector", lambda b: b("MatMul", "z", normal(8))),
        Case("MatMul row", lambda b: b("MatMul", normal(5), "z")),
        Case("MatMul free", lambda b: b("MatMul", "z", normal(8, 20)), free=True),
        Case("Conv", conv(5, C, 3, 3), IMAGE, trained=1),
        Case("Conv strided", conv(5, C, 3, 3, strides=[2, 2], pads=[1, 0, 1, 2]), IMAGE, trained=1),
        Case("Conv dilated", conv(5, C, 3, 3, dilations=[2, 2]), IMAGE, trained=1),
        Case(
            "Conv same", conv(5, C, 3, 3, auto_pad="SAME_UPPER", strides=[2, 2]), IMAGE, trained=1
        ),
        Case("Conv same lower", conv(5, C, 4, 4, auto_pad="SAME_LOWER"), IMAGE, trained=1),
        Case("Conv depthwise", conv(C, 1, 3, 3, group=C, pads=[1] * 4), IMAGE, trained=1),
        Case("Conv grouped", conv(6, 2, 3, 3, group=2), IMAGE, trained=1),
        Case("Conv 1d", conv(5, 4, 3), (4, 9), trained=1),
        Case(
            "Conv 1d grouped", conv(6, 2, 3, group=2, pads=[1, 2], dilations=[2]), (4, 9), trained=1
        ),
        Case(
            "Conv 1d depthwise",
            conv(4, 1, 3, group=4, auto_pad="SAME_UPPER", strides=[2]),
            (4, 9),
            trained=1,
        ),
        Case("Conv 3d", conv(5, 2, 2, 2, 2), (2, 4, 4, 4), trained=1),
        Case("Conv free", conv(5, C, 3, 3), IMAGE, free=True, trained=1),
        Case("ConvTranspose", transposed(C, 3, 3, 3), IMAGE, trained=1),
        Case("ConvTranspose strided", transposed(C, 3, 2, 2, strides=[2, 2]), IMAGE, trained=1),
        Case(
            "ConvTranspose everything",
            transposed(
                C,
                2,
                3,
                2,
                strides=[2, 3],
                pads=[1, 0, 2, 1],
                output_padding=[1, 2],
                group=2,
                dilations=[2, 1],
            ),
            IMAGE,
            trained=1,
        ),
        Case("ConvTranspose 1d", transposed(4, 3, 4, strides=[2], pads=[1, 1]), (4, 9), trained=1),
        Case(
            "ConvTranspose free",
            transposed(C, 3, 3, 3, strides=[2, 2]),
            IMAGE,
            free=True,
            trained=1,
        ),
        Case("Einsum", einsum("bij,jk->bik", 8, 20)),
        Case("Einsum heads", einsum("bij,jhd->bihd", 8, 4, 5)),
        Case("Einsum together", einsum("bhij,hjk->bik", 4, 6, 5), IMAGE),
        Case("Einsum scores", with_itself("bihd,bjhd->bhij"), IMAGE),
        Case("Einsum context", with_itself("bhij,bjhd->bihd"), (6, 6, 6)),
        Case("Einsum outer", einsum("bij,k->bijk", 7)),
        Case("Einsum inner", with_itself("bij,bij->")),
        Case("Einsum sums", einsum("bij,kl->bi", 3, 7)),
        Case("Einsum one", einsum("bij->ji")),
        Case("Einsum implicit", einsum("bij,jk", 8, 20)),
        Case("Einsum free", einsum("bij,jhd->bihd", 8, 4, 5), free=True),
    ]


def _pools() -> list[Case]:
    return [
        Case("MaxPool", unary("MaxPool", kernel_shape=[2, 2], strides=[2, 2]), IMAGE),
        Case(
            "MaxPool padded",
            unary("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
            IMAGE,
        ),
        Case(
            "MaxPool ceil",
            unary("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
            IMAGE,
        ),
        Case("MaxPool same", unary("MaxPool", kernel_shape=[3, 3], auto_pad="SAME_UPPER"), IMAGE),
        Case("MaxPool dilated", unary("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]), IMAGE),
        Case("MaxPool 1d", unary("MaxPool", kernel_shape=[3], strides=[2]), (4, 9)),
        Case("MaxPool free", unary("MaxPool", kernel_shape=[2, 2]), IMAGE, free=True),
        Case("AveragePool", unary("AveragePool", kernel_shape=[2, 2], strides=[2, 2]), IMAGE),
        Case(
            "AveragePool padded",
            unary("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
            IMAGE,
        ),
        Case(
            "AveragePool counting",
            unary("AveragePool", kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1),
            IMAGE,
        ),
        Case(
            "AveragePool ceil",
            unary("AveragePool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
            IMAGE,
        ),
        Case(
            "AveragePool same",
            unary("AveragePool", kernel_shape=[3, 3], auto_pad="SAME_UPPER"),
            IMAGE,
        ),
        Case("AveragePool 1d", unary("AveragePool", kernel_shape=[3], strides=[2]), (4, 9)),
        Case("AveragePool free", unary("AveragePool", kernel_shape=[2, 2]), IMAGE, free=True),
        Case("GlobalAveragePool", unary("GlobalAveragePool"), IMAGE),
        Case("GlobalAveragePool free", unary("GlobalAveragePool"), IMAGE, free=True),
        Case("GlobalMaxPool", unary("GlobalMaxPool"), IMAGE, scale=3.0),
        Case("GlobalMaxPool free", unary("GlobalMaxPool"), IMAGE, free=True, scale=3.0),
        Case("LRN", unary("LRN", size=3, alpha=0.5), IMAGE),
        Case("LRN five", unary("LRN", size=5, alpha=0.5, beta=0.6, bias=2.0), IMAGE),
        Case("LRN free", unary("LRN", size=3), IMAGE, free=True),
        Case(
            "Resize",
            lambda b: b(
                "Resize",
                "z",
                np.zeros(0, np.float32),
                np.array([1, 1, 2, 3], np.float32),
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            ),
            IMAGE,
        ),
        Case(
            "Resize default",
            lambda b: b("Resize", "z", np.zeros(0, np.float32), np.array([1, 1, 4, 3], np.float32)),
            IMAGE,
        ),
        Case(
            "Resize free",
            lambda b: b("Resize", "z", np.zeros(0, np.float32), np.array([1, 1, 2, 2], np.float32)),
            IMAGE,
            free=True,
        ),
    ]


def _reductions() -> list[Case]:
    found = []
    for op in (
        "ReduceMean",
        "ReduceSum",
        "ReduceL2",
        "ReduceLogSumExp",
        "ReduceL1",
        "ReduceSumSquare",
        "ReduceLogSum",
        "ReduceMax",
        "ReduceMin",
    ):
        apart = {"scale": 3.0} if op in ("ReduceMax", "ReduceMin") else {}
        apart |= {"shift": 4.0} if op == "ReduceLogSum" else {}
        found += [
            Case(op, lambda b, op=op: b.reduce(op, [-1]), **apart),
            Case(f"{op} several", lambda b, op=op: b.reduce(op, [1, 2], keepdims=0), **apart),
            Case(f"{op} all", lambda b, op=op: b(op, "z"), **apart),
            Case(f"{op} all flat", lambda b, op=op: b(op, "z", keepdims=0), **apart),
            Case(f"{op} free", lambda b, op=op: b.reduce(op, [1], keepdims=0), free=True, **apart),
        ]
    return found


def _moving() -> list[Case]:
    def split(b: Body, *outs: str) -> None:
        if b.opset >= 13:
            b.many("Split", ["z", ints(2, 3)], list(outs), axis=1)
        else:
            b.many("Split", ["z"], list(outs), axis=1, split=[2, 3])

    def split_of_one(b: Body) -> None:
        split(b, "unused", "part")
        b("Tanh", "part")

    def split_of_both(b: Body) -> None:
        split(b, "first", "second")
        b("Concat", "second", "first", axis=1)

    def split_evenly(b: Body) -> None:
        more = {"num_outputs": 2} if b.opset >= 18 else {}
        b.many("Split", ["z"], ["first", "second"], axis=2, **more)
        b("Mul", "first", b("Tanh", "second", out="t"))

    def squeeze(b: Body) -> None:
        if b.opset >= 13:
            b("Squeeze", b("Unsqueeze", "z", ints(1, 3), out="u"), ints(1))
        else:
            b("Squeeze", b("Unsqueeze", "z", axes=[1, 3], out="u"), axes=[1])

    def top(b: Body) -> None:
        b.many("TopK", ["z", ints(3)], ["y", "places"], axis=2)

    def where(b: Body) -> None:
        b("Where", normal(2, 5, 8) > 0, "z", b("Slice", "z", ints(0), ints(1), ints(1), out="s"))

    places = np.array([[[0, 1, 0], [2, 2, 1]], [[4, 0, 0], [1, 1, 3]]])
    corners = np.array([[0, 1], [1, 4], [0, 3]])
    return [
        Case("Concat", lambda b: b("Concat", "z", b("Tanh", "z", out="t"), "z", axis=1)),
        Case("Concat constant", lambda b: b("Concat", "z", normal(2, 5, 3), axis=-1)),
        Case("Concat free", lambda b: b("Concat", "z", b("Tanh", "z", out="t"), axis=1), free=True),
        Case("Slice", lambda b: b("Slice", "z", ints(1), ints(4), ints(1))),
        Case(
            "Slice steps", lambda b: b("Slice", "z", ints(1, 0), ints(8, 5), ints(2, 1), ints(3, 2))
        ),
        Case("Slice backwards", lambda b: b("Slice", "z", ints(-1), ints(-100), ints(1), ints(-1))),
        Case("Split", split_of_one),
        Case("Split both", split_of_both),
        Case("Split evenly", split_evenly),
        Case("Split free", split_evenly, free=True),
        Case("Gather", lambda b: b("Gather", "z", ints(0, 2, 2), axis=1)),
        Case("Gather scalar", lambda b: b("Gather", "z", np.array(1), axis=2)),
        Case("Gather negative", lambda b: b("Gather", "z", ints(-1, 2), axis=1)),
        Case("GatherElements", lambda b: b("GatherElements", "z", places, axis=1)),
        Case("GatherND", lambda b: b("GatherND", "z", corners)),
        Case(
            "ScatterND",
            lambda b: b(
                "ScatterND",
                "z",
                corners,
                b("GatherND", b("Tanh", "z", out="t"), corners[::-1].copy(), out="u"),
            ),
        ),
        Case(
            "ScatterElements",
            lambda b: b(
                "ScatterElements",
                "z",
                np.arange(10).reshape(2, 5, 1) % 8,
                b("Slice", "z", ints(0), ints(1), ints(2), out="s"),
                axis=2,
            ),
        ),
        Case("Expand", lambda b: b("Expand", "z", ints(3, 2, 5, 8))),
        Case(
            "Expand inside",
            lambda b: b(
                "Expand", b("Slice", "z", ints(0), ints(1), ints(1), out="s"), ints(2, 4, 8)
            ),
        ),
        Case(
            "Expand free",
            lambda b: b(
                "Expand", b("Slice", "z", ints(0), ints(1), ints(1), out="s"), ints(2, 4, 8)
            ),
            free=True,
        ),
        Case("Tile", lambda b: b("Tile", "z", ints(1, 2, 3))),
        Case("Reshape", lambda b: b("Reshape", "z", ints(0, -1, 4))),
        Case("Reshape free", lambda b: b("Reshape", "z", ints(0, -1, 4)), free=True),
        Case("Squeeze", squeeze),
        Case("Unsqueeze", squeeze),
        Case("Pad", lambda b: b("Pad", "z", ints(0, 1, 0, 0, 0, 2))),
        Case("Pad value", lambda b: b("Pad", "z", ints(0, 1, 0, 0, 0, -2), np.float32(3))),
        Case("Pad axes", lambda b: b("Pad", "z", ints(1, 2), "", ints(2)), since=18),
        Case("TopK", top),
        Case("Where", where),
        Case("Where constant", lambda b: b("Where", normal(5, 8) > 0, "z", np.float32(1))),
        Case(
            "Where free",
            lambda b: b(
                "Where",
                normal(2, 5, 8) > 0,
                "z",
                b("Slice", "z", ints(0), ints(1), ints(1), out="s"),
            ),
            free=True,
        ),
        Case("DepthToSpace", unary("DepthToSpace", blocksize=2), (8, 3, 2)),
        Case("DepthToSpace crd", unary("DepthToSpace", blocksize=2, mode="CRD"), (8, 3, 2)),
        Case("DepthToSpace free", unary("DepthToSpace", blocksize=2), (8, 3, 2), free=True),
        Case("SpaceToDepth", unary("SpaceToDepth", blocksize=2), (2, 4, 6)),
        Case("SpaceToDepth free", unary("SpaceToDepth", blocksize=2), (2, 4, 6), free=True),
        Case("CumSum", lambda b: b("CumSum", "z", np.array(1))),
        Case("CumSum reverse", lambda b: b("CumSum", "z", np.array(-1), exclusive=1, reverse=1)),
    ]


def _normalisations() -> list[Case]:
    def batch(b: Body) -> None:
        channels = [
            1 + normal(C),
            normal(C, seed=1),
            normal(C, seed=2),
            normal(C, seed=3) ** 2 + 0.1,
        ]
        b("BatchNormalization", "z", *channels, epsilon=1e-3)

    def batch_of_rows(b: Body) -> None:
        channels = [1 + normal(40), normal(40, seed=1), normal(40, seed=2), normal(40, seed=3) ** 2]
        b("BatchNormalization", b("Flatten", "z", out="f"), *channels)

    def layer(b: Body, *parameters: np.ndarray, **attributes: Any) -> None:
        b("LayerNormalization", "z", *parameters, **attributes)

    def group(b: Body) -> None:
        b("GroupNormalization", "z", 1 + normal(C), normal(C, seed=1), num_groups=2)

    return [
        Case("BatchNormalization", batch, IMAGE, trained=2),
        Case("BatchNormalization rows", batch_of_rows, trained=2),
        Case("BatchNormalization free", batch, IMAGE, free=True, trained=2),
        Case(
            "LayerNormalization",
            lambda b: layer(b, 1 + normal(8), normal(8, seed=1)),
            since=17,
            trained=2,
        ),
        Case("LayerNormalization plain", lambda b: layer(b, 1 + normal(8)), since=17, trained=1),
        Case("LayerNormalization axes", lambda b: layer(b, 1 + normal(5, 8), axis=1), since=17),
        Case(
            "LayerNormalization broadcast",
            lambda b: layer(b, 1 + normal(8), normal(8), axis=1),
            since=17,
            trained=2,
        ),
        Case(
            "LayerNormalization free",
            lambda b: layer(b, 1 + normal(8), normal(8, seed=1)),
            since=17,
            free=True,
            trained=2,
        ),
        Case(
            "InstanceNormalization",
            lambda b: b("InstanceNormalization", "z", 1 + normal(C), normal(C, seed=1)),
            IMAGE,
            trained=2,
        ),
        Case(
            "InstanceNormalization free",
            lambda b: b("InstanceNormalization", "z", 1 + normal(C), normal(C, seed=1)),
            IMAGE,
            free=True,
            trained=2,
        ),
        Case("GroupNormalization", group, IMAGE, since=21, trained=2),
        Case("MeanVarianceNormalization", unary("MeanVarianceNormalization"), IMAGE),
        Case("LpNormalization", unary("LpNormalization")),
        Case("LpNormalization one", unary("LpNormalization", p=1, axis=1)),
    ]


def _recurrent() -> list[Case]:
    hidden, features = 6, 8

    def layer(
        op: str,
        gates: int,
        *,
        both: bool = False,
        states: bool = False,
        bias: bool = True,
        outs: int = 1,
        **attributes: Any,
    ) -> Callable[[Body], object]:
        ways = 2 if both else 1

        def build(b: Body) -> None:
            x, batch = "z", 5
            if op == "RNN":
                x, batch = b("Transpose", "z", out="turned", perm=[1, 0, 2]), 2
            inputs: list[Any] = [
                x,
                normal(ways, gates * hidden, features),
                normal(ways, gates * hidden, hidden, seed=1),
            ]
            inputs += [normal(ways, 2 * gates * hidden, seed=2) if bias else ""]
            if states:
                kinds = range(2 if op == "LSTM" else 1)
                inputs += ["", *(normal(ways, batch, hidden, seed=3 + kind) for kind in kinds)]
            names = ["y", "last", "cell"][: 3 if op == "LSTM" else 2]
            if outs == -1:
                names[0] = ""
            if both:
                attributes["direction"] = "bidirectional"
            b.many(op, inputs, names, hidden_size=hidden, **attributes)

        return build

    found = []
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        # z is [2 (sequence, its length free), 5 (batch), 8]; an RNN wants to know the length.
        found += [
            Case(op, layer(op, gates), trained=1),
            Case(f"{op} states", layer(op, gates, states=True), trained=1, outputs=("y", "last")),
            Case(f"{op} plain", layer(op, gates, bias=False, outs=-1), outputs=("last",)),
            Case(
                f"{op} reverse",
                layer(op, gates, direction="reverse"),
                trained=1,
                outputs=("y", "last"),
            ),
            Case(
                f"{op} bidirectional",
                layer(op, gates, both=True, states=True),
                outputs=("y", "last"),
            ),
        ]
    found += [
        Case("GRU reset", layer("GRU", 3, linear_before_reset=1), trained=1),
        Case("LSTM cell", layer("LSTM", 4), trained=1, outputs=("cell",)),
        Case("LSTM free", layer("LSTM", 4), trained=1, free=True),
        Case("GRU free", layer("GRU", 3), trained=1, free=True),
    ]
    return found


def _contrib() -> list[Case]:
    def fused(
        op: str, *inputs: np.ndarray, outs: tuple[str, ...] = ("y",), **attributes: Any
    ) -> Callable[[Body], object]:
        return lambda b: b.many(op, ["z", *inputs], list(outs), "com.microsoft", **attributes)

    def skip(op: str, *parameters: np.ndarray) -> Callable[[Body], object]:
        def build(b: Body) -> None:
            b("Tanh", "z", out="t")
            b.many(op, ["z", "t", *parameters], ["n", "", "", "sum"], "com.microsoft", epsilon=1e-5)
            b("Mul", "n", "sum")

        return build

    gain, offset = 1 + normal(8), normal(8, seed=1)
    return [
        Case("com.microsoft.Gelu", fused("Gelu")),
        Case("com.microsoft.BiasGelu", fused("BiasGelu", normal(8)), trained=1),
        Case("com.microsoft.FastGelu", fused("FastGelu")),
        Case("com.microsoft.FastGelu bias", fused("FastGelu", normal(8))),
        Case("com.microsoft.QuickGelu", fused("QuickGelu", alpha=1.5)),
        Case("com.microsoft.FusedMatMul", fused("FusedMatMul", normal(20, 8), transB=1, alpha=0.3)),
        Case("com.microsoft.FusedMatMul left", fused("FusedMatMul", normal(5, 20), transA=1)),
        Case(
            "com.microsoft.SkipLayerNormalization",
            skip("SkipLayerNormalization", gain, offset),
            trained=2,
        ),
        Case(
            "com.microsoft.SkipLayerNormalization bias",
            skip("SkipLayerNormalization", gain, offset, normal(8, seed=2)),
            trained=3,
        ),
        Case(
            "com.microsoft.SkipSimplifiedLayerNormalization",
            skip("SkipSimplifiedLayerNormalization", gain),
            trained=1,
        ),
    ]


def _entropies() -> list[Case]:
    """z [2, 5, 8] are scores of five classes at eight places."""
    labels = np.arange(16).reshape(2, 8) % 5
    weights = np.abs(normal(5)) + 0.1
    found = []
    for op in ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"):

        def lost(op: str = op, *more: np.ndarray, **attributes: Any) -> Callable[[Body], object]:
            return lambda b: b(op, "z", labels, *more, **attributes)

        found += [
            Case(op, lost(op)),
            Case(f"{op} sum", lost(op, weights, reduction="sum")),
            Case(f"{op} none", lost(op, reduction="none")),
            Case(f"{op} weighted", lost(op, weights)),
            Case(f"{op} ignoring", lost(op, ignore_index=3)),
            Case(f"{op} ignoring and weighted", lost(op, weights, ignore_index=3)),
            Case(
                f"{op} of one place",
                lambda b, op=op: b(
                    op, b("ReduceMean", "z", out="m", axes=[2], keepdims=0), ints(4, 1)
                ),
                until=17,
            ),
        ]
    whole = Case(
        "SoftmaxCrossEntropyLoss with logarithms",
        lambda b: b.many("SoftmaxCrossEntropyLoss", ["z", labels], ["y", "logs"]),
        outputs=("y", "logs"),
    )
    return [*found, whole]


CASES = [
    *_entropies(),
    *_contrib(),
    *_plain(),
    *_arithmetic(),
    *_linear(),
    *_pools(),
    *_reductions(),
    *_moving(),
    *_normalisations(),
    *_recurrent(),
]
