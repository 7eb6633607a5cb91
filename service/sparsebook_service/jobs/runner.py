"""Runs one job from its row to its end: the body of the durable workflow.

It may run again from the start at any time, after a crash of the service: everything is written below a fresh folder
and put into the storage under its final name only when it is whole, and the row decides whether there is anything to
do at all.
"""

import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import structlog

from sparsebook_compressor.errors import StorageFull
from sparsebook_compressor.report import Report
from sparsebook_service import problems
from sparsebook_service.jobs import keys
from sparsebook_service.jobs.bell import Bell
from sparsebook_service.jobs.process import JobProcess
from sparsebook_service.jobs.protocol import Advanced, Done, Limits, Order, Stopped
from sparsebook_service.jobs.repository import JobRow, Repository
from sparsebook_service.jobs.results import summarise
from sparsebook_service.metrics import Metrics
from sparsebook_service.settings import Settings
from sparsebook_service.storage import Storage, full_disk_named

# A cancel or a stop of the service is noticed within a tick, progress is written at most once a tick.
TICK_SECONDS = 0.25


class Interrupted(BaseException):
    """The service stops while a job runs.

    Not an Exception: the queue must not record it as the job's end, so that the next start runs the job again.
    """


class _NoLongerWanted(Exception):
    """The job was cancelled or deleted meanwhile."""


class _Failed(Exception):
    """The job's process could not do it; `slug` is that of a problem type."""

    def __init__(self, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.slug = slug


class Runner:
    """Runs jobs in child processes."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        repository: Repository,
        bell: Bell,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._storage = storage
        self._repository = repository
        self._bell = bell
        self._metrics = metrics
        self._closing = threading.Event()

    def close(self) -> None:
        """Stop what runs; it runs again after the next start."""
        self._closing.set()

    def run(self, job_id: str) -> None:
        """Bring a job to its end; returns at once where it has reached it already.

        Raises:
            Interrupted: the service stops.
        """
        if self._closing.is_set():
            raise Interrupted
        row = self._repository.begin(job_id)
        if row is None:
            return
        log = structlog.get_logger(__name__).bind(job=job_id)
        log.info("job started", model=row.upload["model"]["name"])
        started = time.monotonic()
        try:
            self._to_the_end(row)
        except _NoLongerWanted:
            self._storage.remove(keys.job(job_id))
            log.info("job stopped", reason="cancelled or deleted")
        except _Failed as failed:
            self._fail(job_id, failed.slug, str(failed))
            log.warning("job failed", problem=failed.slug, detail=str(failed))
        except StorageFull as full:
            self._fail(job_id, full.problem, str(full))
            log.error("job failed", problem=full.problem, detail=str(full))
        except Exception:
            self._fail(job_id, "internal", "an unexpected fault; the service's log has the details")
            log.exception("job failed", problem="internal")
        else:
            log.info("job succeeded", seconds=round(time.monotonic() - started, 3))
        self._bell.ring(job_id)

    def _fail(self, job_id: str, slug: str, detail: str) -> None:
        # Files first: on a full disk that makes the room which the row needs.
        self._storage.remove(keys.job(job_id))
        problem = problems.describe(slug, detail, keys.address(job_id))
        self._repository.fail(job_id, problem.model_dump())

    def _to_the_end(self, row: JobRow) -> None:
        with full_disk_named("the job's files"):
            work = Path(tempfile.mkdtemp(prefix=f"{row.id}.", dir=self._settings.work_dir))
        try:
            done = self._watch(row, self._order(row, work))
            self._publish(row, done, work)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _order(self, row: JobRow, work: Path) -> Order:
        settings = self._settings
        data = row.upload["data"]
        return Order(
            model=self._storage.local(row.upload["model"]["key"]),
            external=len(row.upload["external"]),
            data=self._storage.local(data["key"]) if data else None,
            config=row.config,
            out=work,
            limits=Limits(
                address_space_bytes=settings.job_address_space_bytes,
                cpu_seconds=settings.job_cpu_seconds,
                file_bytes=settings.job_file_bytes,
                unpacked_bytes=settings.max_upload_bytes,
                zip_ratio=settings.zip_max_ratio,
            ),
        )

    def _watch(self, row: JobRow, order: Order) -> Done:
        """Start the process and follow it to its end."""
        outcome: Done | Stopped | None = None
        latest: Advanced | None = None
        with full_disk_named("the job's files"), JobProcess(order) as process:
            noted = time.monotonic()
            for message in process.messages(TICK_SECONDS):
                if isinstance(message, Advanced):
                    latest = message
                elif message is not None:
                    outcome = message
                if time.monotonic() - noted >= TICK_SECONDS:
                    noted = time.monotonic()
                    self._note(row.id, latest)
                    latest = None
            self._note(row.id, latest)
            if outcome is None:
                raise _died(process, order)
        if isinstance(outcome, Stopped):
            raise _Failed(outcome.problem, outcome.detail)
        return outcome

    def _note(self, job_id: str, latest: Advanced | None) -> None:
        if self._closing.is_set():
            raise Interrupted
        if latest is None:
            wanted = self._repository.is_running(job_id)
        else:
            fraction = min(max(latest.fraction, 0.0), 1.0)
            wanted = self._repository.advance(job_id, latest.stage, latest.weight, fraction)
        if not wanted:
            raise _NoLongerWanted

    def _publish(self, row: JobRow, done: Done, work: Path) -> None:
        """Put the bundle into the storage, then mark the job."""
        bundle = work / "bundle"
        report = Report.from_json((bundle / keys.REPORT).read_text())
        for file in done.files:
            self._storage.put(keys.artifact(row.id, file.name), bundle / file.name)
        self._storage.put(keys.bundle(row.id), work / done.bundle.name)
        result = summarise(row.id, report, done.files).model_dump()
        stored = {"result": result, "bundle": done.bundle.model_dump()}
        if not self._repository.succeed(row.id, stored):
            raise _NoLongerWanted
        self._storage.remove(keys.inputs(row.id))
        self._metrics.job_succeeded(report)


def _died(process: JobProcess, order: Order) -> _Failed:
    """Why a process ended without a word."""
    status = process.exit_status()
    name = order.model.name
    if status == -signal.SIGKILL:
        how = "the system ended the job's process, most likely because memory ran out"
        return _Failed("limit-exceeded", f"{name}: {how}")
    if status == -signal.SIGXCPU:
        how = f"needs more than {order.limits.cpu_seconds} seconds of processor time"
        return _Failed("limit-exceeded", f"{name}: {how}")
    how = f"signal {-status}" if status < 0 else f"status {status}"
    log = structlog.get_logger(__name__)
    log.error("a job's process died", how=how, said=process.last_words())
    return _Failed(
        "internal", f"{name}: the job's process ended with {how}; the service's log has the details"
    )
