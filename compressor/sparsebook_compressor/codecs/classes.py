"""Rows and columns of a weight in classes of like density, side information included.

A row of c elements of which v are not zero costs -v log2 p - (c - v) log2 (1 - p) bits in a class of density p, and the class
itself its Huffman code. Assigning rows to the cheapest class and taking the classes' densities anew, in turns, is Lloyd's
algorithm with a price on every class: entropy-constrained quantisation (Chou, Lookabaugh and Gray, 1989).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.codecs import huffman
from sparsebook_compressor.payload_layout import MAX_CLASSES

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

_COUNTS = (2, 3, 4, 6, MAX_CLASSES)
_TURNS = 12
# What another class costs elsewhere: its probabilities in every class of the other axis, and its code length.
_CLASS_BITS = 40.0


@dataclass(frozen=True, slots=True)
class Classes:
    """The class of every row, uint8[rows], how many classes there are, the bits that they save, and those of the classes."""

    of: U8
    count: int
    saved: float
    bits: float


def fit(counts: I64, trials: int) -> Classes:
    """Put rows in classes.

    Args:
        counts: int64[rows], how many elements of each row are not zero.
        trials: elements in a row.
    """
    alone = Classes(np.zeros(len(counts), np.uint8), 1, 0.0, 0.0)
    values, inverse, rows = np.unique(counts, return_inverse=True, return_counts=True)
    if len(values) < 2 or trials < 2:
        return alone
    share = counts.sum() / (len(counts) * trials)
    one = float((rows * _bits(values, trials, np.array([share]))[:, 0]).sum())
    best = alone
    for count in _COUNTS:
        if count > len(values):
            break
        classes, cost = _lloyd(values, rows, trials, count)
        if one - cost > best.saved:
            best = Classes(
                classes[inverse], int(classes.max()) + 1, one - cost, _own(classes, rows)
            )
    return best


def _lloyd(values: I64, rows: I64, trials: int, count: int) -> tuple[U8, float]:
    """The class of every value, ascending by density, and all bits that this costs."""
    rank = np.cumsum(rows) - rows / 2
    of = np.minimum((rank * count / rows.sum()).astype(np.int64), count - 1)
    for _ in range(_TURNS):
        of = np.unique(of, return_inverse=True)[1]
        members = np.bincount(of, weights=rows).astype(np.int64)
        density = (np.bincount(of, weights=values * rows) + 0.5) / (members * trials + 1.0)
        price = huffman.code_lengths(members).astype(np.float64)
        cost = _bits(values, trials, density) + (price if len(price) > 1 else 0.0)
        chosen = np.argmin(cost, axis=1)
        if np.array_equal(chosen, of):
            break
        of = chosen
    total = float((rows * cost[np.arange(len(values)), chosen]).sum())
    of = np.unique(of, return_inverse=True)[1]
    return of.astype(np.uint8), total + _CLASS_BITS * (int(of.max()) + 1)


def _own(classes: U8, rows: I64) -> float:
    """Bits of the classes themselves, of values that so many rows have each."""
    members = np.bincount(classes, weights=rows).astype(np.int64)
    return float((members * huffman.code_lengths(members)).sum()) if len(members) > 1 else 0.0


def _bits(values: I64, trials: int, density: F64) -> F64:
    """Bits of a row with so many non-zeros in a class of such density, float64[values, classes]."""
    wins = values[:, None] * np.log2(density)[None, :]
    losses = (trials - values)[:, None] * np.log2(1 - density)[None, :]
    return np.asarray(-(wins + losses), np.float64)
