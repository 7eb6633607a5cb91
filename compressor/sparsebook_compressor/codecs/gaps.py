"""Positions of non-zeros as gaps, with fillers where a gap is too wide (paper, section 2 and Figure 2)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.errors import PayloadError

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]


def encode(positions: I64, codes: U8, widest: int) -> tuple[U8, U8]:
    """Turn positions into gap symbols, inserting fillers.

    Args:
        positions: strictly ascending, int64[n].
        codes: uint8[n], the code at each position.
        widest: zeros that one symbol can skip, 1 to 255.

    Returns:
        Gap symbols and codes, uint8[n + fillers] each; a filler is the widest gap with code 0.
    """
    return of_zeros(np.diff(positions, prepend=-1) - 1, codes, widest)


def of_zeros(zeros: npt.NDArray[Any], codes: U8, widest: int) -> tuple[U8, U8]:
    """The same by the zeros before each non-zero, integers[n]."""
    if int(zeros.max(initial=0)) <= widest:
        return zeros.astype(np.uint8), codes
    fillers = zeros // (widest + 1)
    rest = (zeros - fillers * (widest + 1)).astype(np.uint8)
    total = len(zeros) + int(fillers.sum(dtype=np.int64))
    symbols = np.full(total, widest, np.uint8)
    filled = np.zeros(total, np.uint8)
    at = np.arange(len(zeros)) + np.cumsum(fillers, dtype=np.int64)
    symbols[at] = rest
    filled[at] = codes
    return symbols, filled


def decode(symbols: U8, elements: int) -> I64:
    """Positions of all pairs, fillers among them, int64[n].

    Raises:
        PayloadError: `position`, where the last pair lies outside the weight.
    """
    positions = np.cumsum(symbols, dtype=np.int64)
    positions += np.arange(len(symbols))
    if len(positions) and positions[-1] >= elements:
        raise PayloadError("position", f"the last pair is element {positions[-1]} of {elements}")
    return positions
