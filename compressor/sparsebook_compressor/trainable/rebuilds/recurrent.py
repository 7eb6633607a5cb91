"""LSTM, GRU and RNN: one direction after the other, with every input and output that the gradient kernels ask for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsebook_compressor.trainable.draft import CannotRewriteError, Draft

# A longer RNN would be unrolled into too many nodes; LSTM and GRU have kernels.
_MOST_STEPS = 128


@dataclass(frozen=True)
class _Kind:
    """Gates, inputs and outputs of an op, and its activations where none are named."""

    gates: int
    states: tuple[int, ...]
    default: tuple[str, ...]


_KINDS = {
    "LSTM": _Kind(4, (5, 6), ("sigmoid", "tanh", "tanh")),
    "GRU": _Kind(3, (5,), ("sigmoid", "tanh")),
    "RNN": _Kind(1, (5,), ("tanh",)),
}


def lstm(draft: Draft) -> str:
    """An LSTM a direction, forward, with its states given and all outputs declared."""
    return _recurrent(draft)


def gru(draft: Draft) -> str:
    """A GRU a direction, forward, with its state given and both outputs declared."""
    return _recurrent(draft)


def rnn(draft: Draft) -> str:
    """One step after the other, where the length is known."""
    _recurrent(draft)
    return draft.says("its steps, one after the other")


def _recurrent(draft: Draft) -> str:
    op = draft.node.op_type
    kind = _KINDS[op]
    _refuse(draft, kind)
    turned = bool(draft.attribute("layout", 0))
    x = draft.transpose(draft.x, [1, 0, 2]) if turned else draft.x
    direction = draft.attribute("direction", "forward")
    both = direction == "bidirectional"
    batch = _over_batch(draft, 0 if turned else 1)
    found = []
    for index in range(2 if both else 1):
        backwards = direction == "reverse" or index == 1
        parameters = [_of_direction(draft, draft.input(i), both, index) for i in range(1, 4)]
        states = [_state(draft, i, both, index, turned, batch) for i in kind.states]
        found.append(_one_way(draft, x, parameters, states, backwards))
    axes = [1] + [0] * len(kind.states)
    perms = [[2, 0, 1, 3]] + [[1, 0, 2]] * len(kind.states)
    for output, (axis, perm) in enumerate(zip(axes, perms, strict=True)):
        name = draft.node.output[output] if output < len(draft.node.output) else ""
        if not name:
            continue
        parts = [each[output] for each in found]
        whole = draft.op("Concat", *parts, axis=axis) if both else parts[0]
        if turned:
            draft.op("Transpose", whole, out=name, perm=perm)
        else:
            draft.op("Identity", whole, out=name)
    return draft.says("the same, forward, with its states and outputs spelled out")


def _refuse(draft: Draft, kind: _Kind) -> None:
    directions = 2 if draft.attribute("direction", "forward") == "bidirectional" else 1
    named = [
        each.decode() if isinstance(each, bytes) else each
        for each in draft.attribute("activations", [])
    ]
    if named and [name.lower() for name in named] != list(kind.default) * directions:
        raise CannotRewriteError(f"its activations are {', '.join(named)}")
    if draft.attribute("clip", 0.0):
        raise CannotRewriteError("it clips its cells")
    if draft.attribute("input_forget", 0):
        raise CannotRewriteError("it couples input and forget gates")
    if draft.input(7):
        raise CannotRewriteError("it has peepholes")
    if draft.input(4):
        turned = draft.attribute("layout", 0)
        length = draft.shape(draft.x)[1 if turned else 0]
        lengths = draft.facts.value(draft.input(4))
        if length is None or lengths is None or (lengths != length).any():
            raise CannotRewriteError("its sequences are of several lengths")


def _of_direction(draft: Draft, name: str, both: bool, index: int) -> str:
    if not name:
        hidden, gates = draft.attribute("hidden_size", 0), _KINDS[draft.node.op_type].gates
        return draft.constant(np.zeros((1, 2 * gates * hidden), np.float32), "bias")
    return draft.slice(name, 0, index, index + 1) if both else name


def _over_batch(draft: Draft, axis: int) -> str:
    """Zeros [1, batch, hidden]."""
    hidden, batch = draft.attribute("hidden_size", 0), draft.dim(draft.x, axis)
    if isinstance(batch, int):
        return draft.constant(np.zeros((1, batch, hidden), np.float32), "start")
    zero = draft.constant(np.zeros((1, 1, hidden), np.float32), "start")
    return draft.op("Expand", zero, draft.vector([1, batch, hidden]))


def _state(draft: Draft, index: int, both: bool, direction: int, turned: bool, zeros: str) -> str:
    name = draft.input(index)
    if not name:
        return zeros
    name = draft.transpose(name, [1, 0, 2]) if turned else name
    return draft.slice(name, 0, direction, direction + 1) if both else name


def _one_way(
    draft: Draft, x: str, parameters: Sequence[str], states: Sequence[str], backwards: bool
) -> list[str]:
    """All outputs of one direction; the first is [length, 1, batch, hidden], the others [1, batch, hidden]."""
    op = draft.node.op_type
    if backwards:
        x = draft.slice(x, 0, -1, None, -1)
    if op == "RNN":
        found = _unrolled(draft, x, parameters, states[0])
    else:
        outputs = [draft.fresh(op) for _ in range(len(states) + 1)]
        kept = {
            "hidden_size": draft.attribute("hidden_size", None),
            "linear_before_reset": draft.attribute("linear_before_reset", None),
        }
        inputs = _tied(draft, x, parameters, states)
        found = draft.ops(op, inputs, outputs, **kept)
    if backwards:
        found[0] = draft.slice(found[0], 0, -1, None, -1)
    return found


def _tied(draft: Draft, x: str, parameters: Sequence[str], states: Sequence[str]) -> list[str]:
    """Inputs of which W and R get a gradient whenever any of them does.

    The kernels of LSTMGrad and GRUGrad write both without looking whether they are asked for. So 0 times an element of
    every input is added to W and R.
    """
    w, r, bias = parameters
    corner = draft.ints(0, 0, 0), draft.ints(1, 1, 1), draft.ints(0, 1, 2)
    parts = [draft.op("Slice", each, *corner) for each in (x, w, r, *states)]
    parts.append(draft.unsqueeze(draft.slice(bias, 1, 0, 1), [0]))
    tie = parts[0]
    for part in parts[1:]:
        tie = draft.add(tie, part)
    nothing = draft.mul(tie, 0.0)
    return [x, draft.add(w, nothing), draft.add(r, nothing), bias, "", *states]


def _unrolled(draft: Draft, x: str, parameters: Sequence[str], state: str) -> list[str]:
    """h_t = tanh(x_t W^T + h_{t-1} R^T + b_W + b_R)."""
    turned = bool(draft.attribute("layout", 0))
    steps = draft.shape(draft.x)[1 if turned else 0]
    if steps is None or steps > _MOST_STEPS:
        raise CannotRewriteError(f"its length is free or over {_MOST_STEPS}")
    hidden = draft.attribute("hidden_size", 0)
    w, r = (draft.transpose(draft.squeeze(each, [0]), [1, 0]) for each in parameters[:2])
    bias = [draft.slice(parameters[2], 1, start, start + hidden) for start in (0, hidden)]
    ahead = draft.add(draft.op("MatMul", x, w), draft.add(*bias))
    h, found = draft.squeeze(state, [0]), []
    for step in range(steps):
        now = draft.squeeze(draft.slice(ahead, 0, step, step + 1), [0])
        h = draft.op("Tanh", draft.add(now, draft.op("MatMul", h, r)))
        found.append(draft.unsqueeze(h, [0, 1]))
    return [draft.op("Concat", *found, axis=0), draft.unsqueeze(h, [0])]
