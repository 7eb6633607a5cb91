"""After a start, table, files and queue agree again, however the last run has ended."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sparsebook_service.durable import Interrupted
from sparsebook_service.hosts.heartbeats import Room
from sparsebook_service.housekeeping import Housekeeper
from sparsebook_service.jobs import keys, recovery
from sparsebook_service.jobs.bell import Bell
from sparsebook_service.jobs.deadlines import Deadlines
from sparsebook_service.jobs.leftovers import Leftovers
from sparsebook_service.jobs.protocol import MadeFile
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.workflow import Queue
from sparsebook_service.settings import Settings
from sparsebook_service.storage import Storage
from tests.unit.service.conftest import MakeTrainings

UPLOAD = {"model": {"name": "m", "bytes": 1, "sha256": ""}, "data": [], "external": []}
OpenQueue = Callable[[Callable[[str], None]], Queue]


@pytest.fixture
def repository(engine: sa.Engine) -> Repository:
    return Repository(engine)


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


@pytest.fixture
def leftovers(storage: Storage, make_trainings: MakeTrainings) -> Leftovers:
    return Leftovers(storage, make_trainings(storage))


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
    recovery.empty_work(settings.work_dir)
    recovery.tidy(storage, repository, shared=False)
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


def test_what_another_host_is_taking_in_stays(storage: Storage, repository: Repository) -> None:
    content = b"x" * (3 << 20)
    key, abandoned = keys.model("arriving", "m"), keys.model("abandoned", "half#1")

    async def take_in() -> None:
        async with storage.writer(key) as writer:
            await writer.write(content)
            while not storage.folders(f"{keys.inputs('arriving')}/model"):
                await asyncio.sleep(0.01)
            assert storage.size(key) is None  # it is on its way, under another name
            recovery.tidy(storage, repository, shared=True)
            await writer.write(content)

    path = storage.local(abandoned)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    long_ago = time.time() - recovery.ORPHAN_SECONDS - 60
    for each in (path, *path.parents[:3]):
        os.utime(each, (long_ago, long_ago))
    asyncio.run(take_in())
    assert storage.content(key) == 2 * content
    assert storage.folders(keys.JOBS) == ["arriving"]


def test_a_job_that_the_queue_never_saw_is_run(
    leftovers: Leftovers, repository: Repository, open_queue: OpenQueue
) -> None:
    add(repository, "a", "b")
    repository.cancel("b", {})
    ran: list[str] = []
    queue = open_queue(ran.append)
    recovery.requeue(leftovers, repository, queue, 1 << 30)
    recovery.requeue(leftovers, repository, queue, 1 << 30)
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
    storage: Storage, leftovers: Leftovers, repository: Repository, open_queue: OpenQueue
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
    recovery.requeue(leftovers, repository, queue, 1 << 30)
    leftovers.clear()
    assert storage.local(keys.model("a", "m")).exists()
    assert not storage.local(keys.output("a")).exists()
    row = repository.get("a")
    assert row is not None
    assert row.state == "failed"
    assert row.error is not None
    assert row.error["type"] == "/problems/internal"
    assert [row.id for row in repository.live()] == ["b"]


def test_a_job_that_was_taken_and_is_not_run_is_run_again(
    leftovers: Leftovers, repository: Repository, open_queue: OpenQueue
) -> None:
    add(repository, "a", "b")
    began: list[str] = []
    running = {"b"}

    def run(job_id: str) -> None:
        began.append(job_id)
        if began.count(job_id) == 1:
            raise Interrupted  # the queue has taken it, and nobody brings it to its end

    queue = open_queue(run)
    lost = recovery.Lost(leftovers, repository, queue, lambda: running, 1 << 30)
    for job_id in ("a", "b"):
        queue.submit(job_id)
    until(lambda: sorted(began) == ["a", "b"] and queue.claimed(["a", "b"]) == {"a", "b"})
    lost.take_up()
    assert began.count("a") == 1  # it may have been taken a moment ago
    lost.take_up()
    until(lambda: began.count("a") == 2)
    assert began.count("b") == 1


class Slow(Storage):
    """A storage that takes its time to remove anything."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked, self.answers = threading.Event(), threading.Event()

    def remove(self, prefix: str) -> None:
        self.asked.set()
        assert self.answers.wait(20)
        super().remove(prefix)


def test_a_slow_storage_holds_up_no_deadline(
    tmp_path: Path, repository: Repository, make_trainings: MakeTrainings
) -> None:
    slow = Slow(tmp_path / "files")
    leftovers = Leftovers(slow, make_trainings(slow))
    loop = asyncio.new_event_loop()
    deadlines = Deadlines(repository, leftovers, Bell(loop))
    for job_id, seconds in (("a", 0.0), ("b", 0.0), ("c", 3600.0)):
        repository.add(
            job_id,
            config={},
            upload=UPLOAD,
            fingerprint="",
            idempotency_key=None,
            deadline=seconds,
        )
        slow.local(keys.inputs(job_id)).mkdir(parents=True)
    with (
        closing(Housekeeper("patient", leftovers.clear)),
        closing(Housekeeper("punctual", deadlines.enforce)),
    ):
        assert slow.asked.wait(20)  # and does not answer
        repository.add(
            "d", config={}, upload=UPLOAD, fingerprint="", idempotency_key=None, deadline=0.0
        )
        until(lambda: {row.id for row in repository.live()} == {"c"})
        slow.answers.set()
        until(lambda: slow.folders(keys.JOBS) == ["c"])
    loop.close()


def test_what_cannot_be_removed_holds_up_no_other(
    tmp_path: Path, repository: Repository, make_trainings: MakeTrainings
) -> None:
    class Refusing(Storage):
        """A storage that does not let go of one job."""

        refused = keys.job("a")

        def remove(self, prefix: str) -> None:
            if prefix == self.refused:
                raise PermissionError(prefix)
            super().remove(prefix)

    storage = Refusing(tmp_path / "files")
    leftovers = Leftovers(storage, make_trainings(storage))
    add(repository, "a", "b")
    for row in repository.live():
        storage.local(keys.inputs(row.id)).mkdir(parents=True)
        leftovers.note(row)
    with pytest.raises(PermissionError):
        leftovers.clear()
    with pytest.raises(PermissionError):
        leftovers.clear()
    assert storage.folders(keys.JOBS) == ["a"]
    storage.refused = ""
    leftovers.clear()
    assert storage.folders(keys.JOBS) == []
