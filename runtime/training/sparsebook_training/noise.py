"""Noise: elements that are taken away from the samples while training (docs/training.md, sections 1 and 2)."""

from collections.abc import Mapping

import numpy as np

from sparsebook_training.errors import Failed
from sparsebook_training.npy import Array, Input


def check(noise: Mapping[str, float], inputs: Mapping[str, Input]) -> None:
    """Whether what is to be thinned is fed, and floats.

    Args:
        noise: input to share.
        inputs: of the graph that samples are fed to.

    Raises:
        Failed: there is no such input.
    """
    for name in noise:
        if name not in inputs or inputs[name].dtype.kind != "f":
            raise Failed(
                "internal",
                f"order.json: 'noise': there is no input {name!r} of floats to take elements from",
            )


def thinned(array: Array, share: float, rng: np.random.Generator) -> Array:
    """The array with about a share of its elements set to zero, and the others larger by as much; of the same dtype.

    Args:
        array: float, of any shape.
        share: probability that an element is taken away, in (0, 1).
        rng: decides which ones.
    """
    kept = rng.random(array.shape, np.float32) >= share
    factors = np.where(kept, 1 / (1 - share), 0).astype(array.dtype)
    found: Array = np.multiply(array, factors)
    return found
