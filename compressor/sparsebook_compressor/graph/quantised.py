"""What a model holds that is no weight here: constants that somebody has quantised before, and numbers in attributes of nodes."""

import math
from collections.abc import Iterator

from onnx import AttributeProto, ModelProto, TensorProto

from sparsebook_compressor.graph.scopes import scopes

FEWEST = 128
# Bits of an element.
_BITS: dict[int, int] = {
    TensorProto.INT8: 8,
    TensorProto.UINT8: 8,
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
}


def quantised_bytes(model: ModelProto) -> int:
    """Bytes of all constants that are whole numbers of eight bits or fewer, of subgraphs and functions too."""
    bits = (_BITS.get(t.data_type, 0) * math.prod(t.dims) for t in _constants(model))
    return sum(bits) // 8


def attribute_holders(model: ModelProto) -> tuple[str, ...]:
    """Operators with lists of `FEWEST` floats or more for attributes, as tree ensembles and support vector machines have them."""
    return tuple(
        sorted(
            {
                node.op_type
                for scope in scopes(model)
                for node in scope.body.node
                for attribute in node.attribute
                if len(attribute.floats) >= FEWEST
            }
        )
    )


def _constants(model: ModelProto) -> Iterator[TensorProto]:
    for scope in scopes(model):
        if scope.graph is not None:
            yield from scope.graph.initializer
        for node in scope.body.node:
            if node.op_type == "Constant":
                yield from (a.t for a in node.attribute if a.type == AttributeProto.TENSOR)
