"""The code of every element by a table over the upper bits of the floats, where a bin of them has one code.

A code depends on a value in steps: at the threshold and at the midpoints between centroids. All values of a bin that no step
lies in have the same code; 20 bits of a float make bins of a relative width of 2^-11, so that few values share theirs with one
of at most 256 steps. Those are looked at one by one.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.stages.prune import Cut

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]

_DROPPED_BITS = np.uint32(12)
_HALF = 1 << 19
_SIGN = np.uint32(1 << 31)
_MIXED = 256
# Making the table takes as long as looking at so many values one by one.
FEWEST = 1 << 16


@dataclass(frozen=True, eq=False)
class CodeTable:
    """Codes by the upper 20 bits of a value, uint16[2^20]; 256 where values of the bin differ."""

    cut: Cut
    middles: F32
    table: U16

    @classmethod
    def of(cls, cut: Cut, middles: F32) -> "CodeTable":
        """The table of a cut and of ascending midpoints between centroids, float32[k - 1]."""
        halves = [_half(cut, middles, positive=positive) for positive in (True, False)]
        return cls(cut, middles, np.concatenate(halves))

    def codes(self, values: F32, ties: int, out: U8) -> int:
        """The codes of values, float32[n], into uint8[n]; how many of the ties at the threshold are left."""
        found = self.table[values.view(np.uint32) >> _DROPPED_BITS]
        out[:] = found.astype(np.uint8)
        at = np.flatnonzero(found == _MIXED)
        out[at], ties = one_by_one(values[at], self.cut, ties, self.middles)
        return ties


def one_by_one(values: F32, cut: Cut, ties: int, middles: F32) -> tuple[U8, int]:
    """The codes of values, uint8[n], and how many ties are left."""
    magnitude = np.abs(values)
    mask = magnitude > cut.threshold
    if ties:
        equal = np.flatnonzero(magnitude == cut.threshold)[:ties]
        mask[equal] = True
        ties -= len(equal)
    mask &= magnitude > 0
    codes = np.searchsorted(middles, values, side="left") + 1
    return np.where(mask, codes, 0).astype(np.uint8), ties


def _half(cut: Cut, middles: F32, *, positive: bool) -> U16:
    """The bins of one sign, by magnitude."""
    steps = middles[middles > 0] if positive else -middles[middles < 0]
    steps = np.append(steps, np.float32(max(cut.threshold, 0.0)))  # zero has no code of its own
    mixed = np.unique(steps.astype(np.float32).view(np.uint32) >> _DROPPED_BITS).astype(np.int64)
    mixed = np.unique(np.append(mixed, 0))
    # Behind every bin with a step, the bins up to the next one have the code of the first value there.
    first = np.minimum(mixed + 1, _HALF - 1).astype(np.uint32) << _DROPPED_BITS
    sign = np.uint32(0) if positive else _SIGN
    codes, _ = one_by_one((first | sign).view(np.float32), cut, 0, middles)
    table = np.repeat(codes.astype(np.uint16), np.diff(np.append(mixed, _HALF)))
    table[mixed] = _MIXED
    return table
