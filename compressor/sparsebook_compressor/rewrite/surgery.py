"""The few cuts that every rewrite is made of: replace a weight's tensor, add constants, insert nodes, fresh names."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    helper,
)

from sparsebook_compressor.admit import opset
from sparsebook_compressor.graph.scopes import Scope, scopes, within
from sparsebook_compressor.graph.spool import Spool
from sparsebook_compressor.graph.view import IR_WITH_OWN_INITIALIZERS, Weight

DOMAIN = "sparsebook"
DOMAIN_VERSION = 1
# Before opset 9 a Constant node holds floats only.
_OPSET_CONSTANTS = 9


@dataclass
class _Cut:
    """What waits for one scope: nodes to insert, and nodes that go if nobody consumes their outputs any more."""

    scope: Scope
    before: list[NodeProto] = field(default_factory=list)
    ahead_of: dict[int, list[NodeProto]] = field(default_factory=dict)
    behind: dict[int, list[NodeProto]] = field(default_factory=dict)
    candidates: list[NodeProto] = field(default_factory=list)
    dropped: list[NodeProto] = field(default_factory=list)


class Surgeon:
    """Holds the model under the knife, the names in use, and what waits for each scope.

    Nodes and tensors are changed where they stand; whatever changes the list of nodes waits for `finish`, since
    rebuilding a list detaches every reference into it.
    """

    def __init__(self, model: ModelProto, spool: Spool | None = None) -> None:
        """Take the model; it is changed in place. What replaces weights waits in the spool, where there is one."""
        self.model = model
        self._spool = spool
        self._names = Counter(name for scope in scopes(model) for name in scope.defined)
        self._cuts: dict[int, _Cut] = {}
        self._undecided: list[Callable[[], None]] = []
        self.offers: dict[tuple[int, int], str] = {}
        """Payloads that a node may take, if it is offered all that it needs: by the node's id and the input."""
        self.payloads: dict[str, str] = {}
        """Names of the tensors that hold weights' payloads, by the weights' names."""

    def fresh(self, wish: str) -> str:
        """A value name that is not in use, near to the wish."""
        name, number = wish, 2
        while name in self._names:
            name, number = f"{wish}_{number}", number + 1
        self._names[name] += 1
        return name

    def opset(self, weight: Weight) -> int:
        """Version of the standard operator set where the weight lives: a local function imports its own."""
        return opset(weight.scope.function or self.model)

    def stand_in(self, weight: Weight) -> str:
        """The name for a node's output that consumers will take for the weight: its own, wherever that may be.

        Branches that lie side by side may have a value of this name each: then the consumers are told another name, so that
        no two nodes of the model give one name.
        """
        if self._names[weight.value] == 1:
            return weight.value
        name = self.fresh(weight.value)
        for use in weight.uses:
            node, index = (use.via[0].node, None) if use.via else (use.node, use.index)
            for at, wanted in enumerate(node.input):
                if wanted == weight.value and index in (None, at):
                    node.input[at] = name
        return name

    def replace_tensor(
        self, weight: Weight, name: str, data: npt.NDArray[np.generic] | bytes
    ) -> None:
        """Put other data under another name in the weight's place; bytes become uint8[n].

        An initializer stays an initializer, a Constant node a Constant node where it may hold the data's dtype; a sparse
        tensor becomes a dense one.
        """
        graph = weight.scope.graph
        floats = isinstance(data, np.ndarray) and data.dtype.kind == "f"
        constants_hold_it = floats or self.opset(weight) >= _OPSET_CONSTANTS
        if weight.node is not None and graph is not None and not constants_hold_it:
            self.drop(weight.scope, weight.node)
            self._fill(graph.initializer.add(), name, data)
            self._make_own(graph, name)
            return
        if weight.node is not None:
            attribute = next(a for a in weight.node.attribute if a.type in _TENSORS)
            attribute.Clear()
            attribute.name, attribute.type = "value", AttributeProto.TENSOR
            self._fill(attribute.t, name, data)
            weight.node.output[0] = name
            return
        if graph is None:
            raise ValueError(f"{weight.name!r}: a function has no initializers")
        if isinstance(weight.holder, SparseTensorProto):
            _remove_sparse(graph, weight.holder)
            self._fill(graph.initializer.add(), name, data)
        else:
            self._fill(weight.holder, name, data)
        self._make_own(graph, weight.value)

    def add_constant(self, weight: Weight, name: str, data: npt.NDArray[np.generic]) -> str:
        """Another constant in the weight's scope, before the nodes that `insert` puts there; its name is returned."""
        name = self.fresh(name)
        tensor = TensorProto()
        fill(tensor, name, data)
        if weight.scope.graph is not None:
            self.add_initializer(weight.scope.graph, tensor)
        else:
            self.insert(weight, [helper.make_node("Constant", [], [name], value=tensor)])
        return name

    def add_initializer(self, graph: GraphProto, tensor: TensorProto) -> None:
        """Another initializer of a graph, under a fresh name."""
        graph.initializer.append(tensor)
        self._make_own(graph, tensor.name)

    def insert(self, weight: Weight, nodes: Iterable[NodeProto]) -> None:
        """Nodes for the weight's scope: behind its Constant node, or before all others where it is an initializer."""
        cut = self._cut(weight.scope)
        if weight.node is None:
            cut.before.extend(nodes)
        else:
            cut.behind.setdefault(id(weight.node), []).extend(nodes)

    def put_before(self, scope: Scope, node: NodeProto, new: NodeProto) -> None:
        """A node right before one of this scope."""
        self._cut(scope).ahead_of.setdefault(id(node), []).append(new)

    def put_behind(self, scope: Scope, node: NodeProto, new: NodeProto) -> None:
        """A node right behind one of this scope, and behind what was put there before."""
        self._cut(scope).behind.setdefault(id(node), []).append(new)

    def drop(self, scope: Scope, node: NodeProto) -> None:
        """Remove a node of this scope at the end."""
        self._cut(scope).dropped.append(node)

    def drop_if_unused(self, scope: Scope, node: NodeProto) -> None:
        """Remove a node of this scope at the end, if nobody consumes its outputs by then."""
        self._cut(scope).candidates.append(node)

    def decide_last(self, decide: Callable[[], None]) -> None:
        """Leave to `finish` what depends on weights that are still to come."""
        self._undecided.append(decide)

    def finish(self) -> None:
        """Insert and remove what waits, inner scopes first, and import the operator domain where it is used."""
        for decide in self._undecided:
            decide()
        self._undecided.clear()
        for cut in sorted(self._cuts.values(), key=lambda cut: -_depth(cut.scope)):
            _apply(cut)
        for scope in scopes(self.model):
            if any(node.domain == DOMAIN for node in scope.body.node):
                _import_domain(scope.function or self.model)

    def _cut(self, scope: Scope) -> _Cut:
        return self._cuts.setdefault(id(scope), _Cut(scope))

    def _fill(self, tensor: TensorProto, name: str, data: npt.NDArray[np.generic] | bytes) -> None:
        fill(tensor, name, data)
        if self._spool is not None:
            self._spool.take(tensor)

    def _make_own(self, graph: GraphProto, name: str) -> None:
        """An initializer listed among the inputs (as IR 3 demands, or as an overridable default) is none of them any more."""
        _drop_inputs(graph, {name})
        if self.model.ir_version < IR_WITH_OWN_INITIALIZERS:
            self.model.ir_version = IR_WITH_OWN_INITIALIZERS
            main = self.model.graph
            _drop_inputs(main, {tensor.name for tensor in main.initializer})


def _import_domain(holder: ModelProto | FunctionProto) -> None:
    if all(entry.domain != DOMAIN for entry in holder.opset_import):
        holder.opset_import.append(helper.make_opsetid(DOMAIN, DOMAIN_VERSION))


def _drop_inputs(graph: GraphProto, names: set[str]) -> None:
    for index in reversed(range(len(graph.input))):
        if graph.input[index].name in names:
            del graph.input[index]


def _depth(scope: Scope) -> int:
    return 0 if scope.parent is None else 1 + _depth(scope.parent)


def _apply(cut: _Cut) -> None:
    body = cut.scope.body
    consumed: set[str] = set()
    for inner in within(cut.scope):
        consumed.update(inner.outputs)
        consumed.update(name for node in inner.body.node for name in node.input)
    dead = {id(node) for node in cut.candidates if not consumed.intersection(node.output)}
    dead.update(id(node) for node in cut.dropped)
    nodes = list(cut.before)
    for node in body.node:
        kept = () if id(node) in dead else (node,)
        nodes += [*cut.ahead_of.get(id(node), ()), *kept, *cut.behind.get(id(node), ())]
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del body.node[:]
    body.node.extend(copies)


_TENSORS = (AttributeProto.TENSOR, AttributeProto.SPARSE_TENSOR)


def fill(tensor: TensorProto, name: str, data: npt.NDArray[np.generic] | bytes) -> None:
    """Make a tensor anew; bytes become uint8[n]."""
    array = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
    tensor.Clear()
    tensor.name = name
    tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor.dims.extend(array.shape)
    tensor.raw_data = data if isinstance(data, bytes) else array.tobytes()


def _remove_sparse(graph: GraphProto, holder: SparseTensorProto) -> None:
    index = next(i for i, tensor in enumerate(graph.sparse_initializer) if tensor is holder)
    del graph.sparse_initializer[index]
