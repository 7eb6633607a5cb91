"""After a start, table, files and queue agree again, however the last run has ended."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sparsebook_service.database import open_sqlite
from sparsebook_service.durable import Interrupted
from sparsebook_service.hosts.heartbeats import Room
from sparsebook_service.jobs import keys, recovery
from sparsebook_service.jobs.protocol import MadeFile
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.workflow import Queue
from sparsebook_service.settings import Settings
from sparsebook_service.storage import Storage

UPLOAD = {"model": {"name": "m", "bytes": 1, "sha256": ""}, "data": [], "external": []}
OpenQueue = Callable[[Callable[[str], None]], Queue]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_sqlite(tmp_path / "sparsebook.sqlite")
    yield engine
    engine.dispose()


@pytest.fixture
def repository(engine: sa.Engine) -> Repository:
    return Repository(engine)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "files")


@pytest.fixture
def open_queue(engine: sa.Engine) -> Iterator[OpenQueue]:
    """Opens queues one after the other, as successive runs of the service do."""
    opened: list[Queue] = []

    def open_one(run: Callable[[str], None]) -> Queue:
        if opened:
            opened.pop().close()
        opened.append(Queue(engine, run, Room(2, 1 << 40)))
        return opened[0]

    yield open_one
    for queue in opened:
        queue.close()


BUNDLE = MadeFile(name="bundle.zip", bytes=1, sha256="0" * 64)
WITH_DATA = {**UPLOAD, "data": [{"name": "d.npz", "bytes": 1, "sha256": ""}]}


def add(repository: Repository, *job_ids: str, upload: dict[str, Any] = UPLOAD) -> None:
    for job_id in job_ids:
        repository.add(job_id, config={}, upload=upload, fingerprint="", idempotency_key=None)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_files_that_no_job_needs_are_removed(
    tmp_path: Path, storage: Storage, repository: Repository
) -> None:
    plain = ("queued", "running", "done", "failed", "cancelled")
    trained = ("compressed", "diverged", "untrainable", "died in verify", "stopped")
    jobs = (*plain, *trained)
    add(repository, *plain)
    add(repository, *trained, upload=WITH_DATA)
    for job_id in jobs[1:]:
        repository.begin(job_id)
    for job_id in ("done", "compressed"):
        repository.succeed(job_id, {})
    repository.fail("failed", {"type": "/problems/not-onnx"})
    repository.fail("diverged", {"type": "/problems/diverged"}, {})
    repository.fail("untrainable", {"type": "/problems/not-trainable"})
    repository.advance("died in verify", "verify", None, 0.99)
    repository.fail("died in verify", {"type": "/problems/limit-exceeded"})
    for job_id in ("cancelled", "stopped"):
        repository.cancel(job_id, {})
    for job_id in (*jobs, "unknown"):
        for key in (
            keys.model(job_id, "m"),
            keys.bundle(job_id, BUNDLE),
            keys.model(job_id, "half#1"),
        ):
            path = storage.local(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    settings = Settings(data_dir=tmp_path)
    (settings.work_dir / "old").mkdir(parents=True)
    recovery.tidy(settings, storage, repository)
    kept = {
        job_id: (
            storage.local(keys.inputs(job_id)).exists(),
            storage.local(keys.bundle(job_id, BUNDLE)).exists(),
        )
        for job_id in storage.folders(keys.JOBS)
    }
    assert kept == {
        "queued": (True, True),
        "running": (True, True),
        "done": (False, True),
        "compressed": (False, True),
        "diverged": (True, True),
        "untrainable": (True, False),
        "died in verify": (True, False),
    }
    assert list(settings.work_dir.iterdir()) == []


def test_a_job_that_the_queue_never_saw_is_run(
    storage: Storage, repository: Repository, open_queue: OpenQueue
) -> None:
    add(repository, "a", "b")
    repository.cancel("b", {})
    ran: list[str] = []
    queue = open_queue(ran.append)
    recovery.requeue(storage, repository, queue, 1 << 30)
    recovery.requeue(storage, repository, queue, 1 << 30)
    until(lambda: ran == ["a"])
    queue.submit("c")
    until(lambda: "c" in ran)
    assert ran == ["a", "c"]


def test_an_interrupted_job_is_run_again(repository: Repository, open_queue: OpenQueue) -> None:
    began: list[str] = []

    def interrupted(job_id: str) -> None:
        began.append(job_id)
        raise Interrupted

    queue = open_queue(interrupted)
    queue.submit("a")
    until(lambda: began == ["a"])
    again: list[str] = []
    queue = open_queue(again.append)
    until(lambda: again == ["a"])
    assert queue.given_up(["a"]) == set()


def test_a_job_that_the_queue_gave_up_fails(
    storage: Storage, repository: Repository, open_queue: OpenQueue
) -> None:
    add(repository, "a", upload=WITH_DATA)
    add(repository, "b")
    for key in (keys.model("a", "m"), keys.bundle("a", BUNDLE)):
        storage.local(key).parent.mkdir(parents=True)
        storage.local(key).write_bytes(b"x")

    def broken(job_id: str) -> None:
        raise RuntimeError(job_id)

    queue = open_queue(broken)
    queue.submit("a")
    until(lambda: queue.given_up(["a", "b"]) == {"a"})
    recovery.requeue(storage, repository, queue, 1 << 30)
    assert storage.local(keys.model("a", "m")).exists()
    assert not storage.local(keys.output("a")).exists()
    row = repository.get("a")
    assert row is not None
    assert row.state == "failed"
    assert row.error is not None
    assert row.error["type"] == "/problems/internal"
    assert [row.id for row in repository.live()] == ["b"]


def test_a_job_that_was_taken_and_is_not_run_is_run_again(
    storage: Storage, repository: Repository, open_queue: OpenQueue
) -> None:
    add(repository, "a", "b")
    began: list[str] = []
    running = {"b"}

    def run(job_id: str) -> None:
        began.append(job_id)
        if began.count(job_id) == 1:
            raise Interrupted  # the queue has taken it, and nobody brings it to its end

    queue = open_queue(run)
    lost = recovery.Lost(storage, repository, queue, lambda: running, 1 << 30)
    for job_id in ("a", "b"):
        queue.submit(job_id)
    until(lambda: sorted(began) == ["a", "b"] and queue.claimed(["a", "b"]) == {"a", "b"})
    lost.take_up()
    assert began.count("a") == 1  # it may have been taken a moment ago
    lost.take_up()
    until(lambda: began.count("a") == 2)
    assert began.count("b") == 1
