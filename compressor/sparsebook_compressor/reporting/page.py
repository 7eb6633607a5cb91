"""The report as HTML: a part of a page, or one file that needs nothing else.

What a report says comes from strangers: names of weights, of files and of operators, reasons of ONNX Runtime. Templates escape all of it,
and the file's own policy lets nothing run but the one script that is in it.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from sparsebook_compressor import words
from sparsebook_compressor.protocol import Phase, Protocol
from sparsebook_compressor.report import Report, WeightRow
from sparsebook_compressor.reporting import charts
from sparsebook_compressor.reporting.templates import environment

STYLE, SCRIPT = "report.css", "report.js"
_NOTHING: Mapping[str, str] = MappingProxyType({})
# Of a search: more trainings than these, and their curves are folded up.
_CURVES_SHOWN = 4


@cache
def asset(name: str) -> str:
    """The text of a style sheet or script that the report needs; the service hands the same out."""
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


def part(report: Report, *, titled: bool = True, more: Mapping[str, str] = _NOTHING) -> Markup:
    """The report without a page around it; it wants `STYLE`, and `SCRIPT` to be sortable.

    Args:
        report: what is shown.
        titled: the model's name as a heading; a page that has it above the report wants none.
        more: what else the page around it has to jump to, by the id of the element.
    """
    context = _context(report) | {"titled": titled, "more": more}
    text = _templates().get_template("part.html").render(context)
    return Markup(text)  # noqa: S704 - rendered by a template that escapes


def document(report: Report) -> str:
    """The report as one HTML file: no request goes out of it, and it can be opened from a disk."""
    style, script = asset(STYLE), asset(SCRIPT)
    return (
        _templates()
        .get_template("document.html")
        .render(
            title=f"{report.input.name}: what Sparsebook did",
            part=part(report),
            style=Markup(style),  # noqa: S704 - our own
            script=Markup(script),  # noqa: S704 - our own
            policy=policy(),
        )
    )


@cache
def policy() -> str:
    """The Content-Security-Policy of the file: nothing but what is in it."""
    style, script = _hash(asset(STYLE)), _hash(asset(SCRIPT))
    return f"default-src 'none'; style-src '{style}'; script-src '{script}'; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    """As a Content-Security-Policy names what it lets in."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _templates() -> Environment:
    made = environment("sparsebook_compressor.reporting", "assets")
    made.globals["charts"] = charts
    made.filters |= {"shape": words.shape, "plain": _plain}
    return made


def _plain(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)


def _context(report: Report) -> dict[str, Any]:
    rows = {row.name: row for row in report.weights}
    parts = report.bytes
    split = [("codes", parts.codes), ("gaps", parts.gaps), ("codebooks", parts.codebooks)]
    split += [("tables", parts.tables), ("rest of the file", parts.rest)]
    return {
        "report": report,
        "split": split,
        "looks": [(look, rows[look.name]) for look in report.looks if look.name in rows],
        "strips": {look.name: look.strip for look in report.looks},
        "histories": {row.name: _history(row, report.training) for row in report.weights},
        "training": report.training,
        "curves": _curves(report.training),
        "curves_shown": _CURVES_SHOWN,
        "trade": _trade(report.training),
        "settings": _settings(report.training),
    }


def _history(row: WeightRow, training: Protocol | None) -> list[str]:
    """What was done to a weight, one sentence a step."""
    bits = 8 * row.bytes_before / max(1, row.elements)
    steps = [f"{row.elements:,} values of {row.dtype}, {words.size(row.bytes_before)}"]
    if training is not None:
        steps += [
            f"{'point' if training.points else 'round'} {cut.number}: {cut.survivors:,} survive "
            + ("nothing" if cut.threshold is None else f"|w| > {cut.threshold:.3g}")
            for cut in training.cuts
            if cut.weight == row.name
        ]
    steps.append(
        f"pruned: {words.percent(row.density)} of the values are left"
        if row.density < 1
        else "not pruned: every value stays"
    )
    shared = words.size(row.rate_shared * row.bytes_before)
    symbols = f"{row.code_bits}-bit codes" + (f", {row.gap_bits}-bit gaps" if row.gap_bits else "")
    steps.append(f"shared: {row.centroids} values, {symbols}: {shared}")
    coded = f"{row.code_bits_huffman:.2f} bits a code"
    if row.gap_bits:
        coded += f", {row.gap_bits_huffman:.2f} bits a gap"
    left = 8 * row.bytes_after / max(1, row.elements)
    steps.append(
        f"Huffman-coded: {coded}: {words.size(row.bytes_after)}, {left:.2f} bits a value of {bits:.0f}"
    )
    return steps


def _curves(training: Protocol | None) -> list[tuple[Phase, Markup]]:
    """The loss of every phase: on the train part, and on the eval part where there is one."""
    if training is None:
        return []
    drawn = []
    for phase in training.phases:
        train = [(float(row.epoch), row.loss) for row in phase.epochs if row.loss is not None]
        held = [
            (float(row.epoch), row.eval_loss) for row in phase.epochs if row.eval_loss is not None
        ]
        name = f"Loss of {phase.stage} {phase.number} by epoch"
        both = [("train", train), ("eval", held)]
        drawn.append((phase, charts.lines(both, name, "epoch", "loss")))
    return drawn


def _trade(training: Protocol | None) -> Markup:
    """The size-accuracy curve of a budget search; nothing without one."""
    if training is None:
        return Markup("")
    name, times = training.metric.split(":")[0], 1
    if training.settings.get("metric_is_share"):
        name, times = f"{name}, %", 100
    points = [
        (point.ratio, times * point.metric, point.met, point.chosen)
        for point in training.points
        if point.metric is not None
    ]
    return charts.scatter(points, "times smaller, weights alone", name)


def _settings(training: Protocol | None) -> dict[str, str]:
    if training is None:
        return {}
    return {name: json.dumps(value) for name, value in sorted(training.settings.items())}
