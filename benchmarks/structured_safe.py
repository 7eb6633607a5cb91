"""The preset `safe` on weights as they are, and on the same weights once every output channel has the same norm."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.codec_runs import real_models
from benchmarks.structured_runs import kind
from benchmarks.structured_ways import CODECS, SCALE_BYTES
from sparsebook_compressor import admit
from sparsebook_compressor.coding import coded_weight
from sparsebook_compressor.config import Share
from sparsebook_compressor.graph.view import Weight, survey
from sparsebook_compressor.payload import encode
from sparsebook_compressor.safe import safe
from sparsebook_compressor.stages.levels import sample, starting
from sparsebook_compressor.stages.prune import cut_by_density
from sparsebook_compressor.stages.share import share

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

_SEED = 0
# Larger weights are tables of which nothing new is to be learned.
_MOST = 1 << 22
# As in stages/levels.py: a channel below a thousandth of the others' norm is dead.
_DEAD = 1e-3


@dataclass(frozen=True, slots=True)
class Made:
    """What `safe` makes of a weight.

    Attributes:
        huffman, auto: bytes of the payload by codec, and of the scales.
        error: root of the mean over channels of their squared relative error.
    """

    huffman: int
    auto: int
    error: float


@dataclass(frozen=True, slots=True)
class Safe:
    """One weight as it is, with exact scales of two bytes for its output channels, and with scales that are powers of two.

    Attributes:
        spread: of the channels' norms, the standard deviation of their binary logarithms.
    """

    model: str
    weight: str
    kind: str
    elements: int
    spread: float
    plain: Made
    scaled: Made
    powers: Made


def safe_rows() -> Iterator[Safe]:
    """All weights of the packages' models that `safe` has a setting for in all three ways."""
    for model, path in real_models().items():
        for weight in survey(admit.load(path), path).weights:
            if weight.elements <= _MOST:
                found = _row(model, weight)
                if found is not None:
                    yield found


def _row(model: str, weight: Weight) -> Safe | None:
    values = weight.read()
    norms = np.sqrt(np.square(_channels(weight, values), dtype=np.float64).mean(axis=1))
    live = norms > _DEAD * norms.max()
    if not live.any():
        return None
    logs = np.log2(norms[live])
    # Dead channels stay as small as they are beside the others.
    exact = np.full(len(norms), float(2.0 ** -logs.mean()))
    exact[live] = 2.0**-logs
    powers = 2.0 ** np.round(np.log2(exact))
    extra = SCALE_BYTES * len(norms)
    plain = _made(weight, values, np.ones(len(norms)), 0)
    scaled = plain and _made(weight, values, exact, extra)
    rounded = scaled and _made(weight, values, powers, extra)
    if plain is None or scaled is None or rounded is None:
        return None
    spread = float(logs.std())
    return Safe(model, weight.name, kind(weight), weight.elements, spread, plain, scaled, rounded)


def _made(weight: Weight, values: F32, scales: F64, extra: int) -> Made | None:
    axes = [1] * len(weight.shape)
    axes[weight.channel_axis] = -1
    shaped = values.reshape(weight.shape) * scales.astype(np.float32).reshape(axes)
    setting = safe(shaped, weight.channel_axis, weight.role, Share())
    if isinstance(setting, str) or setting.density == 0:
        return None
    flat = np.ascontiguousarray(shaped).reshape(-1)
    cut = cut_by_density(flat, setting.density)
    whole = sample(shaped, weight.channel_axis)
    start = starting(
        setting.init,
        setting.centroids,
        lambda: None if whole is None else whole.above(cut.threshold),
    )
    shared = share(flat, cut, setting.centroids, start, setting.iterations, _SEED)
    coded = coded_weight(weight, shared.codes, shared.codebook)
    old, new = _channels(weight, flat), _channels(weight, coded.values().reshape(-1))
    norms = np.square(old, dtype=np.float64).sum(axis=1)
    wrong = np.square(old - new, dtype=np.float64).sum(axis=1)
    live = norms > _DEAD**2 * norms.max()
    error = math.sqrt(float((wrong[live] / norms[live]).mean()))
    sizes = [len(encode(coded, codec)[0]) + extra for codec in CODECS]
    return Made(sizes[0], sizes[1], error)


def _channels(weight: Weight, values: F32) -> F32:
    moved = np.moveaxis(values.reshape(weight.shape), weight.channel_axis, 0)
    return np.ascontiguousarray(moved).reshape(len(moved), -1)
