"""Levels that elements may take, and what their codes cost: even steps, fitted to the values and their frequencies.

At a given entropy hardly anything has less error than even steps (Gish and Pierce, IEEE Trans. IT 14(5), 1968); at high resolution
the slope of error over bits is then 2 ln 2 step^2 / 12, so that a price per bit says which step belongs to it. Where there are not as
many levels as that step wants, their number is what is scarce, and levels as dense as the cube root of the values have the least error
(Panter and Dite, Proc. IRE 39(1), 1951).
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.stages.feedback import Levels

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

MOST_LEVELS: Final = 255
"""Values besides zero that a codebook may hold."""
_SLOPE: Final = math.log(2) / 6
# Of the levels where values reach farther than all of them in even steps: so many go to what lies far out.
_TAIL: Final = 48
# Of steps that reach: 1, 1/2, 1/4 and so on of them are tried.
_MOST_HALVINGS: Final = 4
# Of equal cost, which tell the density of values.
_CELLS: Final = 4096
# Feedback moves values: beyond the largest one of the weight, too.
_MARGIN: Final = 1.25
# An unused level may be wanted by an element that the counts did not see.
_UNSEEN: Final = 0.5
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def step_for(price: float, curvature: float) -> float:
    """The step whose slope of error over bits is the price.

    Args:
        price: of a bit, in units of the cost, above 0.
        curvature: what a squared error of 1 in an element costs, above 0.
    """
    return math.sqrt(price / (curvature * _SLOPE))


def steps_for(price: float, curvatures: Sequence[float], values: F32) -> list[float]:
    """Steps worth trying at a price, ascending: those of some curvatures, and coarser ones where they do not reach.

    Args:
        price: of a bit, above 0.
        curvatures: what squared errors cost, above 0.
        values: float32[n], all that is to be shared.
    """
    reaching = _reaching(values)
    steps = {step_for(price, curvature) for curvature in curvatures}
    finest = min(steps)
    if finest < reaching:
        # Between steps fine enough for the many and steps that reach the farthest few. Finer than the last of these, 255 levels hold
        # a sixteenth of the range in even steps, and what few weights have so many elements so near zero.
        finer = (reaching / 2**halvings for halvings in range(_MOST_HALVINGS + 1))
        steps = {step for step in steps if step > reaching / 2**_MOST_HALVINGS}
        steps |= {step for step in finer if step > finest}
    return sorted(steps)


def _reaching(values: F32) -> float:
    """The finest step with which `MOST_LEVELS` cover the range of values, zero in it."""
    ends = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    return (ends[1] - ends[0]) * _MARGIN / MOST_LEVELS


def even_levels(values: F32, sample: F64, step: float) -> Levels:
    """Even steps over the range of values, zero among them, with bits by how often each would be taken.

    Args:
        values: float32[n], all that is to be shared; n may be 0.
        sample: float64[m], some of it, by which frequencies are told.
        step: above 0. Where `MOST_LEVELS` steps do not reach the farthest value, the outermost levels lie at quantiles of what is
            beyond, and at its ends.
    """
    low = min(0.0, float(values.min(initial=0.0)) * _MARGIN)
    high = max(0.0, float(values.max(initial=0.0)) * _MARGIN)
    first, last = math.floor(low / step), math.ceil(high / step)
    if last - first <= MOST_LEVELS:
        levels = np.arange(first, last + 1, dtype=np.float64) * np.float64(step)
    else:
        reach = (MOST_LEVELS - _TAIL) // 2
        inner = np.arange(max(first, -reach), min(last, reach) + 1) * step
        far = values[(values < inner[0] - step / 2) | (values > inner[-1] + step / 2)]
        ranks = np.linspace(0, 1, _TAIL - 2)
        tail = np.quantile(far, ranks) if len(far) else np.zeros(0)
        outer = [low, high]
        levels = np.concatenate([inner, tail, outer]).astype(np.float64)
    levels = _within_float32(levels)
    return Levels(levels, bits_of(_nearest_counts(sample, levels)))


def is_short(price: float, curvature: float, values: F32) -> bool:
    """Whether `MOST_LEVELS` of a price's step do not reach the farthest value; arguments as of `steps_for`."""
    return step_for(price, curvature) < _reaching(values)


def nested_levels(values: F32, sample: F64, coarse: float, fine: float) -> Levels | None:
    """Even steps over the range of values, and finer ones around zero for as many levels as are left.

    For weights of which a few elements matter far more than the others: these take the finer levels at their price, which is
    that of a rare symbol, and the others do not.

    Args:
        values: float32[n], all that is to be shared.
        sample: float64[m], some of it, by which frequencies of the coarse levels are told.
        coarse: the step for the many, above 0.
        fine: the step for the few, below half of it; it is widened to a whole part of `coarse`.

    Returns:
        None where no finer levels are left.
    """
    outer = even_levels(values, sample, coarse)
    parts = math.floor(coarse / fine)
    reach = (MOST_LEVELS + 1 - len(outer.values)) // (2 * max(1, parts - 1))
    if parts < 2 or reach < 1:
        return None
    inner = np.arange(-reach * parts, reach * parts + 1) * (coarse / parts)
    low, high = outer.values[0], outer.values[-1]
    inner = inner[(inner > low) & (inner < high) & (np.arange(len(inner)) % parts != 0)]
    levels = np.concatenate([outer.values, inner])
    bits = np.concatenate([outer.bits, np.full(len(inner), outer.bits.max())])
    order = np.argsort(levels)
    return Levels(levels[order], bits[order])


def companded_levels(values: F32, sample: F64, counted: F64) -> Levels:
    """`MOST_LEVELS` levels, as dense as the cube root of the values, with bits by how often each would be taken.

    Args:
        values: float32[n], all that is to be shared; not all of them are equal.
        sample: float64[m], some of it, by which density and frequencies are told.
        counted: float64[m], what an error in each of the sample costs, times how many elements it stands for, above 0.
    """
    order = np.argsort(sample)
    shares = np.cumsum(counted[order])
    ranks = np.searchsorted(shares, np.linspace(0, 1, _CELLS + 1) * shares[-1])
    ends = sample[order][ranks.clip(0, len(sample) - 1)]
    # In a cell of width w that holds a fixed share of all costs the density is 1 / w, and the integral of its cube root w^(2/3).
    mass = np.concatenate([np.zeros(1), np.cumsum(np.diff(ends) ** (2 / 3))])
    outer = [float(values.min()) * _MARGIN, 0.0, float(values.max()) * _MARGIN]
    inner = MOST_LEVELS + 1 - len(outer)
    places = (np.arange(inner) + 0.5) / inner * mass[-1]
    levels = _within_float32(np.concatenate([np.interp(places, mass, ends), outer]))
    return Levels(levels, bits_of(_nearest_counts(sample, levels)))


def _within_float32(levels: F64) -> F64:
    """Levels ascending, each once; a margin beyond float32's largest, which masks are filled with, would be infinity in a codebook."""
    return np.unique(np.clip(levels, -_FLOAT32_MAX, _FLOAT32_MAX))


def bits_of(counts: I64 | F64) -> F64:
    """Ideal code lengths, float64[k], of symbols with these counts."""
    smoothed = counts + _UNSEEN
    lengths: F64 = -np.log2(smoothed / smoothed.sum())
    return lengths


def entropy(counts: I64 | F64) -> float:
    """Bits a symbol, zero-order."""
    shares = counts[counts > 0] / max(1, counts.sum())
    return max(0.0, -float((shares * np.log2(shares)).sum()))


def moved(levels: Levels, counts: F64, sums: F64, taken: F64) -> Levels:
    """Levels at the weighted means of what took them, with bits by how often that was; zero stays.

    Args:
        levels: that were chosen from.
        counts: float64[k], summed weights of the elements that took each level.
        sums: float64[k], summed weight x value.
        taken: float64[k], elements that took each level.
    """
    means = np.where(counts > 0, sums / np.where(counts > 0, counts, 1.0), levels.values)
    # A mean lies within its interval, so that the order stays; equal ones would be one level too many.
    means[levels.values == 0] = 0.0
    ascending = np.maximum.accumulate(means)
    safe = np.all(np.diff(ascending) > 0) and np.array_equal(ascending, means)
    return Levels(means if safe else levels.values, bits_of(taken))


def _nearest_counts(values: F64, levels: F64) -> I64:
    middle = (levels[1:] + levels[:-1]) / 2
    return np.bincount(np.searchsorted(middle, values), minlength=len(levels))
