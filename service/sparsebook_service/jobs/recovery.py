"""Brings table, files and queue into step after a start, however the last run has ended."""

import shutil

import structlog

from sparsebook_service import problems
from sparsebook_service.jobs import keys
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.workflow import Queue
from sparsebook_service.settings import Settings
from sparsebook_service.storage import Storage

log = structlog.get_logger(__name__)


def tidy(settings: Settings, storage: Storage, repository: Repository) -> None:
    """Remove the files that no job needs: half-written ones, and those of jobs that have ended.

    Call it before anything runs or is uploaded.
    """
    shutil.rmtree(settings.work_dir, ignore_errors=True)
    settings.work_dir.mkdir(parents=True)
    states = repository.states()
    for job_id in storage.folders(keys.JOBS):
        state = states.get(job_id)
        if state in {None, "failed", "cancelled"}:
            storage.remove(keys.job(job_id))
        elif state == "succeeded":
            storage.remove(keys.inputs(job_id))


def requeue(storage: Storage, repository: Repository, queue: Queue) -> None:
    """Hand every live job to the queue once more; those it has given up fail.

    The queue knows most of them: this is for a crash between the row and the queue's entry.
    """
    live = [row.id for row in repository.live()]
    given_up = queue.given_up(live) if live else set()
    for job_id in live:
        if job_id in given_up:
            problem = problems.describe(
                "internal", "the job was given up: it failed too often", keys.address(job_id)
            )
            storage.remove(keys.job(job_id))
            repository.fail(job_id, problem.model_dump())
        else:
            queue.submit(job_id)
    if live:
        log.info("jobs taken up again", jobs=len(live) - len(given_up), given_up=len(given_up))
