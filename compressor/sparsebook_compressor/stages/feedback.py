"""Pruning and sharing in one pass with error feedback: what rounding a column does to a layer's outputs, later columns make good.

A layer computes y = W x. With second moments H = E[x x^T] of its inputs, a change D of W costs E|D x|^2 = tr(D H D^T). Columns are
decided one after another; the error of each is spread over the columns that are still free, in the way that leaves the least
cost. That is optimal brain surgeon (Hassibi and Stork, NIPS 1992, eq. 5) as SparseGPT (arXiv 2301.00774, algorithm 1) and GPTQ
(arXiv 2210.17323, algorithm 1) arrange it: with U the upper Cholesky factor of the inverse of H, H^-1 = U^T U, rounding w_j to q
costs (w_j - q)^2 / U_jj^2, and moves the columns k > j by -(w_j - q) / U_jj * U_jk.

Both papers fix what a column may become beforehand: a mask of so many elements, a grid. Here an element takes the level,
zero among them, that minimises cost + price x bits of the level's code: zero is a level whose code is short. Density,
codes and error are so the outcome of one price, which is what makes the same price over all layers the best use of bits.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.stages.decisions import intervals

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]

# Columns between two updates of all that follow: the rank-1 updates within stay in cache.
_BLOCK = 64
_RUNGS = 8


@dataclass(frozen=True, slots=True)
class Levels:
    """What elements may become.

    Attributes:
        values: float64[k], ascending, zero among them.
        bits: float64[k], of each level's code; zero's is what a pruned element takes.
    """

    values: F64
    bits: F64


@dataclass(frozen=True, slots=True)
class Fed:
    """A matrix after one pass.

    Attributes:
        chosen: uint8[rows, columns], indices into the levels.
        targets: float32[rows, columns], what each element had become by feedback when its level was chosen.
        cost: tr(D H D^T) of the pass.
    """

    chosen: U8
    targets: F32
    cost: float


def feed_back(weight: F32, factor: F64, levels: Levels, price: float) -> Fed:
    """Choose a level for every element, columns in order.

    Args:
        weight: float32[rows, columns].
        factor: float64[columns, columns], upper triangular U with U^T U = H^-1.
        levels: to choose from.
        price: of a bit, in units of the cost.
    """
    rows, columns = weight.shape
    # One column is one row here, so that every update runs along memory.
    rest = np.array(weight.T, np.float32, order="C", copy=True)
    values = levels.values.astype(np.float32)
    chosen = np.empty((columns, rows), np.uint8)
    decisions = _Decisions(levels)
    cost = 0.0
    for begin in range(0, columns, _BLOCK):
        end = min(columns, begin + _BLOCK)
        errors = np.empty((end - begin, rows), np.float32)
        for j in range(begin, end):
            scale = float(factor[j, j])
            thresholds, used = decisions.at(price * scale * scale / 2)
            found = used[np.searchsorted(thresholds, rest[j], side="left")]
            chosen[j] = found
            error = (rest[j] - values[found]) / np.float32(scale)
            errors[j - begin] = error
            cost += float(np.square(error, dtype=np.float64).sum())
            if j + 1 < end:
                ahead = factor[j, j + 1 : end].astype(np.float32)
                rest[j + 1 : end] -= ahead[:, None] * error
        if end < columns:
            rest[end:] -= factor[begin:end, end:].astype(np.float32).T @ errors
    return Fed(np.ascontiguousarray(chosen.T), np.ascontiguousarray(rest.T), cost)


class _Decisions:
    """Thresholds by price, kept: columns differ in little but what a bit costs there."""

    def __init__(self, levels: Levels) -> None:
        self._levels = levels
        self._kept: dict[int, tuple[F32, U8]] = {}

    def at(self, price: float) -> tuple[F32, U8]:
        """As `intervals`, at the nearest of eight prices an octave: 4% of a price moves a threshold by less than noise."""
        rung = round(math.log2(price) * _RUNGS) if price > 0 else -(1 << 20)
        if rung not in self._kept:
            near = 2.0 ** (rung / _RUNGS) if price > 0 else 0.0
            thresholds, used = intervals(self._levels.values, self._levels.bits * near)
            self._kept[rung] = thresholds.astype(np.float32), used.astype(np.uint8)
        return self._kept[rung]
