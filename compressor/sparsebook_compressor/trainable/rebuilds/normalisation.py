"""Normalisations: BatchNormalization as the affine map it is at inference, the others from means."""

import numpy as np

from sparsebook_compressor.trainable.draft import CannotRewriteError, Draft


def batch_normalization(draft: Draft) -> str:
    """`x scale + shift`, with scale = gamma / sqrt(var + epsilon) and shift = beta - mean scale, per channel.

    gamma and beta stay initializers, so that they can be trained.
    """
    if draft.attribute("training_mode", 0):
        raise CannotRewriteError("it is in training mode")
    gamma, beta, mean, variance = (draft.input(index) for index in range(1, 5))
    epsilon = draft.attribute("epsilon", 1e-5)
    known = draft.facts.value(variance)
    if known is None:
        deviation = draft.op("Sqrt", draft.add(variance, epsilon))
    else:
        wide = known.astype(np.float64)
        deviation = draft.constant(np.sqrt(wide + epsilon).astype(np.float32), "deviation")
    scale = draft.op("Div", gamma, deviation)
    shift = draft.op("Sub", beta, draft.mul(mean, scale))
    scaled = draft.mul(draft.x, _over_channels(draft, scale))
    draft.add(scaled, _over_channels(draft, shift), draft.y)
    return draft.says("the affine map it is at inference")


def layer_normalization(draft: Draft) -> str | None:
    """With all three outputs and a bias, as its gradient wants it."""
    node = draft.node
    gain, bias = draft.input(1), draft.input(2)
    rank = draft.rank(draft.x)
    axis = draft.attribute("axis", -1) % rank
    if draft.rank(gain) != rank - axis:
        return _by_hand(draft, list(range(axis, rank)))
    if len(node.output) == 3 and all(node.output) and bias:
        return None
    if not bias:
        zeros = draft.op("Mul", gain, draft.scalar(0.0))
        dims = draft.shape(gain)
        if all(dim is not None for dim in dims):
            zeros = draft.constant(np.zeros([dim or 0 for dim in dims], np.float32), "bias")
        bias = zeros
    outputs = [name or draft.fresh("unused") for name in [*node.output, "", ""][:3]]
    kind = draft.attributes("stash_type")
    draft.ops("LayerNormalization", [draft.x, gain, bias], outputs, **kind)
    return draft.says("the same with all its outputs")


def instance_normalization(draft: Draft) -> str:
    """Normalised over the axes behind the channels."""
    normal = _normal(draft, draft.x, list(range(2, draft.rank(draft.x))))
    _affine(draft, normal)
    return draft.says("its formula with ReduceMean")


def group_normalization(draft: Draft) -> str:
    """Normalised over groups of channels. It exists from opset 21 on: the one of opset 18 was withdrawn."""
    groups = draft.attribute("num_groups", 1)
    size = [draft.dim(draft.x, axis) for axis in range(draft.rank(draft.x))]
    grouped = draft.reshape(draft.x, [size[0], groups, -1])
    normal = _normal(draft, grouped, [2])
    _affine(draft, draft.reshape(normal, size))
    return draft.says("its formula with ReduceMean")


def mean_variance_normalization(draft: Draft) -> str:
    """(x - mean) / sqrt(mean of squares - squared mean + 1e-9), as the ONNX function has it."""
    axes = draft.axes([0, 2, 3])
    centred = draft.op("Sub", draft.x, draft.reduce("ReduceMean", draft.x, axes))
    variance = draft.reduce("ReduceMean", draft.mul(centred, centred), axes)
    deviation = draft.add(draft.op("Sqrt", variance), 1e-9)
    draft.op("Div", centred, deviation, out=draft.y)
    return draft.says("its formula with ReduceMean")


def lp_normalization(draft: Draft) -> str:
    """The input over its norm along one axis."""
    axis = [draft.attribute("axis", -1) % draft.rank(draft.x)]
    if draft.attribute("p", 2) == 2:
        norm = draft.reduce("ReduceL2", draft.x, axis)
    else:
        norm = draft.reduce("ReduceSum", draft.op("Abs", draft.x), axis)
    draft.op("Div", draft.x, norm, out=draft.y)
    return draft.says("x over its norm")


def lrn(draft: Draft) -> str:
    """`x / (bias + alpha / size * s) ^ beta`, s the sum of squares over `size` channels."""
    size, rank = draft.attribute("size", 1), draft.rank(draft.x)
    before = (size - 1) // 2
    begins, ends = [0] * rank, [0] * rank
    begins[1], ends[1] = before, size - 1 - before
    padded = draft.op("Pad", draft.mul(draft.x, draft.x), draft.ints(*begins, *ends))
    channels = draft.dim(draft.x, 1)
    total = ""
    for offset in range(size):
        part = draft.slice(padded, 1, offset, draft.plus(channels, offset))
        total = draft.add(total, part) if total else part
    scaled = draft.mul(total, draft.attribute("alpha", 1e-4) / size)
    base = draft.add(scaled, draft.attribute("bias", 1.0))
    power = draft.op("Pow", base, draft.scalar(draft.attribute("beta", 0.75)))
    draft.op("Div", draft.x, power, out=draft.y)
    return draft.says("its formula with Pad and Slice")


def _by_hand(draft: Draft, axes: list[int]) -> str:
    for name in draft.node.output[1:]:
        draft.keep(name)
    gain, bias = draft.input(1), draft.input(2)
    normal = _normal(draft, draft.x, axes)
    if bias:
        draft.add(draft.mul(normal, gain), bias, draft.y)
    else:
        draft.mul(normal, gain, draft.y)
    return draft.says("its formula with ReduceMean")


def _normal(draft: Draft, x: str, axes: list[int]) -> str:
    centred = draft.op("Sub", x, draft.reduce("ReduceMean", x, axes))
    variance = draft.reduce("ReduceMean", draft.mul(centred, centred), axes)
    deviation = draft.op("Sqrt", draft.add(variance, draft.attribute("epsilon", 1e-5)))
    return draft.op("Div", centred, deviation)


def _affine(draft: Draft, normal: str) -> None:
    gain, bias = (_over_channels(draft, draft.input(index)) for index in (1, 2))
    draft.add(draft.mul(normal, gain), bias, draft.y)


def _over_channels(draft: Draft, vector: str) -> str:
    """A vector over the channels, [C], as it broadcasts to [N, C, ...]."""
    behind = draft.rank(draft.x) - 2
    return draft.unsqueeze(vector, list(range(1, behind + 1))) if behind > 0 else vector
