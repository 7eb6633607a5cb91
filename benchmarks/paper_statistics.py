"""What may be said of errors over seeds and images: mean, deviation, and an interval for the loss of accuracy."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Hits = npt.NDArray[np.bool_]

RESAMPLES = 4_000
COVERAGE = 0.95


@dataclass(frozen=True)
class Spread:
    """Mean and sample deviation; a single value has none."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Over seeds."""
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True)
class Loss:
    """Accuracy that was lost, as a fraction: the mean over seeds, and the interval around it."""

    mean: float
    low: float
    high: float


def paired_loss(original: Hits, compressed: Sequence[Hits], seed: int = 0) -> Loss:
    """The loss of accuracy on the same images, with a percentile interval of a bootstrap over seeds and images.

    Both are resampled, each as a whole (the pigeonhole bootstrap, arXiv 0712.1111): an image that is hard is hard for every seed,
    and a seed that went badly did so on all images.

    Args:
        original: whether the uncompressed model is right, bool [images].
        compressed: the same for the artifact of every seed.
        seed: of the resampling.

    >>> always, never = np.ones(100, bool), np.zeros(100, bool)
    >>> paired_loss(always, [always, always])
    Loss(mean=0.0, low=0.0, high=0.0)
    >>> paired_loss(always, [never]).mean
    1.0
    """
    lost = original.astype(np.float64) - np.stack(compressed).astype(np.float64)
    rng = np.random.default_rng(seed)
    seeds, images = lost.shape
    found = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        drawn = np.bincount(rng.integers(seeds, size=seeds), minlength=seeds)
        # How often an image is drawn is Poisson(1) but for the exact total, which the division makes up for.
        weights = rng.poisson(np.ones(images)).astype(np.float64)
        # Not a matrix product: BLAS would wake all its threads for so little, four thousand times.
        by_seed = np.einsum("si,i->s", lost, weights)
        found[number] = (drawn * by_seed).sum() / (seeds * weights.sum())
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return Loss(float(lost.mean()), float(low), float(high))
