"""The report of a finished job, put together from what its stages found."""

import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort

from sparsebook_compressor.calibrated import Calibration
from sparsebook_compressor.coding import Coded
from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import NothingToCompress
from sparsebook_compressor.graph.tensors import NAMES
from sparsebook_compressor.graph.view import Kept
from sparsebook_compressor.layers import Layer
from sparsebook_compressor.looks import MOST_LOOKS, Look
from sparsebook_compressor.payload_layout import LAYOUT_NAMES
from sparsebook_compressor.plan import INFINITE, Plan
from sparsebook_compressor.protocol import Protocol
from sparsebook_compressor.remarks import remarks_on
from sparsebook_compressor.report import (
    BytesByPart,
    Fidelity,
    FileFacts,
    KeptRow,
    Report,
    StageCost,
    Update,
    WeightRow,
)


@dataclass(frozen=True, slots=True)
class Done:
    """The weights that were coded, and everything that was left alone."""

    coded: tuple[Coded, ...]
    kept: tuple[Kept, ...]


def require_gain(done: Done, name: str) -> None:
    """Refuse a model of which no weight came out smaller.

    Raises:
        NothingToCompress: naming the model and the weight that came nearest.
    """
    if done.coded:
        return
    largest = max(done.kept, key=lambda kept: kept.bytes)
    raise NothingToCompress(
        f"{name}: no weight would be smaller; of {largest.name!r} ({largest.bytes} bytes), {largest.reason}"
    )


def summarise(
    source: FileFacts,
    artifact: FileFacts,
    config: Config,
    plan: Plan,
    done: Done,
    fidelity: Fidelity,
    costs: tuple[StageCost, ...],
    layers: Mapping[str, Layer],
    protocol: Protocol | None = None,
    remarks: tuple[str, ...] = (),
    update: Update | None = None,
    calibration: Calibration | None = None,
) -> Report:
    """Build the report; `layers` are by weight name, and empty for outputs without operators."""
    return Report(
        input=source,
        artifact=artifact,
        ratio=source.bytes / artifact.bytes,
        output=config.output,
        config=config.as_given(),
        seed=plan.seed,
        weights=tuple(_row(coded, layers.get(coded.row.name, Layer(()))) for coded in done.coded),
        kept=tuple(KeptRow(kept.name, kept.shape, kept.bytes, kept.reason) for kept in done.kept),
        bytes=_by_part(artifact.bytes, done.coded, config.output),
        fidelity=fidelity,
        stages=costs,
        versions=versions(),
        notes=(
            *remarks,
            *_notes(fidelity, done, artifact.bytes >= source.bytes, protocol, calibration),
        ),
        training=protocol,
        update=update,
        calibration=calibration,
        looks=_looks(done.coded),
    )


def versions() -> dict[str, str]:
    """Versions of everything that shapes the result, and the machine's instruction set."""
    return {
        "sparsebook-compressor": importlib.metadata.version("sparsebook-compressor"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": ort.__version__,
        "machine": f"{platform.system()} {platform.machine()}".lower(),
        "simd": " ".join(np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])),
    }


def _row(coded: Coded, layer: Layer) -> WeightRow:
    facts, row = coded.facts, coded.row
    # The paper's rate before Huffman: every symbol at its full width, the codebook as it is stored.
    bits = max(1, coded.centroids.bit_length())
    plain = facts.symbols * (bits + facts.gap_bits) / 8 + facts.bytes_codebook
    squared = coded.squared_error / coded.squared_norm if coded.squared_norm else 0.0
    return WeightRow(
        name=row.name,
        role=row.role,
        shape=row.shape,
        dtype=NAMES[coded.dtype],
        elements=row.elements,
        density=facts.nonzeros / row.elements,
        layout=LAYOUT_NAMES[facts.layout],
        code_bits=bits,
        code_bits_huffman=facts.code_bits_huffman,
        gap_bits=facts.gap_bits,
        gap_bits_huffman=facts.gap_bits_huffman,
        rate_shared=plain / coded.bytes_before,
        rate_huffman=facts.bytes_total / coded.bytes_before,
        relative_error=squared**0.5,
        centroids=coded.centroids,
        bytes_before=coded.bytes_before,
        bytes_after=coded.bytes_after,
        operators=layer.operators,
        form=layer.form,
        codec=facts.codec,
    )


def _looks(coded: tuple[Coded, ...]) -> tuple[Look, ...]:
    """Of the weights with the most bytes before, in the order of the table."""
    largest = sorted(coded, key=lambda each: each.bytes_before, reverse=True)[:MOST_LOOKS]
    named = {each.row.name for each in largest}
    return tuple(each.look for each in coded if each.look is not None and each.row.name in named)


def _by_part(total: int, coded: tuple[Coded, ...], output: str) -> BytesByPart:
    if output != "operator":
        stored = sum(weight.bytes_after for weight in coded)
        return BytesByPart(stored, 0, 0, 0, total - stored)
    codes = sum(weight.facts.bytes_codes for weight in coded)
    gaps = sum(weight.facts.bytes_gaps for weight in coded)
    codebooks = sum(weight.facts.bytes_codebook for weight in coded)
    tables = sum(weight.facts.bytes_tables for weight in coded)
    return BytesByPart(codes, gaps, codebooks, tables, total - codes - gaps - codebooks - tables)


def _notes(
    fidelity: Fidelity,
    done: Done,
    grown: bool,
    protocol: Protocol | None,
    calibration: Calibration | None,
) -> tuple[str, ...]:
    notes = []
    if fidelity.skipped:
        notes.append(f"fidelity was not measured: {fidelity.skipped}")
    elif fidelity.inputs == "synthetic":
        notes.append(
            "fidelity was measured on synthetic inputs: hand in data for figures that count"
        )
    if fidelity.parts > 1:
        notes.append(
            f"fidelity was measured with the model in {fidelity.parts} parts, one after the other: it is too large to be run whole"
        )
    notes += [
        f"weight {kept.name!r} stays as it is: it {kept.reason}"
        for kept in done.kept
        if kept.reason.startswith(INFINITE)
    ]
    if grown:
        notes.append("the artifact is not smaller than the model: it has too few weights")
    if protocol is not None:
        return (*notes, *remarks_on(protocol))
    if calibration is not None:
        return (*notes, *calibration.remarks())
    worst = max((row for row in done.coded if row.squared_norm), key=_error, default=None)
    if worst is not None and _error(worst) > 0.3:
        notes.append(
            f"weight {worst.row.name!r} lost {_error(worst):.0%} of its norm: without retraining expect "
            "accuracy to drop"
        )
    return tuple(notes)


def _error(coded: Coded) -> float:
    return float((coded.squared_error / coded.squared_norm) ** 0.5)
