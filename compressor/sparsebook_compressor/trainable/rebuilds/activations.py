"""Activations: piecewise from Relu, Clip, Exp, Log, Tanh and arithmetic. Formulas are those of the ONNX operators."""

from sparsebook_compressor.trainable.draft import Draft
from sparsebook_compressor.trainable.rebuilds.contrib import tanh_gelu

_SELU_ALPHA = 1.67326319217681884765625
_SELU_GAMMA = 1.05070102214813232421875


def hard_sigmoid(draft: Draft) -> str:
    """max(0, min(1, alpha x + beta))."""
    alpha, beta = draft.attribute("alpha", 0.2), draft.attribute("beta", 0.5)
    _clip01(draft, draft.add(draft.mul(draft.x, alpha), beta), draft.y)
    return draft.says("a Clip of a line")


def hard_swish(draft: Draft) -> str:
    """`x max(0, min(1, x / 6 + 1 / 2))`."""
    gate = _clip01(draft, draft.add(draft.mul(draft.x, 1 / 6), 0.5))
    draft.mul(draft.x, gate, draft.y)
    return draft.says("x times a Clip of a line")


def p_relu(draft: Draft) -> str:
    """max(0, x) - slope max(0, -x); the slope gets a gradient too."""
    below = draft.mul(draft.op("Relu", draft.op("Neg", draft.x)), draft.input(1))
    draft.op("Sub", draft.op("Relu", draft.x), below, out=draft.y)
    return draft.says("two Relus")


def elu(draft: Draft) -> str:
    """max(0, x) + alpha (exp(min(0, x)) - 1)."""
    _exponential(draft, draft.attribute("alpha", 1.0), 1.0, draft.y)
    return draft.says("a Relu and an Exp")


def celu(draft: Draft) -> str:
    """max(0, x) + alpha (exp(min(0, x) / alpha) - 1)."""
    alpha = draft.attribute("alpha", 1.0)
    _exponential(draft, alpha, 1 / alpha, draft.y)
    return draft.says("a Relu and an Exp")


def selu(draft: Draft) -> str:
    """`gamma (max(0, x) + alpha (exp(min(0, x)) - 1))`."""
    alpha = draft.attribute("alpha", _SELU_ALPHA)
    gamma = draft.attribute("gamma", _SELU_GAMMA)
    draft.mul(_exponential(draft, alpha, 1.0), gamma, draft.y)
    return draft.says("a Relu and an Exp")


def softplus(draft: Draft) -> str:
    """log(1 + exp(x))."""
    _softplus(draft, draft.y)
    return draft.says("max(0, x) + log(1 + exp(-|x|))")


def mish(draft: Draft) -> str:
    """`x tanh(log(1 + exp(x)))`."""
    draft.mul(draft.x, draft.op("Tanh", _softplus(draft)), draft.y)
    return draft.says("x tanh(max(0, x) + log(1 + exp(-|x|)))")


def softsign(draft: Draft) -> str:
    """`x / (1 + |x|)`."""
    draft.op("Div", draft.x, draft.add(draft.op("Abs", draft.x), 1.0), out=draft.y)
    return draft.says("x / (1 + |x|)")


def thresholded_relu(draft: Draft) -> str:
    """The input where it is greater than alpha, else 0."""
    above = draft.op("Greater", draft.x, draft.scalar(draft.attribute("alpha", 1.0)))
    draft.op("Where", above, draft.x, draft.scalar(0.0), out=draft.y)
    return draft.says("a Where")


def shrink(draft: Draft) -> str:
    """`x + bias` below -lambd, `x - bias` above lambd, else 0."""
    bias, bound = draft.attribute("bias", 0.0), draft.attribute("lambd", 0.5)
    low = draft.op("Less", draft.x, draft.scalar(-bound))
    high = draft.op("Greater", draft.x, draft.scalar(bound))
    upper = draft.op("Where", high, draft.add(draft.x, -bias), draft.scalar(0.0))
    draft.op("Where", low, draft.add(draft.x, bias), upper, out=draft.y)
    return draft.says("two Wheres")


def gelu(draft: Draft) -> str | None:
    """`x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2` where it is approximate; the exact one has a gradient."""
    if draft.attribute("approximate", "none") != "tanh":
        return None
    tanh_gelu(draft, draft.x)
    return draft.says("its formula with Tanh")


def tan(draft: Draft) -> str:
    """sin(x) / cos(x)."""
    draft.op("Div", draft.op("Sin", draft.x), draft.op("Cos", draft.x), out=draft.y)
    return draft.says("Sin / Cos")


def sinh(draft: Draft) -> str:
    """(exp(x) - exp(-x)) / 2."""
    up, down = _exponentials(draft)
    draft.mul(draft.op("Sub", up, down), 0.5, draft.y)
    return draft.says("two Exps")


def cosh(draft: Draft) -> str:
    """(exp(x) + exp(-x)) / 2."""
    up, down = _exponentials(draft)
    draft.mul(draft.add(up, down), 0.5, draft.y)
    return draft.says("two Exps")


def step(draft: Draft) -> str:
    """Floor, Ceil, Round, Sign: their derivative is 0, which a way through int64 says; exact below 2^63."""
    whole = draft.op(draft.node.op_type, draft.x)
    draft.op("Cast", draft.op("Cast", whole, to=7), to=1, out=draft.y)
    return draft.says("the same through int64, since its derivative is 0")


def _clip01(draft: Draft, x: str, out: str = "") -> str:
    return draft.op("Clip", x, draft.scalar(0.0), draft.scalar(1.0), out=out)


def _exponential(draft: Draft, alpha: float, rate: float, out: str = "") -> str:
    below = draft.op("Neg", draft.op("Relu", draft.op("Neg", draft.x)))
    curve = draft.add(draft.op("Exp", below if rate == 1.0 else draft.mul(below, rate)), -1.0)
    return draft.add(draft.op("Relu", draft.x), draft.mul(curve, alpha), out)


def _softplus(draft: Draft, out: str = "") -> str:
    tail = draft.op("Exp", draft.op("Neg", draft.op("Abs", draft.x)))
    return draft.add(draft.op("Relu", draft.x), draft.op("Log", draft.add(tail, 1.0)), out)


def _exponentials(draft: Draft) -> tuple[str, str]:
    return draft.op("Exp", draft.x), draft.op("Exp", draft.op("Neg", draft.x))
