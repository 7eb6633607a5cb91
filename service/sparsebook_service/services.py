"""The parts of a running service, opened and closed together."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from sparsebook_service.database import open_sqlite
from sparsebook_service.jobs import recovery
from sparsebook_service.jobs.bell import Bell
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.runner import Runner
from sparsebook_service.jobs.service import Jobs
from sparsebook_service.jobs.workflow import Queue
from sparsebook_service.metrics import Metrics
from sparsebook_service.settings import Settings
from sparsebook_service.storage import Storage


@dataclass(frozen=True, slots=True)
class Services:
    """What the endpoints work with."""

    settings: Settings
    storage: Storage
    repository: Repository
    metrics: Metrics
    bell: Bell
    runner: Runner
    queue: Queue
    jobs: Jobs

    @classmethod
    def open(cls, settings: Settings, loop: asyncio.AbstractEventLoop) -> "Services":
        """Start everything, in a data folder that is claimed. Blocks: call it in a thread."""
        engine = open_sqlite(settings.database_file)
        storage = Storage(settings.store_dir)
        repository = Repository(engine)
        metrics = Metrics(repository.count_by_state)
        bell = Bell(loop)
        runner = Runner(settings, storage, repository, bell, metrics)
        recovery.tidy(settings, storage, repository)
        queue = Queue(engine, runner.run, settings.workers)
        recovery.requeue(storage, repository, queue)
        jobs = Jobs(storage, repository, queue, bell, metrics)
        return cls(settings, storage, repository, metrics, bell, runner, queue, jobs)

    def close(self) -> None:
        """Stop everything; jobs that run are taken up again at the next start. Blocks."""
        self.bell.close()
        self.runner.close()
        self.queue.close()


async def _of_request(
    request: Request,
) -> Services:  # async, or every request would wait for a thread
    return cast("Services", request.app.state.services)


ServicesDep = Annotated[Services, Depends(_of_request)]
