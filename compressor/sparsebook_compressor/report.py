"""The report of one compression: plain data, JSON in and out."""

import dataclasses
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from sparsebook_compressor.calibrated import Calibration
from sparsebook_compressor.looks import Look
from sparsebook_compressor.protocol import Protocol

REPORT_FORMAT = 1
# Within a string JSON has no line breaks.
_NUMBERS = re.compile(r"\[\n\s+[-+.\de]+(?:,\n\s+[-+.\de]+)*\n\s+\]")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file, or a file with its external data: bytes are the sum, sha256 is the first file's."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class WeightRow:
    """One row of the paper's per-layer table (Tables 2 to 5 of arXiv 1510.00149).

    Rates are bytes after / bytes before. Bits per symbol are averages over the non-zeros, fillers among them. Of output `operator`,
    `operators` are the ops of the nodes that take the payload, and `form` is how it lies in memory on the machine that verified
    the artifact (docs/kernels.md); without verification it is empty. `codec` is what codes and gaps are written with: fixed, huffman or context,
    whose `code_bits_huffman` are all bits of a non-zero, those of the zeros around it among them. `relative_error` is None where the
    original is not known.
    """

    name: str
    role: str
    shape: tuple[int, ...]
    dtype: str
    elements: int
    density: float
    layout: str
    code_bits: int
    code_bits_huffman: float
    gap_bits: int
    gap_bits_huffman: float
    rate_shared: float
    rate_huffman: float
    relative_error: float | None
    centroids: int
    bytes_before: int
    bytes_after: int
    operators: tuple[str, ...] = ()
    form: str = ""
    codec: str = ""


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A tensor of floats that was left as it is, and why."""

    name: str
    shape: tuple[int, ...]
    bytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class BytesByPart:
    """Where the artifact's bytes went."""

    codes: int
    gaps: int
    codebooks: int
    tables: int
    rest: int


@dataclass(frozen=True, slots=True)
class OutputFidelity:
    """How one output of the artifact compares with the original's, over all samples.

    Attributes:
        max_error: largest absolute difference.
        relative_error: root of sum (a-b)^2 over root of sum a^2.
        cosine: of the two outputs as vectors.
        agreement: share of positions whose argmax over the last axis is the same, None where that axis has one entry; of whole numbers
            (labels, ids) the share that is the same.
    """

    name: str
    max_error: float
    relative_error: float
    cosine: float
    agreement: float | None


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of processor time of one inference on one thread: the median of several calls, and their quartiles."""

    median_ms: float
    low_ms: float
    high_ms: float
    calls: int


@dataclass(frozen=True, slots=True)
class Fidelity:
    """The artifact against the original in ONNX Runtime.

    Attributes:
        inputs: "given" or "synthetic".
        samples: how many runs were compared.
        runs: what was run, "operator" or "portable" or "dense".
        skipped: why nothing was measured, where that is so.
        latency: of the artifact on the first sample, None where it was not run whole.
        parts: in how many pieces, one after the other, the artifact was run; 1 where memory holds it whole.
        latency_before: of the original, likewise.
    """

    inputs: str
    samples: int
    runs: str
    outputs: tuple[OutputFidelity, ...]
    skipped: str | None = None
    latency: Latency | None = None
    parts: int = 1
    latency_before: Latency | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """What makes the artifact of the last release's (docs/updates.md).

    Attributes:
        name, bytes: of the update's file.
        artifact_bytes: of the whole artifact, its data file with it.
        base_sha256: of the artifact that it is for.
        unchanged, patched, whole: how many payloads are as they were, are told by what changed, and are there whole.
    """

    name: str
    bytes: int
    artifact_bytes: int
    base_sha256: str
    unchanged: int
    patched: int
    whole: int


@dataclass(frozen=True, slots=True)
class StageCost:
    """Seconds that a stage took, and the process's peak resident bytes at its end."""

    stage: str
    seconds: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was done to a model and what came of it.

    `training` is there where it was fine-tuned, `calibration` where inputs decided, `looks` of the weights with the most bytes
    (`looks.MOST_LOOKS` of them).
    """

    input: FileFacts
    artifact: FileFacts
    ratio: float
    output: str
    config: dict[str, Any]
    seed: int
    weights: tuple[WeightRow, ...]
    kept: tuple[KeptRow, ...]
    bytes: BytesByPart
    fidelity: Fidelity
    stages: tuple[StageCost, ...]
    versions: dict[str, str]
    notes: tuple[str, ...] = ()
    training: Protocol | None = None
    update: Update | None = None
    calibration: Calibration | None = None
    looks: tuple[Look, ...] = ()
    format: int = field(default=REPORT_FORMAT)

    def to_json(self) -> str:
        """Serialise; the same report gives the same text."""
        return strict_json(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Read what `to_json` wrote.

        Raises:
            ValueError: another report format.
        """
        raw = json.loads(text)
        if raw.get("format") != REPORT_FORMAT:
            raise ValueError(
                f"report format {raw.get('format')!r}; this version reads {REPORT_FORMAT}"
            )
        fidelity = dict(raw["fidelity"])
        fidelity["outputs"] = tuple(OutputFidelity(**row) for row in fidelity["outputs"])
        for each in ("latency", "latency_before"):
            if fidelity.get(each) is not None:
                fidelity[each] = Latency(**fidelity[each])
        return cls(
            input=FileFacts(**raw["input"]),
            artifact=FileFacts(**raw["artifact"]),
            ratio=raw["ratio"],
            output=raw["output"],
            config=raw["config"],
            seed=raw["seed"],
            weights=tuple(_weight_row(row) for row in raw["weights"]),
            kept=tuple(KeptRow(**{**row, "shape": tuple(row["shape"])}) for row in raw["kept"]),
            bytes=BytesByPart(**raw["bytes"]),
            fidelity=Fidelity(**fidelity),
            stages=tuple(StageCost(**row) for row in raw["stages"]),
            versions=raw["versions"],
            notes=tuple(raw["notes"]),
            training=Protocol.from_plain(raw["training"]) if raw.get("training") else None,
            update=Update(**raw["update"]) if raw.get("update") else None,
            calibration=Calibration.from_plain(raw["calibration"])
            if raw.get("calibration")
            else None,
            looks=tuple(Look.from_plain(look) for look in raw.get("looks", ())),
        )


def _weight_row(raw: dict[str, Any]) -> WeightRow:
    operators = tuple(raw.get("operators", ()))
    return WeightRow(**{**raw, "shape": tuple(raw["shape"]), "operators": operators})


def strict_json(raw: dict[str, Any]) -> str:
    """The text of a report: JSON has no NaN and no infinity (RFC 8259), so null stands for them. A list of numbers is one line."""
    text = json.dumps(_finite(raw), indent=1, sort_keys=True, allow_nan=False)
    return _NUMBERS.sub(lambda found: " ".join(found[0].split()), text) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
