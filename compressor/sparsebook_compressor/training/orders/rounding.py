"""A weight that is trained while the graph sees its centroids (the straight-through estimator, arXiv 1308.3432).

What the graph reads of a parameter w is the nearest centroid q(w); the gradient passes as if it were w. So every element
can move to another centroid where the loss asks for it, which neither retraining floats nor tuning centroids can do.

    w -> Clip -> c ------------------------------> Add -> q(w)
                 c -> Sub, Mul, Cast -> Gather --^

The range of the weight is cut into many bins, and a table says for each how far its middle is from the middle's centroid. The
way through the bins is one of integers and has no gradient; what is left of c inside its bin, some 2^-17 of the range, stays.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper, numpy_helper

from sparsebook_compressor.stages.share import nearest
from sparsebook_compressor.training.nodes import free_prefix, redirect
from sparsebook_compressor.training.orders.parameters import Parameter

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]

_BINS = 1 << 16


@dataclass(frozen=True, eq=False)
class Bins:
    """The range of a weight, cut into many bins of which each belongs to a centroid.

    Attributes:
        codebook: centroids, ascending, float32[centroids].
        low, high: the ends of the range.
        per_unit: bins in a range of 1.
    """

    codebook: F32
    low: np.float32
    high: np.float32
    per_unit: np.float32

    @classmethod
    def of(cls, codebook: F32, values: F32) -> "Bins":
        """Bins over all centroids and values; beyond them values are not told apart."""
        low = min(float(codebook[0]), float(values.min()))
        high = max(float(codebook[-1]), float(values.max()))
        # All elements alike: any range will do that is one.
        high = high if high > low else low + max(abs(low), 1.0)
        return cls(codebook, np.float32(low), np.float32(high), np.float32(_BINS / (high - low)))

    def codes(self, values: F32) -> U8:
        """The code of every value's bin, uint8[n], by the arithmetic of the graph.

        Elements that training leaves undecided gather at the border of two centroids: the nearest one, taken exactly, would
        often be another one than the graph saw.
        """
        places = (np.clip(values, self.low, self.high) - self.low) * self.per_unit
        return nearest(self._middles().astype(np.float32), self.codebook)[places.astype(np.int32)]

    def table(self) -> F32:
        """From the middle of every bin to its centroid; the last entry is for the upper end itself."""
        middles = self._middles()
        codes = nearest(middles.astype(np.float32), self.codebook)
        table: F32 = (self.codebook[codes - 1] - middles).astype(np.float32)
        return table

    def _middles(self) -> F64:
        places = np.arange(_BINS + 1, dtype=np.float64) + 0.5
        return float(self.low) + places / float(self.per_unit)


def rounded(model: ModelProto, parameter: Parameter, bins: Bins) -> Parameter:
    """Let the graph see a parameter's nearest centroids.

    Args:
        model: changed in place.
        parameter: floats, as `prune` made them.
        bins: over what the parameter is at the start.
    """
    graph, name = model.graph, parameter.name
    prefix = free_prefix(model, f"{name}.rounded")
    constants = {
        "low": bins.low,
        "high": bins.high,
        "per_unit": bins.per_unit,
        "table": bins.table(),
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
