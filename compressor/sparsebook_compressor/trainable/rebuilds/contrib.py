"""Fused ops of the domain com.microsoft, as optimised transformers have them, taken apart again."""

import math

from sparsebook_compressor.trainable.draft import CannotRewriteError, Draft


def gelu(draft: Draft) -> str:
    """`x (1 + erf(x / sqrt(2))) / 2`."""
    _exact_gelu(draft, draft.x)
    return draft.says("its formula with Erf")


def bias_gelu(draft: Draft) -> str:
    """The exact Gelu of a sum."""
    _exact_gelu(draft, draft.add(draft.x, draft.input(1)))
    return draft.says("an Add and the formula with Erf")


def fast_gelu(draft: Draft) -> str:
    """`x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`, of a sum where there is a bias."""
    x = draft.add(draft.x, draft.input(1)) if draft.input(1) else draft.x
    tanh_gelu(draft, x)
    return draft.says("its formula with Tanh")


def quick_gelu(draft: Draft) -> str:
    """`x sigmoid(alpha x)`."""
    gate = draft.op("Sigmoid", draft.mul(draft.x, draft.attribute("alpha", 1.702)))
    draft.mul(draft.x, gate, draft.y)
    return draft.says("x times a Sigmoid")


def fused_mat_mul(draft: Draft) -> str:
    """`alpha A B`, with the last two axes of either exchanged."""
    if draft.attribute("transBatchA", 0) or draft.attribute("transBatchB", 0):
        raise CannotRewriteError("it moves the batch")
    a, b = (_turned(draft, at, name) for at, name in enumerate(("transA", "transB")))
    alpha = draft.attribute("alpha", 1.0)
    if alpha == 1.0:
        draft.op("MatMul", a, b, out=draft.y)
    else:
        draft.mul(draft.op("MatMul", a, b), alpha, draft.y)
    return draft.says("Transpose, MatMul and a factor")


def skip_layer_normalization(draft: Draft) -> str:
    """LayerNormalization of a sum, which is the fourth output."""
    for name in draft.node.output[1:3]:
        draft.keep(name)
    _skip(draft, bias_at=4, norm="LayerNormalization", parameters=(2, 3))
    return draft.says("an Add and a LayerNormalization")


def skip_simplified_layer_normalization(draft: Draft) -> str:
    """The root-mean-square normalisation of a sum, which is the fourth output."""
    for name in draft.node.output[1:3]:
        draft.keep(name)
    _skip(draft, bias_at=3, norm="SimplifiedLayerNormalization", parameters=(2,))
    return draft.says("an Add and a root-mean-square normalisation")


def tanh_gelu(draft: Draft, x: str) -> None:
    """The approximate Gelu of x, as the node's first output."""
    cube = draft.mul(draft.mul(draft.mul(x, x), x), 0.044715)
    inner = draft.mul(draft.add(x, cube), math.sqrt(2 / math.pi))
    draft.mul(draft.mul(x, 0.5), draft.add(draft.op("Tanh", inner), 1.0), draft.y)


def _exact_gelu(draft: Draft, x: str) -> None:
    curve = draft.add(draft.op("Erf", draft.mul(x, math.sqrt(0.5))), 1.0)
    draft.mul(draft.mul(x, 0.5), curve, draft.y)


def _turned(draft: Draft, index: int, attribute: str) -> str:
    name = draft.input(index)
    if not draft.attribute(attribute, 0):
        return name
    rank = draft.rank(name)
    return draft.transpose(name, [*range(rank - 2), rank - 1, rank - 2])


def _skip(draft: Draft, bias_at: int, norm: str, parameters: tuple[int, ...]) -> None:
    total = draft.add(draft.x, draft.input(1), "" if draft.input(bias_at) else draft.output(3))
    if draft.input(bias_at):
        total = draft.add(total, draft.input(bias_at), draft.output(3))
    if norm == "SimplifiedLayerNormalization":
        _root_mean_square(draft, total, [-1], draft.input(parameters[0]))
        return
    epsilon = draft.attribute("epsilon", 1e-12)
    inputs = [total, *(draft.input(index) for index in parameters if draft.input(index))]
    if draft.facts.opset >= 17:
        draft.op(norm, *inputs, out=draft.y, axis=-1, epsilon=epsilon)
        return
    centred = draft.op("Sub", total, draft.reduce("ReduceMean", total, [-1]))
    variance = draft.reduce("ReduceMean", draft.mul(centred, centred), [-1])
    normal = draft.op("Div", centred, draft.op("Sqrt", draft.add(variance, epsilon)))
    scaled = draft.mul(normal, inputs[1], "" if len(inputs) > 2 else draft.y)
    if len(inputs) > 2:
        draft.add(scaled, inputs[2], draft.y)


def _root_mean_square(draft: Draft, x: str, axes: list[int], gain: str) -> None:
    mean = draft.reduce("ReduceMean", draft.mul(x, x), axes)
    root = draft.op("Sqrt", draft.add(mean, draft.attribute("epsilon", 1e-5)))
    draft.mul(draft.op("Div", x, root), gain, draft.y)
