"""A weight coded as it was coded in the last release, wherever that is as good: same codebook, and the old code of an element.

Retraining moves every float a little, and a new k-means would give nearly every element a code that has nothing to do with its
old one. Kept to the old codebook, few codes change, and a change is what an update costs (docs/updates.md). Which ones change is
decided by what they gain: with w the new value, c its old centroid and b the best one, changing gains (w - c)^2 - (w - b)^2.
The smallest gains are given up, as many as keep the error of sharing within `ALLOWED` of what it is without a base. The error of
pruning does not count: beside it any step of a retraining would look small enough to be left out.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.payload import CodedWeight
from sparsebook_compressor.stages.coded import one_by_one
from sparsebook_compressor.stages.prune import CHUNK, Cut
from sparsebook_compressor.stages.share import boundaries

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]

# Error of sharing, and non-zeros, against a compression without a base.
ALLOWED = 1.1
MOST_NONZEROS = 1.05
# Gains are counted in bins of their logarithm, 64 to a doubling, so that none of them is held.
_BINS, _PER_DOUBLING = 1 << 14, 64


def reuse(
    values: F32, base: CodedWeight, cut: Cut, fresh: U8, squared_error: float
) -> tuple[U8, float] | None:
    """The codes of a weight in the codebook of its base, as few of them changed as its error allows.

    Args:
        values: float32[elements], the new floats.
        base: of the same shape and dtype.
        cut: which elements survive now.
        fresh: uint8[elements], the codes without a base.
        squared_error: of those.

    Returns:
        The codes, uint8[elements], and their squared error; None where it is too large with any, or too many are not zero.
    """
    order = np.argsort(base.codebook, kind="stable")
    if not len(order) or not len(values):
        return None
    work = _Work(values, base, cut, order.astype(np.int64))
    best, gains = work.gains()
    sharing = max(0.0, squared_error - _pruned(values, fresh))
    budget = (ALLOWED**2 - 1) * sharing - max(0.0, best - squared_error)
    if budget < 0:
        return None
    codes, error = work.codes(_given_up(gains, budget))
    nonzeros = int(np.count_nonzero(codes))
    return (codes, error) if nonzeros <= MOST_NONZEROS * np.count_nonzero(fresh) else None


def _pruned(values: F32, codes: U8) -> float:
    """Sum of squares of the elements that are zero now."""
    total = 0.0
    for start in range(0, len(values), CHUNK):
        piece = values[start : start + CHUNK][codes[start : start + CHUNK] == 0]
        total += float(np.square(piece, dtype=np.float64).sum())
    return total


def _given_up(gains: tuple[F64, F64], budget: float) -> float:
    """The gain up to which changes are given up: the sum of all below is within the budget."""
    sums, ends = gains
    at = int(np.searchsorted(np.cumsum(sums), budget, side="right"))
    return float(ends[at - 1]) if at else 0.0


class _Work:
    def __init__(
        self, values: F32, base: CodedWeight, cut: Cut, order: npt.NDArray[np.int64]
    ) -> None:
        self._values, self._base, self._cut = values, base, cut
        sorted_book = base.codebook[order]
        self._middles = boundaries(sorted_book)
        self._named = np.concatenate([[0], order + 1]).astype(np.uint8)
        self._book = np.concatenate([np.zeros(1, np.float32), base.codebook])

    def gains(self) -> tuple[float, tuple[F64, F64]]:
        """The squared error with the best codes, and the sum of gains by bin, with each bin's end."""
        error = 0.0
        sums = np.zeros(_BINS)
        for _, old, best, piece in self._pieces():
            error += float(np.square(piece - self._book[best], dtype=np.float64).sum())
            gain = self._gain(piece, old, best)
            bins = _bin(gain)
            sums += np.bincount(bins, weights=gain, minlength=_BINS)
        return error, (sums, _ends())

    def codes(self, given_up: float) -> tuple[U8, float]:
        """The codes, with changes up to a gain given up, and the squared error."""
        codes = np.empty(len(self._values), np.uint8)
        error = 0.0
        for start, old, best, piece in self._pieces():
            gain = self._gain(piece, old, best)
            chosen = np.where(_ends()[_bin(gain)] <= given_up, old, best)
            codes[start : start + len(piece)] = chosen
            error += float(np.square(piece - self._book[chosen], dtype=np.float64).sum())
        return codes, error

    def _pieces(self) -> Iterator[tuple[int, U8, U8, F32]]:
        """Chunk by chunk: its start, the old codes, the best ones, the values.

        What survives now, and what survived then, has its nearest centroid; what survived neither time stays zero.
        """
        ties = self._cut.ties
        for start in range(0, len(self._values), CHUNK):
            piece = self._values[start : start + CHUNK]
            old = self._base.codes[start : start + CHUNK]
            found, ties = one_by_one(piece, self._cut, ties, self._middles)
            stays = (found == 0) & (old != 0)
            found[stays] = np.searchsorted(self._middles, piece[stays], side="left") + 1
            yield start, old, self._named[found], piece

    def _gain(self, piece: F32, old: U8, best: U8) -> F64:
        before = np.square(piece - self._book[old], dtype=np.float64)
        after = np.square(piece - self._book[best], dtype=np.float64)
        gain: F64 = np.maximum(before - after, 0.0)
        return gain


def _bin(gain: F64) -> npt.NDArray[np.int64]:
    """Bins by the logarithm; gains below 2^-200 are in the first."""
    with np.errstate(divide="ignore"):
        place = np.log2(gain) + 200.0
    return np.clip(place * _PER_DOUBLING, 0, _BINS - 1).astype(np.int64)


def _ends() -> F64:
    ends: F64 = np.exp2(np.arange(1.0, _BINS + 1) / _PER_DOUBLING - 200.0)
    return ends
