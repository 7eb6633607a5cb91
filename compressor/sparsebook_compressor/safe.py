"""The preset `safe`: density and codebook from the weight's own values, without data.

It takes the cheapest setting, in bits an element after Huffman coding, whose error stays within `ERROR`. The error counts
every output channel alike,
    sqrt(mean over channels c of sum (w_c - w'_c)^2 / sum w_c^2),
because what follows a layer (normalisation, a gate, another layer) mostly scales channels on its own: a small channel
that is lost costs as much as a large one. On a recogniser whose channels differ 60-fold in norm, the plain relative error
of the whole weight stood at 2% while the first layer's channels were off by 10%. docs/presets.md has the measured effect.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.config import Share
from sparsebook_compressor.graph.roles import Role
from sparsebook_compressor.setting import Setting
from sparsebook_compressor.stages.levels import PLACEMENTS, Sample, Start, sample, starting
from sparsebook_compressor.stages.share import Distribution, boundaries, cluster

F32 = npt.NDArray[np.float32]

ERROR = 0.015
# Depthwise kernels are few and every one is felt by a whole channel.
ERROR_BY_ROLE: dict[Role, float] = {"depthwise-conv": 0.01}
DENSITIES = (1.0, 0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
# Numbers of centroids to try: four a doubling, so that the error comes within a tenth of what is allowed.
CENTROIDS = (15, 19, 23, 27, 31, 39, 47, 55, 63, 79, 95, 111, 127, 159, 191, 223, 255)
# What the widest codebook may miss the error by before the weight is left alone. At a fixed width, where whole bits count,
# 7 bits may miss it by as much: with 8 the portable output would stay above a quarter of the model's bytes.
SLACK = 2.0
FLAT_CENTROIDS = 127
# One Lloyd step centres the levels in what falls to them; more would undo their placement.
ITERATIONS = 1


def safe(
    weight: F32, channel_axis: int, role: Role, share: Share, *, flat: bool = False
) -> Setting | str:
    """The cheapest setting within the error that is allowed, or why there is none.

    Args:
        weight: float32, finite; beyond 131,071 elements an evenly spaced sample stands for it.
        channel_axis: the axis of its output channels.
        role: of the weight.
        share: what it sets explicitly is kept to; the rest is chosen.
        flat: codes are stored at a fixed width: then the cost is that width.
    """
    limit = ERROR_BY_ROLE.get(role, ERROR)
    whole = sample(weight, channel_axis)
    if whole is None:
        return Setting(0.0, 1, "linear", 0, "safe, all zero")
    given = share.model_fields_set
    starts: tuple[Start, ...] = (share.init,) if "init" in given else tuple(PLACEMENTS)
    iterations = share.iterations if "iterations" in given else ITERATIONS
    tries = _Tries(whole, starts, iterations)
    best = tries.cheapest(CENTROIDS, limit, flat=flat)
    if flat and (best is None or best.centroids > FLAT_CENTROIDS):
        best = tries.cheapest((FLAT_CENTROIDS,), SLACK * limit, flat=True) or best
    if best is None:
        best = tries.cheapest(CENTROIDS[-1:], SLACK * limit, flat=flat)
    return best or f"no codebook of 8 bits keeps its error within {SLACK * limit:.1%} (safe)"


@dataclass(frozen=True, slots=True)
class _Tries:
    """All that may be tried on one weight."""

    whole: Sample
    starts: tuple[Start, ...]
    iterations: int | None

    def cheapest(self, sizes: tuple[int, ...], limit: float, *, flat: bool) -> Setting | None:
        """The cheapest setting with a codebook of one of these sizes whose error is within the limit."""
        best: tuple[float, Setting] | None = None
        for density, start in product(DENSITIES, self.starts):
            kept, lost = _prune(self.whole, density)
            if lost > limit**2:
                break
            found = _fewest(kept, sizes, start, self.iterations, limit**2 - lost)
            if found is None:
                continue
            cost = float(found.centroids.bit_length()) if flat else _bits(kept, found)
            if best is None or cost < best[0]:
                why = f"safe, error {(lost + found.error) ** 0.5:.1%}"
                best = cost, Setting(density, found.centroids, start, self.iterations, why)
        return None if best is None else best[1]


@dataclass(frozen=True, slots=True)
class _Trial:
    centroids: int
    counts: npt.NDArray[np.int64]
    error: float


def _prune(whole: Sample, density: float) -> tuple[Sample, float]:
    """The survivors of magnitude pruning, and the error of the others."""
    magnitude = np.abs(whole.values)
    drop = whole.elements - int(density * whole.elements + 0.5)
    kept = whole.above(float(np.partition(magnitude, drop - 1)[drop - 1]) if drop > 0 else 0.0)
    return kept, max(0.0, _energy(whole) - _energy(kept))


def _energy(values: Sample) -> float:
    """Importance-weighted sum of squares; NumPy's own sum, since a BLAS product may depend on the number of threads."""
    return float((np.square(values.values, dtype=np.float64) * values.importance).sum())


def _fewest(
    kept: Sample, sizes: tuple[int, ...], start: Start, iterations: int | None, allowed: float
) -> _Trial | None:
    """The smallest codebook whose error is allowed; the error falls as centroids are added."""
    distribution = Distribution.of_sorted(kept.values)
    low, high = 0, len(sizes)
    found: _Trial | None = None
    while low < high:
        middle = (low + high) // 2
        trial = _quantise(kept, distribution, sizes[middle], start, iterations)
        if trial.error <= allowed:
            found, high = trial, middle
        else:
            low = middle + 1
    return found


def _quantise(
    kept: Sample, distribution: Distribution, k: int, start: Start, iterations: int | None
) -> _Trial:
    codebook, _ = cluster(distribution, k, starting(start, k, lambda: kept), iterations, seed=0)
    codes = np.searchsorted(boundaries(codebook), kept.values, side="left")
    squares = np.square(kept.values - codebook[codes], dtype=np.float64)
    counts = np.bincount(codes, minlength=len(codebook))
    return _Trial(k, counts, float((squares * kept.importance).sum()))


def _bits(kept: Sample, trial: _Trial) -> float:
    """Zero-order entropy of codes and mask, in bits an element."""
    counts = np.append(trial.counts, kept.elements - len(kept.values))
    shares = counts[counts > 0] / kept.elements
    return float(-(shares * np.log2(shares)).sum())
