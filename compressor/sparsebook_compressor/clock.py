"""Time and memory by stage, and progress to whoever listens."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sparsebook_compressor.progress import STAGES, Listener, Progress, Stage, TrainingProgress
from sparsebook_compressor.report import StageCost

# From where to where the whole job goes in a stage: shares of the time as seen on VGG-16. Prune, share and encode take
# turns weight by weight.
_WEIGHTS = (0.2, 0.8)
_WITHOUT_TRAINING: dict[Stage, tuple[float, float]] = {
    "admit": (0.0, 0.05),
    "survey": (0.05, 0.1),
    "plan": (0.1, 0.2),
    "prune": _WEIGHTS,
    "retrain": _WEIGHTS,
    "share": _WEIGHTS,
    "tune": _WEIGHTS,
    "encode": _WEIGHTS,
    "pack": (0.8, 0.9),
    "verify": (0.9, 1.0),
}
# Training takes nearly all of the time there is, and stages follow each other over all weights.
_WITH_TRAINING: dict[Stage, tuple[float, float]] = {
    "admit": (0.0, 0.01),
    "survey": (0.01, 0.02),
    "plan": (0.02, 0.03),
    "prune": (0.03, 0.05),
    "retrain": (0.05, 0.55),
    "share": (0.55, 0.6),
    "tune": (0.6, 0.9),
    "encode": (0.9, 0.94),
    "pack": (0.94, 0.96),
    "verify": (0.96, 1.0),
}
# How far one weight is when a stage of it begins, where they take turns.
_WITHIN_WEIGHT: dict[Stage, float] = {"prune": 0.0, "share": 0.25, "encode": 0.6, "pack": 0.95}


class Clock:
    """Adds up the seconds of every stage and reports what is running."""

    def __init__(self, listener: Listener | None, *, training: bool = False) -> None:
        """Tell `listener`, if any, about every stage and weight; `training` says whether any stage trains."""
        self._listener = listener
        self._training = training
        self._extents = _WITH_TRAINING if training else _WITHOUT_TRAINING
        self._passes: list[tuple[float, float, int, int]] = []
        self._seconds: dict[Stage, float] = {}
        self._peaks: dict[Stage, int] = {}
        self._stage: Stage = "admit"
        self._weight: str | None = None
        self._begins = self._ends = 0.0
        self._fraction = 0.0

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Time a stage; a stage may run several times."""
        self._stage = stage
        self._tell(self._within_stage())
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - began
            self._peaks[stage] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def show(self, stage: Stage) -> None:
        """Report a stage that another thread works on, and measures."""
        self._stage = stage
        self._tell(self._within_stage())

    def add(self, other: "Clock") -> None:
        """Count what another clock measured, in a thread of its own; seconds of threads that run side by side add up."""
        for stage, seconds in other._seconds.items():
            self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds
            self._peaks[stage] = max(self._peaks.get(stage, 0), other._peaks[stage])

    @contextmanager
    def weight(self, name: str, begins: float, ends: float) -> Iterator[None]:
        """Say which weight is worked on, and which shares of all elements are done before and after it."""
        self._weight, self._begins, self._ends = name, begins, ends
        try:
            yield
        finally:
            self._weight = None

    @contextmanager
    def one_of(self, number: int, total: int, first: Stage, last: Stage) -> Iterator[None]:
        """Inside, the stages `first` to `last` run once of `total` times; `number` counts from 0.

        A prune-retrain round, or a point of a budget search. They nest: the outer one is entered first.
        """
        begins, ends = self._extents[first][0], self._extents[last][1]
        self._passes.append((begins, ends, number, total))
        try:
            yield
        finally:
            self._passes.pop()

    def training(self, step: TrainingProgress) -> None:
        """Report how far the training of the running stage is; the listener of a `Trainer`."""
        self._tell(step.fraction, step)

    def costs(self) -> tuple[StageCost, ...]:
        """Seconds and peak resident bytes of every stage that ran, in the order of the flow."""
        return tuple(
            StageCost(stage, self._seconds[stage], self._peaks[stage])
            for stage in STAGES
            if stage in self._seconds
        )

    def _within_stage(self) -> float:
        """How far the running stage is when it begins with this weight."""
        if self._weight is None:
            return 0.0
        within = 0.0 if self._training else _WITHIN_WEIGHT.get(self._stage, 0.0)
        return self._begins + (self._ends - self._begins) * within

    def _at(self, within_stage: float) -> float:
        """How far the whole job is."""
        extent = self._extents[self._stage]
        if self._weight is not None and not self._training:
            extent = _WEIGHTS
        at = extent[0] + (extent[1] - extent[0]) * within_stage
        for begins, ends, number, total in reversed(self._passes):
            if begins <= at <= ends:
                at = begins + (number * (ends - begins) + at - begins) / total
        return at

    def _tell(self, within_stage: float, training: TrainingProgress | None = None) -> None:
        self._fraction = max(self._fraction, self._at(within_stage))
        if self._listener is not None:
            self._listener(Progress(self._stage, self._weight, self._fraction, training))
