"""Weights of recurrent layers that the graph puts in order before it uses them: put in order here, once.

PyTorch keeps a recurrent layer's gates in another order than ONNX. Inside a branch its exporter leaves the cutting and joining to the graph,
and ONNX Runtime does it when a session is made, as all that depends on constants alone. Behind a payload it would have to be done in every
call, and no kernel would see the weight.
"""

from collections.abc import Iterator, MutableSequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)
from onnx.reference import ReferenceEvaluator

from sparsebook_compressor.graph import tensors
from sparsebook_compressor.graph.constants import Constant, ConstantTable
from sparsebook_compressor.graph.flow import Flow, Value
from sparsebook_compressor.graph.roles import domain_of
from sparsebook_compressor.graph.scopes import Scope
from sparsebook_compressor.rewrite.surgery import Surgeon, fill

Array: TypeAlias = npt.NDArray[np.generic]

_ORDERING = frozenset({"Slice", "Concat", "Unsqueeze", "Squeeze", "Reshape", "Transpose"})
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
# W, R and B.
_PARAMETERS = (1, 2, 3)
# Longer chains, larger weights and more copies of one on the way are no exporter's.
_LONGEST, _MOST_ELEMENTS, _MOST_COPIES = 16, 1 << 26, 16
# Of positions and axes.
_MOST_INTEGERS = 64


@dataclass(frozen=True, eq=False)
class _Ordered:
    """A value that is made of constants by nothing but cutting, joining and turning.

    Attributes:
        key: equal for values that are made alike of the same floats.
        scope: that defines it.
        node: that makes it; None for a constant.
        constant: itself, where it is one.
        inputs: of the node, without those that are left out.
        copies: elements of floats that it is made of at most, each as often as it is taken.
    """

    key: int
    scope: Scope
    node: NodeProto | None
    constant: Constant | None
    inputs: tuple["_Ordered", ...]
    copies: int

    def walk(self, seen: set[int] | None = None) -> Iterator["_Ordered"]:
        """All that it is made of, each once, and itself behind that."""
        seen = set() if seen is None else seen
        if id(self) not in seen:
            seen.add(id(self))
            for each in self.inputs:
                yield from each.walk(seen)
            yield self


@dataclass(eq=False)
class _Group:
    """Inputs of recurrent nodes that are made alike."""

    first: _Ordered
    made: list[_Ordered] = field(default_factory=list)
    uses: list[tuple[Scope, NodeProto, int]] = field(default_factory=list)

    @property
    def floats(self) -> list[Constant]:
        """What the inputs are made of, in the order in which it comes."""
        constants = (each.constant for each in self.first.walk() if each.constant is not None)
        return [each for each in constants if tensors.is_float(each.tensor)]


class _Orders:
    """How values are made, each looked at once."""

    def __init__(self, flow: Flow) -> None:
        self._constants = ConstantTable(flow.found)
        self._makers = {
            (id(scope.body), name): node
            for scope in flow.found
            for node in scope.body.node
            for name in node.output
        }
        self._known: dict[tuple[Value, int], _Ordered | None] = {}
        self._keys: dict[tuple[object, ...], int] = {}

    def find(self, scope: Scope, name: str, depth: int = _LONGEST) -> _Ordered | None:
        """How what a name means in a scope is made; None where anything else takes part."""
        home = scope.resolve(name)
        if home is None or depth == 0:
            return None
        place = (id(home.body), name), depth
        if place not in self._known:
            self._known[place] = self._look(home, name, depth)
        return self._known[place]

    def _look(self, home: Scope, name: str, depth: int) -> _Ordered | None:
        constant = self._constants.find(home, name)
        if constant is not None:
            return self._of_constant(constant)
        node = self._makers.get((id(home.body), name))
        if node is None or node.op_type not in _ORDERING or domain_of(node) != "":
            return None
        inputs = [self.find(home, each, depth - 1) for each in node.input if each]
        known = tuple(each for each in inputs if each is not None)
        copies = sum(each.copies for each in known)
        if len(known) < len(inputs) or copies > _MOST_ELEMENTS:
            return None
        attributes = sorted(each.SerializeToString() for each in node.attribute)
        given = tuple(bool(each) for each in node.input)
        key = self._key(node.op_type, *attributes, given, *(each.key for each in known))
        return _Ordered(key, home, node, None, known, copies)

    def _of_constant(self, constant: Constant) -> _Ordered | None:
        """Floats are known by where they are, integers by their values: every branch has its own."""
        tensor = constant.tensor
        size = tensors.elements_of(tensor)
        if tensors.is_float(tensor):
            key = self._key("floats", *constant.value)
            return _Ordered(key, constant.home, None, constant, (), size)
        whole = tensor.data_type in (TensorProto.INT64, TensorProto.INT32)
        if not whole or size > _MOST_INTEGERS or tensor.data_location == TensorProto.EXTERNAL:
            return None
        held = numpy_helper.to_array(tensor).tobytes()
        key = self._key("integers", tensor.data_type, tuple(tensor.dims), held)
        return _Ordered(key, constant.home, None, constant, (), 0)

    def _key(self, *parts: object) -> int:
        return self._keys.setdefault(parts, len(self._keys))


def fold(model: ModelProto, source: Path) -> tuple[str, ...]:
    """Give recurrent nodes their weights as constants where the graph only puts these in order.

    A weight is left to the graph where it is used in any other way, too, or where what is made of it is larger.

    Args:
        model: as admitted; it is changed in place.
        source: its file; external data lies in its folder.

    Returns:
        Names of the constants that are in order now.
    """
    flow = Flow.of(model)
    surgeon = Surgeon(model)
    names = (_fold(surgeon, group, flow, source) for group in _groups(flow))
    folded = tuple(name for name in names if name is not None)
    if folded:
        surgeon.finish()
    return folded


def _groups(flow: Flow) -> list[_Group]:
    """What recurrent nodes take that is put in order first."""
    orders = _Orders(flow)
    groups: dict[int, _Group] = {}
    for scope in flow.found:
        for node, index in _parameters(scope):
            made = orders.find(scope, node.input[index])
            if made is not None and made.node is not None:
                group = groups.setdefault(made.key, _Group(made))
                group.made.append(made)
                group.uses.append((scope, node, index))
    return list(groups.values())


def _parameters(scope: Scope) -> list[tuple[NodeProto, int]]:
    """Recurrent nodes of a scope, and their inputs that are parameters; local functions hold no initializers."""
    if scope.function is not None:
        return []
    nodes = (n for n in scope.body.node if n.op_type in _RECURRENT and domain_of(n) == "")
    return [(n, i) for n in nodes for i in _PARAMETERS if i < len(n.input) and n.input[i]]


def _fold(surgeon: Surgeon, group: _Group, flow: Flow, source: Path) -> str | None:
    """Put floats in order under the name of the first of them; that name, None where they are left to the graph."""
    floats = group.floats
    size = sum(tensors.elements_of(each.tensor) for each in floats)
    if not size or group.first.copies > _MOST_COPIES * size or not _is_alone(group, flow):
        return None
    kept = floats[0]
    if any(scope.resolve(kept.name) is not kept.home for scope, _, _ in group.uses):
        return None
    values = _evaluated(surgeon.model, group.first, source)
    if values is None or values.size > size:
        return None
    for _, node, index in group.uses:
        node.input[index] = kept.name
    _drop_makers(surgeon, group, flow)
    for other in floats[1:]:
        _forget(surgeon, other)
    _hold(kept, values)
    return kept.name


def _makers(group: _Group) -> dict[int, _Ordered]:
    """The nodes that put in order, each once."""
    every = (each for made in group.made for each in made.walk())
    return {id(each.node): each for each in every if each.node is not None}


def _is_alone(group: _Group, flow: Flow) -> bool:
    """Whether nobody but the group's nodes sees the floats, or anything on their way."""
    makers = _makers(group)
    ends = {id(node) for _, node, _ in group.uses}
    between = [
        (id(each.scope.body), name)
        for each in makers.values()
        if each.node is not None
        for name in each.node.output
    ]
    return all(_consumers(flow, each.value) <= makers.keys() for each in group.floats) and all(
        _consumers(flow, value) <= makers.keys() | ends for value in between
    )


def _consumers(flow: Flow, value: Value) -> set[int]:
    """Nodes that take a value; one that stands for whoever takes a graph's output."""
    leaves = {0} if value in flow.outputs else set()
    return leaves | {id(node) for _, node in flow.consumers.get(value, [])}


def _drop_makers(surgeon: Surgeon, group: _Group, flow: Flow) -> None:
    """Remove the nodes, and the Constant nodes that hold positions for nobody else."""
    makers = _makers(group)
    for made in group.made:
        for each in made.walk():
            if each.node is not None:
                surgeon.drop(each.scope, each.node)
                continue
            constant = each.constant
            if constant is None or constant.node is None or tensors.is_float(constant.tensor):
                continue
            if _consumers(flow, constant.value) <= makers.keys():
                surgeon.drop(constant.home, constant.node)


def _evaluated(model: ModelProto, made: _Ordered, source: Path) -> Array | None:
    """The value; None where the nodes do not fit together, which ONNX Runtime says of the original in its own words."""
    graph = GraphProto(name="ordered")
    names: dict[int, str] = {}
    for number, each in enumerate(made.walk()):
        names[id(each)] = f"v{number}"
        if each.constant is not None:
            fill(graph.initializer.add(), names[id(each)], _read(each.constant, source))
        elif each.node is not None:
            node = graph.node.add()
            node.CopyFrom(each.node)
            taken = iter(each.inputs)
            given = [names[id(next(taken))] if name else "" for name in each.node.input]
            del node.input[:], node.output[:]
            node.input.extend(given)
            node.output.append(names[id(each)])
    graph.output.append(helper.make_empty_tensor_value_info(names[id(made)]))
    alone = helper.make_model(graph, opset_imports=model.opset_import)
    try:
        (found,) = ReferenceEvaluator(alone).run(None, {})
    # What NumPy and the evaluator raise for axes, positions and shapes that do not fit; the weight is left to the graph then.
    except (IndexError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return None
    return np.ascontiguousarray(found)


def _read(constant: Constant, source: Path) -> Array:
    tensor = constant.tensor
    if not tensors.is_float(tensor):
        return numpy_helper.to_array(tensor)
    return tensors.read_stored(tensor, source).reshape(tuple(tensor.dims))


def _hold(constant: Constant, values: Array) -> None:
    """Other values in a constant's place."""
    if constant.node is None:
        fill(constant.tensor, constant.name, values)
    else:
        tensor = TensorProto()
        fill(tensor, constant.name, values)
        del constant.node.attribute[:]
        constant.node.attribute.append(helper.make_attribute("value", tensor))
    if constant.home.graph is not None:
        _remove(constant.home.graph.value_info, constant.name)


def _forget(surgeon: Surgeon, constant: Constant) -> None:
    """Take away a constant that nobody uses any more."""
    graph = constant.home.graph
    if constant.node is not None:
        surgeon.drop(constant.home, constant.node)
    elif graph is not None:
        _remove(graph.initializer, constant.name)
        _remove(graph.value_info, constant.name)


def _remove(
    entries: MutableSequence[TensorProto] | MutableSequence[ValueInfoProto], name: str
) -> None:
    for index in reversed(range(len(entries))):
        if entries[index].name == name:
            del entries[index]
