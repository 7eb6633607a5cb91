"""What fine-tuning did, for the report: enough for a referee to do it again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class EpochRow:
    """An epoch of a phase, on the train part (loss) and the eval part (the rest); epoch 0 is before training."""

    epoch: int
    loss: float | None
    eval_loss: float | None
    metric: float | None


@dataclass(frozen=True, slots=True)
class Phase:
    """One training order.

    Attributes:
        stage: "retrain" or "tune".
        number: which round of pruning, from 1; or which point of a budget search.
        density: of all planned weights together, after the pruning that went before.
        learning_rate: at the start; it was lowered `retries` times because nothing better came of higher ones.
        kept_epoch: whose state was kept.
        ended: "finished", "patience" or "diverged".
        samples_per_second: of training, evaluation not counted.
    """

    stage: str
    number: int
    density: float
    learning_rate: float
    retries: int
    epochs: tuple[EpochRow, ...]
    kept_epoch: int
    ended: str
    seconds: float
    samples_per_second: float | None
    device: str


@dataclass(frozen=True, slots=True)
class StageMetric:
    """The metric on the test part after a stage; `drop` is against the original."""

    stage: str
    metric: float
    drop: float


@dataclass(frozen=True, slots=True)
class Point:
    """A point that a budget search evaluated.

    Attributes:
        number: in the order of evaluation, from 1.
        bytes: of the coded weights.
        ratio: their bytes before over those after.
        density: of all planned weights together.
        metric, drop: on the eval part.
        met: whether the drop is within the budget.
        chosen: whether the artifact is made of it.
    """

    number: int
    bytes: int
    ratio: float
    density: float
    metric: float
    drop: float
    met: bool
    chosen: bool


@dataclass(frozen=True, slots=True)
class Protocol:
    """The whole of it.

    Attributes:
        loss, metric: in words.
        splits: samples by part, and where each part came from.
        settings: epochs, learning rates, batch size, optimizer and the rest, as settled.
        stages: the metric on the test part, which was read once, when plan and weights were frozen.
        phases: every training order.
        points: every point of the budget search; empty without one.
        frozen: weights that were not trained, each with the reason.
        rewritten: what was changed in the training graph, which is no part of the artifact.
        versions: of the worker.
    """

    loss: str
    metric: str
    splits: Mapping[str, Any]
    settings: Mapping[str, Any]
    stages: tuple[StageMetric, ...]
    phases: tuple[Phase, ...]
    points: tuple[Point, ...]
    frozen: tuple[tuple[str, str], ...]
    rewritten: tuple[str, ...]
    versions: Mapping[str, str]

    @classmethod
    def from_plain(cls, raw: dict[str, Any]) -> "Protocol":
        """Build it from what `dataclasses.asdict` and JSON made of it."""
        phases = tuple(
            Phase(**{**phase, "epochs": tuple(EpochRow(**row) for row in phase["epochs"])})
            for phase in raw["phases"]
        )
        changed = {
            "stages": tuple(StageMetric(**row) for row in raw["stages"]),
            "phases": phases,
            "points": tuple(Point(**row) for row in raw["points"]),
            "frozen": tuple((name, reason) for name, reason in raw["frozen"]),
            "rewritten": tuple(raw["rewritten"]),
        }
        return cls(**{**raw, **changed})

    @property
    def metric_before(self) -> float:
        """Of the original, on the test part."""
        return self.stages[0].metric

    @property
    def metric_after(self) -> float:
        """Of the artifact, on the test part."""
        return self.stages[-1].metric
