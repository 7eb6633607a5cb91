"""Numbers for Prometheus of what one fine-tuning worker runs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sparsebook_service.finetune import problems

# What has become of one run of a training here: it has its result; it cannot be done; no job wants it any more; or it goes
# on later or elsewhere, because the worker stops or was taken for lost.
Ending: TypeAlias = Literal["succeeded", "failed", "unwanted", "interrupted"]
Death: TypeAlias = Literal["memory", "other"]


class TrainingMetrics:
    """The metrics of one worker, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._running = Gauge(
            "sparsebook_trainings_running", "Trainings that run here", registry=self.registry
        )
        self._ended = Counter(
            "sparsebook_trainings_ended",
            "Runs of trainings that have ended here, by how",
            ["how"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "sparsebook_training_seconds",
            "Seconds that a run of a training took here, however it ended",
            buckets=(1, 5, 10, 30, 60, 300, 600, 1800, 3600, 4 * 3600, 12 * 3600, 24 * 3600),
            registry=self.registry,
        )
        self._deaths = Counter(
            "sparsebook_trainer_deaths",
            "Trainer programs that ended without a last word, by cause",
            ["cause"],
            registry=self.registry,
        )
        # What has not happened yet is 0, not absent: rates begin with the first.
        for how in get_args(Ending):
            self._ended.labels(how)
        for cause in get_args(Death):
            self._deaths.labels(cause)

    @contextmanager
    def training(self) -> Iterator["Run"]:
        """Count a run of a training, the block, which says how it ended; `interrupted` where it is left without a word."""
        run = Run()
        started = time.monotonic()
        with self._running.track_inprogress():
            try:
                yield run
            finally:
                self._seconds.observe(time.monotonic() - started)
                self._ended.labels(run.ending).inc()

    def trainer_died(self, how: str) -> None:
        """Count a trainer program that died; `how` is of `problems.death`."""
        cause: Death = "memory" if how == problems.MEMORY else "other"
        self._deaths.labels(cause).inc()


class Run:
    """How one run ends; whoever knows sets it."""

    def __init__(self) -> None:
        self.ending: Ending = "interrupted"
