"""Pictures made up: as smooth as photographs are, where white noise is all edges.

The power of natural pictures falls with the square of the frequency, alike in every octave (Field, J. Opt. Soc. Am. A 4(12), 1987), and their
channels rise and fall together. What a convolution sees of white noise has neither: its inputs do not move with each other, and
layers that were fitted to it know little of pictures.
"""

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]

# Axes of that length are of a picture, where there are two of them beside a batch and channels.
LEAST_SIDE = 16
_RANK = 4
_COARSEST = 2
# Of one field for all channels, one of each channel's own, and noise of every pixel's own.
_SHARED, _OWN, _NOISE = 0.9, 0.4, 0.1
# How brightness and the logarithm of contrast vary from picture to picture.
_BRIGHTNESS, _CONTRAST = 0.5, 0.3


def sides(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """The two axes of a picture in an input of this shape; None where it holds no picture."""
    long = [axis for axis in range(1, len(shape)) if shape[axis] >= LEAST_SIDE]
    return (long[0], long[1]) if len(shape) == _RANK and len(long) == 2 else None


def picture(shape: tuple[int, ...], axes: tuple[int, int], rng: np.random.Generator) -> F32:
    """One sample: float32 of a shape, of mean about 0 and variance about 1.

    Args:
        shape: of the input.
        axes: those of the picture.
        rng: for all values.
    """
    alike = tuple(size if axis in axes else 1 for axis, size in enumerate(shape))
    field = _SHARED * _octaves(alike, axes, rng) + _OWN * _octaves(shape, axes, rng)
    field += _NOISE * rng.standard_normal(shape, dtype=np.float32)
    field = (field - field.mean()) / max(float(field.std()), 1e-6)
    contrast = np.exp(rng.normal(0, _CONTRAST))
    made: F32 = (field * contrast + rng.normal(0, _BRIGHTNESS)).astype(np.float32)
    return made


def _octaves(shape: tuple[int, ...], axes: tuple[int, int], rng: np.random.Generator) -> F32:
    """Noise of as much power in every octave; of variance 1."""
    total = np.zeros(shape, np.float32)
    longest = max(shape[axis] for axis in axes)
    cells = _COARSEST
    while cells < longest:
        coarse = list(shape)
        for axis in axes:
            coarse[axis] = max(2, round(cells * shape[axis] / longest))
        noise = rng.standard_normal(coarse, dtype=np.float32)
        for axis in axes:
            noise = _stretched(noise, axis, shape[axis])
        total += noise / max(float(noise.std()), 1e-6)
        cells *= 2
    return total / np.float32(max(float(total.std()), 1e-6))


def _stretched(values: F32, axis: int, size: int) -> F32:
    """Linear interpolation along an axis to another length."""
    places = np.linspace(0, values.shape[axis] - 1, size)
    before = np.minimum(places.astype(np.int64), values.shape[axis] - 2)
    share = (places - before).astype(np.float32)
    weights = share.reshape([-1 if each == axis else 1 for each in range(values.ndim)])
    low, high = values.take(before, axis), values.take(before + 1, axis)
    between: F32 = low + (high - low) * weights
    return between
