"""Progress of a running compression: what it is doing now and how far it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Stage: TypeAlias = Literal[
    "admit", "survey", "plan", "prune", "retrain", "share", "tune", "encode", "pack", "verify"
]

STAGES: tuple[Stage, ...] = (
    "admit",
    "survey",
    "plan",
    "prune",
    "retrain",
    "share",
    "tune",
    "encode",
    "pack",
    "verify",
)


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training is.

    Attributes:
        epoch: the one that runs, from 1; 0 before the first.
        epochs: how many are planned at most.
        fraction: of this training, 0 to 1.
        loss: mean training loss of the epoch so far; None before there is one.
        metric: of the state after the last whole epoch, on the eval part; None before there is one.
        samples_per_second: training samples; None before they can be counted.
    """

    epoch: int
    epochs: int
    fraction: float
    loss: float | None
    metric: float | None
    samples_per_second: float | None


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a job.

    Attributes:
        stage: the stage that is running.
        weight: the weight it works on, or None between weights.
        fraction: of the whole job, 0 to 1, never falling.
        training: how far the training of `retrain` or `tune` is; None in every other stage.
    """

    stage: Stage
    weight: str | None
    fraction: float
    training: TrainingProgress | None = None


Listener: TypeAlias = Callable[[Progress], None]
