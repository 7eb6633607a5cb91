"""Centroids trained in little memory: a weight enters the graph in blocks, each decoded where it is used.

A product X W is a sum over blocks of W's rows, X1 W1 + X2 W2 + ..., with X split alike; a convolution likewise over its input
channels. So neither the floats of a weight nor their gradient, four bytes an element each, ever stand in memory for more than
one block. Rows of a table are looked up as codes and decoded then. What else consumes a weight gets all of it at once.

Codes are constants of the order: the worker maps them from files, and decodes them anew on the way back instead of keeping
the floats (docs/training.md, section 1).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper

from sparsebook_compressor.graph.attributes import int_attribute, ints_attribute
from sparsebook_compressor.graph.roles import domain_of
from sparsebook_compressor.graph.scopes import scopes
from sparsebook_compressor.training.nodes import free_prefix, redirect
from sparsebook_compressor.training.orders.parameters import Parameter, codes_of_survivors

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
Shape = tuple[int, ...]

# Elements of a block: 4 MiB of floats, as much of indices and again of gradients.
BLOCK = 1 << 20
# Up to this density survivors and their positions, 5 bytes each, take no more than a code an element, and are decoded faster.
MOST_SCATTERED = 0.2


def share_in_blocks(
    model: ModelProto, name: str, codebook: F32, read: Callable[[], U8]
) -> Parameter:
    """Let the centroids of a weight be trained; as `training.orders.parameters.share`, but that its codes are inputs of the graph.

    Args:
        model: changed in place, opset 13 or later; the weight is an initializer of its main graph.
        name: of the weight.
        codebook: its centroids, float32[centroids].
        read: gives its codes, uint8[elements]; 0 is zero, k the k-th centroid.
    """
    return _Sharing(model, name, codebook, read).rewrite()


class _Sharing:
    def __init__(self, model: ModelProto, name: str, codebook: F32, read: Callable[[], U8]) -> None:
        self._model, self._graph = model, model.graph
        self._name, self._prefix = name, free_prefix(model, name)
        held = next(tensor for tensor in model.graph.initializer if tensor.name == name)
        self._shape: Shape = tuple(held.dims)
        self._graph.initializer.remove(held)
        self._codebook = f"{self._prefix}.codebook"
        hollow = TensorProto(name=self._codebook, data_type=TensorProto.FLOAT, dims=codebook.shape)
        self._graph.initializer.append(hollow)
        self._read = read
        self._fill: dict[str, Callable[[], npt.NDArray[np.generic]]] = {
            self._codebook: lambda: codebook
        }
        self._first: list[NodeProto] = []
        self._padded = ""

    def rewrite(self) -> Parameter:
        """Have every consumer compute from codes."""
        turned = self._turned()
        nodes: list[NodeProto] = []
        for node in self._graph.node:
            if node.output[0] not in turned:
                nodes += self._consumer(node, turned) or [node]
        self._replace(nodes)
        whole = f"{self._prefix}.whole"
        if redirect(self._model, self._name, whole):
            self._first += self._decode(whole, whole, self._shape, self._read)
        self._replace([*self._first, *self._graph.node])
        constants = tuple(name for name in self._fill if name != self._codebook)
        return Parameter(self._codebook, self._name, self._fill, constants)

    def _turned(self) -> set[str]:
        """Names of the weight transposed that only products take: it is decoded that way round for them."""
        found = set()
        for node in self._graph.node:
            is_ours = node.op_type == "Transpose" and node.input[0] == self._name
            if not is_ours or ints_attribute(node, "perm") not in ([], [1, 0]):
                continue
            value = node.output[0]
            uses = [
                (scope.parent, user.op_type, index)
                for scope in scopes(self._model)
                for user in scope.body.node
                for index, each in enumerate(user.input)
                if each == value
            ]
            leaves = any(value in scope.outputs for scope in scopes(self._model))
            if not leaves and all(use == (None, "MatMul", 1) for use in uses):
                found.add(value)
        return found

    def _consumer(self, node: NodeProto, turned: set[str]) -> list[NodeProto] | None:
        """The nodes in a consumer's place; None where it takes the weight whole, or does not take it."""
        taken = [index for index, each in enumerate(node.input) if each in (self._name, *turned)]
        if len(taken) != 1 or domain_of(node) != "":
            return None
        if node.op_type == "Gather" and taken == [0] and int_attribute(node, "axis") == 0:
            return self._rows(node)
        if taken == [1]:
            axes = self._summed(node, is_turned=node.input[1] in turned)
            return None if axes is None else list(self._product(node, *axes))
        return None

    def _summed(self, node: NodeProto, *, is_turned: bool) -> tuple[int, int] | None:
        """The axis of the weight that a product sums over, and that of the other operand; None for what is no product."""
        match node.op_type:
            case "MatMul" if len(self._shape) == 2:
                return int(is_turned), -1
            case "Gemm" if not int_attribute(node, "transA"):
                return int_attribute(node, "transB"), 1
            case "Conv" if int_attribute(node, "group", 1) == 1:
                return 1, 1
        return None

    def _rows(self, node: NodeProto) -> list[NodeProto]:
        """Rows of codes looked up, and decoded then."""
        codes = self._constant(f"{self._prefix}.rows", TensorProto.UINT8, self._shape, self._read)
        label = f"{self._prefix}.rows for {node.output[0]}"
        found, wide = f"{label}.codes", f"{label}.indices"
        return [
            _node("Gather", [codes, node.input[1]], found, axis=0),
            _node("Cast", [found], wide, to=TensorProto.INT32),
            _node("Gather", [self._table(), wide], node.output[0], axis=0),
        ]

    def _product(self, node: NodeProto, axis: int, other: int) -> Iterator[NodeProto]:
        """The sum of a product's blocks."""
        length, out = self._shape[axis], node.output[0]
        label = f"{self._prefix}.for {out}"
        count = min(length, -(-prod(self._shape) // BLOCK))
        edges = [length * number // count for number in range(count + 1)]
        parts = [node.input[0]]
        if count > 1:
            parts = [f"{label}.part{number}" for number in range(count)]
            sizes = self._ints(f"{label}.sizes", np.diff(edges).tolist())
            name = f"{label}.split"
            yield helper.make_node("Split", [node.input[0], sizes], parts, name, axis=other)
        turn = node.op_type == "MatMul" and axis == 1
        total = ""
        for number, part in enumerate(parts):
            piece = slice(edges[number], edges[number + 1])
            shape = [*self._shape]
            shape[axis] = piece.stop - piece.start
            block, value = f"{label}.block{number}", f"{label}.product{number}"
            codes = partial(self._block, axis, piece, turn=turn)
            yield from self._decode(block, block, shape[::-1] if turn else shape, codes)
            last = number == count - 1
            yield _share_of(node, part, block, value if count > 1 else out, first=number == 0)
            if number:
                joined = out if last else f"{label}.sum{number}"
                yield _node("Add", [total, value], joined)
                value = joined
            total = value

    def _block(self, axis: int, piece: slice, *, turn: bool) -> U8:
        codes = self._read().reshape(self._shape)[(slice(None),) * axis + (piece,)]
        flat: U8 = np.ascontiguousarray(codes.T if turn else codes).reshape(-1)
        return flat

    def _decode(
        self, label: str, out: str, shape: Sequence[int], read: Callable[[], U8]
    ) -> Iterator[NodeProto]:
        """Nodes that make floats of codes, which lie in row-major order."""
        size = prod(shape)
        survivors = int(np.count_nonzero(read()))
        scattered = 0 < survivors <= MOST_SCATTERED * size
        wide, picked, flat = f"{label}.indices", f"{label}.picked", f"{label}.flat"
        table = self._codebook if scattered else self._table()
        codes = self._constant(
            f"{label}.codes",
            TensorProto.UINT8,
            (survivors if scattered else size,),
            (lambda: codes_of_survivors(read())) if scattered else read,
        )
        yield _node("Cast", [codes], wide, to=TensorProto.INT32)
        yield _node("Gather", [table, wide], picked, axis=0)
        if scattered:
            places, zeros = f"{label}.places", f"{label}.zeros"
            shape_of_positions = (survivors, 1)
            positions = self._constant(
                f"{label}.positions",
                TensorProto.INT32,
                shape_of_positions,
                lambda: np.flatnonzero(read()).astype(np.int32),
            )
            yield _node("Cast", [positions], places, to=TensorProto.INT64)
            yield _node("ConstantOfShape", [self._ints(f"{label}.size", [size])], zeros)
            yield _node("ScatterND", [zeros, places, picked], flat)
        dims = self._ints(f"{label}.dims", shape)
        yield _node("Reshape", [flat if scattered else picked, dims], out)

    def _table(self) -> str:
        """The codebook behind the zero of the pruned elements."""
        if not self._padded:
            self._padded = f"{self._prefix}.table"
            pads = self._ints(f"{self._prefix}.pads", [1, 0])
            self._first.append(_node("Pad", [self._codebook, pads], self._padded))
        return self._padded

    def _constant(
        self, name: str, dtype: int, shape: Shape, read: Callable[[], U8] | Callable[[], I32]
    ) -> str:
        if name not in self._fill:
            self._graph.input.append(helper.make_tensor_value_info(name, dtype, shape))
            self._fill[name] = lambda: read().reshape(shape)
        return name

    def _ints(self, name: str, values: Sequence[int]) -> str:
        tensor = helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
        self._graph.initializer.append(tensor)
        return name

    def _replace(self, nodes: list[NodeProto]) -> None:
        copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del self._graph.node[:]
        self._graph.node.extend(copies)


def _node(op: str, inputs: list[str], out: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs, [out], out, **attributes)


def _share_of(node: NodeProto, part: str, block: str, out: str, *, first: bool) -> NodeProto:
    """A product's share for one block; its bias is the first one's."""
    share = NodeProto()
    share.CopyFrom(node)
    share.name = out
    share.input[0], share.input[1], share.output[0] = part, block, out
    if not first:
        del share.input[2:]
    return share
