"""What is made of constants and parameters alone is made again where a gradient needs it, in the place of being kept.

A weight that the graph decodes from codes takes four bytes an element and more; kept for the way back, all weights stand in
memory at once. The gradient graph is plain ONNX: each node of the way back gets a copy of the nodes that make what it
consumes. `PassThrough` hands the constant on together with a gradient, so that the copy cannot run before that gradient is
there, and no pass of the optimiser can merge it with the way forward.
"""

from collections.abc import Collection
from pathlib import Path

import onnx
from onnx import GraphProto, NodeProto, helper

_DOMAIN = "com.microsoft"
# Their results are small, and would be made from whole tensors.
_KEPT = frozenset({"Shape", "Size"})


def remake(path: Path, constants: Collection[str], fed: Collection[str], start: str) -> None:
    """Rewrite a gradient graph in its file.

    Args:
        path: of the graph, its nodes in an order in which they can run.
        constants: inputs that are the same in every run.
        fed: inputs that are not.
        start: the value that the gradients come from.
    """
    model = onnx.load(path)
    nodes = _Remaking(model.graph, constants, fed, start).nodes()
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    onnx.save(model, path)


class _Remaking:
    def __init__(
        self, graph: GraphProto, constants: Collection[str], fed: Collection[str], start: str
    ) -> None:
        self._graph = graph
        self._constants = constants
        self._makers = {name: node for node in graph.node for name in node.output if name}
        self._made = _made(graph, constants, {*fed, start})
        self._gradients = _reached(graph, {start})
        self._added: list[NodeProto] = []
        self._again: dict[tuple[str, str], str] = {}

    def nodes(self) -> list[NodeProto]:
        """All nodes, in an order in which they can run."""
        found: list[NodeProto] = []
        for node in self._graph.node:
            behind = next((name for name in node.input if name in self._gradients), None)
            if behind is not None:
                for index, name in enumerate(node.input):
                    node.input[index] = self._copy(name, behind)
            found += [*self._added, node]
            self._added.clear()
        return found

    def _copy(self, name: str, behind: str) -> str:
        """The value made again once a gradient is there; itself where it is not made of constants."""
        if name not in self._made:
            return name
        key = (name, behind)
        if key not in self._again:
            self._again[key] = f"{name}/behind {behind}"
            maker = self._makers[name]
            copy = NodeProto()
            copy.CopyFrom(maker)
            copy.name = f"{maker.name}/behind {behind}"
            for index, each in enumerate(maker.input):
                copy.input[index] = (
                    self._wait(each, behind)
                    if each in self._constants
                    else self._copy(each, behind)
                )
            for index, each in enumerate(maker.output):
                copy.output[index] = f"{each}/behind {behind}" if each else ""
                self._again[each, behind] = copy.output[index]
            self._added.append(copy)
        return self._again[key]

    def _wait(self, constant: str, behind: str) -> str:
        key = (constant, behind)
        if key not in self._again:
            name = f"{constant}/behind {behind}"
            outputs = [name, f"{name}/gradient"]
            node = helper.make_node(
                "PassThrough", [constant, behind], outputs, name, domain=_DOMAIN
            )
            self._added.append(node)
            self._again[key] = name
        return self._again[key]


def _made(graph: GraphProto, constants: Collection[str], other: set[str]) -> set[str]:
    """Values that come of at least one constant, and of nothing that is one of the others."""
    found: set[str] = set()
    beside = set(other)
    for node in graph.node:
        inputs = set(node.input)
        if node.op_type in _KEPT or inputs & beside:
            beside.update(name for name in node.output if name)
        elif inputs & found or inputs.intersection(constants):
            found.update(name for name in node.output if name)
    return found


def _reached(graph: GraphProto, values: set[str]) -> set[str]:
    """Values and all that comes of them."""
    found = set(values)
    for node in graph.node:
        if found.intersection(node.input):
            found.update(name for name in node.output if name)
    return found
