"""Looks of weights: of one that has just been coded, and of a payload in an artifact."""

import numpy as np

from sparsebook_compressor import counting
from sparsebook_compressor.counting import F32, I64
from sparsebook_compressor.looks import Histogram, Look, Parts
from sparsebook_compressor.payload import CodedWeight, Facts
from sparsebook_compressor.payload_contents import contents
from sparsebook_compressor.payload_header import FLOAT16


def look_at(
    name: str,
    weight: CodedWeight,
    facts: Facts,
    histogram: Histogram | None,
    start: F32 | None = None,
) -> Look:
    """The look of a coded weight.

    Args:
        name: of the weight.
        weight: its codes and codebook.
        facts: of its payload.
        histogram: of the floats that it was made from.
        start: float32[centroids] before they were tuned.
    """
    parts = Parts(facts.bytes_codes, facts.bytes_gaps, facts.bytes_codebook, facts.bytes_tables)
    return _look(
        name,
        counting.nonzeros_by_cell(weight.codes),
        len(weight.codes),
        (np.array(facts.code_counts, np.int64), np.array(facts.gap_counts, np.int64)),
        weight.codebook,
        parts,
        () if start is None else counting.centroids(start),
        histogram,
    )


def look_inside(name: str, data: bytes) -> Look:
    """The look of a payload: all but what only its maker knows.

    Raises:
        PayloadError: as `payload.decode`.
    """
    found = contents(data, counting.cell_edges)
    header = found.header
    item = 2 if header.codebook_dtype == FLOAT16 else 4
    codebook = header.centroids * item
    known = found.bytes_codes + found.bytes_gaps + codebook
    parts = Parts(found.bytes_codes, found.bytes_gaps, codebook, len(data) - known)
    counts = (found.code_counts, found.gap_counts)
    return _look(name, found.cells, header.elements, counts, found.codebook, parts)


def _look(
    name: str,
    cells: I64,
    elements: int,
    counts: tuple[I64, I64],
    codebook: F32,
    parts: Parts,
    start: tuple[float, ...] = (),
    histogram: Histogram | None = None,
) -> Look:
    (codes, code_step), (gaps, gap_step) = counting.bars(counts[0]), counting.bars(counts[1])
    return Look(
        name=name,
        strip=counting.strip(cells, elements),
        codes=codes,
        code_step=code_step,
        gaps=gaps,
        gap_step=gap_step,
        codebook=counting.centroids(codebook),
        parts=parts,
        start=start,
        histogram=histogram,
    )
