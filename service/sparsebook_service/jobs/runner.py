"""Runs one job from its row to its end: the body of the durable workflow.

It may run again from the start at any time, after a crash of the service, or on another host after this one was taken for
lost: everything is written below a fresh folder and put into the storage only when it is whole, under a name that its content
gives; and the row, which a run must hold to change it, decides whether there is anything to do at all.
"""

import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from sparsebook_compressor.errors import InternalError, StorageFull
from sparsebook_compressor.report import Report
from sparsebook_service import buckets, problems, signing
from sparsebook_service.durable import Interrupted, when_it_answers, when_there_is_room
from sparsebook_service.errors import PushFailed
from sparsebook_service.finetune.keys import TRAININGS
from sparsebook_service.finetune.service import Trainings
from sparsebook_service.hosts import machine
from sparsebook_service.jobs import keys, sizes
from sparsebook_service.jobs.bell import Bell
from sparsebook_service.jobs.endings import Failed, Killed, NoLongerWanted, died, killed_for_good
from sparsebook_service.jobs.history import Happened, Observer
from sparsebook_service.jobs.keeping import (
    bytes_after_failure,
    keep_after_failure,
    keep_after_success,
)
from sparsebook_service.jobs.process import JobProcess
from sparsebook_service.jobs.protocol import Advanced, Done, Limits, Made, Order, Stopped, Train
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.results import summarise
from sparsebook_service.jobs.sealing import signed
from sparsebook_service.jobs.table import JobRow
from sparsebook_service.jobs.training import Training
from sparsebook_service.metrics import Metrics
from sparsebook_service.pace import paced
from sparsebook_service.patience import ATTEMPTS, attempts, may_pass
from sparsebook_service.settings import Settings
from sparsebook_service.storage import Storage, full_disk_named

# A cancel or a stop of the service is noticed within a tick, progress is written at most once a tick.
TICK_SECONDS = 0.25
# A stop of the service waits so long for the runs that were told of it: a tick, the end of a process, a folder removed.
JOIN_SECONDS = 30.0
# A process that is killed from outside is started again, after such a pause, doubled each time. Where the machine had run out of memory it may
# be free again, but not for a file that takes all of it time and again; somebody who kills processes will leave off. A limit of its own
# that a process has exceeded ends the job at once.
RUNS_IF_SHORT_OF_MEMORY = 3
RUNS_IF_KILLED = 12
PAUSE_IF_KILLED_SECONDS = 1.0
LONGEST_PAUSE = 8.0


class Runner:
    """Runs jobs in child processes."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        repository: Repository,
        trainings: Trainings,
        bell: Bell | None,
        metrics: Metrics,
        work_dir: Path | None = None,
    ) -> None:
        """Nothing is run yet.

        Args:
            settings: of the service.
            storage: of the files.
            repository: of the jobs.
            trainings: that jobs ask for.
            bell: for those who wait in this process, if any can.
            metrics: of what is made.
            work_dir: where jobs write; the settings' without.
        """
        self._work_dir = work_dir or settings.work_dir
        self._settings = settings
        self._storage = storage
        self._repository = repository
        self._trainings = trainings
        self._bell = bell
        self._metrics = metrics
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._running: set[str] = set()

    def close(self) -> None:
        """Stop what runs; it runs again after the next start. Does not wait: `join` does."""
        self._closing.set()

    def join(self) -> None:
        """Wait until what ran has removed its work, at most `JOIN_SECONDS`."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._running, JOIN_SECONDS):
                log = structlog.get_logger(__name__)
                log.warning("jobs did not end in time", jobs=sorted(self._running))

    def running(self) -> set[str]:
        """The jobs that run now."""
        with self._changed:
            return set(self._running)

    def run(self, job_id: str) -> None:
        """Bring a job to its end; returns at once where it has reached it already.

        Raises:
            Interrupted: the service stops.
        """
        with self._noted_as_running(job_id):
            for attempt in attempts(self._closing):
                with attempt:
                    self._run_from_the_start(
                        job_id, last=attempt.retry_state.attempt_number == ATTEMPTS
                    )

    def _run_from_the_start(self, job_id: str, *, last: bool) -> None:
        if self._closing.is_set():
            raise Interrupted
        holder = os.urandom(16).hex()
        row = when_there_is_room(lambda: self._repository.begin(job_id, holder), self._closing)
        if row is not None:
            self._run(row, last=last)

    @contextmanager
    def _noted_as_running(self, job_id: str) -> Iterator[None]:
        with self._changed:
            if self._closing.is_set() or job_id in self._running:
                raise Interrupted
            self._running.add(job_id)
        try:
            yield
        finally:
            with self._changed:
                self._running.discard(job_id)
                self._changed.notify_all()

    def _run(self, row: JobRow, *, last: bool) -> None:
        job_id = row.id
        log = structlog.get_logger(__name__).bind(job=job_id)
        log.info("job started", model=row.upload["model"]["name"])
        started = time.monotonic()
        failed: Failed | None = None
        try:
            self._to_the_end(row)
        except NoLongerWanted:
            pass
        except Failed as known:
            failed = known
        except StorageFull as full:
            failed = Failed(full.problem, str(full))
        except Exception as error:
            # A job that is cancelled or deleted has its files removed under its hands.
            if self._holds(row):
                if may_pass(error) and not last:
                    log.warning("a fault that may pass: the job begins again", fault=repr(error))
                    raise
                log.exception("a fault in a job")
            failed = Failed("internal", "an unexpected fault; the service's log has the details")
        if failed is not None:
            self._fail(row, failed)
        now = when_it_answers(lambda: self._repository.get(job_id), self._closing)
        if now is None or now.state == "cancelled":
            self._storage.remove(keys.job(job_id))
            log.info("job stopped", reason="cancelled or deleted")
        elif now.state == "failed":
            # By what the row says: another may have failed it meanwhile, and what was made came too late.
            keep_after_failure(self._storage, now, output=now.result is not None)
            why = now.error or {}
            log.warning("job failed", problem=why["type"], detail=why["detail"])
        else:
            log.info(f"job {now.state}", seconds=round(time.monotonic() - started, 3))
        when_there_is_room(lambda: self._trainings.release(job_id), self._closing)
        if self._bell is not None:
            self._bell.ring(job_id)

    def _holds(self, row: JobRow) -> bool:
        return self._repository.is_running(row.id, row.holder or "")

    def _fail(self, row: JobRow, failed: Failed) -> None:
        """Write it down; the files go by what the row says then, because another run that holds the job needs them."""
        problem = problems.describe(failed.slug, str(failed), keys.address(row.id)).model_dump()
        stored = bytes_after_failure(row, failed.result)

        def write() -> bool:
            return self._repository.fail(row.id, problem, failed.result, stored, row.holder)

        try:
            written = when_it_answers(write, self._closing)
        except StorageFull:
            # The files first, which makes the room that the row needs.
            if self._holds(row):
                keep_after_failure(self._storage, row, output=failed.result is not None)
            written = when_there_is_room(write, self._closing)
        if not written and self._repository.is_live(row.id):
            raise Interrupted  # another run holds it

    def _to_the_end(self, row: JobRow) -> None:
        short_of_memory = 0
        for run in range(1, RUNS_IF_KILLED + 1):
            before = machine.memory_kills()
            try:
                return self._once(row)
            except Killed as killed:
                after = machine.memory_kills()
                short_of_memory += after is None or after != before
                if short_of_memory == RUNS_IF_SHORT_OF_MEMORY or run == RUNS_IF_KILLED:
                    raise killed_for_good(row, short_of_memory) from killed
                log = structlog.get_logger(__name__)
                log.warning(
                    "a job's process was killed; it is started again", job=row.id, how=str(killed)
                )
            if self._closing.wait(min(PAUSE_IF_KILLED_SECONDS * 2 ** (run - 1), LONGEST_PAUSE)):
                raise Interrupted
            self._note(row, None)
        return None

    def _once(self, row: JobRow) -> None:
        with full_disk_named("the job's files"):
            work = Path(tempfile.mkdtemp(prefix=f"{row.id}.", dir=self._work_dir))
        try:
            outcome = self._watch(row, self._order(row, work))
            self._note(row, None)
            result = None if outcome.made is None else self._publish(row, outcome.made, work)
            if isinstance(outcome, Done):
                assert result is not None
                self._push(row, result, work / "bundle")
        finally:
            shutil.rmtree(work, ignore_errors=True)
        if isinstance(outcome, Stopped):
            raise Failed(outcome.problem, outcome.detail, result)
        assert result is not None
        stored = sizes.of_output(result)
        if not when_it_answers(
            lambda: self._repository.succeed(row.id, result, stored, row.holder or ""),
            self._closing,
        ) and not when_it_answers(
            # The connection may have broken after the first try was written.
            lambda: self._repository.has_succeeded(row.id, row.holder or ""),
            self._closing,
        ):
            self._note(row, None)
        keep_after_success(self._storage, row)

    def _order(self, row: JobRow, work: Path) -> Order:
        settings, upload = self._settings, row.upload
        check = paced(lambda: self._note(row, None), TICK_SECONDS)
        inputs = self._storage.at_hand(keys.inputs(row.id), work / "input", check)

        def local(key: str) -> Path:
            return inputs / Path(key).relative_to(keys.inputs(row.id))

        return Order(
            model=local(upload["model"]["key"]),
            external=len(upload["external"]),
            data=tuple(local(part["key"]) for part in upload["data"]),
            loss=local(upload["loss"]["key"]) if upload["loss"] else None,
            metric=local(upload["metric"]["key"]) if upload["metric"] else None,
            base=local(upload["base"]["key"]) if upload.get("base") else None,
            config=row.config,
            runtimes=settings.runtimes,
            out=work,
            # The names there come from contents: a job knows those of its own trainings alone.
            named=self._trained(),
            limits=Limits(
                address_space_bytes=settings.job_address_space_bytes,
                cpu_seconds=settings.job_cpu_seconds,
                file_bytes=settings.job_file_bytes,
                unpacked_bytes=settings.max_upload_bytes,
                zip_ratio=settings.zip_max_ratio,
            ),
        )

    def _trained(self) -> tuple[Path, ...]:
        """Where finished trainings lie that a job may read; in a bucket's case they come into its own folder."""
        if self._settings.storage is not None:
            return ()
        folder = self._storage.local(TRAININGS)
        folder.mkdir(parents=True, exist_ok=True)  # what is not there yet stays out of sight
        return (folder,)

    def _watch(self, row: JobRow, order: Order) -> Done | Stopped:
        """Start the process and follow it to its end."""
        outcome: Done | Stopped | None = None
        latest: Advanced | None = None
        observer = Observer()
        check = paced(lambda: self._note(row, None), TICK_SECONDS)
        with full_disk_named("the job's files"), JobProcess(order) as process:
            training = Training(
                order.out,
                self._trainings.asking(row.id, check, order.out / "trained"),
                process.answer,
                lambda waiting: self._repository.wait(row.id, waiting, row.holder or ""),
            )
            noted = time.monotonic()
            for message in process.messages(TICK_SECONDS):
                match message:
                    case Advanced():
                        latest = message
                        observer.see(message)
                    case Train():
                        training.begin(message)
                    case Done() | Stopped():
                        outcome = message
                if time.monotonic() - noted >= TICK_SECONDS:
                    noted = time.monotonic()
                    self._note(row, latest, observer.take())
                    latest = None
                    training.look()
            self._note(row, latest, observer.take())
            if outcome is None:
                raise died(process, order)
        return outcome

    def _note(
        self, row: JobRow, latest: Advanced | None, happened: Sequence[Happened] = ()
    ) -> None:
        """Say how far a job is, and hear whether it is to go on here."""
        if self._closing.is_set():
            raise Interrupted
        wanted = when_it_answers(lambda: self._is_wanted(row, latest, happened), self._closing)
        if not wanted:
            if self._repository.is_live(row.id):
                raise Interrupted  # another run holds it: this one was taken for lost
            raise NoLongerWanted

    def _is_wanted(
        self, row: JobRow, latest: Advanced | None, happened: Sequence[Happened]
    ) -> bool:
        holder = row.holder or ""
        if latest is None:
            return self._repository.is_running(row.id, holder)
        fraction = min(max(latest.fraction, 0.0), 1.0)
        training = None if latest.training is None else asdict(latest.training)
        return self._repository.advance(
            row.id, latest.stage, latest.weight, fraction, training, holder, happened
        )

    def _publish(self, row: JobRow, made: Made, work: Path) -> dict[str, Any]:
        """Put the bundle into the storage; what the row keeps of it."""
        bundle = work / "bundle"
        _check_own(work, made)
        key = self._settings.signing_key
        if key is not None:
            made = signed(made, work, signing.private_key(key))
        report = Report.from_json((bundle / keys.REPORT).read_text())
        check = paced(lambda: self._note(row, None), TICK_SECONDS)
        for file in made.files:
            self._storage.put(keys.artifact(row.id, file), bundle / file.name, check)
        self._storage.put(keys.bundle(row.id, made.bundle), work / made.bundle.name, check)
        result = summarise(row.id, report, made.files).model_dump()
        self._metrics.artifact_made(report)
        return {"result": result, "bundle": made.bundle.model_dump()}

    def _push(self, row: JobRow, result: dict[str, Any], bundle: Path) -> None:
        """Put the bundle's files into the bucket that the caller has named, the manifest last."""
        if row.push is None:
            return
        names = [file["name"] for file in result["result"]["files"]]
        check = paced(lambda: self._note(row, None), TICK_SECONDS)
        try:
            buckets.push(row.push, bundle, names, keys.MANIFEST, check)
        except PushFailed as error:
            raise Failed(error.problem, str(error), result) from error


def _check_own(work: Path, made: Made) -> None:
    """What a process says it has made lies in its own folder: untrusted files were parsed in there, so it is not taken at its word.

    Raises:
        InternalError: it does not.
    """
    for path in (work / made.bundle.name, *(work / "bundle" / file.name for file in made.files)):
        facts = path.lstat()
        inside = path.resolve().is_relative_to(work.resolve())
        if not (inside and stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1):
            raise InternalError(f"{path} is not a file of the job's own")
