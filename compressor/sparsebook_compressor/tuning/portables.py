"""Coded weights of a portable artifact: the constants and nodes that `rewrite.portable` writes, read back.

    codes -> [planes put together] -> Gather(codebook) -> [ScatterElements at summed gaps] -> [Cast] -> Reshape

What the nodes compute of the codes is computed here in NumPy, each result bounded by the weight's own size.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from sparsebook_compressor.decompressing import check_claim
from sparsebook_compressor.errors import InvalidGraph
from sparsebook_compressor.graph.attributes import int_attribute, ints_attribute
from sparsebook_compressor.graph.roles import domain_of
from sparsebook_compressor.graph.scopes import Scope, scopes
from sparsebook_compressor.graph.tensors import STORED, external_bytes
from sparsebook_compressor.payload import CodedWeight
from sparsebook_compressor.rewrite.surgery import Surgeon, fill
from sparsebook_compressor.tuning.held import Held, mark

Array = npt.NDArray[Any]
F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

_CODEBOOK = re.compile(r"\.codebook(_\d+)?")
_MOST_CENTROIDS = 256
# A code of 7 bits goes through some twenty nodes, at most ten of them one behind the other.
_MOST_NODES, _MOST_DEPTH = 64, 16
# Codes in planes are filled up to a multiple of eight.
_PADDING = 8


@dataclass(frozen=True, eq=False)
class _Coded:
    """A coded weight among the nodes of a scope.

    Attributes:
        codebook: float32[centroids + 1], zero first.
        look_up: the Gather.
        scatter: the ScatterElements, where only survivors have codes.
        shape: of the weight.
        dtype: of the weight.
        nodes: all of its nodes, the Reshape last.
    """

    scope: "_Constants"
    codebook: TensorProto
    look_up: NodeProto
    scatter: NodeProto | None
    shape: tuple[int, ...]
    dtype: int
    nodes: tuple[NodeProto, ...]

    @property
    def name(self) -> str:
        return self.nodes[-1].output[0]

    def decode(self) -> CodedWeight:
        """Codes and codebook.

        Raises:
            InvalidGraph: the nodes do not give codes of this codebook for every element.
        """
        table = numpy_helper.to_array(self.codebook)
        elements = math.prod(self.shape)
        codes = self._integers(self.look_up.input[1])
        if codes.size and not 0 <= codes.min() <= codes.max() < len(table):
            raise InvalidGraph(f"{self.name!r}: codes outside its codebook; {_DAMAGED}")
        flat = codes.astype(np.uint8)
        if self.scatter is not None:
            positions = self._integers(self.scatter.input[1])
            fits = positions.shape == flat.shape
            if not fits or (len(flat) and not 0 <= positions.min() <= positions.max() < elements):
                raise InvalidGraph(f"{self.name!r}: positions outside the weight; {_DAMAGED}")
            survivors, flat = flat, np.zeros(elements, np.uint8)
            flat[positions] = survivors
        if flat.shape != (elements,):
            raise InvalidGraph(f"{self.name!r}: {flat.size} codes for {elements}; {_DAMAGED}")
        bits = max(1, (len(table) - 1).bit_length())
        return CodedWeight(self.shape, self.dtype, bits, table[1:].astype(np.float32), flat)

    def put(self, codebook: F32) -> None:
        """Other centroids, behind the zero."""
        values = np.concatenate([np.zeros(1, np.float32), codebook])
        fill(self.codebook, self.codebook.name, values)

    def _integers(self, value: str) -> Array:
        """What the nodes make of constants."""
        try:
            with np.errstate(all="ignore"):  # what comes of a division by zero is no code
                return self._compute(value, {})
        except (ValueError, IndexError, TypeError) as error:
            raise InvalidGraph(f"{self.name!r}: {error}; {_DAMAGED}") from error

    def _compute(self, value: str, known: dict[str, Array]) -> Array:
        node = self.scope.makers.get(value)
        if value not in known and node is None:
            known[value] = self.scope.read(value)
        elif value not in known and node is not None:
            inputs = [self._compute(name, known) for name in node.input]
            if node.op_type in _ARITHMETIC:
                size = math.prod(np.broadcast_shapes(*(each.shape for each in inputs)))
                if size > math.prod(self.shape) + _PADDING:
                    raise ValueError("more codes than elements")
            known[value] = _OPS[node.op_type](node, inputs)
        return known[value]


_DAMAGED = "the file is damaged: compress the model again"


def find(model: ModelProto, artifact: Path) -> list[Held]:
    """The coded weights of a portable artifact; none where it is another file.

    Raises:
        TooLarge: they claim out of all proportion to the file's bytes.
    """
    found = list(_coded(model, artifact))
    claimed = sum(math.prod(each.shape) * STORED[each.dtype].itemsize for each in found)
    check_claim(artifact, claimed, artifact.stat().st_size)
    return [Held(each.name, each.shape, each.dtype, each.decode, each.put) for each in found]


def lay_open(model: ModelProto, artifact: Path) -> None:
    """Make the artifact a plain model, in place; tensors without data stand for coded weights, by their numbers."""
    surgeon = Surgeon(model)
    for number, each in enumerate(list(_coded(model, artifact))):
        tensor = TensorProto()
        mark(tensor, number, each.name, each.shape, each.dtype)
        constant = helper.make_node("Constant", [], [each.name], value=tensor)
        surgeon.put_before(each.scope.scope, each.nodes[-1], constant)
        for node in each.nodes:
            surgeon.drop(each.scope.scope, node)
    surgeon.finish()


class _Constants:
    """The constants of a scope, and its nodes by what they make and what they take."""

    def __init__(self, scope: Scope, artifact: Path) -> None:
        self.scope = scope
        self.makers: dict[str, NodeProto] = {}
        self.takers: dict[str, list[tuple[NodeProto, int]]] = {}
        self.tensors: dict[str, TensorProto] = {}
        self._artifact = artifact
        if scope.graph is not None:
            self.tensors.update((tensor.name, tensor) for tensor in scope.graph.initializer)
        for node in scope.body.node:
            held = [attribute.t for attribute in node.attribute if attribute.name == "value"]
            if node.op_type == "Constant" and domain_of(node) == "" and held:
                self.tensors[node.output[0]] = held[0]
                continue
            for name in node.output:
                self.makers[name] = node
            for index, name in enumerate(node.input):
                self.takers.setdefault(name, []).append((node, index))

    def read(self, name: str) -> Array:
        """A constant of integers."""
        tensor = self.tensors[name]
        if tensor.data_location == TensorProto.EXTERNAL:
            dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
            data = external_bytes(tensor, self._artifact).view(dtype)
            return data.reshape(tuple(tensor.dims))
        return numpy_helper.to_array(tensor)

    def only_taker(self, value: str) -> tuple[NodeProto, int] | None:
        """The one node that takes a value of this scope."""
        takers = self.takers.get(value, [])
        return takers[0] if len(takers) == 1 and value not in self.scope.outputs else None


def _coded(model: ModelProto, artifact: Path) -> Iterator[_Coded]:
    for scope in scopes(model):
        constants = _Constants(scope, artifact)
        for node in scope.body.node:
            if (
                node.op_type == "Gather"
                and domain_of(node) == ""
                and not int_attribute(node, "axis")
            ):
                found = _behind(constants, node)
                if found is not None:
                    yield found


def _behind(constants: _Constants, look_up: NodeProto) -> _Coded | None:
    """The coded weight that is looked up here; None where this is some other Gather."""
    codebook = constants.tensors.get(look_up.input[0])
    if codebook is None or not _is_codebook(codebook, look_up.input[0]):
        return None
    nodes, scatter, dtype = [look_up], None, int(TensorProto.FLOAT)
    taker = constants.only_taker(look_up.output[0])
    if taker is not None and taker[0].op_type == "ScatterElements" and taker[1] == 2:
        scatter = taker[0]
        nodes.append(scatter)
        taker = constants.only_taker(scatter.output[0])
    if taker is not None and taker[0].op_type == "Cast":
        dtype = int_attribute(taker[0], "to")
        nodes.append(taker[0])
        taker = constants.only_taker(taker[0].output[0])
    if taker is None or taker[0].op_type != "Reshape" or taker[1] != 0 or dtype not in STORED:
        return None
    nodes.append(taker[0])
    target = constants.tensors.get(taker[0].input[1])
    earlier: dict[int, NodeProto] = {}
    values = [look_up.input[1], *([] if scatter is None else scatter.input[:2])]
    if target is None or not all(_collect(constants, value, scatter, earlier) for value in values):
        return None
    shape = tuple(int(dim) for dim in numpy_helper.to_array(target))
    if any(dim < 0 for dim in shape):
        return None
    every = (*earlier.values(), *nodes)
    return _Coded(constants, codebook, look_up, scatter, shape, dtype, every)


def _is_codebook(tensor: TensorProto, name: str) -> bool:
    is_vector = tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 1
    if not is_vector or not 1 <= tensor.dims[0] <= _MOST_CENTROIDS or not _CODEBOOK.search(name):
        return False
    held = tensor.data_location != TensorProto.EXTERNAL
    return held and float(numpy_helper.to_array(tensor)[0]) == 0.0


def _collect(
    constants: _Constants,
    value: str,
    scatter: NodeProto | None,
    found: dict[int, NodeProto],
    depth: int = 0,
) -> bool:
    """Whether a value is made of constants by nodes that are known; they are collected."""
    node = constants.makers.get(value)
    if node is None:
        return value in constants.tensors
    if id(node) in found:
        return True
    zeros = scatter is not None and value == scatter.input[0] and node.op_type == "ConstantOfShape"
    if node.op_type not in _OPS and not zeros:
        return False
    if depth >= _MOST_DEPTH or len(found) >= _MOST_NODES:
        return False
    found[id(node)] = node
    return all(_collect(constants, name, scatter, found, depth + 1) for name in node.input)


def _cast(node: NodeProto, inputs: list[Array]) -> Array:
    return inputs[0].astype(helper.tensor_dtype_to_np_dtype(int_attribute(node, "to")))


def _slice(node: NodeProto, inputs: list[Array]) -> Array:
    ends = ints_attribute(node, "ends") or inputs[2].tolist()
    return inputs[0][: int(ends[0])]


def _reshape(node: NodeProto, inputs: list[Array]) -> Array:
    return inputs[0].reshape(-1)


def _sum(node: NodeProto, inputs: list[Array]) -> Array:
    return np.cumsum(inputs[0], dtype=np.int64)


def _arithmetic(function: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    def compute(node: NodeProto, inputs: list[Array]) -> Array:
        return function(inputs[0], inputs[1])

    return compute


_ARITHMETIC: dict[str, Callable[..., Array]] = {
    "Add": _arithmetic(np.add),
    "Sub": _arithmetic(np.subtract),
    "Mul": _arithmetic(np.multiply),
    "Div": _arithmetic(np.floor_divide),
    "Mod": _arithmetic(np.remainder),
}
_OPS: dict[str, Callable[..., Array]] = {
    **_ARITHMETIC,
    "Cast": _cast,
    "Slice": _slice,
    "Reshape": _reshape,
    "CumSum": _sum,
}
