"""A weight that is trained while the graph sees its centroids (the straight-through estimator, arXiv 1308.3432).

What the graph reads of a parameter w is the nearest centroid q(w); the gradient passes as if it were w. So every element
can move to another centroid where the loss asks for it, which neither retraining floats nor tuning centroids can do.

    w -> Clip -> c ------------------------------> Add -> q(w)
                 c -> Sub, Mul, Cast -> Gather --^

The range of the weight is cut into many bins, and a table says for each how far its middle is from the middle's centroid. The
way through the bins is one of integers and has no gradient; what is left of c inside its bin, some 2^-17 of the range, stays.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper, numpy_helper

from sparsebook_compressor.stages.share import boundaries
from sparsebook_compressor.training.nodes import free_prefix, redirect
from sparsebook_compressor.training.orders.parameters import Parameter

F32 = npt.NDArray[np.float32]

_BINS = 1 << 16


def rounded(model: ModelProto, parameter: Parameter, codebook: F32, values: F32) -> Parameter:
    """Let the graph see a parameter's nearest centroids.

    Args:
        model: changed in place.
        parameter: floats, as `prune` made them.
        codebook: centroids, ascending, float32[centroids].
        values: what the parameter is at the start: beyond their range it is not told apart.
    """
    graph, name = model.graph, parameter.name
    prefix = free_prefix(model, f"{name}.rounded")
    low, high = _range(codebook, values)
    per_unit = np.float32(_BINS / (high - low))
    constants = {
        "low": np.float32(low),
        "high": np.float32(high),
        "per_unit": per_unit,
        "table": _table(codebook, low, float(per_unit)),
    }
    for what, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"{prefix}.{what}"))
    steps: list[tuple[str, tuple[str, ...], str, dict[str, Any]]] = [
        ("Clip", (name, f"{prefix}.low", f"{prefix}.high"), "clipped", {}),
        ("Sub", (f"{prefix}.clipped", f"{prefix}.low"), "above", {}),
        ("Mul", (f"{prefix}.above", f"{prefix}.per_unit"), "place", {}),
        ("Cast", (f"{prefix}.place",), "bin", {"to": TensorProto.INT32}),
        ("Gather", (f"{prefix}.table", f"{prefix}.bin"), "way", {"axis": 0}),
        ("Add", (f"{prefix}.clipped", f"{prefix}.way"), "centroids", {}),
    ]
    redirect(model, name, f"{prefix}.centroids")
    for at, (op, inputs, out, attributes) in enumerate(steps):
        output = f"{prefix}.{out}"
        graph.node.insert(at, helper.make_node(op, inputs, [output], output, **attributes))
    return parameter


def _range(codebook: F32, values: F32) -> tuple[float, float]:
    low = min(float(codebook[0]), float(values.min()))
    high = max(float(codebook[-1]), float(values.max()))
    # All elements alike: any range will do that is one.
    return (low, high) if high > low else (low, low + max(abs(low), 1.0))


def _table(codebook: F32, low: float, per_unit: float) -> F32:
    """From the middle of every bin to its centroid; the last entry is for the upper end itself."""
    middles = low + (np.arange(_BINS + 1) + 0.5) / per_unit
    nearest = np.searchsorted(boundaries(codebook), middles.astype(np.float32), side="left")
    table: F32 = (codebook[nearest] - middles).astype(np.float32)
    return table
