"""Progress of a running compression: what it is doing now and how far it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Stage: TypeAlias = Literal["admit", "survey", "plan", "prune", "share", "encode", "pack", "verify"]

STAGES: tuple[Stage, ...] = (
    "admit",
    "survey",
    "plan",
    "prune",
    "share",
    "encode",
    "pack",
    "verify",
)


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a job.

    Attributes:
        stage: the stage that is running.
        weight: the weight it works on, or None between weights.
        fraction: of the whole job, 0 to 1, never falling.
    """

    stage: Stage
    weight: str | None
    fraction: float


Listener: TypeAlias = Callable[[Progress], None]
