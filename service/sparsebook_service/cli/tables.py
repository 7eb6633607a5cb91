"""Reports, estimates and inspections as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsebook_compressor.calibrated import Calibration
from sparsebook_compressor.report import Report
from sparsebook_compressor.words import duration
from sparsebook_service.cli import training_tables
from sparsebook_service.cli.console import out
from sparsebook_service.cli.form import Table, made_of, percent, shape, size, strip

if TYPE_CHECKING:
    from sparsebook_compressor import Estimate, Inspection

_STRIP, _STRIP_WIDE, _STRIP_NARROW, _WIDE = "non-zeros", 24, 12, 100
# From this density on a weight has its zeros nowhere in particular.
_DENSE = 0.9


def report(found: Report) -> None:
    """What fine-tuning did, the paper's table of layers, then fidelity, then where the bytes went."""
    if found.training is not None:
        training_tables.training(found.training)
    if found.calibration is not None:
        _calibration(found.calibration)
    table = Table(
        "Weights",
        "weight",
        "role",
        "shape",
        "density",
        "code bits",
        "gap bits",
        "prune+share",
        "+Huffman",
        "rel. error",
        "bytes",
        "codec",
        "runs as",
        numbers_from=2,
        least=(
            "codec",
            "prune+share",
            "role",
            "runs as",
            "gap bits",
            "shape",
            "rel. error",
            "code bits",
        ),
    )
    for row in found.weights:
        table.add(
            row.name,
            row.role,
            shape(row.shape),
            percent(row.density),
            f"{row.code_bits} → {row.code_bits_huffman:.1f}",
            f"{row.gap_bits} → {row.gap_bits_huffman:.1f}" if row.layout == "gaps" else "",
            percent(row.rate_shared),
            percent(row.rate_huffman),
            "" if row.relative_error is None else percent(row.relative_error),
            made_of(row.bytes_before, row.bytes_after),
            row.codec,
            ": ".join(filter(None, (", ".join(row.operators), row.form))),
        )
    table.show(out)
    _fidelity(found)
    _bytes(found)
    for note in found.notes:
        out.print(f"note: {note}", markup=False)
    before, after = size(found.input.bytes), size(found.artifact.bytes)
    out.print(f"\n[bold]{before} → {after}, {found.ratio:.1f} times smaller[/]")
    if found.update is not None:
        update = found.update
        share = percent(update.bytes / update.artifact_bytes)
        out.print(f"update: {size(update.bytes)}, {share} of the artifact ({update.name})")


def _calibration(found: Calibration) -> None:
    """What inputs decided, weight by weight, and what was reached."""
    table = Table(
        f"Calibrated on {found.samples} samples, {found.inputs} inputs",
        "weight",
        "weighed by",
        "seen",
        "sensitivity",
        "density",
        "bits",
        "layer's error",
        numbers_from=2,
        least=("weighed by", "seen"),
    )
    for row in found.weights:
        table.add(
            row.name,
            f"{row.seen}, bias corrected" if row.bias else row.seen,
            str(row.vectors),
            f"{row.sensitivity:.2g}",
            percent(row.density),
            f"{row.bits:.2f}",
            percent(row.loss**0.5),
        )
    table.show(out)
    ends = [f"{value:.4f}" for value in (found.before, found.after) if value is not None]
    met = "" if found.met else ", not met"
    out.print(
        f"{found.metric}: {' → '.join(ends)} on {found.test_samples} test samples "
        f"({found.goal}{met}; {len(found.passes)} passes)\n",
        markup=False,
    )


def _fidelity(found: Report) -> None:
    fidelity = found.fidelity
    if not fidelity.outputs:
        return
    table = Table(
        f"Fidelity to the original, {fidelity.inputs} inputs, {fidelity.samples} samples",
        "output",
        "max error",
        "rel. error",
        "cosine",
        "same argmax",
        numbers_from=1,
    )
    for output in fidelity.outputs:
        table.add(
            output.name,
            f"{output.max_error:.3g}",
            percent(output.relative_error),
            f"{output.cosine:.6f}",
            "" if output.agreement is None else percent(output.agreement),
        )
    table.show(out)
    before, after = fidelity.latency_before, fidelity.latency
    if before is not None and after is not None:
        out.print(
            f"latency: {duration(before.median_ms)} → {duration(after.median_ms)}, of one thread, median of {after.calls} calls\n",
            markup=False,
        )


def _bytes(found: Report) -> None:
    table = Table("Where the bytes went", "part", "bytes", "share", numbers_from=1)
    parts = {
        "codes": found.bytes.codes,
        "gaps": found.bytes.gaps,
        "codebooks": found.bytes.codebooks,
        "tables": found.bytes.tables,
        "rest of the file": found.bytes.rest,
    }
    for name, count in parts.items():
        table.add(name, size(count), percent(count / max(1, found.artifact.bytes)))
    table.show(out)


def estimate(found: Estimate) -> None:
    """What to expect, weight by weight, and the risk."""
    table = Table(
        f"{found.input.name}: what to expect",
        "weight",
        "role",
        "shape",
        "density",
        "bits",
        "rel. error",
        "bytes",
        numbers_from=2,
        least=("role", "shape", "rel. error"),
    )
    for row in found.rows:
        table.add(
            row.name,
            row.role,
            shape(row.shape),
            percent(row.density),
            str(row.bits),
            percent(row.relative_error),
            made_of(row.bytes_before, row.bytes_expected),
        )
    table.show(out)
    kept = sum(row.bytes for row in found.kept)
    if kept:
        out.print(f"{len(found.kept)} tensors stay as they are ({size(kept)})")
    before, after = size(found.bytes_before), size(found.bytes_expected)
    out.print(f"\n[bold]{before} → about {after}, about {found.ratio:.1f} times smaller[/]")
    colour = {"low": "green", "medium": "yellow", "high": "red"}[found.risk]
    out.print(f"risk to accuracy: [{colour}]{found.risk}[/]", end=": ")
    out.print(found.why, markup=False)


def inspection(found: Inspection) -> None:
    """The weights that are in a file."""
    # Where few values are zero a strip says nothing, and a shape says more; else it is what one looks for.
    sparse = any(row.density < _DENSE for row in found.rows)
    last = ("shape", _STRIP) if sparse else (_STRIP, "shape")
    table = Table(
        f"{found.file.name}: {size(found.file.bytes)}",
        "weight",
        "role",
        "shape",
        "type",
        "density",
        "layout",
        "codec",
        "bits",
        "centroids",
        "floats → shared → coded",
        _STRIP,
        numbers_from=2,
        least=("centroids", "role", "type", "layout", "codec", *last),
    )
    for row in found.rows:
        table.add(
            row.name,
            row.role,
            shape(row.shape),
            row.dtype,
            percent(row.density),
            row.layout,
            row.codec,
            str(row.bits),
            str(row.centroids) if row.centroids else "",
            size(row.bytes_now)
            if row.layout == "floats"
            else made_of(row.bytes_before, row.bytes_shared, row.bytes_now),
            strip(row.strip, _STRIP_WIDE if out.width >= _WIDE else _STRIP_NARROW),
        )
    table.show(out)
    out.print(found.note, markup=False)
