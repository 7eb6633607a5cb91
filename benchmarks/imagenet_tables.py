"""What is said of a model on ImageNet: its row of the paper's Table 1, its layers (Tables 4 and 5), and how fast it trained."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.imagenet_nets import named
from benchmarks.imagenet_runs import Run, Subject
from benchmarks.paper_numbers import TABLE_1
from benchmarks.paper_statistics import Loss, Spread, paired_loss
from benchmarks.paper_tables import loss_text, row_of_table_1, spread_text, table_layers
from benchmarks.results import show

Facts = dict[str, Any]

_COLUMNS = ("top-1", "top-5")


def facts(
    net: str | None, layers: Mapping[str, str], subject: Subject, runs: Sequence[Run]
) -> Facts:
    """All that is said, as JSON has it."""
    errors: dict[str, Facts] = {}
    for column, name in enumerate(_COLUMNS):
        original, after = runs[0].original[:, column], [run.hits[:, column] for run in runs]
        errors[name] = {
            "before": 1 - float(original.mean()),
            "after": [1 - float(hits.mean()) for hits in after],
            "loss": dataclasses.asdict(paired_loss(original, after)),
        }
    trained = runs[0].report.training
    return {
        "model": subject.model.name,
        "net": net,
        "seeds": [run.seed for run in runs],
        "samples": dict(subject.shards.samples),
        "errors": errors,
        "bytes_before": runs[0].report.input.bytes,
        "bytes": [run.report.artifact.bytes for run in runs],
        "ratio": [run.report.ratio for run in runs],
        "seconds": [run.seconds for run in runs],
        "samples_per_second": {
            stage: speed for stage in ("retrain", "tune") if (speed := _speed(stage, runs))
        },
        "faults": [run.fault for run in runs],
        "layers": [dataclasses.asdict(row) for row in named(runs[0].report, layers).weights],
        "stages": [] if trained is None else [dataclasses.asdict(row) for row in trained.stages],
    }


def print_tables(
    net: str | None, layers: Mapping[str, str], found: Mapping[str, Any], runs: Sequence[Run]
) -> None:
    """Print them; layers are those of the first seed."""
    rows: list[tuple[str, ...]] = []
    for paper in TABLE_1:
        if paper.name == net and paper.top5 is not None:
            rows += [
                row_of_table_1("paper", paper.error[0], paper.top5[0], paper.bytes[0], None),
                row_of_table_1(
                    "  compressed", paper.error[1], paper.top5[1], paper.bytes[1], paper.ratio
                ),
            ]
    top1, top5 = (100 * found["errors"][name]["before"] for name in _COLUMNS)
    after = [Spread.of(found["errors"][name]["after"]) for name in _COLUMNS]
    unit = (1e-6, " MB") if max(found["bytes"]) >= 1e6 else (1e-3, " KB")
    rows += [
        row_of_table_1("ours", top1, top5, found["bytes_before"], None),
        (
            f"  compressed, {len(runs)} seed{'s' if len(runs) > 1 else ''}",
            *(spread_text(error, 100, "%") for error in after),
            spread_text(Spread.of([float(size) for size in found["bytes"]]), *unit),
            spread_text(Spread.of(found["ratio"]), 1, "x", 1),
        ),
    ]
    title = f"Table 1: {net}" if net else found["model"]
    columns = (title, "top-1 error", "top-5 error", "whole file", "ratio")
    show(f"{title}, error and size", columns, rows)
    for name in _COLUMNS:
        loss = Loss(**found["errors"][name]["loss"])
        print(f"{name} accuracy lost, 95%: {loss_text(loss)}")
    table_layers(net or found["model"], named(runs[0].report, layers))
    for stage, speed in found["samples_per_second"].items():
        print(f"{stage}: {speed:.1f} samples a second")


def _speed(stage: str, runs: Sequence[Run]) -> float | None:
    """Samples a second, over all trainings of a stage that took time."""
    speeds = [
        phase.samples_per_second
        for run in runs
        if run.report.training is not None
        for phase in run.report.training.phases
        if phase.stage == stage and phase.samples_per_second
    ]
    return sum(speeds) / len(speeds) if speeds else None
