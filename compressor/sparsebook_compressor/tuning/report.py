"""The report of a tuning: how far the centroids went, and what it brought; plain data, JSON in and out."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from sparsebook_compressor.protocol import Protocol
from sparsebook_compressor.report import FileFacts, StageCost, strict_json

TUNING_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a weight's centroids went. Moves are shares of the codebook's root mean square before.

    Attributes:
        name, shape: of the weight.
        centroids: how many it has, besides zero.
        codebook_rms: root mean square of its centroids before.
        rms: root mean square of the moves.
        largest: the largest move.
    """

    name: str
    shape: tuple[int, ...]
    centroids: int
    codebook_rms: float
    rms: float
    largest: float


@dataclass(frozen=True, slots=True)
class TuningReport:
    """What was done to an artifact and what came of it.

    Attributes:
        input, artifact: the file before and after.
        output: "operator" or "portable".
        config: as given.
        seed: of the samples' order.
        drift: of every coded weight.
        training: the whole protocol; its stages are "artifact" and "tuned".
        stages: time and memory of this process.
        versions: of everything that shapes the result.
        notes: remarks for the reader.
    """

    input: FileFacts
    artifact: FileFacts
    output: str
    config: dict[str, Any]
    seed: int
    drift: tuple[Drift, ...]
    training: Protocol
    stages: tuple[StageCost, ...]
    versions: dict[str, str]
    notes: tuple[str, ...] = ()
    kind: str = "tuning"
    format: int = field(default=TUNING_FORMAT)

    @property
    def metric_before(self) -> float | None:
        """Of the artifact that was handed in, on the test part; None where it is no finite number."""
        return self.training.metric_before

    @property
    def metric_after(self) -> float | None:
        """Of the tuned artifact, likewise."""
        return self.training.metric_after

    def to_json(self) -> str:
        """Serialise; the same report gives the same text."""
        return strict_json(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "TuningReport":
        """Read what `to_json` wrote.

        Raises:
            ValueError: another format, or the report of a compression.
        """
        raw = json.loads(text)
        if (raw.get("kind"), raw.get("format")) != ("tuning", TUNING_FORMAT):
            raise ValueError(
                f"report of kind {raw.get('kind')!r}, format {raw.get('format')!r}; this is for 'tuning', {TUNING_FORMAT}"
            )
        changed = {
            "input": FileFacts(**raw["input"]),
            "artifact": FileFacts(**raw["artifact"]),
            "drift": tuple(Drift(**{**row, "shape": tuple(row["shape"])}) for row in raw["drift"]),
            "training": Protocol.from_plain(raw["training"]),
            "stages": tuple(StageCost(**row) for row in raw["stages"]),
            "notes": tuple(raw["notes"]),
        }
        return cls(**{**raw, **changed})
