"""Constants of every scope that nobody may override, by name: initializers that are no inputs, and Constant nodes."""

from collections.abc import Iterator
from dataclasses import dataclass

from onnx import NodeProto, TensorProto, helper

from sparsebook_compressor.graph.flow import Value
from sparsebook_compressor.graph.roles import domain_of
from sparsebook_compressor.graph.scopes import Scope


@dataclass(frozen=True, eq=False)
class Constant:
    """A dense constant.

    Attributes:
        name: in its scope.
        home: the scope that defines it.
        tensor: the model's own, or a copy where a Constant node holds plain floats.
        node: the Constant node; None for an initializer.
    """

    name: str
    home: Scope
    tensor: TensorProto
    node: NodeProto | None

    @property
    def value(self) -> Value:
        """Its key among the values of the model."""
        return id(self.home.body), self.name


class ConstantTable:
    """Constants of a model."""

    def __init__(self, found: list[Scope]) -> None:
        """Take all scopes of the model."""
        self._known = {each.value: each for scope in found for each in _of(scope)}

    def find(self, scope: Scope, name: str) -> Constant | None:
        """The constant that a name means in a scope; None where it is another value."""
        home = scope.resolve(name) if name else None
        return None if home is None else self._known.get((id(home.body), name))


def _of(scope: Scope) -> Iterator[Constant]:
    if scope.graph is not None:
        inputs = {value.name for value in scope.graph.input}
        for tensor in scope.graph.initializer:
            if tensor.name not in inputs:
                yield Constant(tensor.name, scope, tensor, None)
    for node in scope.body.node:
        if node.op_type != "Constant" or domain_of(node) != "" or len(node.output) != 1:
            continue
        held = _held(node)
        if held is not None:
            yield Constant(node.output[0], scope, held, node)


def _held(node: NodeProto) -> TensorProto | None:
    for attribute in node.attribute:
        match attribute.name:
            case "value" if attribute.HasField("t"):
                return attribute.t
            case "value_float":
                return helper.make_tensor("", TensorProto.FLOAT, [], [attribute.f])
            case "value_floats":
                floats = list(attribute.floats)
                return helper.make_tensor("", TensorProto.FLOAT, [len(floats)], floats)
    return None
