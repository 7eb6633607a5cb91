"""Probabilities of the context codec as bytes (docs/format.md, section 8).

A byte is a level: 1 to 7 stand for themselves, from 8 on every eight levels double, in steps of an eighth. The step costs
0.03% of a stream; a byte instead of two halves what a small weight pays for its model.
"""

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.errors import PayloadError
from sparsebook_compressor.payload_layout import (
    MAX_FREQUENCY_LEVEL,
    MAX_MASK_LEVEL,
    PROBABILITY_BITS,
)

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]

WHOLE = 1 << PROBABILITY_BITS


def _weight(level: int) -> int:
    return level if level < 8 else (8 + (level & 7)) << ((level >> 3) - 1)


# What every level stands for; both end where section 8 ends.
_WEIGHTS = np.array([_weight(level) for level in range(MAX_FREQUENCY_LEVEL + 1)], np.int64)
_HALF = (MAX_MASK_LEVEL + 1) // 2
_SHARES = np.array(
    [
        _weight(level) if level <= _HALF else WHOLE - _weight(MAX_MASK_LEVEL + 1 - level)
        for level in range(MAX_MASK_LEVEL + 1)
    ],
    np.int64,
)


def shares(levels: U8) -> U32:
    """How many of 4096 an element that is not zero has, by the levels of section 8, uint32 of the same shape.

    Raises:
        PayloadError: `probabilities`, where a level is none.
    """
    if len(levels) and not 1 <= int(levels.min()) <= int(levels.max()) <= MAX_MASK_LEVEL:
        raise PayloadError(
            "probabilities",
            f"levels {levels.min()} to {levels.max()}; 1 to {MAX_MASK_LEVEL} are allowed",
        )
    return _SHARES[levels].astype(np.uint32)


def share_levels(nonzeros: I64, elements: I64) -> U8:
    """The levels nearest, in log odds, to how often elements are not zero; int64[contexts] both."""
    share = (nonzeros + 0.5) / (elements + 1.0)
    odds = np.log(_SHARES[1:] / (WHOLE - _SHARES[1:]))
    middle = (odds[1:] + odds[:-1]) / 2
    levels: U8 = (np.searchsorted(middle, np.log(share / (1 - share))) + 1).astype(np.uint8)
    return levels


def frequencies(levels: U8) -> U32:
    """The frequencies of one context's symbols, uint32[alphabet], which sum to 4096.

    Raises:
        PayloadError: `frequencies`, where a level is none or no symbol has one.
    """
    if int(levels.max(initial=0)) > MAX_FREQUENCY_LEVEL or not levels.any():
        raise PayloadError(
            "frequencies",
            f"levels up to {levels.max(initial=0)}; 1 to {MAX_FREQUENCY_LEVEL} are allowed, and at least one",
        )
    # One each, and the rest in proportion: no frequency is 0, and they cannot pass 4096 together.
    weights = _WEIGHTS[levels]
    used = levels > 0
    scaled = np.where(used, 1 + weights * (WHOLE - np.count_nonzero(used)) // weights.sum(), 0)
    scaled[np.argmax(scaled)] += WHOLE - int(scaled.sum())
    return scaled.astype(np.uint32)


def frequency_levels(counts: I64) -> U8:
    """Levels for symbols that occur so often, int64[alphabet]; symbols that do not occur get none."""
    used = counts > 0
    # `frequencies` gives every symbol one and shares out the rest.
    target = counts * (WHOLE / max(1, int(counts.sum()))) - 1
    middle = np.sqrt(_WEIGHTS[1:-1] * _WEIGHTS[2:].astype(np.float64))
    levels = np.searchsorted(middle, target) + 1
    return np.where(used, levels, 0).astype(np.uint8)
