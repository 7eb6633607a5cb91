"""What the reader of a report should know of its fine-tuning, in plain words, with what to try."""

import math
from collections.abc import Iterator
from itertools import pairwise

from sparsebook_compressor.errors import NotTrainable
from sparsebook_compressor.protocol import (
    ARTIFACT,
    ORIGINAL,
    PRUNED,
    RETRAINED,
    SHARED,
    TUNED,
    Phase,
    Protocol,
    Refusal,
    StageMetric,
)

# A fall of the metric by this share of the original's is remarked on: chance moves it less on some hundred samples.
_FAR = 0.05
# Of a share of hits a smaller one is too, where it is so many standard errors: before and after are measured on the same
# samples, so that chance moves their difference less than each of them.
_BEYOND_CHANCE = 2.0
_SLOWER = "try a lower train.learning_rate"
_TRY = {
    RETRAINED: f"{_SLOWER}, or the optimizer adamw",
    SHARED: "try more bits",
    TUNED: _SLOWER,
    ARTIFACT: "values beyond the range of the model's dtype may be the cause",
}


def remarks_on(protocol: Protocol) -> Iterator[str]:
    """One sentence or two each."""
    yield from _of_phases(protocol)
    yield from _of_idle_phases(protocol)
    yield from _of_stages(protocol)
    yield from _of_the_end(protocol)
    yield from map(_of_refusal, protocol.refused)
    for name, reason in protocol.frozen:
        yield f"weight {name!r} was compressed without retraining: {reason}"
    for name in protocol.unfelt:
        yield (
            f"weight {name!r}: the loss on the eval part does not change however far it is pruned, so that the budget search left "
            "its density and bits as planned; set them under weights, or give a loss that depends on it"
        )


def remarks_on_tuning(protocol: Protocol) -> Iterator[str]:
    """Those that hold of an artifact's centroids too, which nothing but a training has changed."""
    yield from _of_phases(protocol)
    yield from _of_stages(protocol)


def _of_refusal(refusal: Refusal) -> str:
    left_out = (
        f"{refusal.stage} {refusal.number} and all of that stage behind it was left out, and what had been reached was kept: "
        "the worker"
    )
    if refusal.problem == NotTrainable.problem:
        return f"{left_out} could not train the graph: {refusal.reason}"
    return (
        f"{left_out} failed ({refusal.problem}): {refusal.reason}; the artifact is worse than it could be: mend that and "
        "compress again"
    )


def _of_phases(protocol: Protocol) -> Iterator[str]:
    for phase in protocol.phases:
        if phase.ended == "diverged":
            yield (
                f"{phase.stage} {phase.number}: the loss was not finite any more; the state of epoch {phase.kept_epoch} was "
                "kept; a lower train.learning_rate may help"
            )
        elif phase.retries and phase.kept_epoch:
            yield (
                f"{phase.stage} {phase.number}: nothing better than the start came of a higher learning rate; it was lowered "
                f"to {phase.learning_rate:g}"
            )
        yield from _against_loss(phase, protocol)


def _of_idle_phases(protocol: Protocol) -> Iterator[str]:
    idle = [
        phase for phase in protocol.phases if not phase.kept_epoch and phase.ended != "diverged"
    ]
    if idle and not protocol.points:
        which = ", ".join(f"{phase.stage} {phase.number}" for phase in idle)
        yield (
            f"{which}: no epoch had a lower loss on the eval part than the state before it, which was kept; a lower "
            "train.learning_rate, more data or more epochs may help"
        )


def _against_loss(phase: Phase, protocol: Protocol) -> Iterator[str]:
    """A training that was good for the loss and bad for the metric."""
    start = phase.epochs[0]
    kept = next(row for row in phase.epochs if row.epoch == phase.kept_epoch)
    original = None if protocol.original is None else protocol.original.metric
    if kept.metric is None and start.metric is not None and kept is not start:
        yield (
            f"{phase.stage} {phase.number}: the metric on the eval part, {start.metric:.4f} before, is no finite number behind "
            f"it; {_SLOWER}"
        )
    if kept.metric is None or start.metric is None or kept.eval_loss is None:
        return
    if start.metric - kept.metric > _far(start.metric if original is None else original):
        before = "" if start.eval_loss is None else f"from {start.eval_loss:.4g} "
        yield (
            f"{phase.stage} {phase.number}: while the loss on the eval part went {before}to {kept.eval_loss:.4g}, the metric "
            f"fell from {start.metric:.4f} to {kept.metric:.4f}: the loss does not stand for it here; {_SLOWER}, or another "
            "train.loss"
        )


def _of_stages(protocol: Protocol) -> Iterator[str]:
    stages = protocol.stages
    for row in stages:
        if row.metric is None:
            yield (
                f"{row.stage}: the metric on the test part is no finite number, which counts as the worst there can be"
            )
    scale = _far(protocol.metric_before or 0.0)
    for before, after in pairwise(stages):
        if before.stage != ORIGINAL and after.stage != PRUNED:
            yield from _fallen(before, after, scale)


def _of_the_end(protocol: Protocol) -> Iterator[str]:
    limit = protocol.settings.get("max_drop")
    last = protocol.stages[-1]
    if last.drop is None:
        return
    if limit is not None:
        if last.drop > limit:
            yield (
                f"the metric drops by {last.drop:.4f} on the test part, more than the budget of {limit:g}, which is kept on the "
                f"eval part; a larger eval part tells more{_in_brackets(protocol, 'eval')}"
            )
        return
    error = _standard_error(protocol, "test")
    far = _far(protocol.metric_before or 0.0)
    if last.drop > (far if error is None else min(far, _BEYOND_CHANCE * error)):
        yield (
            f"the metric on the test part is {protocol.metric_before:.4f} of the original and {last.metric:.4f} of the artifact"
            f"{_in_brackets(protocol, 'test')}: expect it to be that much worse; try higher densities, more bits, more "
            "train.epochs or a lower train.learning_rate, or give more data"
        )


def _in_brackets(protocol: Protocol, part: str) -> str:
    """How far chance moves the metric on a part, where that is known."""
    error = _standard_error(protocol, part)
    if error is None:
        return ""
    return f" (the standard error of its {protocol.splits[part]['samples']} samples is {error:.4f})"


def _standard_error(protocol: Protocol, part: str) -> float | None:
    """Of a share p of hits among n samples: sqrt(p (1 - p) / n), the larger one of the original's and the artifact's."""
    samples = protocol.splits.get(part, {}).get("samples")
    if not samples or not protocol.settings.get("metric_is_share"):
        return None
    shares = [row.metric for row in (protocol.stages[0], protocol.stages[-1])]
    return max(math.sqrt(share * (1 - share) / samples) for share in shares if share is not None)


def _fallen(before: StageMetric, after: StageMetric, scale: float) -> Iterator[str]:
    if before.metric is None or after.metric is None:
        return
    if before.metric - after.metric > scale:
        yield (
            f"{after.stage}: the metric on the test part fell from {before.metric:.4f} ({before.stage}) to "
            f"{after.metric:.4f}; {_TRY.get(after.stage, _SLOWER)}"
        )


def _far(metric: float) -> float:
    """Metrics of the caller's own have any scale."""
    return _FAR * (abs(metric) or 1.0)
