"""The graph view: every weight of a model once, with its place, its role and its consumers."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, ModelProto, NodeProto, SparseTensorProto, TensorProto

from sparsebook_compressor.errors import InvalidGraph
from sparsebook_compressor.graph import tensors
from sparsebook_compressor.graph.roles import (
    Role,
    domain_of,
    is_quantised,
    output_axis,
    passes_on,
    reason_against,
    role_of,
)
from sparsebook_compressor.graph.scopes import Scope, scopes
from sparsebook_compressor.payload_layout import MAX_ELEMENTS, MAX_RANK

F32 = npt.NDArray[np.float32]
Holder: TypeAlias = TensorProto | SparseTensorProto

# A payload's header, codebook and node take about as many bytes as this many floats.
TINY = 128
# Nodes that may stand between a weight and its consumer; exporters write one to three.
_LONGEST_CHAIN = 8


@dataclass(frozen=True, eq=False)
class Step:
    """A node that hands a weight on, and the scope in which it lives."""

    node: NodeProto
    scope: Scope


@dataclass(frozen=True, eq=False)
class Use:
    """A node that consumes a weight.

    Attributes:
        node: the consumer.
        index: which of its inputs the weight reaches.
        scope: where the node lives: the weight's own scope or one nested in it.
        via: nodes between weight and consumer that hand it on (Transpose, Cast, …), first one first.
    """

    node: NodeProto
    index: int
    scope: Scope
    via: tuple[Step, ...] = ()

    @property
    def transposed(self) -> bool:
        """Whether the weight, a matrix, reaches the consumer through nothing but one Transpose."""
        return len(self.via) == 1 and self.via[0].node.op_type == "Transpose"


@dataclass(frozen=True, eq=False)
class Weight:
    """A constant float tensor that some node consumes as its parameter.

    Attributes:
        name: unique in the model: the tensor's name, after the scope's path where that is needed.
        value: the tensor's name in its scope.
        scope: where it is defined.
        holder: the tensor, dense or sparse.
        node: the Constant node that holds it; None for an initializer.
        role: of the first consumer that gives it one.
        uses: all consumers.
    """

    name: str
    value: str
    scope: Scope = field(repr=False)
    holder: Holder = field(repr=False)
    node: NodeProto | None = field(repr=False)
    shape: tuple[int, ...]
    dtype: int
    role: Role
    uses: tuple[Use, ...] = field(repr=False)
    source: Path = field(repr=False)

    @property
    def elements(self) -> int:
        """Product of the dimensions."""
        return math.prod(self.shape)

    @property
    def stored_bytes(self) -> int:
        """Bytes of the elements as floats of the weight's dtype."""
        return self.elements * tensors.STORED[self.dtype].itemsize

    @property
    def channel_axis(self) -> int:
        """The axis of the output channels, as its first consumer sees them; rows of an embedding."""
        use = self.uses[0]
        axis = output_axis(use.node, use.index, self.role, len(self.shape))
        return 1 - axis if use.transposed and len(self.shape) == 2 else axis

    def read(self) -> F32:
        """The elements, float32[elements], read anew on every call.

        Raises:
            InvalidGraph, ExternalDataMissing, ExternalDataOutside: the bytes are not what the model declares.
        """
        if isinstance(self.holder, SparseTensorProto):
            return tensors.read_sparse(self.holder, self.source)
        return tensors.read(self.holder, self.source)


@dataclass(frozen=True, slots=True)
class Kept:
    """A float constant that is no weight, and why."""

    name: str
    shape: tuple[int, ...]
    bytes: int
    reason: str


@dataclass(frozen=True, eq=False)
class GraphView:
    """What the survey found."""

    weights: tuple[Weight, ...]
    kept: tuple[Kept, ...]


@dataclass(frozen=True, eq=False)
class _Constant:
    value: str
    scope: Scope
    holder: Holder
    node: NodeProto | None

    @property
    def tensor(self) -> TensorProto:
        return self.holder.values if isinstance(self.holder, SparseTensorProto) else self.holder

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.holder.dims)


def survey(model: ModelProto, source: Path) -> GraphView:
    """Find the weights of a model.

    Args:
        model: as parsed, external data not loaded.
        source: the model's file; external data lies in its folder.

    Raises:
        InvalidGraph: nesting too deep, or a tensor with a negative dimension.
    """
    found = scopes(model)
    uses = _uses_by_value(found)
    weights: list[Weight] = []
    kept: list[Kept] = []
    names: set[str] = set()
    for constant in _constants(found):
        if any(dim < 0 for dim in constant.shape):
            raise InvalidGraph(f"tensor {constant.value!r}: negative dimension in {constant.shape}")
        name = _unique(constant, names)
        names.add(name)
        consumers = tuple(_consumers(uses, constant.scope, constant.value))
        role = _role(constant, consumers)
        if isinstance(role, str):
            dtype = constant.tensor.data_type
            weights.append(
                Weight(
                    name,
                    constant.value,
                    constant.scope,
                    constant.holder,
                    constant.node,
                    constant.shape,
                    dtype,
                    role,
                    consumers,
                    source,
                )
            )
        else:
            size = tensors.stored_bytes(constant.tensor)
            kept.append(Kept(name, constant.shape, size, role.reason))
    return GraphView(tuple(weights), tuple(kept))


def _unique(constant: _Constant, names: set[str]) -> str:
    """The value's name; after its scope's path, and with a number behind it, where that is taken."""
    if constant.value not in names:
        return constant.value
    path = f"{constant.scope.path}/{constant.value}"
    wishes = (path if number == 1 else f"{path}#{number}" for number in itertools.count(1))
    return next(wish for wish in wishes if wish not in names)


@dataclass(frozen=True, slots=True)
class _LeftAlone:
    reason: str


def _role(constant: _Constant, consumers: tuple[Use, ...]) -> Role | _LeftAlone:
    if constant.value in constant.scope.outputs:
        return _LeftAlone("is an output of its graph")
    if not consumers:
        return _LeftAlone("no node consumes it")
    roles = [role_of(use.node, use.index, constant.shape) for use in consumers]
    role = next((role for role in roles if role is not None), None)
    quantised = next((use for use in consumers if is_quantised(use.node)), None)
    if role is None or quantised is not None:
        use = quantised or consumers[0]
        return _LeftAlone(reason_against(use.node, use.index))
    if len(constant.shape) < 2:
        return _LeftAlone("a vector")
    elements = math.prod(constant.shape)
    if elements < TINY:
        return _LeftAlone(f"tiny: {elements} elements, at least {TINY} are worth coding")
    if len(constant.shape) > MAX_RANK or elements > MAX_ELEMENTS:
        return _LeftAlone(f"over {MAX_RANK} dimensions or {MAX_ELEMENTS} elements")
    return role


def _constants(found: list[Scope]) -> Iterator[_Constant]:
    for scope in found:
        if scope.graph is not None:
            for tensor in scope.graph.initializer:
                if tensors.is_float(tensor):
                    yield _Constant(tensor.name, scope, tensor, None)
            for sparse in scope.graph.sparse_initializer:
                if tensors.is_float(sparse.values):
                    yield _Constant(sparse.values.name, scope, sparse, None)
        for node in scope.body.node:
            if node.op_type == "Constant" and domain_of(node) == "" and len(node.output) == 1:
                yield from _of_node(node, scope)


def _of_node(node: NodeProto, scope: Scope) -> Iterator[_Constant]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR and tensors.is_float(attribute.t):
            yield _Constant(node.output[0], scope, attribute.t, node)
        elif attribute.type == AttributeProto.SPARSE_TENSOR and tensors.is_float(
            attribute.sparse_tensor.values
        ):
            yield _Constant(node.output[0], scope, attribute.sparse_tensor, node)


_Uses: TypeAlias = dict[tuple[int, str], list[tuple[NodeProto, int, Scope]]]


def _uses_by_value(found: list[Scope]) -> _Uses:
    """Consumers of every value, by the scope that defines it and its name."""
    uses: _Uses = {}
    for scope in found:
        for node in scope.body.node:
            for index, name in enumerate(node.input):
                home = scope.resolve(name) if name else None
                if home is not None:
                    uses.setdefault((id(home), name), []).append((node, index, scope))
    return uses


def _consumers(uses: _Uses, home: Scope, name: str) -> Iterator[Use]:
    pending: list[tuple[Scope, str, tuple[Step, ...]]] = [(home, name, ())]
    seen = {(id(home), name)}
    while pending:
        where, value, via = pending.pop()
        for node, index, scope in uses.get((id(where), value), []):
            # An output of a scope leaves the view: then the node that hands it on is the consumer that is known.
            onward = passes_on(node, index) and scope.outputs.isdisjoint(node.output)
            if not onward or len(via) >= _LONGEST_CHAIN:
                yield Use(node, index, scope, via)
                continue
            for output in node.output:
                if output and (id(scope), output) not in seen:
                    seen.add((id(scope), output))
                    pending.append((scope, output, (*via, Step(node, scope))))
