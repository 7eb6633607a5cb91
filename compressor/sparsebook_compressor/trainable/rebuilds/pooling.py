"""Convolution's padding and the poolings.

Their gradient kernels leave out the padding that `auto_pad` asks for, and take the size of what they write from the declared
shape, in which a free dimension counts as 0: AveragePool is therefore never left as it is, MaxPool only where nothing but
the batch is free.
"""

import numpy as np

from sparsebook_compressor.trainable.draft import CannotRewriteError, Dim, Draft


def conv(draft: Draft) -> str | None:
    """With its padding spelled out; along one axis in groups, that of images of one row.

    In groups along one axis, the kernel of the gradient clears a whole sample from each group's place on, which goes beyond
    the end of its result.
    """
    spelled = draft.attribute("auto_pad", "NOTSET") in ("NOTSET", "VALID")
    shape = draft.facts.shape(draft.input(1)) or ()
    in_rows = draft.attribute("group", 1) > 1 and len(shape) == 3
    if spelled and not in_rows:
        return None
    kernel = [dim for dim in draft.shape(draft.input(1))[2:] if dim is not None]
    kept = draft.attributes("auto_pad", "pads", "kernel_shape")
    pads = draft.attribute("pads", None) if spelled else _pads(draft, kernel)
    if not in_rows:
        draft.op("Conv", *draft.node.input, out=draft.y, pads=pads, kernel_shape=kernel, **kept)
        return draft.says("the same with its padding spelled out")
    for name in {"strides", "dilations"} & set(kept):
        kept[name] = [1, *kept[name]]
    begin, end = pads or (0, 0)
    x, weight = (draft.unsqueeze(draft.input(index), [2]) for index in (0, 1))
    inputs = [x, weight, *draft.node.input[2:]]
    pads, kernel = [0, begin, 0, end], [1, *kernel]
    images = draft.op("Conv", *inputs, pads=pads, kernel_shape=kernel, **kept)
    draft.squeeze(images, [2], out=draft.y)
    return draft.says("the same of images of one row")


def max_pool(draft: Draft) -> str | None:
    """What its indices point at, where dimensions other than the batch are free."""
    shape = draft.facts.shape(draft.x)
    if shape is not None and None not in shape[1:]:
        return None
    if draft.attribute("storage_order", 0):
        raise CannotRewriteError("its indices count columns first")
    indices = draft.fresh("indices")
    if len(draft.node.output) > 1 and draft.node.output[1]:
        indices = draft.node.output[1]
    outputs = [draft.fresh("unused"), indices]
    draft.ops("MaxPool", [draft.x], outputs, **draft.attributes("storage_order"))
    flat = draft.op("Reshape", draft.x, draft.ints(-1))
    draft.op("Gather", flat, indices, out=draft.y, axis=0)
    return draft.says("a Gather of what its indices point at")


def average_pool(draft: Draft) -> str:
    """The mean of equal parts where windows lie side by side, else a Conv by ones, scaled as AveragePool scales ones."""
    kernel = draft.attribute("kernel_shape", [])
    if _is_tiling(draft, kernel):
        sizes: list[Dim] = [draft.dim(draft.x, axis) for axis in (0, 1)]
        for axis, size in enumerate(kernel, 2):
            sizes += [draft.quotient(draft.dim(draft.x, axis), size), size]
        axes = [3 + 2 * axis for axis in range(len(kernel))]
        parts = draft.reshape(draft.x, sizes)
        draft.reduce("ReduceMean", parts, axes, keepdims=False, out=draft.y)
        return draft.says("a ReduceMean of its windows")
    spatial = len(kernel)
    strides = draft.attribute("strides", [1] * spatial)
    dilations = draft.attribute("dilations", [1] * spatial)
    pads = _pads(draft, kernel)
    if draft.attribute("ceil_mode", 0):
        # Padded by a stride less one, as many windows fit as when their number is rounded up. One that would begin in
        # the padding is not counted by AveragePool: then the scale has another shape, so it is seen to beforehand.
        for axis, (size, stride) in enumerate(zip(draft.shape(draft.x)[2:], strides, strict=True)):
            reach = dilations[axis] * (kernel[axis] - 1) + 1
            if size is None:
                raise CannotRewriteError("its size is rounded up from one that is free")
            windows = -(-(size + pads[axis] + pads[spatial + axis] - reach) // stride) + 1
            if (windows - 1) * stride >= size + pads[axis]:
                windows -= 1
            pads[spatial + axis] = max((windows - 1) * stride + reach - size - pads[axis], 0)
    sizes = [draft.dim(draft.x, axis) for axis in range(spatial + 2)]
    ones = draft.constant(np.ones([1] * (spatial + 2), np.float32), "ones")
    ones = draft.op("Expand", ones, draft.vector([1, 1, *sizes[2:]]))
    window = draft.constant(np.ones([1, 1, *kernel], np.float32), "window")
    how = {"pads": pads, "strides": strides, "dilations": dilations, "kernel_shape": kernel}
    means = draft.op("AveragePool", ones, **draft.attributes())
    scale = draft.op("Div", means, draft.op("Conv", ones, window, **how))
    alone = draft.reshape(draft.x, [-1, 1, *sizes[2:]])
    scaled = draft.mul(draft.op("Conv", alone, window, **how), scale)
    behind = draft.op("Slice", draft.op("Shape", scaled), draft.ints(2), draft.ints(spatial + 2))
    size = draft.op("Concat", draft.vector(sizes[:2]), behind, axis=0)
    draft.op("Reshape", scaled, size, out=draft.y)
    return draft.says("a Conv by ones, scaled")


def _is_tiling(draft: Draft, kernel: list[int]) -> bool:
    """Whether the windows lie side by side and cover the input."""
    spatial = len(kernel)
    shape = draft.shape(draft.x)[2:]
    strides = draft.attribute("strides", [1] * spatial)
    return (
        not any(draft.attribute("pads", [0]))
        and draft.attribute("auto_pad", "NOTSET") in ("NOTSET", "VALID")
        and all(each == 1 for each in draft.attribute("dilations", [1]))
        and all(
            size is not None and size % window == 0 and window in (stride, size)
            for size, window, stride in zip(shape, kernel, strides, strict=True)
        )
    )


def _pads(draft: Draft, kernel: list[int]) -> list[int]:
    """Padding before and after every axis."""
    spatial = len(kernel)
    mode = draft.attribute("auto_pad", "NOTSET")
    if mode == "NOTSET":
        return list(draft.attribute("pads", [0] * 2 * spatial))
    if mode == "VALID":
        return [0] * 2 * spatial
    strides = draft.attribute("strides", [1] * spatial)
    dilations = draft.attribute("dilations", [1] * spatial)
    shape = draft.shape(draft.x)[2:]
    begins, ends = [], []
    for axis, (size, stride) in enumerate(zip(shape, strides, strict=True)):
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        if size is None and stride != 1:
            raise CannotRewriteError("its padding follows from a size that is free")
        # ceil(size / stride) windows, the last of which ends with the padding; stride 1 makes it reach - 1 for any size.
        total = (
            reach - 1 if size is None else max((-(-size // stride) - 1) * stride + reach - size, 0)
        )
        small = total // 2
        begins.append(small if mode == "SAME_UPPER" else total - small)
        ends.append(total - begins[-1])
    return begins + ends
