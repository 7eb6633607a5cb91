"""What a look is made of, counted from values and codes."""

import itertools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.looks import BINS, CELLS, MOST_BARS, Histogram

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

# Values looked at for a histogram: the shape of one with 48 bins does not change beyond, and a weight of 10^8 takes 2 ms.
_MOST_VALUES = 1 << 20
_WIDTH_IN_RMS = 4.0


def histogram(before: F32, after: F32 | Callable[[F32], F32]) -> Histogram:
    """Two states of the same elements side by side.

    Args:
        before: float32[elements], finite.
        after: float32[elements], of which zeros are pruned and not counted; or what picks the survivors among some of `before`.
    """
    # Odd, so that the rows of a matrix of even width are not all looked at in the same columns.
    step = -(-len(before) // _MOST_VALUES) | 1
    first = before[::step]
    second = after(first) if callable(after) else after[::step]
    squares = float(np.square(first, dtype=np.float64).mean()) if len(first) else 0.0
    limit = _WIDTH_IN_RMS * squares**0.5 or 1.0
    return Histogram(_rounded(limit), _counts(first, limit), _counts(second[second != 0], limit))


def bars(counts: I64) -> tuple[tuple[int, ...], int]:
    """A distribution in at most `MOST_BARS` bars, and how many symbols each of them stands for."""
    step = max(1, -(-len(counts) // MOST_BARS))
    padded = np.concatenate([counts, np.zeros(-len(counts) % step, np.int64)])
    return tuple(padded.reshape(-1, step).sum(axis=1).tolist()), step


def nonzeros_by_cell(codes: npt.NDArray[np.uint8] | F32) -> I64:
    """Non-zeros in each stretch of a strip, int64[cells], of codes or values, [elements]."""
    edges = cell_edges(len(codes))
    counts = [np.count_nonzero(codes[a:b]) for a, b in itertools.pairwise(edges)]
    return np.array(counts, np.int64)


def cell_edges(elements: int) -> list[int]:
    """Where the stretches of a strip begin, and the end of the last one."""
    cells = min(CELLS, elements)
    return [elements * cell // cells for cell in range(cells + 1)] if cells else [0]


def strip(counts: I64, elements: int) -> tuple[int, ...]:
    """Non-zeros a stretch, int64[cells], as the thousandths that a look holds; one non-zero among many elements is 1, not 0."""
    lengths = np.diff(np.array(cell_edges(elements), np.int64))
    shares = -(-1000 * counts // np.maximum(lengths, 1))
    return tuple(shares.tolist())


def centroids(codebook: F32) -> tuple[float, ...]:
    """Centroids as a look keeps them: six figures, as many as a picture or a reader can use."""
    return tuple(_rounded(float(value)) for value in codebook)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _counts(values: F32, limit: float) -> tuple[int, ...]:
    scaled = (values.astype(np.float64) / limit + 1) * (BINS / 2)
    bins = np.clip(scaled, 0, BINS - 1).astype(np.int64)
    return tuple(np.bincount(bins, minlength=BINS).tolist())
