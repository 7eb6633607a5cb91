"""What fine-tuning did, for the report: enough for a referee to do it again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sparsebook_compressor.errors import NotTrainable

ORIGINAL, PRUNED, RETRAINED, SHARED, TUNED, ARTIFACT = (
    "original",
    "pruned",
    "retrained",
    "shared",
    "tuned",
    "artifact",
)


@dataclass(frozen=True, slots=True)
class EpochRow:
    """An epoch of a phase, on the train part (loss) and the eval part (the rest); epoch 0 is before training."""

    epoch: int
    loss: float | None
    eval_loss: float | None
    metric: float | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A training order of which nothing was kept, because it was carried out again at a lower rate; as in `Phase`."""

    learning_rate: float
    epochs: tuple[EpochRow, ...]
    kept_epoch: int
    ended: str


@dataclass(frozen=True, slots=True)
class CutRow:
    """What a round of pruning did to a weight.

    Attributes:
        number: of the round, from 1; or of the point of a budget search.
        weight: its name.
        threshold: elements of a larger magnitude survive, and of those of just this magnitude the first ones, up to the
            density; None where nothing survives.
        survivors: how many do.
    """

    number: int
    weight: str
    threshold: float | None
    survivors: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A training that the worker refused, or failed in, when others had been carried out; the course went on without it.

    Attributes:
        stage, number: as in `Phase`.
        reason: the worker's.
        problem: the slug of a problem type: "not-trainable" where it refused the graph.
    """

    stage: str
    number: int
    reason: str
    problem: str = NotTrainable.problem


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
        retried: the orders before this one, whose rates were higher.
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
    retried: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class StageMetric:
    """The metric on the test part after a stage; `drop` is against the original. None is what is no finite number."""

    stage: str
    metric: float | None
    drop: float | None

    @classmethod
    def after(cls, stage: str, metric: float | None, original: float | None) -> "StageMetric":
        """With the drop against the original's metric."""
        drop = None if metric is None or original is None else original - metric
        return cls(stage, metric, drop)


@dataclass(frozen=True, slots=True)
class PointWeight:
    """What a weight is at a point of a budget search.

    Attributes:
        name: of the weight.
        density: of its elements.
        bits: of its codes, where it is shared.
    """

    name: str
    density: float
    bits: int


@dataclass(frozen=True, slots=True)
class Point:
    """A point that a budget search evaluated.

    Attributes:
        number: in the order of evaluation, from 1.
        bytes: of the coded weights.
        ratio: their bytes before over those after.
        density: of all planned weights together.
        metric, drop: on the eval part; None where the metric is no finite number, which meets no budget.
        met: whether the drop is within the budget.
        chosen: whether the artifact is made of it.
        plan: every planned weight.
    """

    number: int
    bytes: int
    ratio: float
    density: float
    metric: float | None
    drop: float | None
    met: bool
    chosen: bool
    plan: tuple[PointWeight, ...] = ()


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
        original: the original on the eval part, before anything was done to it.
        selection: by which rule an epoch's state is kept, in words.
        cuts: what every round of pruning did to every weight.
        refused: trainings that the worker refused, or failed in.
        unfelt: weights that the loss does not depend on, so that a budget search left them as the plan had them.
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
    original: EpochRow | None = None
    selection: str = ""
    cuts: tuple[CutRow, ...] = ()
    refused: tuple[Refusal, ...] = ()
    unfelt: tuple[str, ...] = ()

    @classmethod
    def from_plain(cls, raw: dict[str, Any]) -> "Protocol":
        """Build it from what `dataclasses.asdict` and JSON made of it."""
        changed: dict[str, Any] = {
            "stages": tuple(StageMetric(**row) for row in raw["stages"]),
            "phases": tuple(_phase(row) for row in raw["phases"]),
            "points": tuple(_point(row) for row in raw["points"]),
            "frozen": tuple((name, reason) for name, reason in raw["frozen"]),
            "rewritten": tuple(raw["rewritten"]),
            "cuts": tuple(CutRow(**row) for row in raw.get("cuts", ())),
            "refused": tuple(Refusal(**row) for row in raw.get("refused", ())),
            "unfelt": tuple(raw.get("unfelt", ())),
        }
        if raw.get("original"):
            changed["original"] = EpochRow(**raw["original"])
        return cls(**{**raw, **changed})

    @property
    def metric_before(self) -> float | None:
        """Of the original, on the test part."""
        return self.stages[0].metric

    @property
    def metric_after(self) -> float | None:
        """Of the artifact, on the test part."""
        return self.stages[-1].metric


def _phase(raw: dict[str, Any]) -> Phase:
    retried = (
        Attempt(**{**row, "epochs": _epochs(row["epochs"])}) for row in raw.get("retried", ())
    )
    return Phase(**{**raw, "epochs": _epochs(raw["epochs"]), "retried": tuple(retried)})


def _point(raw: dict[str, Any]) -> Point:
    return Point(**{**raw, "plan": tuple(PointWeight(**row) for row in raw.get("plan", ()))})


def _epochs(rows: list[dict[str, Any]]) -> tuple[EpochRow, ...]:
    return tuple(EpochRow(**row) for row in rows)
