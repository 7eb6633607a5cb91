"""Trainings of a data folder as jobs ask for them, and `sparsebook worker` processes that run them."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil

from sparsebook_service.database import open_sqlite
from sparsebook_service.finetune.queue import TrainingQueue
from sparsebook_service.finetune.repository import TrainingRepository
from sparsebook_service.finetune.service import Trainings, View
from sparsebook_service.settings import LOST_SECONDS, Settings
from sparsebook_service.storage import Storage
from tests.e2e.servers import COMMAND
from tests.unit.training.graphs import blobs, pruned_and_shared
from tests.unit.training.worker import Job, Result

SECONDS = 300  # a machine may be busy with other tests


def until(holds: Callable[[], object], what: str) -> None:
    """Wait, on a machine that may be busy with other things."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def order(folder: Path, *, epochs: int = 3, samples: int = 400, seed: int = 0) -> Job:
    """The folders of a small training; at 6,000 samples an epoch takes a good part of a second."""
    job = Job(folder)
    model, parameters, _ = pruned_and_shared()
    job.write_order(model, parameters, epochs=epochs, seed=seed)
    job.write_dataset([blobs(samples, 1), blobs(samples // 2, 2)], [blobs(100, 3)])
    return job


class Worker:
    """A `sparsebook worker` process."""

    def __init__(self, data_dir: Path, log: Path) -> None:
        self._log = log
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [COMMAND, "worker", "--queue", "finetune", "--data-dir", str(data_dir)],
                stderr=stderr,
                env={**os.environ, "SPARSEBOOK_LOG_FORMAT": "json"},
            )
        until(lambda: self.process.poll() is not None or self._is_ready(), "the worker starts")
        assert self.process.poll() is None, log.read_text()

    def _is_ready(self) -> bool:
        return "fine-tuning worker ready" in self.events()

    def events(self) -> list[str]:
        """What it has logged."""
        lines = self._log.read_text().splitlines(keepends=True)
        return [json.loads(line)["event"] for line in lines if line.endswith("\n")]

    def trainers(self) -> list[psutil.Process]:
        """The trainer programs that run for it."""
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "sparsebook_training" in process.cmdline():
                        found.append(process)
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=SECONDS)


class Workshop:
    """A data folder without a service."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.lost_seconds = LOST_SECONDS
        self._workers: list[Worker] = []
        settings = Settings(data_dir=folder / "data")
        settings.data_dir.mkdir()
        self.data_dir = settings.data_dir
        self._engine = open_sqlite(settings.database_file)
        self.storage = Storage(settings.store_dir)
        self.repository = TrainingRepository(self._engine)
        self._queue = TrainingQueue(self._engine)
        self.trainings = Trainings(
            self.storage,
            self.repository,
            self._queue,
            data_dir=self.data_dir,
            worker_comes=lambda: False,
        )

    def worker(self) -> Worker:
        worker = Worker(self.data_dir, self._folder / f"worker-{len(self._workers)}.log")
        self._workers.append(worker)
        return worker

    def ask(self, job: Job, job_id: str = "a") -> str:
        return self.trainings.asking(job_id, lambda: None).ask(job.order, job.dataset)

    def wait(self, training_id: str) -> View:
        """Until it has ended."""
        views: list[View] = []

        def ended() -> bool:
            self.trainings.take_up_lost(self.lost_seconds)
            views.append(self.trainings.look(training_id))
            return views[-1].result is not None or views[-1].error is not None

        until(ended, "the training ends")
        return views[-1]

    def result(self, training_id: str) -> Result:
        view = self.wait(training_id)
        assert view.result is not None, view.error
        return Result(view.result)

    def until_checkpoint(self, training_id: str) -> None:
        """Until the storage holds a whole checkpoint."""
        folder = self.data_dir / "files/finetune" / training_id / "checkpoint"

        def stored() -> bool:
            assert self.trainings.look(training_id).result is None, "it ended too soon"
            return bool(list(folder.glob("*.json")))

        until(stored, "a checkpoint is stored")

    def files(self) -> set[str]:
        """What trainings have in the storage."""
        root = self.data_dir / "files"
        return {
            str(path.relative_to(root))
            for kind in ("finetune", "datasets")
            for path in (root / kind).rglob("*")
            if path.is_file()
        }

    def close(self) -> None:
        for worker in self._workers:
            worker.stop()
        self._queue.close()
        self._engine.dispose()


def same(found: Result, expected: Result) -> bool:
    """Whether two results have the same parameters, to the byte, and went the same way."""
    return (
        found.bytes == expected.bytes
        and found.values["epochs"] == expected.values["epochs"]
        and found.values["kept_epoch"] == expected.values["kept_epoch"]
    )


@contextlib.contextmanager
def workshop(folder: Path) -> Iterator[Workshop]:
    made = Workshop(folder)
    try:
        yield made
    finally:
        made.close()


def labelled(samples: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Data for `models.mlp(20, …, 4)`."""
    return blobs(samples, seed)
