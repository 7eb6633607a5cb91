"""The body of a job's workflow: what becomes of a job that is cancelled at the worst moment, and of what it leaves."""

import asyncio
import io
import itertools
import resource
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from sparsebook_service import patience
from sparsebook_service.durable import Interrupted
from sparsebook_service.hosts import machine
from sparsebook_service.hosts.heartbeats import Room
from sparsebook_service.jobs import keys
from sparsebook_service.jobs import runner as runner_module
from sparsebook_service.jobs.bell import Bell
from sparsebook_service.jobs.process import JobProcess
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.runner import RUNS_IF_SHORT_OF_MEMORY, Runner
from sparsebook_service.jobs.table import Usage
from sparsebook_service.jobs.workflow import Queue
from sparsebook_service.metrics import Metrics
from sparsebook_service.settings import Settings
from sparsebook_service.storage import Storage
from tests.e2e import models
from tests.unit.service.conftest import MakeTrainings

pytestmark = pytest.mark.usefixtures("warm_nursery")


class Meddled(Storage):
    """A storage in which something happens in the middle of the bundle's way in."""

    meddle: Callable[[], None]

    def put(self, key: str, path: Path, check: Callable[[], None] = lambda: None) -> None:
        if key.endswith(keys.REPORT):
            self.meddle()
        try:
            super().put(key, path, check)
        finally:
            self.mend()

    def mend(self) -> None:
        """What was meddled with."""


@pytest.fixture
def storage(tmp_path: Path) -> Meddled:
    return Meddled(tmp_path / "files")


@pytest.fixture
def repository(engine: sa.Engine) -> Repository:
    return Repository(engine)


@pytest.fixture
def runner(
    tmp_path: Path,
    engine: sa.Engine,
    storage: Storage,
    repository: Repository,
    make_trainings: MakeTrainings,
) -> Iterator[Runner]:
    served = Queue(engine, lambda _job: None, Room(1, 1 << 40))  # makes the queues' tables
    loop = asyncio.new_event_loop()
    settings = Settings(data_dir=tmp_path)
    settings.work_dir.mkdir()
    yield Runner(
        settings,
        storage,
        repository,
        make_trainings(storage),
        Bell(loop),
        Metrics(repository.count_by_state),
    )
    loop.close()
    served.close()


def add(storage: Storage, repository: Repository, with_data: bool = False) -> None:
    """A job with the id `a`, which trains nothing."""
    parts = {keys.model("a", "m.onnx"): models.small()}
    if with_data:
        packed = io.BytesIO()
        np.savez(packed, **models.samples())
        parts[keys.data("a", 0, "d.npz")] = packed.getvalue()
    described = []
    for key, content in parts.items():
        storage.local(key).parent.mkdir(parents=True)
        storage.local(key).write_bytes(content)
        name = key.rsplit("/", 1)[-1]
        described.append({"name": name, "key": key, "bytes": len(content), "sha256": ""})
    upload = {"model": described[0], "data": described[1:], "external": []}
    upload |= {"loss": None, "metric": None}
    config = {"train": {"loss": "none"}}
    repository.add("a", config=config, upload=upload, fingerprint="", idempotency_key=None)


def state(repository: Repository) -> str:
    row = repository.get("a")
    assert row is not None
    return row.state


@pytest.mark.parametrize("deleted", [False, True])
def test_a_job_that_is_cancelled_while_its_bundle_is_stored(
    runner: Runner, storage: Meddled, repository: Repository, deleted: bool
) -> None:
    add(storage, repository)

    def meddle() -> None:
        if deleted:
            repository.delete("a")
        else:
            repository.cancel("a", {})
        storage.remove(keys.job("a"))

    storage.meddle = meddle
    runner.run("a")
    if deleted:
        assert repository.get("a") is None
    else:
        assert state(repository) == "cancelled"
    assert storage.folders(keys.JOBS) == []


def test_files_that_vanish_from_under_a_job_that_was_cancelled_are_no_fault(
    runner: Runner, storage: Meddled, repository: Repository
) -> None:
    add(storage, repository)

    def meddle() -> None:
        repository.cancel("a", {})
        raise OSError("Generic LocalFileSystem error: Upload aborted")

    storage.meddle = meddle
    runner.run("a")
    assert state(repository) == "cancelled"
    assert storage.folders(keys.JOBS) == []


@pytest.mark.parametrize("with_data", [False, True])
def test_a_fault_at_the_very_end_keeps_the_upload_of_a_job_with_data(
    runner: Runner, storage: Meddled, repository: Repository, with_data: bool
) -> None:
    add(storage, repository, with_data=with_data)

    def meddle() -> None:
        raise OSError("the disk has a fault")

    storage.meddle = meddle
    runner.run("a")
    row = repository.get("a")
    assert row is not None
    assert row.error is not None
    assert (row.state, row.stage, row.error["type"]) == ("failed", "verify", "/problems/internal")
    kept = {keys.model("a", "m.onnx"), keys.data("a", 0, "d.npz")} if with_data else set()
    root = storage.local("")
    assert {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} == kept


class NoFilesLeft:
    """The process may open no file, for so many attempts: a real fault of the system, which passes."""

    def __init__(self, storage: Meddled, attempts: int) -> None:
        self.seen = 0
        self._left = attempts
        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        storage.meddle, storage.mend = self.short, self.mend

    def short(self) -> None:
        self.seen += 1
        if self._left:
            self._left -= 1
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, self._limits[1]))

    def mend(self) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)


def test_a_job_begins_again_after_a_fault_that_passes(
    runner: Runner, storage: Meddled, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "FIRST_SECONDS", 0.01)
    add(storage, repository)
    meddle = NoFilesLeft(storage, attempts=2)
    runner.run("a")
    assert state(repository) == "succeeded"
    assert meddle.seen == 3
    assert runner.running() == set()


def test_a_job_is_not_begun_for_ever(
    runner: Runner, storage: Meddled, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "FIRST_SECONDS", 0.01)
    add(storage, repository)
    meddle = NoFilesLeft(storage, attempts=patience.ATTEMPTS + 1)
    runner.run("a")
    assert state(repository) == "failed"
    assert meddle.seen == patience.ATTEMPTS
    assert storage.folders(keys.JOBS) == []


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """So many processes of jobs, which the test puts in, are killed as soon as they are there."""
    left: list[int] = []

    class Victim(JobProcess):
        def __enter__(self) -> Self:
            entered = super().__enter__()
            if left:
                left.pop()
                self._process.kill()
            return entered

    monkeypatch.setattr(runner_module, "JobProcess", Victim)
    monkeypatch.setattr(runner_module, "PAUSE_IF_KILLED_SECONDS", 0.01)
    return left


def test_a_job_outlives_whoever_kills_it(
    runner: Runner,
    storage: Meddled,
    repository: Repository,
    kills: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More often than memory may run out: the machine says that it has not."""
    monkeypatch.setattr(machine, "memory_kills", lambda: 7)
    kills += range(RUNS_IF_SHORT_OF_MEMORY + 1)
    add(storage, repository)
    storage.meddle = lambda: None
    runner.run("a")
    assert state(repository) == "succeeded"
    assert kills == []


@pytest.mark.parametrize("says", [True, False])
def test_a_job_that_memory_runs_out_for_is_not_run_for_ever(
    runner: Runner,
    storage: Meddled,
    repository: Repository,
    kills: list[int],
    monkeypatch: pytest.MonkeyPatch,
    says: bool,
) -> None:
    """Where a machine does not say why a process was killed, want of memory is taken for the reason."""
    counted = itertools.count()
    monkeypatch.setattr(machine, "memory_kills", lambda: next(counted) if says else None)
    kills += range(RUNS_IF_SHORT_OF_MEMORY + 1)
    add(storage, repository)
    runner.run("a")
    row = repository.get("a")
    assert row is not None
    assert row.error is not None
    assert row.error["type"] == "/problems/limit-exceeded"
    assert "most likely because memory ran out" in row.error["detail"]
    assert len(kills) == 1
    assert storage.folders(keys.JOBS) == []


def test_what_does_not_pass_is_not_tried_again(
    runner: Runner, storage: Meddled, repository: Repository
) -> None:
    add(storage, repository)
    seen = []

    def meddle() -> None:
        seen.append(1)
        raise ValueError("a fault of the work itself")

    storage.meddle = meddle
    runner.run("a")
    assert (state(repository), len(seen)) == ("failed", 1)


def test_a_stop_ends_the_pause_before_the_next_attempt(
    runner: Runner, storage: Meddled, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "FIRST_SECONDS", 3600)
    add(storage, repository)
    fault = NoFilesLeft(storage, attempts=1)

    def mend() -> None:
        fault.mend()
        threading.Timer(0.5, runner.close).start()

    storage.mend = mend
    with pytest.raises(Interrupted):
        runner.run("a")
    assert state(repository) == "running"


def test_what_a_job_made_after_its_deadline_is_removed(
    runner: Runner, storage: Meddled, repository: Repository
) -> None:
    add(storage, repository)
    storage.meddle = lambda: repository.fail(
        "a", {"type": "/problems/deadline", "detail": "too late"}
    )
    runner.run("a")
    row = repository.get("a")
    assert row is not None
    assert row.error is not None
    assert row.error["type"] == "/problems/deadline"
    assert storage.folders(keys.JOBS) == []


def test_the_bytes_of_a_job_are_those_that_are_stored(
    runner: Runner, storage: Meddled, repository: Repository
) -> None:
    add(storage, repository)
    storage.meddle = lambda: None
    runner.run("a")
    root = storage.local(keys.job("a"))
    stored = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    assert repository.usage(None) == Usage(live=0, stored=stored)


def breaks_after_commit(engine: sa.Engine, statement: str) -> None:
    """The connection breaks once, when the server has committed a statement that has this in it."""
    written: list[object] = []

    @sa.event.listens_for(engine, "after_cursor_execute")
    def see(
        connection: sa.Connection, _cursor: object, text: str, values: object, *_: object
    ) -> None:
        if text.startswith("UPDATE jobs") and statement in str(values):
            written.append(connection)

    @sa.event.listens_for(engine, "checkin")
    def break_off(_connection: object, _record: object) -> None:
        if len(written) == 1:
            written.append(None)
            gone = sqlite3.OperationalError("server closed the connection unexpectedly")
            raise OperationalError("", {}, gone, connection_invalidated=True)


def test_a_success_whose_confirmation_was_lost_is_one(
    runner: Runner, storage: Meddled, repository: Repository, engine: sa.Engine
) -> None:
    add(storage, repository)
    storage.meddle = lambda: None
    breaks_after_commit(engine, "succeeded")
    runner.run("a")
    assert state(repository) == "succeeded"
    assert not storage.local(keys.inputs("a")).exists()
    assert storage.local(keys.output("a")).exists()


def test_a_run_that_was_replaced_at_its_fault_leaves_the_files(
    runner: Runner, storage: Meddled, repository: Repository, engine: sa.Engine
) -> None:
    add(storage, repository)

    def meddle() -> None:
        raise ValueError("a fault of the work itself")

    storage.meddle = meddle
    taken: list[object] = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def take_over(_c: object, _k: object, text: str, values: object, *_: object) -> None:
        """Another host takes the job as late as can be: when this one is about to write."""
        if text.startswith("UPDATE jobs") and "failed" in str(values) and not taken:
            taken.append(1)
            with sqlite3.connect(engine.url.database or "") as other:
                other.execute("UPDATE jobs SET holder = 'another'")
            other.close()

    with pytest.raises(Interrupted):
        runner.run("a")
    assert taken
    assert state(repository) == "running"
    assert storage.local(keys.model("a", "m.onnx")).exists()


def test_on_a_full_disk_the_files_make_room_for_the_row(
    runner: Runner, storage: Meddled, repository: Repository, engine: sa.Engine
) -> None:
    add(storage, repository)

    def meddle() -> None:
        raise ValueError("a fault of the work itself")

    storage.meddle = meddle

    @sa.event.listens_for(engine, "before_cursor_execute")
    def full(_c: object, _k: object, text: str, values: object, *_: object) -> None:
        ends = text.startswith("UPDATE jobs") and "failed" in str(values)
        if ends and storage.local(keys.model("a", "m.onnx")).exists():
            raise OperationalError("", {}, no_room())

    runner.run("a")
    assert state(repository) == "failed"
    assert storage.folders(keys.JOBS) == []


def no_room() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error
