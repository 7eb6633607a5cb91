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
    reason_against,
    role_of,
)
from sparsebook_compressor.graph.scopes import Scope, scopes, shadowed
from sparsebook_compressor.graph.uses import Use, UseTable
from sparsebook_compressor.payload_layout import MAX_ELEMENTS, MAX_RANK

F32 = npt.NDArray[np.float32]
Holder: TypeAlias = TensorProto | SparseTensorProto

# Before IR 4 every initializer has to be listed among the graph's inputs too.
IR_WITH_OWN_INITIALIZERS = 4
# A payload's header, codebook and node take about as many bytes as this many floats.
TINY = 128


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
        role_use: that consumer.
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
    role_use: Use = field(repr=False)
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
        """The axis of the output channels of the consumer that gives the role; rows of an embedding."""
        use, rank = self.role_use, len(self.shape)
        return use.axis_in_weight(output_axis(use.node, use.index, self.role, rank), rank)

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
    table = UseTable(found)
    barred = _barred(model, found)
    weights: list[Weight] = []
    kept: list[Kept] = []
    names: set[str] = set()
    for constant in _constants(found):
        if any(dim < 0 for dim in constant.shape):
            raise InvalidGraph(f"tensor {constant.value!r}: negative dimension in {constant.shape}")
        name = _unique(constant, names)
        names.add(name)
        verdict = _role(constant, table, barred)
        if isinstance(verdict, _LeftAlone):
            size = tensors.stored_bytes(constant.tensor)
            kept.append(Kept(name, constant.shape, size, verdict.reason))
            continue
        role, role_use, uses = verdict
        weights.append(
            Weight(
                name=name,
                value=constant.value,
                scope=constant.scope,
                holder=constant.holder,
                node=constant.node,
                shape=constant.shape,
                dtype=constant.tensor.data_type,
                role=role,
                role_use=role_use,
                uses=uses,
                source=source,
            )
        )
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


_Barred: TypeAlias = dict[tuple[int, str], str]


def _barred(model: ModelProto, found: list[Scope]) -> _Barred:
    """Values, by scope and name, that no weight may be or be handed on as, and why."""
    overridden = "may be overridden by the caller (it is also an input)"
    hidden = "its name is defined in a graph around it or inside it too, which ONNX forbids"
    return {
        **{(id(scope), name): overridden for scope, name in _overridable(model, found)},
        **{(id(scope), name): hidden for scope, name in shadowed(found)},
    }


def _overridable(model: ModelProto, found: list[Scope]) -> Iterator[tuple[Scope, str]]:
    """Initializers that a caller is meant to override: from IR 4 on those that are inputs of their graph too.

    Where all initializers of the main graph are, nobody meant it: before IR 4 they had to be, and older exporters still write
    them so (keras2onnx; PyTorch with `keep_initializers_as_inputs`). Such weights are compressed, and are inputs no more.
    """
    if model.ir_version < IR_WITH_OWN_INITIALIZERS:
        return
    for scope in found:
        if scope.graph is None:
            continue
        initializers = {tensor.name for tensor in scope.graph.initializer}
        both = initializers.intersection(value.name for value in scope.graph.input)
        if scope.parent is not None or both != initializers:
            yield from ((scope, name) for name in both)


def _reason_barred(constant: _Constant, uses: tuple[Use, ...], barred: _Barred) -> str | None:
    steps = {id(step): step for use in uses for step in use.via if not step.call}.values()
    places = [(id(constant.scope), constant.value)]
    places += [(id(step.scope), name) for step in steps for name in step.node.output]
    return next((barred[place] for place in places if place in barred), None)


def _role(
    constant: _Constant, table: UseTable, barred: _Barred
) -> tuple[Role, Use, tuple[Use, ...]] | _LeftAlone:
    """The role, the consumer that gives it, and all consumers."""
    if constant.value in constant.scope.outputs:
        return _LeftAlone("is an output of its graph")
    consumers = table.uses(constant.scope, constant.value)
    if consumers is None:
        return _LeftAlone("too many nodes consume it")
    if not consumers:
        return _LeftAlone("no node consumes it")
    roles = ((role_of(use.node, use.index, constant.shape), use) for use in consumers)
    found = next(((role, use) for role, use in roles if role is not None), None)
    quantised = next((use for use in consumers if is_quantised(use.node)), None)
    if found is None or quantised is not None:
        use = quantised or consumers[0]
        return _LeftAlone(reason_against(use.node, use.index))
    reason = _reason_of_shape(constant.shape) or _reason_barred(constant, consumers, barred)
    return (*found, consumers) if reason is None else _LeftAlone(reason)


def _reason_of_shape(shape: tuple[int, ...]) -> str | None:
    if len(shape) < 2:
        return "a vector"
    elements = math.prod(shape)
    if elements < TINY:
        return f"tiny: {elements} elements, at least {TINY} are worth coding"
    if len(shape) > MAX_RANK or elements > MAX_ELEMENTS:
        return f"over {MAX_RANK} dimensions or {MAX_ELEMENTS} elements"
    return None


def _constants(found: list[Scope]) -> Iterator[_Constant]:
    for scope in found:
        if scope.graph is not None:
            for tensor in scope.graph.initializer:
                if tensors.is_float(tensor):
                    tensors.check_declared(tensor)
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
