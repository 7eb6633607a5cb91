"""Cross-entropies: a loss of the caller's own has them, or a model that was exported with its loss."""

import numpy as np
from onnx import TensorProto, helper

from sparsebook_compressor.trainable.draft import Draft


def negative_log_likelihood(draft: Draft) -> str:
    """NegativeLogLikelihoodLoss: minus the logarithms of the probabilities that the labels pick."""
    _picked(draft, draft.x)
    return draft.says("GatherElements and a mean")


def softmax_cross_entropy(draft: Draft) -> str:
    """SoftmaxCrossEntropyLoss: the same of a LogSoftmax, which may be the second output."""
    logs = draft.op("LogSoftmax", draft.x, out=draft.output(1), axis=1)
    _picked(draft, logs)
    return draft.says("LogSoftmax, GatherElements and a mean")


def _picked(draft: Draft, logs: str) -> None:
    """Weigh and reduce what labels pick on the axis 1 of logarithms: [n, classes, ...] and [n, ...]."""
    classes, kept = _counted(draft)
    picked = draft.op("GatherElements", logs, draft.unsqueeze(classes, [1]), axis=1)
    lost = draft.op("Neg", draft.squeeze(picked, [1]))
    weight = draft.op("Gather", draft.input(2), classes) if draft.input(2) else ""
    if kept:
        weight = draft.mul(weight, kept) if weight else kept
    if weight:
        lost = draft.mul(lost, weight)
    match draft.attribute("reduction", "mean"):
        case "none":
            draft.op("Identity", lost, out=draft.y)
        case "sum":
            _over_all(draft, "ReduceSum", lost, draft.y)
        case _ if weight:
            parts = (_over_all(draft, "ReduceSum", value) for value in (lost, weight))
            draft.op("Div", *parts, out=draft.y)
        case _:
            _over_all(draft, "ReduceMean", lost, draft.y)


def _counted(draft: Draft) -> tuple[str, str]:
    """Labels that are all classes, and which of them count: 0 or 1, float32; "" where all do."""
    labels, ignored = draft.input(1), draft.attribute("ignore_index", None)
    if ignored is None:
        return labels, ""
    dtype = helper.tensor_dtype_to_np_dtype(draft.facts.dtype(labels) or TensorProto.INT64)
    left_out = draft.op("Equal", labels, draft.constant(np.array(ignored, dtype)))
    classes = draft.op("Where", left_out, draft.constant(np.array(0, dtype)), labels)
    return classes, draft.op("Cast", draft.op("Not", left_out), to=TensorProto.FLOAT)


def _over_all(draft: Draft, op: str, value: str, out: str = "") -> str:
    """A reduction to a scalar, whatever the rank."""
    row = draft.op("Reshape", value, draft.ints(-1))
    return draft.reduce(op, row, [0], keepdims=False, out=out)
