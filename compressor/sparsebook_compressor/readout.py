"""What an artifact tells of itself, as a report."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsebook_compressor import admit, counting, looks, pack
from sparsebook_compressor.artifact import InspectRow, Stored, coded_row, payloads
from sparsebook_compressor.errors import BadValue
from sparsebook_compressor.graph.view import survey
from sparsebook_compressor.looking import look_inside
from sparsebook_compressor.looks import Look
from sparsebook_compressor.report import (
    BytesByPart,
    Fidelity,
    FileFacts,
    KeptRow,
    Report,
    WeightRow,
)
from sparsebook_compressor.summary import versions

F32 = npt.NDArray[np.float32]

_SKIPPED = "the artifact alone does not tell"
_ALONE = (
    "written from the artifact alone: the original file, its config, values before pruning, errors and times are not known; "
    "bytes before are those of the weights as floats"
)


def read_out(path: Path) -> Report:
    """What an artifact tells of itself."""
    model = admit.load(path)
    found = payloads(model, path)
    if not found:
        raise BadValue(
            f"{path.name}: no sparsebook operators in it, and no {pack.REPORTS[0]} of it beside it; a portable or dense artifact does not tell "
            "what was done to it"
        )
    rows = [coded_row(payload) for payload in found]
    drawn = [look_inside(row.name, payload.data) for row, payload in zip(rows, found, strict=True)]
    facts = pack.source_facts(path, model)
    coded, floats = sum(row.bytes_now for row in rows), sum(row.bytes_before for row in rows)
    before = FileFacts(path.name, facts.bytes - coded + floats, "")
    largest = {
        row.name for row in sorted(rows, key=lambda row: row.bytes_before)[-looks.MOST_LOOKS :]
    }
    weights = tuple(map(_weight_row, rows, drawn, found))
    kept = tuple(
        KeptRow(each.name, each.shape, each.bytes, each.reason) for each in survey(model, path).kept
    )
    return Report(
        input=before,
        artifact=facts,
        ratio=before.bytes / facts.bytes,
        output="operator",
        config={},
        seed=0,
        weights=weights,
        kept=kept,
        bytes=_by_part(facts.bytes, drawn),
        fidelity=Fidelity("none", 0, "operator", (), _SKIPPED),
        stages=(),
        versions=versions(),
        notes=(_ALONE,),
        looks=tuple(look for look in drawn if look.name in largest),
    )


def bare(artifact: FileFacts, output: str) -> Report:
    """The report of an artifact without payloads, whose weights nobody has looked into."""
    return Report(
        input=artifact,
        artifact=artifact,
        ratio=1.0,
        output=output,
        config={},
        seed=0,
        weights=(),
        kept=(),
        bytes=BytesByPart(0, 0, 0, 0, artifact.bytes),
        fidelity=Fidelity("none", 0, output, (), _SKIPPED),
        stages=(),
        versions={},
    )


def with_starts(report: Report, starts: Mapping[str, F32]) -> Report:
    """The same with the centroids that weights had before they were tuned, float32[centroids], by name."""
    drawn = (
        replace(look, start=counting.centroids(starts[look.name])) if look.name in starts else look
        for look in report.looks
    )
    return replace(report, looks=tuple(drawn))


def _weight_row(row: InspectRow, look: Look, payload: Stored) -> WeightRow:
    header = payload.header()
    symbols, pairs = sum(look.codes), sum(look.gaps)
    return WeightRow(
        name=row.name,
        role=row.role,
        shape=row.shape,
        dtype=row.dtype,
        elements=row.elements,
        density=row.density,
        layout=row.layout,
        code_bits=max(1, row.centroids.bit_length()),
        code_bits_huffman=8 * look.parts.codes / max(1, symbols),
        gap_bits=header.gap_bits,
        gap_bits_huffman=8 * look.parts.gaps / max(1, pairs),
        rate_shared=row.bytes_shared / max(1, row.bytes_before),
        rate_huffman=row.bytes_now / max(1, row.bytes_before),
        relative_error=None,
        centroids=row.centroids,
        bytes_before=row.bytes_before,
        bytes_after=row.bytes_now,
        operators=tuple(sorted({use.node.op_type for use in payload.uses})),
    )


def _by_part(total: int, drawn: list[Look]) -> BytesByPart:
    codes = sum(look.parts.codes for look in drawn)
    gaps = sum(look.parts.gaps for look in drawn)
    codebooks = sum(look.parts.codebook for look in drawn)
    tables = sum(look.parts.tables for look in drawn)
    return BytesByPart(codes, gaps, codebooks, tables, total - codes - gaps - codebooks - tables)
