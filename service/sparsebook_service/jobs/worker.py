"""The process of a worker that runs jobs: `sparsebook worker --queue compress`.

It shares the work with every other host on the same Postgres and the same bucket, serves no HTTP, and ends at SIGTERM, SIGINT
or SIGHUP; what it runs then goes on elsewhere.
"""

import shutil
import signal
import threading
from types import FrameType

import structlog

from sparsebook_compressor.errors import BadValue
from sparsebook_service import logs
from sparsebook_service.claim import claim_worker, opening
from sparsebook_service.database import open_database
from sparsebook_service.finetune.queue import TrainingQueue
from sparsebook_service.finetune.repository import TrainingRepository
from sparsebook_service.finetune.service import Trainings
from sparsebook_service.hosts import identity
from sparsebook_service.hosts.heartbeats import Room
from sparsebook_service.housekeeping import Housekeeper
from sparsebook_service.jobs import nursery, recovery
from sparsebook_service.jobs.leftovers import Leftovers
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.runner import Runner
from sparsebook_service.jobs.workflow import QUEUE, Queue
from sparsebook_service.leaving import stop_on_hangup
from sparsebook_service.metrics import Metrics, shown
from sparsebook_service.s3 import open_storage
from sparsebook_service.settings import Settings

log = structlog.get_logger(__name__)


def work(chosen: Settings) -> None:
    """Run jobs until SIGTERM, SIGINT or SIGHUP.

    Raises:
        BadValue: there is no shared database, or it, the storage, the data folder or the address for metrics cannot be used.
    """
    if chosen.database_url is None:
        raise BadValue(
            "--queue compress shares jobs through Postgres: set SPARSEBOOK_DATABASE_URL (and SPARSEBOOK_STORAGE, where the "
            "hosts share no folder); on one machine `sparsebook serve` runs jobs by itself"
        )
    stop = threading.Event()

    def asked(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, asked)
    stop_on_hangup()
    with claim_worker(chosen.data_dir, QUEUE) as name:
        logs.configure(chosen.log_format, chosen.log_level)
        metrics = Metrics(None)
        with shown(metrics.registry, chosen.host, chosen.worker_metrics_port) as at:
            _serve(chosen, name, stop, metrics, at)


def _serve(
    chosen: Settings, name: str, stop: threading.Event, metrics: Metrics, shown_at: str | None
) -> None:
    folder = chosen.data_dir / name
    recovery.empty_work(folder)
    nursery.start()
    with opening(chosen.data_dir):
        engine = open_database(chosen.database_url, chosen.database_file)
        storage = open_storage(chosen)
        repository = Repository(engine)
        trainings = Trainings(
            storage,
            TrainingRepository(engine),
            TrainingQueue(engine),
            data_dir=chosen.data_dir,
            worker_comes=lambda: False,
        )
        runner = Runner(chosen, storage, repository, trainings, None, metrics, folder)
        executor = identity.executor(chosen.data_dir, name, shared=True)
        room = Room(chosen.workers, chosen.memory_bytes)
        queue = Queue(engine, runner.run, room, executor, chosen.host_lost_seconds)
    most_memory = chosen.job_address_space_bytes
    leftovers = Leftovers(storage, trainings)
    lost = recovery.Lost(leftovers, repository, queue, runner.running, most_memory)
    housekeepers = (
        Housekeeper(
            "punctual",
            queue.sweep,
            lambda: trainings.lost_hosts(chosen.host_lost_seconds),
            lost.take_up,
            lambda: trainings.take_up_lost(chosen.host_lost_seconds),
        ),
        Housekeeper("patient", leftovers.clear),
    )
    log.info(
        "worker ready",
        worker=executor,
        jobs=room.at_once,
        memory_bytes=room.memory,
        metrics=shown_at,
    )
    stop.wait()
    runner.close()
    for housekeeper in housekeepers:
        housekeeper.close()
    queue.close()
    runner.join()
    trainings.close()
    nursery.close()
    shutil.rmtree(folder, ignore_errors=True)
