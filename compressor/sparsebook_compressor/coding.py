"""One weight through prune, share and encode."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.clock import Clock
from sparsebook_compressor.graph.view import Weight
from sparsebook_compressor.payload import CodedWeight, Facts, encode
from sparsebook_compressor.plan import PlanRow
from sparsebook_compressor.stages.levels import Sample, sample, starting
from sparsebook_compressor.stages.prune import Cut
from sparsebook_compressor.stages.representable import representable
from sparsebook_compressor.stages.share import Init, Shared, share

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Coded:
    """What became of a weight, without its codes.

    Attributes:
        row: the plan's decision.
        dtype: of the weight, an ONNX data type.
        facts: of the payload.
        centroids: that are in use.
        squared_error, squared_norm: sums over all elements, before rounding to a narrow dtype.
        bytes_before: as floats.
        bytes_after: in the artifact.
    """

    row: PlanRow
    dtype: int
    facts: Facts
    centroids: int
    squared_error: float
    squared_norm: float
    bytes_before: int
    bytes_after: int

    def stored_as(self, size: int) -> "Coded":
        """The same with the bytes that the rewrite wrote."""
        return replace(self, bytes_after=size)


def code(
    weight: Weight, row: PlanRow, cut: Cut, seed: int, clock: Clock
) -> tuple[Coded, CodedWeight, bytes]:
    """Prune by a cut, share and encode a weight: its statistics, its codes and its payload."""
    with clock.stage("share"):
        shared = _shared(weight, row, cut, seed)
        bits = max(1, len(shared.codebook).bit_length())
        codebook = representable(shared.codebook, weight.dtype)
        coded = CodedWeight(weight.shape, weight.dtype, bits, codebook, shared.codes)
    with clock.stage("encode"):
        payload, facts = encode(coded)
    result = Coded(
        row=row,
        dtype=weight.dtype,
        facts=facts,
        centroids=len(shared.codebook),
        squared_error=shared.squared_error,
        squared_norm=shared.squared_norm,
        bytes_before=weight.stored_bytes,
        bytes_after=len(payload),
    )
    return result, coded, payload


def start_of(weight: F32, channel_axis: int, row: PlanRow, cut: Cut) -> Init | F64:
    """What the plan's row has k-means start from.

    Args:
        weight: float32 of the weight's shape.
        channel_axis: the axis of its output channels.
        row: the plan's decision.
        cut: which elements survive.
    """

    def survivors() -> Sample | None:
        whole = sample(weight, channel_axis)
        return None if whole is None else whole.above(cut.threshold)

    return starting(row.init, row.centroids, survivors)


def _shared(weight: Weight, row: PlanRow, cut: Cut, seed: int) -> Shared:
    """The weight's floats live in here alone: they are gone before its codes are encoded."""
    values = weight.read()
    start = start_of(values.reshape(weight.shape), weight.channel_axis, row, cut)
    return share(values, cut, row.centroids, start, row.iterations, seed)
