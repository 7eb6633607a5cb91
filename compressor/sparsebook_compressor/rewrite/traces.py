"""What exporters write beside nodes and values for whoever debugs the export.

PyTorch's exporter gives every node its stack trace, the node of its own graph and the modules around it: a kilobyte a node, which is
more than the weights of a layer may come to.
"""

from collections.abc import Iterator
from typing import Any

from onnx import GraphProto, ModelProto

from sparsebook_compressor.graph.scopes import scopes

_PREFIXES = ("pkg.torch.", "pkg.onnxscript.")
_KEYS = frozenset({"namespace"})


def leave_out_traces(model: ModelProto) -> int:
    """Take such notes out, in place; the bytes that they took. All other metadata stays, the model's own among it."""
    before = after = 0
    for holder in _holders(model):
        if not holder.metadata_props:
            continue
        kept = [entry for entry in holder.metadata_props if not _is_trace(entry.key)]
        if len(kept) < len(holder.metadata_props):
            before += holder.ByteSize()
            copies = [type(entry).FromString(entry.SerializeToString()) for entry in kept]
            del holder.metadata_props[:]
            holder.metadata_props.extend(copies)
            after += holder.ByteSize()
    return before - after


def _is_trace(key: str) -> bool:
    return key.startswith(_PREFIXES) or key in _KEYS


def _holders(model: ModelProto) -> Iterator[Any]:
    """All that may have metadata but the model itself, what is inside before what is around it."""
    for scope in reversed(scopes(model)):
        body = scope.body
        yield from body.node
        yield from body.value_info
        if isinstance(body, GraphProto):
            yield from (*body.input, *body.output, *body.initializer)
        yield body
