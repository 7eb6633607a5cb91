"""One weight through prune, share and encode."""

from dataclasses import dataclass, replace

from sparsebook_compressor.clock import Clock
from sparsebook_compressor.graph.view import Weight
from sparsebook_compressor.payload import CodedWeight, Facts, encode
from sparsebook_compressor.plan import PlanRow
from sparsebook_compressor.stages.prune import Cut
from sparsebook_compressor.stages.representable import representable
from sparsebook_compressor.stages.share import share


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
        shared = share(weight.read(), cut, row.centroids, row.init, row.iterations, seed)
        bits = max(1, len(shared.codebook).bit_length())
        codebook = representable(shared.codebook, weight.dtype)
        values = CodedWeight(weight.shape, weight.dtype, bits, codebook, shared.codes)
    with clock.stage("encode"):
        payload, facts = encode(values)
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
    return result, values, payload
