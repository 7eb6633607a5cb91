"""The presets: density and bits for a weight.

`paper` takes the densities and bits of Deep Compression (arXiv 1510.00149, Tables 2 to 5) by role.

`safe` needs no data. It looks at the weight's own values and takes the cheapest pair of density and bits, in bits an
element after Huffman coding, whose relative RMS error
    sqrt(sum (w - w')^2 / sum w^2)
stays within `SAFE_ERROR`. Errors of layers add up about as their squares do, so a network of L such layers strays by
about sqrt(L) times that; docs/presets.md has the measured effect.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.config import Preset, Share
from sparsebook_compressor.graph.roles import Role
from sparsebook_compressor.graph.tensors import check_finite
from sparsebook_compressor.graph.view import Weight
from sparsebook_compressor.stages.share import Distribution, Init, boundaries, cluster

F32 = npt.NDArray[np.float32]

SAFE_ERROR = 0.02
# Depthwise kernels are few and every one is felt by a whole channel.
SAFE_ERROR_BY_ROLE: dict[Role, float] = {"depthwise-conv": 0.01}
SAFE_DENSITIES = (1.0, 0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
# Numbers of centroids to try: four a doubling, so that the error comes within a tenth of what is allowed.
SAFE_CENTROIDS = (15, 19, 23, 27, 31, 39, 47, 55, 63, 79, 95, 111, 127, 159, 191, 223, 255)
# One Lloyd step from linear leaves the levels near uniform, which entropy coding likes best; the roots spread the levels
# of heavy tails, for which 255 uniform levels are too few.
SAFE_INITS: tuple[Init, ...] = ("linear", "sixth-root", "cube-root")
SAFE_ITERATIONS = 1
_SAMPLE = 1 << 16

PAPER: dict[Role, tuple[float, int]] = {
    "conv": (0.35, 8),
    "depthwise-conv": (0.35, 8),
    "conv-transpose": (0.35, 8),
    "gemm": (0.09, 5),
    "matmul": (0.09, 5),
    "recurrent": (0.09, 5),
    "embedding": (0.35, 8),
    "other": (0.35, 8),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """What a preset decides for a weight; `why` names the rule."""

    density: float
    centroids: int
    init: Init
    iterations: int | None
    why: str


def preset(name: Preset, weight: Weight, share: Share) -> Setting | str:
    """The preset's decision, or the reason to leave the weight alone.

    Raises:
        NotFinite: the weight holds NaN or infinity (`safe` reads it).
    """
    if name == "paper":
        density, bits = PAPER[weight.role]
        return Setting(
            density, (1 << bits) - 1, share.init, share.iterations, f"paper, {weight.role}"
        )
    values = weight.read()
    check_finite(values, weight.name)
    return safe(values, weight.role, share)


def safe(weight: F32, role: Role, share: Share) -> Setting | str:
    """The cheapest setting within the error that `safe` allows.

    Args:
        weight: float32[n], finite; beyond 65,536 elements an evenly spaced sample stands for it.
        role: of the weight.
        share: what it sets explicitly is kept to; the rest is chosen.
    """
    given = share.model_fields_set
    inits = (share.init,) if "init" in given else SAFE_INITS
    iterations = share.iterations if "iterations" in given else SAFE_ITERATIONS
    limit = SAFE_ERROR_BY_ROLE.get(role, SAFE_ERROR)
    sample = _sample(weight)
    norm = float(np.square(sample, dtype=np.float64).sum())
    if norm == 0.0:
        return Setting(0.0, 1, "linear", 0, "safe, all zero")
    best: tuple[float, Setting] | None = None
    for density in SAFE_DENSITIES:
        kept, lost = _prune(sample, density)
        if lost > limit**2 * norm:
            break
        ordered = Distribution.of_sorted(kept)
        for init in inits:
            tried = _fewest(ordered, init, iterations, len(sample), limit**2 * norm - lost)
            if tried is not None and (best is None or tried.cost < best[0]):
                relative = ((lost + tried.error) / norm) ** 0.5
                why = f"safe, error {relative:.1%}"
                best = tried.cost, Setting(density, tried.centroids, init, iterations, why)
    if best is None:
        return f"no codebook of 8 bits keeps its error within {limit:.0%} (safe)"
    return best[1]


def _sample(weight: F32) -> F32:
    """At most 65,536 elements in order, evenly spaced; the step is odd, so that it does not follow a row's length."""
    step = len(weight) // _SAMPLE
    if step <= 1:
        return np.sort(weight)
    sample = np.sort(weight[:: step | 1])
    # The extremes set the range of a linear initialisation, so they belong to every sample.
    sample[0], sample[-1] = weight.min(), weight.max()
    return sample


def _prune(ordered: F32, density: float) -> tuple[F32, float]:
    """The survivors in order, and the sum of squares of the others."""
    magnitude = np.abs(ordered)
    keep = int(density * len(ordered) + 0.5)
    if keep >= len(ordered):
        return ordered[magnitude > 0], 0.0
    threshold = np.partition(magnitude, len(ordered) - keep - 1)[len(ordered) - keep - 1]
    survives = magnitude > threshold
    lost = float(np.square(ordered[~survives], dtype=np.float64).sum())
    return ordered[survives], lost


@dataclass(frozen=True, slots=True)
class _Trial:
    centroids: int
    cost: float
    error: float


def _fewest(
    kept: Distribution, init: Init, iterations: int | None, elements: int, allowed: float
) -> _Trial | None:
    """The smallest codebook whose squared error is allowed; the error falls as centroids are added."""
    low, high = 0, len(SAFE_CENTROIDS)
    found: _Trial | None = None
    while low < high:
        middle = (low + high) // 2
        trial = _quantise(kept, elements, SAFE_CENTROIDS[middle], init, iterations)
        if trial.error <= allowed:
            found, high = trial, middle
        else:
            low = middle + 1
    return found


def _quantise(
    kept: Distribution, elements: int, centroids: int, init: Init, iterations: int | None
) -> _Trial:
    """Zero-order entropy of codes and mask in bits an element, and the sum of squared errors."""
    codebook, _ = cluster(kept, centroids, init, iterations, seed=0)
    codes = np.searchsorted(boundaries(codebook), kept.values, side="left")
    error = float(np.square(kept.values - codebook[codes], dtype=np.float64).sum())
    survivors = len(kept.values)
    counts = np.append(np.bincount(codes, minlength=len(codebook)), elements - survivors)
    shares = counts[counts > 0] / elements
    return _Trial(centroids, float(-(shares * np.log2(shares)).sum()), error)
