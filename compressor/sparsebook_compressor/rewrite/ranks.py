"""How many axes a value has at least, from what the model declares and from the constants that went into it."""

from collections import deque

from onnx import NodeProto, ValueInfoProto

from sparsebook_compressor.graph.constants import ConstantTable
from sparsebook_compressor.graph.flow import Value
from sparsebook_compressor.graph.roles import domain_of
from sparsebook_compressor.graph.scopes import Scope
from sparsebook_compressor.rewrite.surgery import DOMAIN

# Values looked at on the way back; what exporters write around a product takes a handful.
_MOST_VALUES = 64
# Ops whose first output has at least the axes of their first input, and those where this holds for every input (opset 7 and
# later).
_AS_FIRST = frozenset(
    [
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Clip",
        "Conv",
        "Dropout",
        "Elu",
        "Erf",
        "Exp",
        "Expand",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LayerNormalization",
        "LeakyRelu",
        "MaxPool",
        "Neg",
        "Relu",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Sqrt",
        "Tanh",
    ]
)
_AS_EACH = frozenset(
    [
        "Add",
        "And",
        "Div",
        "Equal",
        "Greater",
        "Less",
        "Max",
        "Min",
        "Mul",
        "Or",
        "Pow",
        "Sub",
        "Sum",
        "Where",
    ]
)


class RankTable:
    """Ranks of a model's values as it was when this was made."""

    def __init__(self, found: list[Scope], constants: ConstantTable) -> None:
        """Take all scopes of the model and its constants."""
        self._constants = constants
        self._carriers: dict[Value, tuple[str, ...]] = {}
        self._declared: dict[Value, int] = {}
        for scope in found:
            for node in scope.body.node:
                if node.output:
                    self._carriers[id(scope.body), node.output[0]] = _carriers(node)
            if scope.graph is not None:
                for each in (*scope.graph.input, *scope.graph.value_info):
                    if _has_shape(each):
                        rank = len(each.type.tensor_type.shape.dim)
                        self._declared[id(scope.body), each.name] = rank

    def is_at_least(self, scope: Scope, name: str, rank: int) -> bool:
        """Whether it is certain that a value has so many axes or more."""
        waiting, seen = deque([(scope, name)]), set[Value]()
        while waiting and len(seen) < _MOST_VALUES:
            place, each = waiting.popleft()
            home = place.resolve(each) if each else None
            if home is None or (id(home.body), each) in seen:
                continue
            value = (id(home.body), each)
            seen.add(value)
            constant = self._constants.find(home, each)
            known = self._declared.get(value, 0) if constant is None else len(constant.tensor.dims)
            if known >= rank:
                return True
            waiting.extend((home, source) for source in self._carriers.get(value, ()))
        return False


def _carriers(node: NodeProto) -> tuple[str, ...]:
    """The inputs whose axes a node's first output has too."""
    if node.domain == DOMAIN:  # a product by a matrix, or a convolution
        return tuple(node.input[:1]) if node.op_type in ("MatMul", "Conv") else ()
    if domain_of(node) != "":
        return ()
    if node.op_type in _AS_EACH:
        return tuple(node.input)
    return tuple(node.input[:1]) if node.op_type in _AS_FIRST else ()


def _has_shape(declared: ValueInfoProto) -> bool:
    return declared.type.HasField("tensor_type") and declared.type.tensor_type.HasField("shape")
