"""Magnitude pruning (paper, section 2): which elements survive.

The survivors of a density are found by radix selection over the bits of |w|, which order as the floats do: two
passes of 64 Ki counters, exact, with no copy of the weight. Ties at the threshold go to the elements that come first.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]

# Elements looked at a time: temporaries stay near 16 MB whatever the weight's size.
CHUNK = 1 << 21


@dataclass(frozen=True, slots=True)
class Cut:
    """Elements with |w| > threshold survive, and the first `ties` of those with |w| == threshold."""

    threshold: float
    ties: int = 0


def cut_by_density(weight: F32, density: float) -> Cut:
    """The cut that keeps round(density x elements) elements of largest magnitude.

    Args:
        weight: float32[n], finite.
        density: 0 to 1.
    """
    return cut_by_rank(lambda: iter([weight]), survivors_of(density, len(weight)))


def survivors_of(density: float, elements: int) -> int:
    """Elements that a density leaves, rounded half up."""
    return min(elements, math.floor(density * elements + 0.5))


def cut_by_rank(weights: Callable[[], Iterable[F32]], keep: int) -> Cut:
    """The cut that keeps the `keep` largest magnitudes over several weights together (global magnitude pruning).

    Args:
        weights: gives the weights, float32[n] each, anew on every call; it is called twice.
        keep: how many elements survive.
    """
    if keep == 0:
        return Cut(math.inf)
    high = np.zeros(1 << 16, np.int64)
    for keys in _keys(weights()):
        high += np.bincount(keys >> 15, minlength=len(high))
    if keep >= int(high.sum()):
        return Cut(-1.0)
    bucket, above = _from_top(high, keep)
    low = np.zeros(1 << 15, np.int64)
    for keys in _keys(weights()):
        inside = keys[(keys >> 15) == bucket]
        low += np.bincount(inside & 0x7FFF, minlength=len(low))
    rank, more = _from_top(low, keep - above)
    key = np.uint32(bucket << 15 | rank)
    return Cut(float(key.view(np.float32)), keep - above - more)


def survivors(weight: F32, cut: Cut) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
    """The mask, chunk by chunk: offset of the chunk, and bool[chunk]; exact zeros never survive."""
    ties = cut.ties
    for start in range(0, len(weight), CHUNK):
        magnitude = np.abs(weight[start : start + CHUNK])
        mask = magnitude > cut.threshold
        if ties:
            equal = np.flatnonzero(magnitude == cut.threshold)[:ties]
            mask[equal] = True
            ties -= len(equal)
        if cut.threshold <= 0:
            mask &= magnitude > 0
        yield start, mask


def pruned(weight: F32, cut: Cut) -> F32:
    """A copy of float32[n] in which all that does not survive is zero."""
    kept = np.zeros_like(weight)
    for start, mask in survivors(weight, cut):
        piece = slice(start, start + len(mask))
        kept[piece] = np.where(mask, weight[piece], np.float32(0))
    return kept


def surviving(weight: F32, cut: Cut) -> F32:
    """The survivors of a cut among some values of the weight, float32[n]; ties at the threshold are left out."""
    magnitude = np.abs(weight)
    return weight[(magnitude > cut.threshold) & (magnitude > 0)]


def behind(cut: Cut, weight: F32) -> Cut:
    """What a cut over several weights leaves for those behind this one: its ties go to the elements that come first."""
    if not cut.ties:
        return cut
    pieces = (weight[start : start + CHUNK] for start in range(0, len(weight), CHUNK))
    equal = sum(int(np.count_nonzero(np.abs(piece) == cut.threshold)) for piece in pieces)
    return replace(cut, ties=max(0, cut.ties - equal))


def _keys(weights: Iterable[F32]) -> Iterator[npt.NDArray[np.uint32]]:
    for weight in weights:
        for start in range(0, len(weight), CHUNK):
            yield weight[start : start + CHUNK].view(np.uint32) & np.uint32(0x7FFFFFFF)


def _from_top(counts: npt.NDArray[np.int64], keep: int) -> tuple[int, int]:
    """The bin in which the keep-th largest lies, and how many lie in the bins above it."""
    from_top = np.cumsum(counts[::-1])
    index = int(np.searchsorted(from_top, keep))
    above = int(from_top[index - 1]) if index else 0
    return len(counts) - 1 - index, above
