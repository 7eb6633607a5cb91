"""What can be done with jobs, free of HTTP."""

import asyncio
import base64
import binascii
import time
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
import structlog

from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import BadValue
from sparsebook_service import problems
from sparsebook_service.access.caller import Caller
from sparsebook_service.errors import Cancelled, IdempotencyConflict, NoResult, UnknownJob
from sparsebook_service.finetune.service import Trainings
from sparsebook_service.intake.parts import Upload
from sparsebook_service.jobs import keys, sizes
from sparsebook_service.jobs.bell import Bell
from sparsebook_service.jobs.cache import Cache
from sparsebook_service.jobs.keeping import keep_after_success
from sparsebook_service.jobs.needs import memory_bytes
from sparsebook_service.jobs.protocol import MadeFile
from sparsebook_service.jobs.quotas import Quotas
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.schemas import Job, JobList, State
from sparsebook_service.jobs.table import JobRow
from sparsebook_service.jobs.terms import Terms
from sparsebook_service.jobs.views import to_job
from sparsebook_service.jobs.workflow import Queue
from sparsebook_service.metrics import Metrics
from sparsebook_service.storage import Storage
from sparsebook_service.webhooks.repository import WebhookRepository

# How often a waiting request looks at the table, beside listening to the bell.
LOOK_SECONDS = 1.0
# Of Postgres' INTEGER.
_MOST_NUMBER = (1 << 31) - 1

log = structlog.get_logger(__name__)


class Jobs:
    """Jobs from admission to deletion. Methods block unless they are `async`: call them in a thread."""

    def __init__(
        self,
        storage: Storage,
        repository: Repository,
        queue: Queue,
        trainings: Trainings,
        bell: Bell,
        metrics: Metrics,
        quotas: Quotas,
        cache: Cache,
        webhooks: WebhookRepository,
        *,
        most_memory: int,
    ) -> None:
        """`most_memory` is what a job may use at most, in bytes."""
        self._most_memory = most_memory
        self._cache = cache
        self._storage = storage
        self._repository = repository
        self._queue = queue
        self._trainings = trainings
        self._bell = bell
        self._metrics = metrics
        self._quotas = quotas
        self._webhooks = webhooks

    @staticmethod
    def new_id() -> str:
        """An id that nobody can guess."""
        return uuid4().hex

    def admit(
        self,
        job_id: str,
        upload: Upload,
        config: Config,
        key: str | None,
        terms: Terms,
    ) -> Job:
        """Accept an upload as a job, or find the job that it repeats.

        Args:
            job_id: of the new job, whose input is in the storage.
            upload: what was uploaded.
            config: what is to be done.
            key: the Idempotency-Key.
            terms: whose it is, and what goes with it.

        Returns:
            The new job, or the one that was accepted under the same key.

        The input's files are removed again unless they belong to a new job now.

        Raises:
            IdempotencyConflict: the key belongs to another request.
            QuotaExceeded: the caller has all that he may have.
            StorageFull: all jobs together keep as much as they may.
        """
        try:
            job = self._admit(job_id, upload, config, key, terms)
        except BaseException:
            self._storage.remove(keys.job(job_id))
            raise
        if job.id != job_id:
            self._storage.remove(keys.job(job_id))
        return job

    def _admit(
        self, job_id: str, upload: Upload, config: Config, key: str | None, terms: Terms
    ) -> Job:
        fingerprint = upload.fingerprint(config)
        cache_key = self._cache.key(fingerprint, terms.caller.key_id)
        # What is to be pushed has to run: only a run of a job pushes.
        again = terms.fresh or terms.push is not None
        cached = None if again else self._cache.answer(cache_key, job_id)
        plain, told = upload.plain(), terms.told(fingerprint)
        row = self._repository.add(
            job_id,
            config=config.as_given(),
            upload=plain,
            fingerprint=told,
            idempotency_key=key,
            owner=terms.caller.key_id,
            stored=sizes.of_upload(plain) if cached is None else sizes.of_output(cached[1]),
            deadline=terms.deadline,
            push=terms.push,
            accept=lambda connection: self._accept(connection, job_id, terms),
            cache_key=cache_key,
            cached=cached,
        )
        if row is None:
            assert key is not None
            return self._repeated(key, told, terms.caller)
        self._metrics.job_accepted(upload.input_bytes)
        if cached is None:
            self._enqueue(row, upload)
        else:
            keep_after_success(self._storage, row)
            log.info("job answered from the cache", job=job_id, earlier=cached[0], owner=row.owner)
        return to_job(row)

    def _enqueue(self, row: JobRow, upload: Upload) -> None:
        """Hand an accepted job to the queue; where that cannot be, there is no job."""
        try:
            self._queue.submit(row.id, memory_bytes(row.upload, self._most_memory))
        except BaseException:
            self._webhooks.forget(row.id)
            self._repository.delete(row.id)
            raise
        log.info(
            "job accepted",
            job=row.id,
            model=upload.model.name,
            bytes=upload.input_bytes,
            owner=row.owner,
        )

    def _accept(self, connection: sa.Connection, job_id: str, terms: Terms) -> None:
        """What is written in the transaction that inserts a job."""
        self._quotas.accept(connection, terms.caller)
        if terms.webhook is not None:
            self._webhooks.noting(job_id, terms.webhook)(connection)

    def _repeated(self, key: str, fingerprint: str, caller: Caller) -> Job:
        row = self._repository.by_idempotency_key(caller.key_id, key)
        if row is None or row.fingerprint != fingerprint:
            raise IdempotencyConflict(
                f"the Idempotency-Key {key!r} was used for another model, data, config, webhook or bucket"
            )
        return to_job(row)

    # To every caller another one's job is unknown, as if there were none.

    def get(self, job_id: str, caller: Caller) -> Job:
        """Look a job up.

        Raises:
            UnknownJob: there is none.
        """
        return to_job(self._row(job_id, caller))

    async def wait(self, job_id: str, seconds: float, caller: Caller) -> Job:
        """Look a job up when it has ended, or after some seconds, or when the service stops.

        Raises:
            UnknownJob: there is none, or it is deleted meanwhile.
        """
        deadline = time.monotonic() + seconds
        with self._bell.listen(job_id) as heard:
            while True:
                job = await asyncio.to_thread(self.get, job_id, caller)
                left = deadline - time.monotonic()
                if job.final or left <= 0 or self._bell.closed:
                    return job
                try:
                    await asyncio.wait_for(heard.wait(), min(left, LOOK_SECONDS))
                except TimeoutError:
                    continue

    def page(
        self,
        caller: Caller,
        *,
        cursor: str | None,
        limit: int,
        state: State | None,
        search: str | None = None,
    ) -> JobList:
        """A page of jobs, newest first; `search` is part of the model's file name, or the beginning of an id.

        Raises:
            BadValue: a cursor that was not given out.
        """
        if search is not None and "\0" in search:
            raise BadValue("search: no name holds a NUL")
        before = None if cursor is None else _number(cursor)
        owner = None if caller.sees_all else caller.key_id
        rows = self._repository.page(
            before=before, limit=limit + 1, state=state, owner=owner, search=search
        )
        shown = rows[:limit]
        return JobList(
            jobs=[to_job(row) for row in shown],
            next=_cursor(shown[-1].number) if len(rows) > limit else None,
        )

    def cancel(self, job_id: str, caller: Caller) -> Job:
        """Cancel a job; one that has ended stays as it is.

        Raises:
            UnknownJob: there is none.
        """
        self._row(job_id, caller)
        problem = problems.describe(
            "cancelled", "the job was cancelled on request", keys.address(job_id)
        )
        if self._repository.cancel(job_id, problem.model_dump()):
            self._free(job_id)
            log.info("job cancelled", job=job_id)
        return self.get(job_id, caller)

    def delete(self, job_id: str, caller: Caller) -> None:
        """Forget a job, running or not, and free its storage.

        Raises:
            UnknownJob: there is none.
        """
        self._row(job_id, caller)
        if not self.forget(job_id):
            raise UnknownJob(job_id)
        log.info("job deleted", job=job_id)

    def forget(self, job_id: str) -> bool:
        """Forget a job, whoever's it is, and free its storage; False where there is none."""
        self._webhooks.forget(job_id)  # first, so that a crash leaves none of no job
        forgotten = self._repository.delete(job_id)
        if forgotten:
            self._free(job_id)
        return forgotten

    def _free(self, job_id: str) -> None:
        self._storage.remove(keys.job(job_id))
        self._trainings.release(job_id)
        self._bell.ring(job_id)

    def made(self, job_id: str, caller: Caller) -> tuple[MadeFile, dict[str, MadeFile]]:
        """What a job has made: the bundle as one file, and its files by name.

        Raises:
            UnknownJob: there is no such job.
            NoResult: it has not ended, or failed without one.
            Cancelled: it was cancelled.
        """
        row = self._row(job_id, caller)
        if row.state == "cancelled":
            raise Cancelled("the job was cancelled: it has no artifact")
        if row.result is None:
            why = row.error["detail"] if row.error else f"it is {row.state}"
            raise NoResult(f"the job has no artifact: {why}")
        files = [MadeFile(**_made_fields(file)) for file in row.result["result"]["files"]]
        return MadeFile(**row.result["bundle"]), {file.name: file for file in files}

    def _row(self, job_id: str, caller: Caller) -> JobRow:
        row = self._repository.get(job_id)
        if row is None or not caller.sees(row.owner):
            raise UnknownJob(job_id)
        return row


def _made_fields(file: dict[str, Any]) -> dict[str, Any]:
    return {name: file[name] for name in ("name", "bytes", "sha256")}


def _cursor(number: int) -> str:
    return base64.urlsafe_b64encode(str(number).encode()).decode().rstrip("=")


def _number(cursor: str) -> int:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        number = int(text) if text.isdigit() and len(text) < 19 else 0
    except (binascii.Error, ValueError):
        number = 0
    if not 0 < number <= _MOST_NUMBER:
        raise BadValue(f"cursor {cursor[:40]!r} was not given out by this service")
    return number
