"""ConvTranspose and nearest Resize: their gradients have no CPU kernel, those of Conv and Expand have."""

from sparsebook_compressor.trainable.draft import CannotRewriteError, Draft

# (coordinate transformation, rounding) for which output i of a nearest Resize by an integer factor s is input i // s:
# half_pixel gives (i + 1/2) / s - 1/2, which lies less than 1/2 from i // s.
_BLOCKS = {
    ("asymmetric", "floor"),
    *(
        (transformation, rounding)
        for transformation in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")
        for rounding in ("round_prefer_floor", "round_prefer_ceil")
    ),
}


def conv_transpose(draft: Draft) -> str:
    """A Conv of the input with zeros between its elements, the kernel flipped and its channels exchanged."""
    w, spatial = draft.input(1), draft.rank(draft.x) - 2
    groups = draft.attribute("group", 1)
    kernel = _static(draft, w)[2:]
    strides = draft.attribute("strides", [1] * spatial)
    dilations = draft.attribute("dilations", [1] * spatial)
    more = draft.attribute("output_padding", [0] * spatial)
    if draft.attribute("output_shape", None) or draft.attribute("auto_pad", "NOTSET") not in (
        "NOTSET",
        "VALID",
    ):
        raise CannotRewriteError("its padding follows from the size of its output")
    pads = draft.attribute("pads", [0] * 2 * spatial)
    reach = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
    begins = [each - pads[axis] for axis, each in enumerate(reach)]
    # Zeros stand behind every element, the last one too: as many are taken away.
    ends = [
        each - pads[spatial + axis] + more[axis] - (strides[axis] - 1)
        for axis, each in enumerate(reach)
    ]
    x = _spread(draft, strides)
    if any(begins) or any(ends):
        x = draft.op("Pad", x, draft.ints(0, 0, *begins, 0, 0, *ends))
    inputs = [x, _flipped(draft, w, groups), draft.input(2)]
    draft.op(
        "Conv",
        *(inputs if inputs[2] else inputs[:2]),
        out=draft.y,
        group=groups,
        dilations=dilations,
        kernel_shape=kernel,
    )
    return draft.says("a Conv with the kernel flipped, on the input with zeros in between")


def resize(draft: Draft) -> str:
    """Nearest by integer factors: every element expanded to a block."""
    x, rank = draft.x, draft.rank(draft.x)
    mode = (
        draft.attribute("coordinate_transformation_mode", "half_pixel"),
        draft.attribute("nearest_mode", "round_prefer_floor"),
    )
    if draft.attribute("mode", "nearest") != "nearest" or mode not in _BLOCKS:
        raise CannotRewriteError(
            f"its mode is {draft.attribute('mode', 'nearest')}, {mode[0]}, {mode[1]}"
        )
    if draft.attribute("axes", None) or draft.attribute("keep_aspect_ratio_policy", "stretch") != (
        "stretch"
    ):
        raise CannotRewriteError("its factors are not given for every axis")
    factors = _factors(draft)
    if any(factor < 1 or factor != int(factor) for factor in factors):
        raise CannotRewriteError(f"its factors are {', '.join(map(str, factors))}")
    whole = [int(factor) for factor in factors]
    grown = [axis for axis, factor in enumerate(whole) if factor > 1]
    sizes = [draft.dim(x, axis) for axis in range(rank)]
    places = [axis + 1 + before for before, axis in enumerate(grown)]
    blocks = draft.unsqueeze(x, places) if places else x
    wanted = [1] * (rank + len(grown))
    for place, axis in zip(places, grown, strict=True):
        wanted[place] = whole[axis]
    expanded = draft.op("Expand", blocks, draft.ints(*wanted))
    draft.reshape(
        expanded, [draft.times(size, whole[axis]) for axis, size in enumerate(sizes)], draft.y
    )
    return draft.says("every element expanded to a block")


def _factors(draft: Draft) -> list[float]:
    scales = draft.constant_input(2)
    if scales is not None and len(scales):
        return [float(scale) for scale in scales]
    sizes = draft.constant_input(3)
    shape = draft.shape(draft.x)
    if sizes is None or any(dim is None for dim in shape):
        raise CannotRewriteError("its factors are not known")
    return [float(size) / dim for size, dim in zip(sizes, shape, strict=True) if dim]


def _static(draft: Draft, name: str) -> list[int]:
    shape = draft.shape(name)
    if any(dim is None for dim in shape):
        raise CannotRewriteError(f"the shape of {name!r} is unknown")
    return [dim for dim in shape if dim is not None]


def _spread(draft: Draft, strides: list[int]) -> str:
    """Strides - 1 zeros behind every element."""
    grown = [axis + 2 for axis, stride in enumerate(strides) if stride > 1]
    if not grown:
        return draft.x
    rank = len(strides) + 2
    sizes = [draft.dim(draft.x, axis) for axis in range(rank)]
    places = [axis + 1 + before for before, axis in enumerate(grown)]
    ends = [0] * (rank + len(grown))
    for place, axis in zip(places, grown, strict=True):
        ends[place] = strides[axis - 2] - 1
    padded = draft.op(
        "Pad", draft.unsqueeze(draft.x, places), draft.ints(*([0] * len(ends)), *ends)
    )
    factors = [1, 1, *strides]
    return draft.reshape(
        padded, [draft.times(size, factors[axis]) for axis, size in enumerate(sizes)]
    )


def _flipped(draft: Draft, w: str, groups: int) -> str:
    """[C, M / groups, kernel...] to [M, C / groups, kernel flipped...]."""
    shape = _static(draft, w)
    channels, per_group, kernel = shape[0], shape[1], shape[2:]
    for axis, size in enumerate(kernel, 2):
        if size > 1:
            w = draft.op("Gather", w, draft.ints(*reversed(range(size))), axis=axis)
    behind = list(range(2, len(shape)))
    if groups == 1:
        return draft.transpose(w, [1, 0, *behind])
    parted = draft.reshape(w, [groups, channels // groups, per_group, *kernel])
    turned = draft.transpose(parted, [0, 2, 1, *(axis + 1 for axis in behind)])
    return draft.reshape(turned, [groups * per_group, channels // groups, *kernel])
