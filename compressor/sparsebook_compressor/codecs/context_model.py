"""What the context codec knows of a weight before it reads a symbol (docs/format.md, section 8)."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.codecs import odds
from sparsebook_compressor.payload_layout import (
    CONTEXT_LANES,
    CONTEXT_SEGMENT,
    LANES_FROM,
    MASK_GROUPS,
    MASK_NONE,
    MASK_PLAIN,
)

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

# What came just before an element, by the kind of mask: nothing is asked, or up to three bits are known.
HISTORIES = (1, 1, 15, 15)
_BITS = 3


@dataclass(frozen=True, eq=False, slots=True)
class ContextModel:
    """Contexts of a weight, seen as a matrix that is split behind its first `split` axes.

    Attributes:
        shape: of the weight.
        split: 0 to its rank; rows are the product of the axes before it.
        mask: how zeros are told from non-zeros, one of the MASK constants.
        group_axis: groups of MASK_GROUPS are as long as the product of the axes from here on.
        row_classes, column_classes: uint8[rows], uint8[columns]; not looked at where there is one class.
        rows_by, columns_by: how many classes there are, 1 to 8.
        mask_levels: uint8[rows_by x columns_by x histories], probability levels of being non-zero; empty without a mask.
        code_contexts: uint8[rows_by x columns_by], the context of the codes in every cell.
        code_levels: uint8[contexts, alphabet], frequency levels; symbol 0 is code 1, or code 0 without a mask.
    """

    shape: tuple[int, ...]
    split: int
    mask: int
    group_axis: int
    row_classes: U8
    column_classes: U8
    rows_by: int
    columns_by: int
    mask_levels: U8
    code_contexts: U8
    code_levels: U8

    @property
    def columns(self) -> int:
        """Elements of a row."""
        return math.prod(self.shape[self.split :])

    @property
    def histories(self) -> int:
        """States that an element's predecessors leave behind."""
        return HISTORIES[self.mask]

    @property
    def group(self) -> int:
        """Elements in a group; 0 where there are none."""
        return math.prod(self.shape[self.group_axis :]) if self.mask == MASK_GROUPS else 0

    @property
    def first_code(self) -> int:
        """The code that symbol 0 stands for."""
        return 0 if self.mask == MASK_NONE else 1

    def cells(self, positions: I64) -> U8:
        """The cell (row class, column class) of elements, uint8 of the same shape."""
        cells = np.zeros(positions.shape, np.uint8)
        if self.rows_by == self.columns_by == 1:
            return cells
        # Not divmod: NumPy divides by one number with SIMD, and takes remainders without.
        rows = positions // self.columns
        if self.columns_by > 1:
            cells += self.column_classes[positions - rows * self.columns]
        if self.rows_by > 1:
            cells += self.row_classes[rows] * np.uint8(self.columns_by)
        return cells

    def shares(self) -> U32:
        """Of 4096, how many of a context are not zero, uint32[cells x histories].

        Raises:
            PayloadError: `probabilities`.
        """
        return odds.shares(self.mask_levels)

    def frequencies(self) -> U32:
        """Frequencies of the codes' symbols, uint32[contexts, alphabet].

        Raises:
            PayloadError: `frequencies`.
        """
        return np.stack([odds.frequencies(levels) for levels in self.code_levels])


def histories(kind: int, group: int, nonzero: Bool, positions: I64) -> U8:
    """What came before every element, where all are known.

    Args:
        kind: MASK_PLAIN, MASK_RUNS or MASK_GROUPS.
        group: elements in a group.
        nonzero: bool[lanes, steps], whether elements are not zero; a lane begins without a past.
        positions: int64[lanes, steps], where they stand in the weight.

    Returns:
        uint8[lanes, steps], below HISTORIES[kind].
    """
    if kind == MASK_PLAIN:
        return np.zeros(nonzero.shape, np.uint8)
    known = np.minimum(np.arange(nonzero.shape[1]), _BITS).astype(np.uint8)[None]
    if kind == MASK_GROUPS:
        known = np.minimum(np.minimum(positions % group, _BITS).astype(np.uint8), known)
    # A one stands before the bits that are known, so that no two pasts are alike.
    past = np.broadcast_to(np.uint8(1) << known, nonzero.shape).copy()
    bits = nonzero.view(np.uint8)
    for back in range(1, _BITS + 1):
        past[:, back:] += (bits[:, :-back] << np.uint8(back - 1)) * (known[:, back:] >= back)
    return past - np.uint8(1)


def following(kind: int, past: U8, nonzero: Bool, begins: Bool) -> U8:
    """The history behind one element; `begins` says where the element after it begins a group."""
    if kind == MASK_PLAIN:
        return past
    longer = (past + np.uint8(1)) << np.uint8(1) | nonzero
    full = np.uint8(1 << _BITS)
    longer = np.where(longer < 2 * full, longer, full | longer & (full - np.uint8(1)))
    if kind == MASK_GROUPS:
        longer = np.where(begins, np.uint8(1), longer)
    return (longer - np.uint8(1)).astype(np.uint8)


def lanes_of(elements: int) -> int:
    """Lanes of a segment of so many elements: short ones have one, because a lane costs two bytes."""
    return CONTEXT_LANES if elements >= LANES_FROM else 1


def segment_count(elements: int) -> int:
    """Segments that the context codec cuts a weight into."""
    return -(-elements // CONTEXT_SEGMENT)


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive segments of one length, which are worked on side by side.

    Attributes:
        first: position of the first element.
        segments, length: how many segments, and elements in each.
    """

    first: int
    segments: int
    length: int

    @property
    def lanes(self) -> int:
        """Lanes of each segment."""
        return lanes_of(self.length)

    @property
    def steps(self) -> int:
        """Elements of a lane; the last lanes may have fewer."""
        return -(-self.length // self.lanes)

    @property
    def end(self) -> int:
        """Position behind the last element."""
        return self.first + self.segments * self.length

    def positions(self) -> I64:
        """Of every element, int64[segments x lanes, steps]; past its segment's end where a lane has no more."""
        begin = self.first + self.length * np.arange(self.segments)
        lane = self.steps * np.arange(self.lanes)
        return (begin[:, None] + lane).reshape(-1, 1) + np.arange(self.steps)

    def present(self) -> Bool:
        """Which places of `positions` hold an element of the segment, bool[segments x lanes, steps]."""
        within = self.steps * np.arange(self.lanes)[:, None] + np.arange(self.steps)
        return np.tile(within < self.length, (self.segments, 1))


def blocks(elements: int, most: int) -> list[Block]:
    """A weight's segments in blocks of at most `most`, the short last one in a block of its own."""
    whole = elements // CONTEXT_SEGMENT
    found = [
        Block(start * CONTEXT_SEGMENT, min(most, whole - start), CONTEXT_SEGMENT)
        for start in range(0, whole, most)
    ]
    rest = elements - whole * CONTEXT_SEGMENT
    return [*found, Block(whole * CONTEXT_SEGMENT, 1, rest)] if rest else found
