"""Brings table, files and queue into step: after a start, however the last run has ended, and now and then."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from sparsebook_compressor.errors import StorageFull
from sparsebook_service import problems
from sparsebook_service.jobs import keys
from sparsebook_service.jobs.keeping import (
    bytes_after_failure,
    keep_after_failure,
    keep_after_success,
    keeps_upload,
)
from sparsebook_service.jobs.leftovers import Leftovers
from sparsebook_service.jobs.needs import memory_bytes
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.table import JobRow
from sparsebook_service.jobs.workflow import Queue
from sparsebook_service.storage import Storage

log = structlog.get_logger(__name__)


# Where other hosts may be taking an upload now, files without a job are nobody's only after so long.
ORPHAN_SECONDS = 86_400.0
ROWS_AT_ONCE = 500


def tidy(storage: Storage, repository: Repository, *, shared: bool) -> None:
    """Remove the files that no job needs: half-written ones, and those of jobs that have ended.

    Args:
        storage: of the files; its folders are listed once.
        repository: of the jobs; it is asked for many of them at a time.
        shared: other hosts work here too, or this one already. Otherwise call it before anything runs or is uploaded.
    """
    found = storage.parts(keys.JOBS)
    names = sorted(found)
    for start in range(0, len(names), ROWS_AT_ONCE):
        some = names[start : start + ROWS_AT_ONCE]
        rows = repository.rows(some)
        for job_id in some:
            row = rows.get(job_id)
            if row is not None:
                _tidy_job(storage, row, found[job_id])
            elif not shared or _is_old(storage, job_id):
                storage.remove(keys.job(job_id))


def _tidy_job(storage: Storage, row: JobRow, parts: set[str]) -> None:
    """Remove what a job that has ended does not need, where it has any of that."""
    if row.state == "cancelled":
        storage.remove(keys.job(row.id))
    elif row.state == "succeeded" and keys.INPUT in parts:
        keep_after_success(storage, row)
    elif row.state == "failed":
        kept = {keys.INPUT} if keeps_upload(row) else set()
        kept |= {keys.OUTPUT} if row.result is not None else set()
        if not parts or parts - kept:
            keep_after_failure(storage, row, output=row.result is not None)


def _is_old(storage: Storage, job_id: str) -> bool:
    return time.time() - storage.untouched_since(keys.job(job_id)) > ORPHAN_SECONDS


def empty_work(folder: Path) -> None:
    """Make the folder in which running jobs write, and remove what a crash has left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def requeue(leftovers: Leftovers, repository: Repository, queue: Queue, most_memory: int) -> None:
    """Hand every live job to the queue once more; those it has given up fail.

    The queue knows most of them: this is for a crash between the row and the queue's entry.
    """
    live = repository.live()
    given_up = queue.given_up(row.id for row in live)
    for row in live:
        if row.id in given_up:
            _give_up(leftovers, repository, row)
        else:
            queue.submit(row.id, memory_bytes(row.upload, most_memory))
    if live:
        log.info("jobs taken up again", jobs=len(live) - len(given_up), given_up=len(given_up))


def _give_up(leftovers: Leftovers, repository: Repository, row: JobRow) -> None:
    problem = problems.describe(
        "internal", "the job was given up: it failed too often", keys.address(row.id)
    )
    stored = bytes_after_failure(row, None)
    try:
        failed = repository.fail(row.id, problem.model_dump(), stored=stored)
    except StorageFull:
        # The files first, which makes the room that the row needs.
        leftovers.note(row)
        leftovers.clear()
        failed = repository.fail(row.id, problem.model_dump(), stored=stored)
    if failed:
        leftovers.note(row)


class Lost:
    """Finds jobs that nobody runs.

    Those that this process took and could not start, on a full disk; and those of which the process that accepted them died
    before it could submit them.
    """

    def __init__(
        self,
        leftovers: Leftovers,
        repository: Repository,
        queue: Queue,
        running: Callable[[], set[str]],
        most_memory: int,
    ) -> None:
        """`running` gives the jobs that are run in this process now; a job uses `most_memory` bytes at most."""
        self._most_memory = most_memory
        self._leftovers = leftovers
        self._repository = repository
        self._queue = queue
        self._running = running
        self._suspects: set[str] = set()

    def take_up(self) -> None:
        """Put them back into the queue. Call it now and then.

        A job must be found lost twice, because one that has just been taken may not have been begun yet.
        """
        live = self._repository.live()
        running = self._running()
        idle = {row.id: row for row in live if row.id not in running}
        for job_id in self._queue.given_up(idle):
            _give_up(self._leftovers, self._repository, idle[job_id])
        lost = self._queue.claimed(idle)
        for job_id in (lost & self._suspects) - self._running():
            self._queue.resume(job_id)
            log.warning("job taken up again", job=job_id)
        unticketed = self._queue.unticketed(idle)
        for job_id in unticketed & self._suspects:
            memory = memory_bytes(idle[job_id].upload, self._most_memory)
            self._queue.submit(job_id, memory)
            log.warning("job submitted again", job=job_id)
        found = lost | unticketed
        self._suspects = found - self._suspects
