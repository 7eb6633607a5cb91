"""Ops that move elements: Split, DepthToSpace, Where of unequal shapes, Pad with axes, MatMul of vectors."""

import numpy as np

from sparsebook_compressor.trainable.draft import CannotRewriteError, Dim, Draft


def split(draft: Draft) -> str:
    """One Slice an output: the gradient of Split is silently wrong where it comes back through some outputs only."""
    axis = draft.attribute("axis", 0)
    outputs = list(draft.node.output)
    start: Dim = 0
    sizes = draft.constant_input(1)
    for index, name in enumerate(outputs):
        end = draft.plus(start, _share(draft, index)) if sizes is None else None
        if sizes is not None:
            assert isinstance(start, int)
            end = start + int(sizes[index])
        if name:
            draft.slice(draft.x, axis, start, end, out=name)
        assert end is not None
        start = end
    return draft.says("a Slice for each of its outputs")


def _share(draft: Draft, index: int) -> Dim:
    """Elements of one output where they are of equal size; the last one may be smaller, which Slice sees to by itself."""
    axis, parts = draft.attribute("axis", 0), len(draft.node.output)
    return draft.quotient(draft.plus(draft.dim(draft.x, axis), parts - 1), parts)


def depth_to_space(draft: Draft) -> str:
    """[N, C, H, W] to [N, C / b^2, H b, W b] by a Transpose between two Reshapes."""
    b = draft.attribute("blocksize", 1)
    n, c, h, w = (draft.dim(draft.x, axis) for axis in range(4))
    depth = draft.quotient(c, b * b)
    if draft.attribute("mode", "DCR") == "DCR":
        parted, perm = draft.reshape(draft.x, [n, b, b, depth, h, w]), [0, 3, 4, 1, 5, 2]
    else:
        parted, perm = draft.reshape(draft.x, [n, depth, b, b, h, w]), [0, 1, 4, 2, 5, 3]
    turned = draft.transpose(parted, perm)
    draft.reshape(turned, [n, depth, draft.times(h, b), draft.times(w, b)], draft.y)
    return draft.says("a Transpose between two Reshapes")


def space_to_depth(draft: Draft) -> str:
    """[N, C, H, W] to [N, C b^2, H / b, W / b] by a Transpose between two Reshapes."""
    b = draft.attribute("blocksize", 1)
    n, c, h, w = (draft.dim(draft.x, axis) for axis in range(4))
    rows, columns = draft.quotient(h, b), draft.quotient(w, b)
    parted = draft.reshape(draft.x, [n, c, rows, b, columns, b])
    turned = draft.transpose(parted, [0, 3, 5, 1, 2, 4])
    draft.reshape(turned, [n, draft.times(c, b * b), rows, columns], draft.y)
    return draft.says("a Transpose between two Reshapes")


def where(draft: Draft) -> str | None:
    """Operands expanded to the shape of the result: the gradient of Where does not sum over what was broadcast."""
    smaller = [
        index
        for index in (1, 2)
        if not draft.facts.is_constant(draft.input(index)) and not _has_size_of_result(draft, index)
    ]
    if not smaller:
        return None
    inputs = _expanded(draft, smaller)
    draft.op("Where", *inputs, out=draft.y)
    return draft.says("the same with its operands expanded")


def power(draft: Draft) -> str | None:
    """The base expanded to the shape of the result, for the same reason."""
    exponent = draft.facts.shape(draft.input(1))
    if exponent is not None and all(dim == 1 for dim in exponent):
        rank = draft.facts.rank(draft.x)
        if not exponent or (rank is not None and len(exponent) <= rank):
            return None
    if _has_size_of_result(draft, 0):
        return None
    draft.op("Pow", *_expanded(draft, [0]), out=draft.y)
    return draft.says("the same with its base expanded")


def transpose(draft: Draft) -> str | None:
    """With its permutation listed: the gradient of one without asks for it."""
    if draft.attribute("perm", None):
        return None
    perm = list(reversed(range(draft.rank(draft.x))))
    draft.op("Transpose", draft.x, out=draft.y, perm=perm)
    return draft.says("the same with its permutation listed")


def _has_size_of_result(draft: Draft, index: int) -> bool:
    shape = draft.facts.shape(draft.y)
    return (
        shape is not None and None not in shape and draft.facts.shape(draft.input(index)) == shape
    )


def _expanded(draft: Draft, which: list[int]) -> list[str]:
    """The inputs, some of them expanded to the shape that the node's result has."""
    inputs = list(draft.node.input)
    size = draft.op("Shape", draft.op(draft.node.op_type, *inputs))
    for index in which:
        inputs[index] = draft.op("Expand", inputs[index], size)
    return inputs


def pad(draft: Draft) -> str | None:
    """Without a list of axes, which its gradient does not look at."""
    if draft.attribute("mode", "constant") != "constant":
        raise CannotRewriteError(f"its mode is {draft.attribute('mode', '')!r}")
    if not draft.input(3):
        return None
    rank = draft.rank(draft.x)
    axes, pads = draft.constant_input(3), draft.constant_input(1)
    assert axes is not None
    assert pads is not None
    full = np.zeros((2, rank), np.int64)
    full[:, axes] = pads.reshape(2, -1)
    inputs = [draft.x, draft.ints(*full.ravel().tolist()), draft.input(2)]
    draft.op("Pad", *(inputs if inputs[2] else inputs[:2]), out=draft.y)
    return draft.says("the same with pads for every axis")


def mat_mul(draft: Draft) -> str | None:
    """Vectors as matrices: the gradient of MatMul wants two dimensions at least."""
    a, b = draft.input(0), draft.input(1)
    is_row, is_column = draft.facts.rank(a) == 1, draft.facts.rank(b) == 1
    if not is_row and not is_column:
        return None
    product = draft.op(
        "MatMul",
        draft.unsqueeze(a, [0]) if is_row else a,
        draft.unsqueeze(b, [1]) if is_column else b,
    )
    draft.squeeze(product, [-2] * is_row + [-1] * is_column, draft.y)
    return draft.says("the same on matrices")


def cast_like(draft: Draft) -> str:
    """A Cast to the dtype that the second input is known to have."""
    wanted = draft.facts.dtype(draft.input(1))
    if not wanted:
        raise CannotRewriteError(f"the dtype of {draft.input(1)!r} is unknown")
    draft.op("Cast", draft.x, out=draft.y, to=wanted)
    return draft.says("a Cast")


def dropout(draft: Draft) -> str:
    """The identity that it is at inference."""
    training = draft.constant_input(2)
    if training is not None and training.any():
        raise CannotRewriteError("it is in training mode")
    if len(draft.node.output) > 1:
        draft.keep(draft.node.output[1])
    draft.op("Identity", draft.x, out=draft.y)
    return draft.says("the identity that it is at inference")


def cum_sum(draft: Draft) -> str:
    """A product with a triangular matrix."""
    axis_input = draft.constant_input(1)
    assert axis_input is not None
    rank = draft.rank(draft.x)
    axis = int(axis_input.ravel()[0]) % rank
    length = draft.shape(draft.x)[axis]
    if length is None:
        raise CannotRewriteError("the length of its axis is free")
    ones = np.ones((length, length), np.float32)
    offset = int(draft.attribute("exclusive", 0))
    # Element [j, i] says whether x_j is part of sum i.
    matrix = np.triu(ones, offset) if not draft.attribute("reverse", 0) else np.tril(ones, -offset)
    perm = [other for other in range(rank) if other != axis] + [axis]
    product = draft.op("MatMul", draft.transpose(draft.x, perm), draft.constant(matrix))
    draft.op("Transpose", product, out=draft.y, perm=np.argsort(perm).tolist())
    return draft.says("a product with a triangular matrix")
