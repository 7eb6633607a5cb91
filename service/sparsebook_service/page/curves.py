"""The curve of a job that trains, from the events that it has told so far."""

from collections.abc import Iterable

from markupsafe import Markup

from sparsebook_compressor.reporting import charts
from sparsebook_service.jobs.history import Event


def drawn(events: Iterable[Event]) -> Markup:
    """Loss and metric by epoch over all trainings of the job; nothing before the first epoch is over.

    A job that began again after a crash of the service goes through its trainings again: the curve is that of its last run.
    """
    losses: list[tuple[float, float]] = []
    metrics: list[tuple[float, float]] = []
    epochs = 0
    for event in events:
        if event.what.kind == "started":
            losses, metrics, epochs = [], [], 0
        if event.what.kind != "point":
            continue
        data = event.what.data
        for found, name in ((losses, "loss"), (metrics, "metric")):
            if data.get(name) is not None:
                found.append((float(epochs), float(data[name])))
        epochs += 1
    if not epochs:
        return Markup("")
    said = f"over {epochs} epochs"
    loss = charts.lines([("loss", losses)], f"Training loss {said}", "epoch", "loss")
    metric = charts.lines(
        [("metric", metrics)], f"Metric on the eval part {said}", "epoch", "metric"
    )
    return (
        Markup('<div class="figures wide">')
        + _figure(loss, "Training loss, all trainings one after the other")
        + _figure(metric, "Metric on the eval part")
        + Markup("</div>")
    )


def _figure(picture: Markup, caption: str) -> Markup:
    if not picture:
        return Markup("")
    return Markup("<figure><figcaption>{}</figcaption>{}</figure>").format(caption, picture)
