"""Weight sharing for bits: the smallest error at a given number of Huffman bits, not of codes.

What a Huffman code takes is the entropy of the codes, not the logarithm of how many there are. At a given entropy hardly
anything has less error than rounding to even steps (Gish and Pierce, IEEE Trans. IT 14(5), 1968; Choi et al., arXiv
1612.01543, section 4), with the mean of what falls into a step as its value. So the one thing to find is the finest step
whose codes take no more than is wanted.
"""

import math

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.stages.prune import Cut
from sparsebook_compressor.stages.share import (
    Distribution,
    Shared,
    assign,
    distribution_of,
    edges_between,
)

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

# Each halving of the interval of steps makes the step twice as exact: 2^-20 of the interval is far below what bits show.
_HALVINGS = 24
# Steps in the range of the values, at most: what bounds the work where outliers stretch the range.
_MOST_STEPS = 1 << 16


def share_for_bits(weight: F32, cut: Cut, centroids: int, bits: float) -> Shared:
    """Share the survivors of a cut so that the entropy of their codes is at most `bits`.

    Args:
        weight: float32[n], finite.
        cut: which elements survive.
        centroids: how many there may be besides zero, 1 to 255; more bits than they can take are not taken.
        bits: per survivor, above 0.
    """
    distribution = distribution_of(weight, cut)
    codebook, steps = cluster_for_bits(distribution, centroids, bits)
    return assign(weight, cut, codebook, steps)


def cluster_for_bits(distribution: Distribution, centroids: int, bits: float) -> tuple[F32, int]:
    """The centroids, ascending, and how many steps were tried.

    Where no step is as coarse as `bits` asks, all values have one centroid, their mean.
    """
    values = distribution.values
    if not len(values):
        return values, 0
    span = float(values[-1]) - float(values[0])
    farthest = max(abs(float(values[0])), abs(float(values[-1])), 1e-38)
    # In steps of four times the largest magnitude all values lie in the one around zero.
    coarse, fine = math.log(4 * farthest), math.log(max(span, 1e-38) / _MOST_STEPS)
    best = _means(distribution, math.exp(coarse))
    for _ in range(_HALVINGS):
        middle = (coarse + fine) / 2
        found = _means(distribution, math.exp(middle))
        if len(found) <= centroids and _entropy(distribution, found) <= bits:
            best, coarse = found, middle
        else:
            fine = middle
    return best, _HALVINGS


def _means(distribution: Distribution, step: float) -> F32:
    """The mean of every step that holds a value; zero lies in the middle of one."""
    values = distribution.values
    first = math.floor(float(values[0]) / step + 0.5)
    last = math.floor(float(values[-1]) / step + 0.5)
    ends = (np.arange(first, last) + 0.5) * step
    inner = np.searchsorted(values, ends.astype(np.float32), side="right")
    edges = np.concatenate([[0], inner, [len(values)]])
    counts = np.diff(distribution.counts[edges])
    used = counts > 0
    means: F64 = np.diff(distribution.sums[edges])[used] / counts[used]
    return np.unique(means.astype(np.float32))


def _entropy(distribution: Distribution, centroids: F32) -> float:
    """Bits of a code where every value has its nearest centroid's."""
    edges = edges_between(distribution.values, centroids.astype(np.float64))
    counts = np.diff(distribution.counts[edges])
    shares = counts[counts > 0] / distribution.counts[-1]
    return float(-(shares * np.log2(shares)).sum())
