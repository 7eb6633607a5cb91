"""Constants that somebody has quantised before: whole numbers of eight bits or fewer, which are no weights here."""

import math
from collections.abc import Iterator

from onnx import AttributeProto, ModelProto, TensorProto

from sparsebook_compressor.graph.scopes import scopes

# Bits of an element.
_BITS = {
    TensorProto.INT8: 8,
    TensorProto.UINT8: 8,
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
}


def quantised_bytes(model: ModelProto) -> int:
    """Bytes of all such constants, of subgraphs and functions too."""
    bits = (_BITS.get(t.data_type, 0) * math.prod(t.dims) for t in _constants(model))
    return sum(bits) // 8


def _constants(model: ModelProto) -> Iterator[TensorProto]:
    for scope in scopes(model):
        if scope.graph is not None:
            yield from scope.graph.initializer
        for node in scope.body.node:
            if node.op_type == "Constant":
                yield from (a.t for a in node.attribute if a.type == AttributeProto.TENSOR)
