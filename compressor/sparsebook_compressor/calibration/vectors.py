"""From the value that feeds a layer to the vectors that its weight is multiplied with."""

import math

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from onnx import NodeProto

from sparsebook_compressor.calibration.sites import Site
from sparsebook_compressor.graph.attributes import ints_attribute

F32 = npt.NDArray[np.float32]
Array = npt.NDArray[np.generic]

# Vectors that one batch gives to one layer: neighbouring positions of a picture say much the same.
MOST_VECTORS = 4096


def vectors(site: Site, value: Array, mask: Array | None = None) -> F32 | None:
    """Input vectors of a layer.

    Args:
        site: whose vectors; neither a table nor plain.
        value: of the tap, of any float dtype.
        mask: [batch, positions], 0 where there is only padding; heeded by values whose first two axes are of this shape.

    Returns:
        float32[groups, n, columns], n at most `MOST_VECTORS`, evenly spread; None where the value is not of the rank that the
        consumer wants.
    """
    floats = value.astype(np.float32, copy=False)
    match site.kind:
        case "product":
            if floats.ndim == 0 or floats.shape[-1] != site.columns:
                return None
            if mask is not None and floats.shape[:2] == mask.shape and mask.any():
                floats = floats[mask.astype(bool)]
            return _thinned(floats.reshape(-1, site.columns))[np.newaxis]
        case "state":
            # [steps, directions, batch, hidden]: what a step gives is what the next one multiplies.
            turned = floats.transpose(1, 0, 2, 3).reshape(site.groups, -1, site.columns)
            return np.stack([_thinned(each) for each in turned])
        case "conv":
            return _windows(site, floats)
        case "conv-transpose":
            channels = np.moveaxis(floats, 1, -1).reshape(-1, site.groups, site.columns)
            return np.ascontiguousarray(_thinned(channels).swapaxes(0, 1))
    raise ValueError(f"{site.weight.name!r}: a {site.kind} site has no vectors")


def _thinned(rows: F32) -> F32:
    """At most `MOST_VECTORS` rows, evenly spread."""
    return rows[:: max(1, -(-len(rows) // MOST_VECTORS))]


def _windows(site: Site, value: F32) -> F32 | None:
    """What a convolution sees at some of its positions."""
    node, kernel = site.use.node, site.weight.shape[2:]
    rank = len(kernel)
    if value.ndim != rank + 2:
        return None
    dilations = ints_attribute(node, "dilations") or [1] * rank
    strides = ints_attribute(node, "strides") or [1] * rank
    spans = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    padded = np.pad(value, [(0, 0), (0, 0), *_pads(node, value.shape[2:], spans, strides)])
    if any(size < span for size, span in zip(padded.shape[2:], spans, strict=True)):
        return None
    axes = tuple(range(2, 2 + rank))
    seen = sliding_window_view(padded, spans, axis=axes)
    at = tuple(slice(None, None, stride) for stride in strides)
    within = tuple(slice(None, None, dilation) for dilation in dilations)
    seen = seen[(slice(None), slice(None), *at, *within)]
    # [batch, channels, *positions, *kernel], a view still: only the positions that are taken are copied.
    places = np.moveaxis(seen, 1, 1 + rank)
    shape = places.shape[: 1 + rank]
    total = math.prod(shape)
    taken = np.unravel_index(np.arange(0, total, max(1, -(-total // MOST_VECTORS))), shape)
    rows = places[taken].reshape(len(taken[0]), site.groups, site.columns)
    return np.ascontiguousarray(rows.swapaxes(0, 1))


def _pads(
    node: NodeProto, sizes: tuple[int, ...], spans: list[int], strides: list[int]
) -> list[tuple[int, int]]:
    rank = len(spans)
    auto = next((a.s.decode() for a in node.attribute if a.name == "auto_pad"), "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pairs = []
        for size, span, stride in zip(sizes, spans, strides, strict=True):
            whole = max(0, (-(-size // stride) - 1) * stride + span - size)
            small, large = whole // 2, whole - whole // 2
            pairs.append((small, large) if auto == "SAME_UPPER" else (large, small))
        return pairs
    pads = ints_attribute(node, "pads") if auto == "NOTSET" else []
    pads = pads or [0] * (2 * rank)
    return [(max(0, pads[axis]), max(0, pads[rank + axis])) for axis in range(rank)]
