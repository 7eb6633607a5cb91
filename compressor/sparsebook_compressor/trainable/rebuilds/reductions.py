"""Reductions and sums that have no gradient of their own."""

from sparsebook_compressor.trainable.draft import CannotRewriteError, Draft


def extreme(draft: Draft) -> str:
    """ReduceMax and ReduceMin: the mean of the elements that equal it, so that ties share the gradient."""
    op = draft.node.op_type
    _refuse_noop(draft)
    _extreme(draft, op, draft.axes(), bool(draft.attribute("keepdims", 1)))
    return draft.says("the mean of the elements that equal it")


def global_max_pool(draft: Draft) -> str:
    """The maximum over all axes behind the channels."""
    _extreme(draft, "ReduceMax", list(range(2, draft.rank(draft.x))), keepdims=True)
    return draft.says("the mean of the elements that equal the maximum")


def l1(draft: Draft) -> str:
    """Sum of magnitudes."""
    return _sum_of(draft, draft.op("Abs", draft.x), "a ReduceSum of Abs")


def sum_square(draft: Draft) -> str:
    """Sum of squares."""
    return _sum_of(draft, draft.mul(draft.x, draft.x), "a ReduceSum of squares")


def log_sum(draft: Draft) -> str:
    """Logarithm of the sum."""
    _refuse_noop(draft)
    keepdims = bool(draft.attribute("keepdims", 1))
    total = draft.reduce("ReduceSum", draft.x, draft.axes(), keepdims=keepdims)
    draft.op("Log", total, out=draft.y)
    return draft.says("the Log of a ReduceSum")


def reduce_axes(draft: Draft) -> str | None:
    """A reduction over all axes, which says so: the gradient wants to be told."""
    if draft.attribute("axes", None) or draft.input(1):
        return None
    _refuse_noop(draft)
    keepdims = bool(draft.attribute("keepdims", 1))
    draft.reduce(draft.node.op_type, draft.x, draft.axes(), keepdims=keepdims, out=draft.y)
    return draft.says("the same with its axes listed")


def norm(draft: Draft) -> str | None:
    """ReduceL2 and ReduceLogSumExp with their axes kept, which are squeezed out afterwards where they should go."""
    if draft.attribute("keepdims", 1):
        return reduce_axes(draft)
    _refuse_noop(draft)
    axes = draft.axes()
    kept = draft.reduce(draft.node.op_type, draft.x, axes)
    draft.squeeze(kept, axes, draft.y)
    return draft.says("the same and a Squeeze")


def total(draft: Draft) -> str:
    """Sum: one Add after the other."""
    _chain(draft, draft.y)
    return draft.says("a chain of Adds")


def mean(draft: Draft) -> str:
    """Mean: one Add after the other, and a factor."""
    draft.mul(_chain(draft, ""), 1 / len(draft.node.input), draft.y)
    return draft.says("a chain of Adds, scaled")


def _chain(draft: Draft, out: str) -> str:
    names = list(draft.node.input)
    if len(names) == 1:
        return draft.op("Identity", names[0], out=out)
    so_far = names[0]
    for index, name in enumerate(names[1:], 2):
        so_far = draft.add(so_far, name, out if index == len(names) else "")
    return so_far


def _sum_of(draft: Draft, what: str, sentence: str) -> str:
    _refuse_noop(draft)
    keepdims = bool(draft.attribute("keepdims", 1))
    draft.reduce("ReduceSum", what, draft.axes(), keepdims=keepdims, out=draft.y)
    return draft.says(sentence)


def _refuse_noop(draft: Draft) -> None:
    listed = draft.attribute("axes", None) or draft.input(1)
    if draft.attribute("noop_with_empty_axes", 0) and not listed:
        raise CannotRewriteError("it may be no reduction at all (noop_with_empty_axes)")


def _extreme(draft: Draft, op: str, axes: list[int], keepdims: bool) -> None:
    # The way over Equal ends the gradient, so that none is asked for the op itself.
    peak = draft.reduce(op, draft.x, axes)
    is_peak = draft.op("Equal", draft.x, peak)
    kept = draft.op("Where", is_peak, draft.x, draft.scalar(0.0))
    total = draft.reduce("ReduceSum", kept, axes, keepdims=keepdims)
    ones = draft.op("Cast", is_peak, to=1)
    count = draft.reduce("ReduceSum", ones, axes, keepdims=keepdims)
    draft.op("Div", total, count, out=draft.y)
