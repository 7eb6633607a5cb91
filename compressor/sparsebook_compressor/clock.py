"""Time and memory by stage, and progress to whoever listens."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sparsebook_compressor.progress import STAGES, Listener, Progress, Stage
from sparsebook_compressor.report import StageCost

# Where the whole job stands when a stage begins: shares of the time as seen on VGG-16. Prune, share and encode take turns
# weight by weight.
_BEGINS: dict[Stage, float] = {
    "admit": 0.0,
    "survey": 0.05,
    "plan": 0.1,
    "prune": 0.2,
    "share": 0.2,
    "encode": 0.2,
    "pack": 0.8,
    "verify": 0.9,
}
_WEIGHTS_BEGIN, _WEIGHTS_END = 0.2, 0.8
# How far one weight is when a stage of it begins.
_WITHIN_WEIGHT: dict[Stage, float] = {"prune": 0.0, "share": 0.25, "encode": 0.6, "pack": 0.95}


class Clock:
    """Adds up the seconds of every stage and reports what is running."""

    def __init__(self, listener: Listener | None) -> None:
        """Tell `listener`, if any, about every stage and weight."""
        self._listener = listener
        self._seconds: dict[Stage, float] = {}
        self._peaks: dict[Stage, int] = {}
        self._weight: str | None = None
        self._begins = self._ends = 0.0
        self._fraction = 0.0

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Time a stage; a stage may run several times."""
        self._fraction = max(self._fraction, self._at(stage))
        self._tell(stage)
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - began
            self._peaks[stage] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    @contextmanager
    def weight(self, name: str, begins: float, ends: float) -> Iterator[None]:
        """Say which weight is worked on, and which shares of all elements are done before and after it."""
        self._weight, self._begins, self._ends = name, begins, ends
        try:
            yield
        finally:
            self._weight = None

    def costs(self) -> tuple[StageCost, ...]:
        """Seconds and peak resident bytes of every stage that ran, in the order of the flow."""
        return tuple(
            StageCost(stage, self._seconds[stage], self._peaks[stage])
            for stage in STAGES
            if stage in self._seconds
        )

    def _at(self, stage: Stage) -> float:
        if self._weight is None:
            return _BEGINS[stage]
        done = self._begins + (self._ends - self._begins) * _WITHIN_WEIGHT.get(stage, 0.0)
        return _WEIGHTS_BEGIN + (_WEIGHTS_END - _WEIGHTS_BEGIN) * done

    def _tell(self, stage: Stage) -> None:
        if self._listener is not None:
            self._listener(Progress(stage, self._weight, self._fraction))
