"""How a weight looks inside: small figures for pictures, of bounded size whatever the weight's.

What is drawn is the paper's: values before and after pruning with the centroids (arXiv 1510.00149, Figure 4), the distribution of
codes and gaps (Figure 5), the split of the storage (Figure 11), and where the non-zeros are.
"""

from dataclasses import dataclass
from typing import Any

BINS = 48
"""Of a histogram."""
CELLS = 96
"""Of a strip."""
MOST_BARS = 64
"""Of a distribution: neighbours share a bar where there are more symbols."""
MOST_LOOKS = 100
"""Weights that a report keeps looks of: those with the most bytes before. With 300 numbers each that is some 200 KB."""


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
