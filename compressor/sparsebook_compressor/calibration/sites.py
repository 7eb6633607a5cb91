"""Where a weight stands in its graph: as which matrix its consumer reads it, and which value feeds that.

Every weight has a site. Those of the main graph whose consumer is understood are products with input vectors; tables are looked
up row by row; what is left (subgraphs, local functions, shapes that change on the way) counts all its elements alike.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from onnx import NodeProto

from sparsebook_compressor.graph.attributes import int_attribute, ints_attribute
from sparsebook_compressor.graph.roles import domain_of
from sparsebook_compressor.graph.uses import Use
from sparsebook_compressor.graph.view import Weight

F32 = npt.NDArray[np.float32]
Kind: TypeAlias = Literal["product", "conv", "conv-transpose", "state", "table", "plain"]

_KEEPING = frozenset({"Cast", "Identity"})
# Columns whose errors are fed back into each other: second moments of more take over 32 MB and
# seconds to factorise.
MOST_COLUMNS = 2048


@dataclass(frozen=True, eq=False)
class Site:
    """How a weight's consumer reads it.

    Attributes:
        weight: that stands here.
        kind: what vectors are made of the tap's value; "plain" has none.
        use: the consumer.
        tap: the value that feeds the consumer: its inputs, or a table's indices; empty where there is none.
        position: of the consumer among the nodes of the main graph; a large number elsewhere.
        pre, order, groups, rows, columns: `values.reshape(pre).transpose(order).reshape(groups, rows, columns)` are the matrices:
            a row is an output, a column an input.
    """

    weight: Weight = field(repr=False)
    kind: Kind
    use: Use = field(repr=False)
    tap: str
    position: int
    pre: tuple[int, ...]
    order: tuple[int, ...]
    groups: int
    rows: int
    columns: int

    def matrices(self, values: F32) -> F32:
        """The weight, float32[elements], as float32[groups, rows, columns]."""
        turned = values.reshape(self.pre).transpose(self.order)
        return np.ascontiguousarray(turned.reshape(self.groups, self.rows, self.columns))

    def flat(self, matrices: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """The inverse of `matrices`, of any dtype: [elements] in the weight's own order."""
        turned = matrices.reshape([self.pre[axis] for axis in self.order])
        return np.ascontiguousarray(turned.transpose(np.argsort(self.order))).reshape(-1)

    @property
    def blocks(self) -> list[slice]:
        """Columns that are taken together: all, or equal parts of at most `MOST_COLUMNS`."""
        parts = -(-self.columns // MOST_COLUMNS)
        ends = [self.columns * part // parts for part in range(parts + 1)]
        return [slice(begin, end) for begin, end in pairwise(ends)]

    @property
    def moment_bytes(self) -> int:
        """Memory of the second moments."""
        if self.kind in ("table", "plain"):
            return 0
        sizes = [int(part.stop - part.start) for part in self.blocks]
        return self.groups * sum(8 * size * size for size in sizes)


def sites(weights: Sequence[Weight]) -> list[Site]:
    """The sites of weights, in the order in which the main graph comes to them."""
    found = [_site(weight) for weight in weights]
    return sorted(found, key=lambda site: site.position)


def _site(weight: Weight) -> Site:
    use, shape = weight.role_use, weight.shape
    main = use.scope.graph is not None and use.scope.parent is None
    position = _position(use) if main else 1 << 62
    if main and weight.scope.parent is None and weight.scope.graph is not None:
        turn = _turn(use, len(shape))
        seen = None if turn is None else _seen(weight, use, turn)
        if seen is not None:
            kind, tap, pre, order, matrix = seen
            return Site(weight, kind, use, tap, position, pre, order, *matrix)
    rows = shape[weight.channel_axis]
    axes = (weight.channel_axis, *(a for a in range(len(shape)) if a != weight.channel_axis))
    matrix = (1, rows, weight.elements // rows)
    return Site(weight, "plain", use, "", position, shape, axes, *matrix)


def _position(use: Use) -> int:
    return next(index for index, node in enumerate(use.scope.body.node) if node is use.node)


def _turn(use: Use, rank: int) -> tuple[int, ...] | None:
    """The order of a weight's axes as the consumer sees them; None where more than the order changes on the way."""
    order = tuple(range(rank))
    for step in use.via:
        if step.call or domain_of(step.node) != "":
            return None
        if step.node.op_type == "Transpose":
            perm = ints_attribute(step.node, "perm") or list(reversed(range(rank)))
            if sorted(perm) != list(range(rank)):
                return None
            order = tuple(order[axis] for axis in perm)
        elif step.node.op_type not in _KEEPING:
            return None
    return order


_Seen: TypeAlias = tuple[Kind, str, tuple[int, ...], tuple[int, ...], tuple[int, int, int]]


def _seen(weight: Weight, use: Use, turn: tuple[int, ...]) -> _Seen | None:
    node, shape = use.node, weight.shape
    straight = turn == tuple(range(len(shape)))
    match node.op_type, use.index:
        case (("MatMul" | "FusedMatMul" | "Gemm" | "FusedGemm" | "Attention"), 1) if (
            len(shape) == 2
        ):
            return _product(node, shape, turn)
        case (("Conv" | "FusedConv"), 1) if straight:
            groups = int_attribute(node, "group", 1)
            inner = math.prod(shape[1:])
            pre = (groups, shape[0] // groups, inner)
            return "conv", node.input[0], pre, (0, 1, 2), pre
        case "ConvTranspose", 1 if straight:
            groups = int_attribute(node, "group", 1)
            pre = (groups, shape[0] // groups, math.prod(shape[1:]))
            matrix = (groups, pre[2], pre[1])
            return "conv-transpose", node.input[0], pre, (0, 2, 1), matrix
        case (("LSTM" | "GRU" | "RNN"), 1) if straight and not int_attribute(node, "layout"):
            matrix = (1, shape[0] * shape[1], shape[2])
            return "product", node.input[0], shape, (0, 1, 2), matrix
        case (("LSTM" | "GRU" | "RNN"), 2) if straight and not int_attribute(node, "layout"):
            tap = node.output[0] if node.output else ""
            return ("state", tap, shape, (0, 1, 2), (shape[0], shape[1], shape[2])) if tap else None
        case "Gather", 0 if straight and int_attribute(node, "axis") == 0:
            matrix = (1, shape[0], weight.elements // shape[0])
            return "table", node.input[1], shape, tuple(range(len(shape))), matrix
    return None


def _product(node: NodeProto, shape: tuple[int, ...], turn: tuple[int, ...]) -> _Seen | None:
    if int_attribute(node, "transA"):
        return None
    outputs_first = bool(int_attribute(node, "transB"))
    order = turn if outputs_first else (turn[1], turn[0])
    matrix = (1, shape[order[0]], shape[order[1]])
    return "product", node.input[0], shape, order, matrix
