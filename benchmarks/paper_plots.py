"""Draws the figures' points as SVG."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.paper_figures import Panel
from benchmarks.results import FOLDER

_INCHES = (4.6, 3.6)
_COLOURS = ("#c0392b", "#2e6da4", "#7d5ba6", "#d9a441")


def draw(name: str, panels: Sequence[Panel]) -> Path:
    """Draw panels side by side; the same points give the same bytes.

    Args:
        name: of the file, without its suffix.
        panels: at least one.
    """
    # Text stays text, and element names do not change from run to run.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "sparsebook", "font.size": 9}):
        figure = Figure(figsize=(_INCHES[0] * len(panels), _INCHES[1]), layout="constrained")
        for axes, panel in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            _panel(axes, panel)
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = FOLDER / f"{name}.svg"
        figure.savefig(path, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return path


def _panel(axes: Axes, panel: Panel) -> None:
    for colour, curve in zip(_COLOURS, panel.curves, strict=False):
        points = sorted(curve.points, key=lambda point: point.x)
        axes.plot(
            [point.x for point in points],
            [point.y for point in points],
            marker="o",
            markersize=3,
            linewidth=1.2,
            linestyle="--" if curve.dashed else "-",
            color=colour,
            label=curve.name,
        )
    axes.set(title=panel.title, xlabel=panel.x, ylabel=panel.y)
    if panel.shown is not None:
        axes.set_ylim(*panel.shown)
    axes.grid(visible=True, linewidth=0.3)
    axes.legend(frameon=False)
