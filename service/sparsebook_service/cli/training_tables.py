"""What fine-tuning did, as tables for people: the metric after each stage, every training, every point of a search."""

from collections.abc import Sequence

from sparsebook_compressor.protocol import Protocol
from sparsebook_service.cli.console import out
from sparsebook_service.cli.form import Table, percent, size

# So many weights are shown one by one in a line.
_FEW = 3


def training(found: Protocol) -> None:
    """The whole protocol, in the order in which it happened."""
    _stages(found)
    _phases(found)
    if found.points:
        _points(found)
    splits = ", ".join(
        f"{part} {split['samples']} ({split['origin']})" for part, split in found.splits.items()
    )
    out.print(f"loss: {found.loss}", markup=False)
    out.print(f"metric: {found.metric}", markup=False)
    out.print(f"samples: {splits}", markup=False)
    for refused in found.refused:
        out.print(f"not trained: {refused.stage} {refused.number}: {refused.reason}", markup=False)
    for name, reason in found.frozen:
        out.print(f"not trained: {name}: {reason}", markup=False)


def metric(value: float | None) -> str:
    """A metric; one of the caller's own may be no finite number where a model is ruined."""
    return "not finite" if value is None else f"{value:.4f}"


def _stages(found: Protocol) -> None:
    table = Table("Metric on the test part", "after", "metric", "drop", numbers_from=1)
    for row in found.stages:
        table.add(row.stage, metric(row.metric), f"{row.drop:+.4f}" if row.drop else "")
    table.show(out)


def _phases(found: Protocol) -> None:
    table = Table(
        "Trainings",
        "stage",
        "density",
        "learning rate",
        "epochs",
        "kept",
        "loss",
        "eval loss",
        "eval metric",
        "ended",
        "seconds",
        "samples/s",
        numbers_from=1,
        least=("samples/s", "seconds", "learning rate", "loss", "density", "ended"),
    )
    for phase in found.phases:
        speed = phase.samples_per_second
        table.add(
            f"{phase.stage} {phase.number}",
            percent(phase.density),
            f"{phase.learning_rate:.2g}",
            str(phase.epochs[-1].epoch),
            str(phase.kept_epoch),
            _course([row.loss for row in phase.epochs], phase.kept_epoch),
            _course([row.eval_loss for row in phase.epochs], phase.kept_epoch),
            _course([row.metric for row in phase.epochs], phase.kept_epoch),
            phase.ended,
            f"{phase.seconds:.1f}",
            "" if speed is None else f"{speed:.0f}",
        )
    table.show(out)
    if found.phases:
        rule = f": {found.selection}" if found.selection else ""
        out.print(
            f"kept: the epoch whose state went on, 0 the one before training{rule}", markup=False
        )


def _course(by_epoch: list[float | None], kept: int) -> str:
    """A value at its beginning and in the epoch that was kept; of epoch 0, before training, there is no training loss."""
    known = [value for value in by_epoch[: kept + 1] if value is not None]
    if not known:
        return ""
    first, last = known[0], known[-1]
    return f"{first:.4f}" if len(known) == 1 else f"{first:.4f} → {last:.4f}"


def _points(found: Protocol) -> None:
    table = Table(
        "Points of the budget search, on the eval part",
        "point",
        "density",
        "of the weights",
        "bits",
        "metric",
        "drop",
        "bytes of weights",
        "weights smaller by",
        "",
        numbers_from=1,
        least=("metric", "weights smaller by"),
    )
    for point in found.points:
        verdict = "chosen" if point.chosen else "within" if point.met else "over"
        table.add(
            str(point.number),
            percent(point.density),
            _spread([100 * row.density for row in point.plan], "{:.2g}", "%"),
            _spread([row.bits for row in point.plan], "{:.0f}"),
            metric(point.metric),
            "" if point.drop is None else f"{point.drop:+.4f}",
            size(point.bytes),
            f"{point.ratio:.1f}x",
            verdict,
        )
    table.show(out)


def _spread(values: Sequence[float], form: str, unit: str = "") -> str:
    """A value for each weight, where they are few; else from the least to the most.

    >>> _spread([8, 12, 50], "{:.2g}", "%"), _spread([2, 4, 4, 5, 3], "{:.0f}")
    ('8, 12, 50%', '2 to 5')
    """
    if not values:
        return ""
    if len(values) <= _FEW:
        return ", ".join(form.format(value) for value in values) + unit
    return f"{form.format(min(values))} to {form.format(max(values))}{unit}"
