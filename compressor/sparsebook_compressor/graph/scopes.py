"""Scopes of names: the main graph, the subgraphs of If, Loop and Scan, and the bodies of local functions."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto

from sparsebook_compressor.errors import InvalidGraph

# Deeper nesting than this is an attack, not a model.
MOST_DEPTH = 32


@dataclass(frozen=True, eq=False)
class Scope:
    """One name scope.

    Attributes:
        path: "" for the main graph, else the nodes and attributes that lead here.
        body: the graph or function.
        parent: the scope whose names are visible here too; None for the main graph and for functions.
        defined: names that this scope defines itself.
    """

    path: str
    body: GraphProto | FunctionProto
    parent: "Scope | None"
    defined: frozenset[str] = field(repr=False)

    @property
    def graph(self) -> GraphProto | None:
        """The body where it is a graph: only graphs have initializers."""
        return self.body if isinstance(self.body, GraphProto) else None

    @property
    def function(self) -> FunctionProto | None:
        """The local function in which this scope lies, if any."""
        root = self
        while root.parent is not None:
            root = root.parent
        return root.body if isinstance(root.body, FunctionProto) else None

    @property
    def outputs(self) -> frozenset[str]:
        """Names that leave this scope."""
        if isinstance(self.body, GraphProto):
            return frozenset(value.name for value in self.body.output)
        return frozenset(self.body.output)

    def resolve(self, name: str) -> "Scope | None":
        """The scope that defines a name as seen from here."""
        scope: Scope | None = self
        while scope is not None and name not in scope.defined:
            scope = scope.parent
        return scope


def scopes(model: ModelProto) -> list[Scope]:
    """All scopes, outer ones before inner ones.

    Raises:
        InvalidGraph: nested deeper than `MOST_DEPTH`.
    """
    roots = [Scope("", model.graph, None, _defined(model.graph))]
    for function in model.functions:
        path = f"function {function.domain}::{function.name}"
        roots.append(Scope(path, function, None, _defined(function)))
    return [scope for root in roots for scope in within(root)]


def within(scope: Scope) -> Iterator[Scope]:
    """A scope as its body is now, and all that are nested in it, outer ones before inner ones.

    Raises:
        InvalidGraph: nested deeper than `MOST_DEPTH`.
    """
    return _nested(scope, 0)


def shadowed(found: list[Scope]) -> Iterator[tuple[Scope, str]]:
    """Names that both a scope and one around it define, each with either scope.

    ONNX forbids them, and ONNX Runtime reads now the one, now the other: the inner one, unless another branch of the same
    If consumes the outer one. Branches that lie side by side may define the same name.
    """
    for scope in found:
        outer = scope.parent
        while outer is not None:
            for name in scope.defined & outer.defined:
                yield scope, name
                yield outer, name
            outer = outer.parent


def subgraphs(node: NodeProto) -> Iterator[tuple[str, GraphProto]]:
    """Attribute name and graph of every subgraph of a node."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.name, attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            for index, graph in enumerate(attribute.graphs):
                yield f"{attribute.name}[{index}]", graph


def _nested(scope: Scope, depth: int) -> Iterator[Scope]:
    if depth > MOST_DEPTH:
        raise InvalidGraph(f"subgraphs are nested deeper than {MOST_DEPTH}, at {scope.path!r}")
    yield scope
    for index, node in enumerate(scope.body.node):
        for attribute, graph in subgraphs(node):
            label = node.name or f"{node.op_type}#{index}"
            path = f"{scope.path}/{label}.{attribute}" if scope.path else f"{label}.{attribute}"
            yield from _nested(Scope(path, graph, scope, _defined(graph)), depth + 1)


def _defined(body: GraphProto | FunctionProto) -> frozenset[str]:
    names = {name for node in body.node for name in node.output if name}
    if isinstance(body, GraphProto):
        names.update(value.name for value in body.input)
        names.update(tensor.name for tensor in body.initializer)
        names.update(tensor.values.name for tensor in body.sparse_initializer)
    else:
        names.update(body.input)
    return frozenset(names)
