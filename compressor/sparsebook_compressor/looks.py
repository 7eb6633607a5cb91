"""How a weight looks inside: small figures for pictures, of bounded size whatever the weight's.

What is drawn is the paper's: values before and after pruning with the centroids (arXiv 1510.00149, Figure 4), the distribution of
codes and gaps (Figure 5), the split of the storage (Figure 11), and where the non-zeros are.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

BINS = 48
"""Of a histogram."""
CELLS = 96
"""Of a strip."""
MOST_BARS = 64
"""Of a distribution: neighbours share a bar where there are more symbols."""
MOST_LOOKS = 100
"""Weights that a report keeps looks of: those with the most bytes before. With 300 numbers each that is some 200 KB."""
# Values looked at for a histogram: the shape of one with 48 bins does not change beyond, and a weight of 10^8 takes 2 ms.
_MOST_VALUES = 1 << 20
_WIDTH_IN_RMS = 4.0


@dataclass(frozen=True, slots=True)
class Histogram:
    """Values before pruning and the survivors before they were shared, in the same `BINS` equal bins over [-limit, limit].

    Values beyond the limit are in the outermost bins. Of weights with more than 2^20 elements every k-th was looked at.
    """

    limit: float
    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """Bytes of a payload: codes ("weight" in the paper's Figure 11), gaps ("index"), codebook, and its header and tables."""

    codes: int
    gaps: int
    codebook: int
    tables: int


@dataclass(frozen=True, slots=True)
class Look:
    """How a weight looks inside.

    Attributes:
        name: of the weight.
        strip: non-zeros in `CELLS` equal stretches of the weight in row-major order, thousandths of the stretch; fewer cells where
            there are fewer elements.
        codes: how many symbols have code 0 (fillers, or the zeros of the dense layout), 1, 2 and so on; `code_step` codes a bar.
        gaps: likewise of the gap symbols; empty in the dense layout.
        codebook: the centroids, ascending, as they are in the artifact.
        start: the same before they were tuned; empty where they were not, or where nobody knows.
        parts: where the payload's bytes are.
        histogram: None where nobody knows, as of an artifact alone.
    """

    name: str
    strip: tuple[int, ...]
    codes: tuple[int, ...]
    code_step: int
    gaps: tuple[int, ...]
    gap_step: int
    codebook: tuple[float, ...]
    parts: Parts
    start: tuple[float, ...] = ()
    histogram: Histogram | None = None

    @classmethod
    def from_plain(cls, raw: dict[str, Any]) -> "Look":
        """Build it from what `dataclasses.asdict` and JSON made of it."""
        histogram = raw["histogram"]
        if histogram is not None:
            counts = {name: tuple(histogram[name]) for name in ("before", "after")}
            histogram = Histogram(limit=histogram["limit"], **counts)
        series = {
            name: tuple(raw[name]) for name in ("strip", "codes", "gaps", "codebook", "start")
        }
        return cls(**{**raw, **series, "parts": Parts(**raw["parts"]), "histogram": histogram})


def histogram(before: F32, after: F32 | Callable[[F32], F32]) -> Histogram:
    """Two states of the same elements side by side.

    Args:
        before: float32[elements], finite.
        after: float32[elements], of which zeros are pruned and not counted; or what picks the survivors among some of `before`.
    """
    # Odd, so that the rows of a matrix of even width are not all looked at in the same columns.
    step = -(-len(before) // _MOST_VALUES) | 1
    first = before[::step]
    second = after(first) if callable(after) else after[::step]
    squares = float(np.square(first, dtype=np.float64).mean()) if len(first) else 0.0
    limit = _WIDTH_IN_RMS * squares**0.5 or 1.0
    return Histogram(_rounded(limit), _counts(first, limit), _counts(second[second != 0], limit))


def bars(counts: I64) -> tuple[tuple[int, ...], int]:
    """A distribution in at most `MOST_BARS` bars, and how many symbols each of them stands for."""
    step = max(1, -(-len(counts) // MOST_BARS))
    padded = np.concatenate([counts, np.zeros(-len(counts) % step, np.int64)])
    return tuple(padded.reshape(-1, step).sum(axis=1).tolist()), step


def nonzeros_by_cell(codes: npt.NDArray[np.uint8] | F32) -> I64:
    """Non-zeros in each stretch of a strip, int64[cells], of codes or values, [elements]."""
    edges = cell_edges(len(codes))
    counts = [np.count_nonzero(codes[a:b]) for a, b in itertools.pairwise(edges)]
    return np.array(counts, np.int64)


def cell_edges(elements: int) -> list[int]:
    """Where the stretches of a strip begin, and the end of the last one."""
    cells = min(CELLS, elements)
    return [elements * cell // cells for cell in range(cells + 1)] if cells else [0]


def strip(counts: I64, elements: int) -> tuple[int, ...]:
    """Non-zeros a stretch, int64[cells], as the thousandths that a look holds; one non-zero among many elements is 1, not 0."""
    lengths = np.diff(np.array(cell_edges(elements), np.int64))
    shares = -(-1000 * counts // np.maximum(lengths, 1))
    return tuple(shares.tolist())


def centroids(codebook: F32) -> tuple[float, ...]:
    """Centroids as a look keeps them: six figures, as many as a picture or a reader can use."""
    return tuple(_rounded(float(value)) for value in codebook)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _counts(values: F32, limit: float) -> tuple[int, ...]:
    scaled = (values.astype(np.float64) / limit + 1) * (BINS / 2)
    bins = np.clip(scaled, 0, BINS - 1).astype(np.int64)
    return tuple(np.bincount(bins, minlength=BINS).tolist())
