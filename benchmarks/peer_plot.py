"""Draws bytes against error, a panel a model."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.peer_curves import Point, front
from benchmarks.peer_rows import DERIVED, OURS, PEER, Row
from benchmarks.results import FOLDER

_ACROSS, _INCHES = 3, (3.6, 2.9)
_LOOKS = {
    "NNCodec": ("#7d5ba6", "."),
    "ONNX Runtime": ("#c0392b", "s"),
    "NNCF + OpenVINO": ("#d9a441", "^"),
    "zstd -19": ("#7f8c8d", "x"),
    "COO sparse_initializer": ("#7f8c8d", "+"),
}


def draw(name: str, rows: Sequence[Row]) -> Path:
    """Draw a file `name`.svg; the same rows give the same bytes."""
    models = list(dict.fromkeys(row.model for row in rows))
    across = min(_ACROSS, len(models))
    down = -(-len(models) // across)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "sparsebook", "font.size": 8}):
        size = (_INCHES[0] * across, _INCHES[1] * down)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(down, across, squeeze=False).ravel()
        for axes, model in zip(panels, models, strict=False):
            _panel(axes, model, [row for row in rows if row.model == model])
        for axes in panels[len(models) :]:
            axes.set_axis_off()
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = FOLDER / f"{name}.svg"
        figure.savefig(path, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return path


def _panel(axes: Axes, model: str, rows: Sequence[Row]) -> None:
    ours = front(points([row for row in rows if row.kind == OURS]))
    axes.plot(
        [point.error for point in ours],
        [point.bytes for point in ours],
        color="#2e6da4",
        marker="o",
        markersize=3,
        linewidth=1.2,
        label="Sparsebook",
    )
    for who, (colour, marker) in _LOOKS.items():
        found = points([row for row in rows if row.who == who and row.kind in (PEER, DERIVED)])
        if found:
            axes.plot(
                [point.error for point in found],
                [point.bytes for point in found],
                linestyle="none",
                color=colour,
                marker=marker,
                markersize=4,
                label=who,
            )
    axes.set(title=model, xlabel="relative RMS error", ylabel="bytes", xscale="log", yscale="log")
    axes.grid(visible=True, which="both", linewidth=0.2)
    axes.legend(frameon=False, fontsize=6)


def points(rows: Sequence[Row]) -> list[Point]:
    """Of the rows that have both, and stray at all: a logarithm knows no 0."""
    return [Point(row.bytes, row.error) for row in rows if row.bytes and row.error]
