"""The parts of a running service, opened and closed together."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, cast

import sqlalchemy as sa
from fastapi import Depends, Request

from sparsebook_service.access.repository import KeyRepository
from sparsebook_service.access.service import Doorkeeper
from sparsebook_service.claim import opening
from sparsebook_service.database import open_database
from sparsebook_service.finetune.queue import TrainingQueue
from sparsebook_service.finetune.repository import TrainingRepository
from sparsebook_service.finetune.service import Trainings
from sparsebook_service.finetune.supervisor import Supervisor
from sparsebook_service.hosts import identity
from sparsebook_service.hosts.heartbeats import Room
from sparsebook_service.housekeeping import Housekeeper
from sparsebook_service.jobs import nursery, recovery
from sparsebook_service.jobs.bell import Bell
from sparsebook_service.jobs.cache import Cache
from sparsebook_service.jobs.deadlines import Deadlines
from sparsebook_service.jobs.feed import Feed
from sparsebook_service.jobs.leftovers import Leftovers
from sparsebook_service.jobs.quotas import Quotas
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.retention import forgetting, look_seconds
from sparsebook_service.jobs.runner import Runner
from sparsebook_service.jobs.service import Jobs
from sparsebook_service.jobs.trials import Trials
from sparsebook_service.jobs.workflow import EXECUTOR, Queue
from sparsebook_service.metrics import Metrics
from sparsebook_service.pace import once, paced
from sparsebook_service.resumable.store import Uploads
from sparsebook_service.s3 import open_storage
from sparsebook_service.settings import Settings
from sparsebook_service.storage import Storage
from sparsebook_service.webhooks.courier import Courier
from sparsebook_service.webhooks.repository import WebhookRepository
from sparsebook_service.webhooks.sender import Sender

# Listing a bucket costs money; what is swept there waits.
SWEEP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Services:
    """What the endpoints work with."""

    settings: Settings
    storage: Storage
    repository: Repository
    metrics: Metrics
    bell: Bell
    feed: Feed
    runner: Runner
    queue: Queue
    jobs: Jobs
    uploads: Uploads
    trainings: Trainings
    supervisor: Supervisor
    housekeepers: tuple[Housekeeper, ...]
    doorkeeper: Doorkeeper
    quotas: Quotas
    webhooks: WebhookRepository
    courier: Courier
    trials: Trials

    @classmethod
    def open(cls, settings: Settings, loop: asyncio.AbstractEventLoop) -> "Services":
        """Start everything, in a data folder that is claimed. Blocks: call it in a thread."""
        nursery.start()
        bell = Bell(loop)
        with opening(settings.data_dir):
            supervisor = Supervisor(settings)
            kept = _Kept.open(settings, supervisor)
            storage, repository, trainings = kept.storage, kept.repository, kept.trainings
            metrics = Metrics(repository.count_by_state)
            feed = Feed(repository, bell)
            metrics.count_listeners(lambda: feed.listeners)
            metrics.count_trainings(trainings.by_state)
            runner = Runner(settings, storage, repository, trainings, bell, metrics)
            tidy = kept.tidied(settings)
            queue = _queue(settings, kept, runner)
        most_memory = settings.job_address_space_bytes
        leftovers = Leftovers(storage, trainings)
        recovery.requeue(leftovers, repository, queue, most_memory)
        supervisor.start()
        quotas = Quotas(settings, repository, kept.keys)
        jobs = Jobs(
            storage,
            repository,
            queue,
            trainings,
            bell,
            metrics,
            quotas,
            Cache(storage, repository, settings.runtimes),
            kept.webhooks,
            most_memory=most_memory,
        )
        uploads = Uploads(settings, storage)
        deadlines = Deadlines(repository, leftovers, bell)
        lost = recovery.Lost(leftovers, repository, queue, runner.running, most_memory)
        return cls(
            settings=settings,
            storage=storage,
            repository=repository,
            metrics=metrics,
            bell=bell,
            feed=feed,
            runner=runner,
            queue=queue,
            jobs=jobs,
            uploads=uploads,
            trainings=trainings,
            supervisor=supervisor,
            housekeepers=(
                _punctual(settings, queue, trainings, deadlines, lost),
                _patient(settings, kept, queue, jobs, uploads, leftovers, tidy),
            ),
            doorkeeper=Doorkeeper(kept.keys),
            quotas=quotas,
            webhooks=kept.webhooks,
            trials=Trials(settings, storage),
            courier=Courier(
                kept.webhooks, repository, _sender(settings), settings.webhook_pauses, loop
            ),
        )

    def close(self) -> None:
        """Stop everything; jobs and trainings that run are taken up again at the next start. Blocks."""
        # First word to all, then wait for each: they take their time at the same time.
        self.bell.close()
        self.runner.close()
        self.trials.close()
        self.supervisor.stop()
        for housekeeper in self.housekeepers:
            housekeeper.close()
        self.courier.close()
        self.queue.close()
        self.runner.join()
        self.trainings.close()
        self.supervisor.close()
        nursery.close()


@dataclass(frozen=True, slots=True)
class _Kept:
    """What outlives the process: the database with its tables, and the storage."""

    engine: sa.Engine
    storage: Storage
    repository: Repository
    keys: KeyRepository
    webhooks: WebhookRepository
    trainings: Trainings

    @classmethod
    def open(cls, settings: Settings, supervisor: Supervisor) -> "_Kept":
        engine = open_database(settings.database_url, settings.database_file)
        storage = open_storage(settings)
        trainings = Trainings(
            storage,
            TrainingRepository(engine),
            TrainingQueue(engine),
            data_dir=settings.data_dir,
            worker_comes=lambda: supervisor.worker_comes,
        )
        return cls(
            engine,
            storage,
            Repository(engine),
            KeyRepository(engine),
            WebhookRepository(engine),
            trainings,
        )

    def tidied(self, settings: Settings) -> Callable[[], None] | None:
        """Take away what an earlier process has left; what is still to be done, where others use the storage too."""
        recovery.empty_work(settings.work_dir)
        shared = settings.database_url is not None or settings.storage is not None
        tidy = partial(recovery.tidy, self.storage, self.repository, shared=shared)
        if not shared:
            tidy()
        wanting = self.trainings.wanting()  # before the jobs, or it could hold one that is younger
        self.trainings.release_ended(wanting - {row.id for row in self.repository.live()})
        return tidy if shared else None


def _queue(settings: Settings, kept: _Kept, runner: Runner) -> Queue:
    room = Room(settings.workers, settings.memory_bytes) if settings.serve_jobs else Room(0, 0)
    shared = settings.database_url is not None
    name = identity.executor(settings.data_dir, EXECUTOR, shared=shared)
    return Queue(kept.engine, runner.run, room, name, settings.host_lost_seconds)


def _punctual(
    settings: Settings,
    queue: Queue,
    trainings: Trainings,
    deadlines: Deadlines,
    lost: recovery.Lost,
) -> Housekeeper:
    return Housekeeper(
        "punctual",
        deadlines.enforce,
        queue.sweep,
        lambda: trainings.lost_hosts(settings.host_lost_seconds),
        lost.take_up,
        lambda: trainings.take_up_lost(settings.host_lost_seconds),
    )


def _patient(
    settings: Settings,
    kept: _Kept,
    queue: Queue,
    jobs: Jobs,
    uploads: Uploads,
    leftovers: Leftovers,
    tidy: Callable[[], None] | None,
) -> Housekeeper:
    """For what waits for the storage, which may be slow."""
    repository, trainings = kept.repository, kept.trainings
    sweep = trainings.sweep
    pace = look_seconds(settings.retention_days)
    return Housekeeper(
        "patient",
        leftovers.clear,
        sweep if settings.storage is None else paced(sweep, SWEEP_SECONDS),
        uploads.sweep,
        forgetting(settings.retention_days, repository, jobs.forget),
        paced(lambda: queue.forget_ended(repository.live_among), pace),
        paced(trainings.forget_ended, pace),
        paced(lambda: queue.end_stranded(repository.live_among), pace),
        paced(trainings.end_stranded, pace),
        *([] if tidy is None else [once(tidy)]),
    )


def _sender(settings: Settings) -> Sender | None:
    secret = settings.webhook_secret
    if secret is None:
        return None
    timeout = settings.webhook_timeout_seconds
    return Sender(secret.get_secret_value(), settings.webhook_allow, timeout)


async def _of_request(
    request: Request,
) -> Services:  # async, or every request would wait for a thread
    return cast("Services", request.app.state.services)


ServicesDep = Annotated[Services, Depends(_of_request)]
