"""One weight through prune, share and encode."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.clock import Clock
from sparsebook_compressor.counting import histogram
from sparsebook_compressor.graph.view import Weight
from sparsebook_compressor.looking import look_at
from sparsebook_compressor.looks import Histogram, Look
from sparsebook_compressor.payload import CodedWeight, Facts, encode
from sparsebook_compressor.plan import PlanRow
from sparsebook_compressor.reuse import reuse
from sparsebook_compressor.stages.init import Init
from sparsebook_compressor.stages.levels import Sample, sample, starting
from sparsebook_compressor.stages.prune import Cut, surviving
from sparsebook_compressor.stages.rate import share_for_bits
from sparsebook_compressor.stages.representable import representable
from sparsebook_compressor.stages.share import Shared, share

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
        look: how it looks inside, for the report.
    """

    row: PlanRow
    dtype: int
    facts: Facts
    centroids: int
    squared_error: float
    squared_norm: float
    bytes_before: int
    bytes_after: int
    look: Look | None = None

    def stored_as(self, size: int) -> "Coded":
        """The same with the bytes that the rewrite wrote."""
        return replace(self, bytes_after=size)


@dataclass(frozen=True, slots=True)
class SharedWeight:
    """A weight as codes, and how far that is from its floats.

    Attributes:
        coded: shape, dtype, codebook and codes.
        squared_error, squared_norm: sums over all elements, before rounding to a narrow dtype.
        histogram: of the floats before pruning and behind it.
    """

    coded: CodedWeight
    squared_error: float
    squared_norm: float
    histogram: Histogram | None = None


def code(
    weight: Weight,
    row: PlanRow,
    cut: Cut,
    seed: int,
    clock: Clock,
    before: CodedWeight | None = None,
) -> tuple[Coded, CodedWeight, bytes]:
    """Prune by a cut, share and encode a weight: its statistics, its codes and its payload.

    With `before`, what it was in the last release, it keeps that codebook and those codes as far as its error allows (reuse.py).
    """
    with clock.stage("share"):
        # The weight's floats live in there alone: they are gone before its codes are encoded.
        shared = share_weight(weight, weight.read, row, cut, seed)
        if before is not None:
            shared = _kept(weight, before, cut, shared)
    with clock.stage("encode"):
        result, payload = encode_weight(weight, row, shared)
        look = look_at(row.name, shared.coded, result.facts, shared.histogram)
    return replace(result, look=look), shared.coded, payload


def _kept(weight: Weight, before: CodedWeight, cut: Cut, fresh: SharedWeight) -> SharedWeight:
    kept = reuse(weight.read(), before, cut, fresh.coded.codes, fresh.squared_error)
    if kept is None:
        return fresh
    codes, error = kept
    return SharedWeight(replace(before, codes=codes), error, fresh.squared_norm)


def share_weight(
    weight: Weight, read: Callable[[], F32], row: PlanRow, cut: Cut, seed: int
) -> SharedWeight:
    """Share what survives a cut.

    Args:
        weight: whose shape and dtype it has.
        read: gives its values, float32[elements].
        row: the plan's decision.
        cut: which elements survive.
        seed: for the random initialisation.
    """
    values = read()
    shared = share_values(values, values.reshape(weight.shape), weight.channel_axis, row, cut, seed)
    coded = coded_weight(weight, shared.codes, shared.codebook)
    return SharedWeight(
        coded,
        shared.squared_error,
        shared.squared_norm,
        histogram(values, partial(surviving, cut=cut)),
    )


def share_values(
    values: F32, weight: F32, channel_axis: int, row: PlanRow, cut: Cut, seed: int
) -> Shared:
    """Share values as the plan's row says.

    Args:
        values: float32[n], what is shared: a weight's elements, or a sample of them.
        weight: float32 of the weight's shape.
        channel_axis: the axis of its output channels.
        row: the plan's decision.
        cut: which values survive.
        seed: for the random initialisation.
    """
    if row.rate is not None:
        return share_for_bits(values, cut, row.centroids, row.rate)
    start = start_of(weight, channel_axis, row, cut)
    return share(values, cut, row.centroids, start, row.iterations, seed)


def coded_weight(weight: Weight, codes: npt.NDArray[np.uint8], codebook: F32) -> CodedWeight:
    """Codes, uint8[elements], and centroids, float32[centroids], as they can be stored in the weight's dtype."""
    bits = max(1, len(codebook).bit_length())
    return CodedWeight(
        weight.shape, weight.dtype, bits, representable(codebook, weight.dtype), codes
    )


def encode_weight(weight: Weight, row: PlanRow, shared: SharedWeight) -> tuple[Coded, bytes]:
    """Encode a shared weight: its statistics and its payload."""
    payload, facts = encode(shared.coded, row.codec)
    result = Coded(
        row=row,
        dtype=weight.dtype,
        facts=facts,
        centroids=len(shared.coded.codebook),
        squared_error=shared.squared_error,
        squared_norm=shared.squared_norm,
        bytes_before=weight.stored_bytes,
        bytes_after=len(payload),
    )
    return result, payload


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
