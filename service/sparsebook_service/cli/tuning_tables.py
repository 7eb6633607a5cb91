"""What tuning an artifact did, as tables for people."""

from sparsebook_compressor.tuning.report import TuningReport
from sparsebook_service.cli import training_tables
from sparsebook_service.cli.console import out
from sparsebook_service.cli.form import make_table, percent, shape, size


def tuning(found: TuningReport) -> None:
    """The training, then how far the centroids went."""
    training_tables.training(found.training)
    table = make_table(
        "How far the centroids went, by the codebook's root mean square",
        "weight",
        "shape",
        "centroids",
        "rms before",
        "rms of the moves",
        "largest move",
        numbers_from=1,
    )
    for row in found.drift:
        table.add_row(
            row.name,
            shape(row.shape),
            str(row.centroids),
            f"{row.codebook_rms:.4g}",
            percent(row.rms),
            percent(row.largest),
        )
    out.print(table)
    for note in found.notes:
        out.print(f"note: {note}", markup=False)
    change = found.metric_after - found.metric_before
    metric = f"{found.metric_before:.4f} → {found.metric_after:.4f} ({change:+.4f})"
    out.print(f"\n[bold]metric {metric}, {size(found.artifact.bytes)}[/]")
