"""What tuning an artifact did, as tables for people."""

from sparsebook_compressor.tuning.report import TuningReport
from sparsebook_service.cli import training_tables
from sparsebook_service.cli.console import out
from sparsebook_service.cli.form import Table, percent, shape, size


def tuning(found: TuningReport) -> None:
    """The training, then how far the centroids went."""
    training_tables.training(found.training)
    table = Table(
        "How far the centroids went, by the codebook's root mean square",
        "weight",
        "shape",
        "centroids",
        "rms before",
        "rms of the moves",
        "largest move",
        numbers_from=1,
        least=("shape", "rms before"),
    )
    for row in found.drift:
        table.add(
            row.name,
            shape(row.shape),
            str(row.centroids),
            f"{row.codebook_rms:.4g}",
            percent(row.rms),
            percent(row.largest),
        )
    table.show(out)
    for note in found.notes:
        out.print(f"note: {note}", markup=False)
    drop = found.training.stages[-1].drop
    change = "" if drop is None else f" ({-drop:+.4f})"
    before, after = map(training_tables.metric, (found.metric_before, found.metric_after))
    metric = f"{before} → {after}{change}"
    out.print(f"\n[bold]metric {metric}, {size(found.artifact.bytes)}[/]")
