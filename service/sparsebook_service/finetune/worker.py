"""The process of a fine-tuning worker: `sparsebook worker --queue finetune`.

It takes trainings from the queue in the data folder's database and runs the trainer program on each. As a child of
`sparsebook serve` it is `python -P -m sparsebook_service.finetune.worker`, and ends when its standard input is closed.
"""

import os
import shutil
import signal
import sys
import threading
from functools import partial
from types import FrameType

import structlog

from sparsebook_compressor.errors import SparsebookError
from sparsebook_service import logs, settings
from sparsebook_service.claim import claim_worker, opening
from sparsebook_service.database import open_database
from sparsebook_service.finetune import queue
from sparsebook_service.finetune.metrics import TrainingMetrics
from sparsebook_service.finetune.program import Trainer
from sparsebook_service.finetune.repository import TrainingRepository
from sparsebook_service.finetune.run import Tools, run
from sparsebook_service.hosts import identity
from sparsebook_service.hosts.heartbeats import Room
from sparsebook_service.leaving import leave, stop_on_hangup
from sparsebook_service.metrics import shown
from sparsebook_service.s3 import open_storage
from sparsebook_service.settings import Settings

# How often it says that it lives.
LIFE_SECONDS = 1.0

log = structlog.get_logger(__name__)


def main() -> None:
    """Work as a child of the service."""
    threading.Thread(target=_end_with_the_service, daemon=True).start()
    try:
        work(settings.load())
    except SparsebookError as error:
        log.error("the fine-tuning worker cannot start", detail=str(error))
        sys.exit(1)
    leave()


def _end_with_the_service() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGKILL)  # its trainers hear the end of their own standard input


def work(chosen: Settings) -> None:
    """Run trainings until SIGTERM, SIGINT or SIGHUP.

    Raises:
        TrainerMissing: the environment of the trainer is not there, or does not work.
        BadValue: the data folder, or the address for metrics, cannot be used.
    """
    trainer = Trainer.limited(chosen)
    trainer.check()
    stop = threading.Event()

    def asked(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, asked)
    stop_on_hangup()
    is_served = chosen.database_url is not None or chosen.database_file.is_file()
    with claim_worker(chosen.data_dir) as name:
        logs.configure(chosen.log_format, chosen.log_level)
        if not is_served:
            # The worker may well be started first; a folder that is misspelt would be waited in for ever.
            log.warning(
                "no service has worked in this data folder yet, and there is nothing to train until one does; "
                "is --data-dir that of the service?",
                data_dir=str(chosen.data_dir),
            )
        metrics = TrainingMetrics()
        with shown(metrics.registry, chosen.host, chosen.worker_metrics_port) as at:
            _serve(chosen, trainer, name, stop, metrics, at)


def _serve(
    chosen: Settings,
    trainer: Trainer,
    name: str,
    stop: threading.Event,
    metrics: TrainingMetrics,
    shown_at: str | None,
) -> None:
    folder = chosen.data_dir / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with opening(chosen.data_dir):
        engine = open_database(chosen.database_url, chosen.database_file)
        repository = TrainingRepository(engine)
        tools = Tools(trainer, open_storage(chosen), repository, folder, metrics)
        executor = identity.executor(chosen.data_dir, name, shared=chosen.database_url is not None)
        served = queue.serve(
            engine,
            executor,
            partial(run, tools),
            Room(chosen.trainings, chosen.memory_bytes),
            chosen.host_lost_seconds,
        )
    log.info(
        "fine-tuning worker ready", worker=executor, trainings=chosen.trainings, metrics=shown_at
    )
    _live(repository, executor, stop)
    tools.closing.set()
    served.close()
    shutil.rmtree(folder, ignore_errors=True)


def _live(repository: TrainingRepository, name: str, stop: threading.Event) -> None:
    """Say now and then that this worker is there, until it is to stop."""
    while True:
        try:
            repository.worker_lives(name)
        except Exception as fault:  # whatever it is, the next word may be heard
            log.warning("the worker cannot say that it lives", detail=str(fault))
        if stop.wait(LIFE_SECONDS):
            break
    try:
        repository.worker_leaves(name)
    except Exception as fault:
        log.warning("the worker leaves without a word", worker=name, detail=str(fault))


if __name__ == "__main__":
    main()
