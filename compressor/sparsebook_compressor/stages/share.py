"""Weight sharing by one-dimensional k-means (paper, section 3).

Sorted values and prefix sums make a Lloyd step O(k log n): a cluster is an interval, its centroid a difference of two
sums over its length. Beyond 2^23 survivors a histogram over the upper bits of the floats stands in for the sorted
values: about 10^6 bins of relative width 2^-11 with exact sums, so memory stays flat.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.stages.coded import FEWEST, CodeTable, one_by_one
from sparsebook_compressor.stages.init import Init
from sparsebook_compressor.stages.prune import CHUNK, Cut, survivors

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]


# Lloyd's algorithm ends by itself; on the heavy-tailed weights tried it took 200 to 3000 steps of 0.1 ms.
MOST_ITERATIONS = 100_000
_MOST_SORTED = 1 << 23
_DROPPED_BITS = 12


@dataclass(frozen=True, slots=True)
class Shared:
    """A shared weight.

    Attributes:
        codebook: float32[centroids], ascending, without centroids that no element uses.
        codes: uint8[elements]; 0 is a pruned zero, k the k-th centroid.
        squared_error: sum of (w - shared w)^2 over all elements, the pruned ones among them.
        squared_norm: sum of w^2.
        iterations: Lloyd steps that were taken.
    """

    codebook: F32
    codes: U8
    squared_error: float
    squared_norm: float
    iterations: int


@dataclass(frozen=True, slots=True)
class Distribution:
    """Values in ascending order with prefix sums: `counts` and `sums` have one entry more, beginning with 0."""

    values: F32
    counts: I64
    sums: F64

    @classmethod
    def of_sorted(cls, values: F32) -> "Distribution":
        """Every value once; `values` is float32[n], ascending."""
        return cls(values, np.arange(len(values) + 1), _prefix(values))

    @classmethod
    def of_histogram(cls, pieces: Iterator[F32]) -> "Distribution":
        """Values binned by the upper bits of their floats."""
        bins = 1 << (32 - _DROPPED_BITS)
        counts = np.zeros(bins, np.int64)
        sums = np.zeros(bins)
        for piece in pieces:
            keys = _ordered_keys(piece) >> np.uint32(_DROPPED_BITS)
            counts += np.bincount(keys, minlength=bins)
            sums += np.bincount(keys, weights=piece, minlength=bins)
        used = np.flatnonzero(counts)
        means = (sums[used] / counts[used]).astype(np.float32)
        return cls(means, _prefix_counts(counts[used]), _prefix(sums[used]))


def share(
    weight: F32, cut: Cut, centroids: int, start: Init | F64, iterations: int | None, seed: int
) -> Shared:
    """Cluster the survivors of a cut and give every element its code.

    Args:
        weight: float32[n], finite.
        cut: which elements survive.
        centroids: how many there may be besides zero, 1 to 255.
        start: linear (the paper's best), density or random (Forgy); or the starting centroids themselves, ascending.
        iterations: Lloyd steps; None runs to convergence.
        seed: for the random initialisation.
    """
    codebook, steps = cluster(distribution_of(weight, cut), centroids, start, iterations, seed)
    return assign(weight, cut, codebook, steps)


def cluster(
    distribution: Distribution, k: int, start: Init | F64, iterations: int | None, seed: int
) -> tuple[F32, int]:
    """At most k centroids of a distribution, ascending, and the Lloyd steps taken.

    Where there are no more than k distinct values they are the centroids, and sharing is exact.
    """
    values = distribution.values
    distinct = values[np.diff(values, prepend=np.float32(-np.inf)) > 0] if len(values) else values
    if len(distinct) <= k:
        return distinct, 0
    centroids = _start(distribution, k, start, seed) if isinstance(start, str) else start
    most = MOST_ITERATIONS if iterations is None else iterations
    edges = edges_between(values, centroids)
    step = 0
    while step < most:
        step += 1
        counts = np.diff(distribution.counts[edges])
        sums = np.diff(distribution.sums[edges])
        # A centroid without elements stays where it is: it may win some when its neighbours move.
        centroids = np.where(counts > 0, sums / np.maximum(counts, 1), centroids)
        moved = edges_between(values, centroids)
        if np.array_equal(moved, edges):
            break
        edges = moved
    used = np.diff(edges) > 0
    return np.unique(centroids[used].astype(np.float32)), step


def nearest(values: F32, centroids: F32) -> U8:
    """The codes of the nearest centroids, uint8[n]: 1 for the first one."""
    codes: U8 = (np.searchsorted(boundaries(centroids), values, side="left") + 1).astype(np.uint8)
    return codes


def boundaries(centroids: F32) -> F32:
    """Midpoints between neighbours, float32[k - 1]; a value on a midpoint belongs to the lower one."""
    return _midpoints(centroids.astype(np.float64))


def _midpoints(centroids: F64) -> F32:
    """Rounded down, so that v <= midpoint holds for the same float32 values as it would without rounding."""
    exact = (centroids[1:] + centroids[:-1]) / 2
    middle = exact.astype(np.float32)
    return np.where(middle > exact, np.nextafter(middle, np.float32(-np.inf)), middle)


def _start(distribution: Distribution, k: int, init: Init, seed: int) -> F64:
    values = distribution.values
    if init == "linear":
        return np.linspace(float(values[0]), float(values[-1]), k)
    total = int(distribution.counts[-1])
    if init == "density":
        ranks = ((np.arange(k) + 0.5) * total / k).astype(np.int64)
    else:
        ranks = np.sort(np.random.default_rng(seed).choice(total, size=k, replace=False))
    at = np.searchsorted(distribution.counts, ranks, side="right") - 1
    return values[at].astype(np.float64)


def edges_between(values: F32, centroids: F64) -> I64:
    """Where the values of each centroid begin and end, int64[k + 1]; both arguments ascending."""
    inner = np.searchsorted(values, _midpoints(centroids), side="right")
    return np.concatenate([[0], inner, [len(values)]])


def distribution_of(weight: F32, cut: Cut) -> Distribution:
    """The survivors of a cut: sorted, or as a histogram where they are many."""

    def pieces() -> Iterator[F32]:
        return (weight[start : start + CHUNK][mask] for start, mask in survivors(weight, cut))

    kept: list[F32] = []
    count = 0
    for piece in pieces():
        count += len(piece)
        if count > _MOST_SORTED:
            return Distribution.of_histogram(pieces())
        kept.append(piece)
    values = np.concatenate(kept) if kept else np.zeros(0, np.float32)
    values.sort()
    return Distribution.of_sorted(values)


def assign(weight: F32, cut: Cut, centroids: F32, steps: int) -> Shared:
    """Give every survivor of a cut the code of its nearest centroid."""
    codes = np.zeros(len(weight), np.uint8)
    middle = boundaries(centroids)
    table = np.concatenate([np.zeros(1, np.float32), centroids])
    error = norm = 0.0
    ties = cut.ties
    lookup = CodeTable.of(cut, middle) if len(weight) >= FEWEST else None
    for start in range(0, len(weight), CHUNK):
        piece = weight[start : start + CHUNK]
        chosen = codes[start : start + CHUNK]
        if lookup is None:
            chosen[:], ties = one_by_one(piece, cut, ties, middle)
        else:
            ties = lookup.codes(piece, ties, chosen)
        rest = piece - table[chosen]
        error += float(np.square(rest, dtype=np.float64).sum())
        norm += float(np.square(piece, dtype=np.float64).sum())
    return Shared(centroids, codes, error, norm, steps)


def _ordered_keys(values: F32) -> npt.NDArray[np.uint32]:
    """The bits of floats, changed so that they order as the values do."""
    keys = values.view(np.uint32)
    return np.where(keys >> 31, ~keys, keys | np.uint32(1 << 31))


def _prefix(values: npt.NDArray[np.floating]) -> F64:
    sums = np.empty(len(values) + 1)
    sums[0] = 0
    np.cumsum(values, dtype=np.float64, out=sums[1:])
    return sums


def _prefix_counts(counts: I64) -> I64:
    return np.concatenate([[0], np.cumsum(counts)])
