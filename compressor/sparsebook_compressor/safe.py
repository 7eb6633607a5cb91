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
from sparsebook_compressor.stages.share import Distribution, Init, boundaries, cluster

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

ERROR = 0.02
# What a codebook of 8 bits may miss it by; beyond this the weight stays as it is.
MOST_ERROR = 0.03
# Depthwise kernels are few and every one is felt by a whole channel.
ERROR_BY_ROLE: dict[Role, float] = {"depthwise-conv": 0.01}
DENSITIES = (1.0, 0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
# Numbers of centroids to try: four a doubling, so that the error comes within a tenth of what is allowed.
CENTROIDS = (15, 19, 23, 27, 31, 39, 47, 55, 63, 79, 95, 111, 127, 159, 191, 223, 255)
# One Lloyd step from linear leaves the levels near uniform, which entropy coding likes best; the roots spread the levels
# of heavy tails and of channels of unlike size, for which 255 uniform levels are too few.
INITS: tuple[Init, ...] = ("linear", "sixth-root", "cube-root", "square-root")
ITERATIONS = 1
_SAMPLE = 1 << 16
# A channel below a thousandth of the others' norm is dead: nothing depends on it.
_DEAD = 1e-3


def safe(
    weight: F32, channel_axis: int, role: Role, share: Share, *, flat: bool = False
) -> Setting | str:
    """The cheapest setting within the error that is allowed, or why there is none.

    Args:
        weight: float32, finite; beyond 65,536 elements an evenly spaced sample stands for it.
        channel_axis: the axis of its output channels.
        role: of the weight.
        share: what it sets explicitly is kept to; the rest is chosen.
        flat: codes are stored at a fixed width: then the cost is that width.
    """
    limit = ERROR_BY_ROLE.get(role, ERROR)
    sample = _sample(weight, channel_axis)
    if sample is None:
        return Setting(0.0, 1, "linear", 0, "safe, all zero")
    given = share.model_fields_set
    inits = (share.init,) if "init" in given else INITS
    iterations = share.iterations if "iterations" in given else ITERATIONS
    best: tuple[float, Setting] | None = None
    for density, init in product(DENSITIES, inits):
        kept, lost = sample.prune(density)
        if lost > limit**2:
            break
        found = kept.fewest(init, iterations, limit**2 - lost)
        if found is None:
            continue
        cost = kept.bits(found) if not flat else float(found.centroids.bit_length())
        if best is None or cost < best[0]:
            why = f"safe, error {(lost + found.error) ** 0.5:.1%}"
            best = cost, Setting(density, found.centroids, init, iterations, why)
    if best is None:
        best = _finest(sample, inits, iterations)
    if best is None:
        return f"no codebook of 8 bits keeps its error within {limit:.0%} (safe)"
    return best[1]


@dataclass(frozen=True, slots=True)
class _Trial:
    centroids: int
    counts: npt.NDArray[np.int64]
    error: float


@dataclass(frozen=True, slots=True)
class _Sample:
    """Values in ascending order, what an error of each counts, and how many values there were before pruning."""

    values: F32
    importance: F64
    elements: int

    def prune(self, density: float) -> "tuple[_Sample, float]":
        """The survivors of magnitude pruning, and the error of the others."""
        magnitude = np.abs(self.values)
        drop = self.elements - int(density * self.elements + 0.5)
        survives = magnitude > (np.partition(magnitude, drop - 1)[drop - 1] if drop > 0 else 0.0)
        lost = float(
            (np.square(magnitude[~survives], dtype=np.float64) * self.importance[~survives]).sum()
        )
        return _Sample(self.values[survives], self.importance[survives], self.elements), lost

    def fewest(self, init: Init, iterations: int | None, allowed: float) -> _Trial | None:
        """The smallest codebook whose error is allowed; the error falls as centroids are added."""
        distribution = Distribution.of_sorted(self.values)
        low, high = 0, len(CENTROIDS)
        found: _Trial | None = None
        while low < high:
            middle = (low + high) // 2
            trial = self.quantise(distribution, CENTROIDS[middle], init, iterations)
            if trial.error <= allowed:
                found, high = trial, middle
            else:
                low = middle + 1
        return found

    def bits(self, trial: _Trial) -> float:
        """Zero-order entropy of codes and mask, in bits an element."""
        counts = np.append(trial.counts, self.elements - len(self.values))
        shares = counts[counts > 0] / self.elements
        return float(-(shares * np.log2(shares)).sum())

    def quantise(
        self, distribution: Distribution, centroids: int, init: Init, iterations: int | None
    ) -> _Trial:
        """Codes by a codebook of so many centroids."""
        codebook, _ = cluster(distribution, centroids, init, iterations, seed=0)
        codes = np.searchsorted(boundaries(codebook), self.values, side="left")
        squares = np.square(self.values - codebook[codes], dtype=np.float64)
        counts = np.bincount(codes, minlength=len(codebook))
        return _Trial(centroids, counts, float((squares * self.importance).sum()))


def _sample(weight: F32, channel_axis: int) -> _Sample | None:
    """At most 65,536 elements, evenly spaced, with what an error of each counts; None where all are zero."""
    axis = channel_axis % weight.ndim
    norms = _norms(weight, axis)
    live = norms > _DEAD**2 * norms.max(initial=0.0)
    if not live.any():
        return None
    share = np.where(live, 1 / np.where(live, norms, 1.0), 0.0) / np.count_nonzero(live)
    step = max(1, weight.size // _SAMPLE)
    # An odd step does not follow a row's length.
    flat = np.arange(0, weight.size, step | 1 if step > 1 else 1)
    inner = int(np.prod(weight.shape[axis + 1 :], dtype=np.int64))
    channel = flat // inner % weight.shape[axis]
    values = weight.reshape(-1)[flat]
    importance = share[channel] * (weight.size / len(flat))
    order = np.argsort(values, kind="stable")
    values, importance = values[order], importance[order]
    # The extremes set the range of a linear initialisation, so they belong to every sample.
    values[0], values[-1] = weight.min(), weight.max()
    return _Sample(values, importance, len(values))


def _finest(
    sample: _Sample, inits: tuple[Init, ...], iterations: int | None
) -> tuple[float, Setting] | None:
    """The full codebook of least error, where it is not beyond `MOST_ERROR`."""
    kept, lost = sample.prune(1.0)
    distribution = Distribution.of_sorted(kept.values)
    trials = [(kept.quantise(distribution, CENTROIDS[-1], init, iterations), init) for init in inits]
    trial, init = min(trials, key=lambda pair: pair[0].error)
    error = (lost + trial.error) ** 0.5
    if error > MOST_ERROR:
        return None
    return kept.bits(trial), Setting(1.0, trial.centroids, init, iterations, f"safe, error {error:.1%}")


def _norms(weight: F32, axis: int) -> F64:
    """Sum of squares of every channel, float64[channels]; one channel's slice at a time."""
    channels = np.moveaxis(weight, axis, 0)
    return np.array([float(np.square(c, dtype=np.float64).sum()) for c in channels])
