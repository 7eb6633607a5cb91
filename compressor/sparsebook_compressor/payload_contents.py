"""What a payload holds, counted without decoding the weight: for inspection and for pictures."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebook_compressor import payload_context
from sparsebook_compressor.codecs import bitstream, gaps
from sparsebook_compressor.payload import check_constant, read_codes, read_symbols
from sparsebook_compressor.payload_header import Header, Sections, Stream, read, read_header

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a payload holds, counted.

    Attributes:
        header: of the payload.
        codebook: float32[centroids].
        bytes_codes: of the codes, with what says where the zeros are where there are no gaps.
        bytes_gaps: of the gaps.
        code_counts: int64[centroids + 1], how often each code occurs, 0 first.
        gap_counts: int64[2^gap_bits], likewise of the gap symbols; empty where there are no gaps.
        cells: int64, non-zeros between neighbouring edges that were asked for.
    """

    header: Header
    codebook: npt.NDArray[np.float32]
    bytes_codes: int
    bytes_gaps: int
    code_counts: I64
    gap_counts: I64
    cells: I64

    @property
    def nonzeros(self) -> int:
        """Elements that are not zero."""
        return int(self.cells.sum())


def contents(data: bytes, edges_of: Callable[[int], list[int]]) -> Contents:
    """Validate a payload and count what it holds, in memory bounded by its bytes, not by the weight it stands for.

    Args:
        data: the payload.
        edges_of: for a number of elements, ascending positions from 0 to that number.

    Raises:
        PayloadError: as `payload.decode`.
    """
    header = read_header(data)
    edges = np.array(edges_of(header.elements), np.int64)
    if header.is_context:
        return _of_contexts(payload_context.read(data, header), edges)
    sections = read(data, header)
    check_constant(sections)
    stream = sections.codes
    code_counts = np.zeros(header.centroids + 1, np.int64)
    codes: U8 | None = None  # where all are the same
    if stream.is_constant:
        code_counts[stream.constant] = header.symbols
    else:
        codes = read_codes(sections)
        code_counts += np.bincount(codes, minlength=len(code_counts))
    if sections.gaps is None:
        gap_counts = np.zeros(0, np.int64)
        below = edges if codes is None else _below(codes, edges)
    else:
        gap_counts, below = _gaps(sections, sections.gaps, codes, edges)
    if codes is None and stream.constant == 0:
        below = np.zeros(len(edges), np.int64)
    bytes_gaps = 0 if sections.gaps is None else len(sections.gaps.data)
    stored = (len(stream.data), bytes_gaps)
    return Contents(header, sections.codebook, *stored, code_counts, gap_counts, np.diff(below))


def _of_contexts(found: payload_context.Contexts, edges: I64) -> Contents:
    """Of a payload of version 2, a stretch of codes at a time."""
    header = found.header
    counts = np.zeros(header.centroids + 1, np.int64)
    below = np.zeros(len(edges), np.int64)
    for block, piece in found.pieces():
        counts += np.bincount(piece, minlength=len(counts))
        inside = np.clip(edges - block.first, 0, len(piece))
        below += _below(piece, np.concatenate([[0], inside]))[1:]
    nothing = np.zeros(0, np.int64)
    stored = (len(found.data), 0)
    return Contents(header, found.codebook, *stored, counts, nothing, np.diff(below))


def _below(codes: U8, edges: I64) -> I64:
    """How many codes below each edge are not zero; a sum over all of them would take eight bytes for each."""
    counts = [np.count_nonzero(codes[a:b]) for a, b in itertools.pairwise(edges)]
    return np.cumsum([0, *counts])


def _gaps(sections: Sections, stream: Stream, codes: U8 | None, edges: I64) -> tuple[I64, I64]:
    """How often each gap symbol occurs, and how many pairs that are not fillers lie below each edge."""
    header = sections.header
    counts = np.zeros(1 << header.gap_bits, np.int64)
    if stream.is_constant and codes is None:
        # Pairs stand at every k-th element: how many lie below an edge needs no stream, whose length nothing bounds.
        counts[stream.constant] = header.symbols
        return counts, np.minimum(edges // (stream.constant + 1), header.symbols)
    symbols, wrong = read_symbols(stream, header.symbols)
    bitstream.check(wrong, "gaps")
    counts += np.bincount(symbols, minlength=len(counts))
    positions = gaps.decode(symbols, header.elements)
    if codes is not None:
        positions = positions[codes != 0]
    return counts, np.searchsorted(positions, edges)
