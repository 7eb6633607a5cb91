"""Where the values of a model go: their consumers in every scope, and whether they leave the scope that defines them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from onnx import ModelProto, NodeProto

from sparsebook_compressor.graph.scopes import Scope, scopes

# The body that defines a value, by identity, and the value's name.
Value: TypeAlias = tuple[int, str]


@dataclass(frozen=True, eq=False)
class Flow:
    """Consumers of the values of a model as it was when this was made.

    Attributes:
        found: all scopes, outer ones before inner ones.
        consumers: nodes that take a value, each once, and their scopes.
        outputs: values that are outputs of any graph or function.
    """

    found: list[Scope] = field(repr=False)
    consumers: dict[Value, list[tuple[Scope, NodeProto]]]
    outputs: set[Value]

    @classmethod
    def of(cls, model: ModelProto) -> "Flow":
        """Follow every value."""
        flow = cls(scopes(model), {}, set())
        for scope in flow.found:
            for node in scope.body.node:
                for value in values(scope, dict.fromkeys(node.input)):
                    flow.consumers.setdefault(value, []).append((scope, node))
            flow.outputs.update(values(scope, scope.outputs))
        return flow

    def only_consumer(self, scope: Scope, name: str) -> NodeProto | None:
        """The node of the same scope that alone consumes a value of this scope, which does not leave it."""
        value = (id(scope.body), name)
        consumers = self.consumers.get(value, [])
        if len(consumers) != 1 or value in self.outputs:
            return None
        where, node = consumers[0]
        return node if where.body is scope.body else None


def values(scope: Scope, names: Iterable[str]) -> list[Value]:
    """What names mean in a scope; those that nothing defines are left out."""
    homes = ((scope.resolve(name), name) for name in names if name)
    return [(id(home.body), name) for home, name in homes if home is not None]
