"""What fine-tuning did, as tables for people: the metric after each stage, every training, every point of a search."""

from sparsebook_compressor.protocol import Phase, Protocol
from sparsebook_service.cli.console import out
from sparsebook_service.cli.form import make_table, percent, size


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
    for name, reason in found.frozen:
        out.print(f"not trained: {name}: {reason}", markup=False)


def metric(value: float | None) -> str:
    """A metric; one of the caller's own may be no finite number where a model is ruined."""
    return "not finite" if value is None else f"{value:.4f}"


def _stages(found: Protocol) -> None:
    table = make_table("Metric on the test part", "after", "metric", "drop", numbers_from=1)
    for row in found.stages:
        table.add_row(row.stage, metric(row.metric), f"{row.drop:+.4f}" if row.drop else "")
    out.print(table)


def _phases(found: Protocol) -> None:
    table = make_table(
        "Trainings",
        "stage",
        "density",
        "learning rate",
        "epochs",
        "kept",
        "loss",
        "eval metric",
        "ended",
        "seconds",
        "samples/s",
        numbers_from=1,
    )
    for phase in found.phases:
        speed = phase.samples_per_second
        table.add_row(
            f"{phase.stage} {phase.number}",
            percent(phase.density),
            f"{phase.learning_rate:.2g}",
            str(phase.epochs[-1].epoch),
            str(phase.kept_epoch),
            _from_to(phase, "loss"),
            _from_to(phase, "metric"),
            phase.ended,
            f"{phase.seconds:.1f}",
            "" if speed is None else f"{speed:.0f}",
        )
    out.print(table)


def _from_to(phase: Phase, what: str) -> str:
    """A value at its beginning and in the epoch that was kept."""
    values = {row.epoch: getattr(row, what) for row in phase.epochs}
    known = [value for value in values.values() if value is not None]
    if not known:
        return ""
    kept = values.get(phase.kept_epoch)
    return f"{known[0]:.4f} → {known[-1] if kept is None else kept:.4f}"


def _points(found: Protocol) -> None:
    table = make_table(
        "Points of the budget search, on the eval part",
        "point",
        "density",
        "metric",
        "drop",
        "bytes",
        "ratio",
        "",
        numbers_from=1,
    )
    for point in found.points:
        verdict = "chosen" if point.chosen else "within" if point.met else "over"
        table.add_row(
            str(point.number),
            percent(point.density),
            metric(point.metric),
            "" if point.drop is None else f"{point.drop:+.4f}",
            size(point.bytes),
            f"{point.ratio:.1f}",
            verdict,
        )
    out.print(table)
