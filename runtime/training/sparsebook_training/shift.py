"""Shifts: samples that are moved a little while training (docs/training.md, sections 1 and 2)."""

from collections.abc import Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sparsebook_training.errors import Failed
from sparsebook_training.npy import Array, Input

# Down and right.
_AXES = 2


def check(shift: Mapping[str, int], inputs: Mapping[str, Input], ranks: Mapping[str, int]) -> None:
    """Whether what is to be moved is fed, floats, and has two axes to be moved along.

    Args:
        shift: input to the most elements.
        inputs: of the graph that samples are fed to.
        ranks: how many axes a sample of each has.

    Raises:
        Failed: there is no such input.
    """
    for name in shift:
        if name not in inputs or inputs[name].dtype.kind != "f" or ranks[name] < _AXES:
            raise Failed(
                "internal",
                f"order.json: 'shift': there is no input {name!r} of floats to move along two axes",
            )


def moved(samples: Array, most: int, rng: np.random.Generator) -> Array:
    """Each sample moved down and right by whole elements, or up and left; what comes in at the borders is zero.

    Args:
        samples: [n, ..., height, width].
        most: each of a sample's two offsets is drawn from -most to most.
        rng: draws them.

    Returns:
        The same shape and dtype, C-contiguous.
    """
    *others, height, width = samples.shape
    down, right = rng.integers(-most, most, (_AXES, len(samples)), endpoint=True)
    framed = np.zeros((*others, height + 2 * most, width + 2 * most), samples.dtype)
    framed[..., most : most + height, most : most + width] = samples
    # Of every sample all (2 most + 1)^2 places as a view; one of them is copied.
    places = sliding_window_view(framed, (height, width), axis=(-2, -1))
    found: Array = places[np.arange(len(samples)), ..., most - down, most - right, :, :]
    return np.ascontiguousarray(found)
