"""How a weight is written smallest in version 1 of the payload: every code in its place, or non-zeros and the gaps before them.

Nothing is written to find out: a stream's bytes follow from how often each of its symbols occurs (docs/format.md, section 4).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.codecs import bitstream, gaps, huffman
from sparsebook_compressor.payload_layout import LAYOUT_DENSE, LAYOUT_GAPS, MAX_BITS

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]

# Elements looked at a time, so that positions (8 bytes each) never stand for a whole weight at once.
_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class Choice:
    """A layout, and the bytes it would take, all but exact.

    Attributes:
        bytes: of the streams and their code lengths; headers and codebook are the same in both layouts.
        layout: dense or gaps.
        gap_bits: log2 of the gap symbols' alphabet; 0 in the dense layout.
        code_counts: int64[centroids + 1], how often each code is written, fillers among those of code 0.
        gap_counts: int64[2^gap_bits], the same of gap symbols; empty in the dense layout.
    """

    bytes: float
    layout: int
    gap_bits: int
    code_counts: I64
    gap_counts: I64


class Runs:
    """The zeros before every non-zero, found once, in uint16 where they are few."""

    def __init__(self, codes: U8) -> None:
        """Nothing is looked for yet; `codes`, uint8[elements], are looked at again and must not change."""
        self.codes = codes

    @cached_property
    def _pieces(self) -> list[tuple[npt.NDArray[Any], U8]]:
        """Chunk by chunk: zeros before each non-zero, and the codes."""
        pieces = []
        before = -1
        for start in range(0, len(self.codes), _CHUNK):
            chunk = self.codes[start : start + _CHUNK]
            local = np.flatnonzero(chunk != 0)
            if not len(local):
                continue
            # Of distances in a chunk only the first may reach further back than the chunk does.
            zeros = np.diff(local, prepend=before - start) - 1
            before = start + int(local[-1])
            narrow = int(zeros.max()) < 1 << 16
            pieces.append((zeros.astype(np.uint16) if narrow else zeros, chunk[local]))
        return pieces

    def histogram(self) -> tuple[I64, I64]:
        """Distinct counts of zeros before a non-zero, ascending, and how often each occurs."""
        small = np.zeros(1 << 16, np.int64)
        large: list[I64] = []
        for zeros, _ in self._pieces:
            if zeros.dtype != np.uint16:
                large.append(zeros[zeros >= len(small)])
            few = zeros[zeros < len(small)] if large else zeros
            small += np.bincount(few, minlength=len(small))
        widths, occurrences = np.unique(
            np.concatenate(large or [np.zeros(0, np.int64)]), return_counts=True
        )
        used = np.flatnonzero(small)
        return np.concatenate([used, widths]), np.concatenate([small[used], occurrences])

    def pairs(self, bits: int) -> tuple[U8, U8]:
        """Gap symbols and codes of the gaps layout."""
        found = [gaps.of_zeros(zeros, codes, (1 << bits) - 1) for zeros, codes in self._pieces]
        if not found:
            return np.zeros(0, np.uint8), np.zeros(0, np.uint8)
        symbols, codes = zip(*found, strict=True)
        return np.concatenate(symbols), np.concatenate(codes)


def choose(runs: Runs, centroids: int, width: int) -> Choice:
    """The layout, and the width of gaps, that take the fewest bytes.

    Args:
        runs: of the codes.
        centroids: in the codebook; codes are 0 to so many.
        width: bits of a code that is written as it is.
    """
    counts = np.bincount(runs.codes, minlength=centroids + 1).astype(np.int64)
    best = Choice(_estimate(counts, width), LAYOUT_DENSE, 0, counts, np.zeros(0, np.int64))
    if not counts[0]:
        return best
    widths, occurrences = runs.histogram()
    for bits in range(1, MAX_BITS + 1):
        fillers = int(((widths >> bits) * occurrences).sum())
        rest = np.bincount(widths & ((1 << bits) - 1), weights=occurrences, minlength=1 << bits)
        gap_counts = rest.astype(np.int64)
        gap_counts[-1] += fillers
        code_counts = counts.copy()
        code_counts[0] = fillers
        size = _estimate(code_counts, width) + _estimate(gap_counts, bits)
        # Symbols are never more than elements, as the format wants: each filler stands for 2^bits of them.
        if size < best.bytes:
            best = Choice(size, LAYOUT_GAPS, bits, code_counts, gap_counts)
    return best


def _estimate(counts: I64, width: int) -> float:
    """Bytes of a stream with these symbol counts, all but exact: half a byte is taken for each segment's padding."""
    symbols = int(counts.sum())
    fixed = symbols * width / 8
    lengths = huffman.code_lengths(counts)
    if np.count_nonzero(lengths) <= 1:
        return min(fixed, float(len(huffman.write_lengths(lengths))))
    bits = int((counts * lengths).sum())
    table = len(huffman.write_lengths(lengths))
    return min(fixed, bits / 8 + 2.5 * bitstream.segment_count(symbols) + table)
