"""The body of a job's workflow: what becomes of a job that is cancelled at the worst moment, and of what it leaves."""

import asyncio
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from sparsebook_service.database import open_sqlite
from sparsebook_service.finetune.queue import TrainingQueue
from sparsebook_service.finetune.repository import TrainingRepository
from sparsebook_service.finetune.service import Trainings
from sparsebook_service.hosts.heartbeats import Room
from sparsebook_service.jobs import keys
from sparsebook_service.jobs.bell import Bell
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.runner import Runner
from sparsebook_service.jobs.workflow import Queue
from sparsebook_service.metrics import Metrics
from sparsebook_service.settings import Settings
from sparsebook_service.storage import Storage
from tests.e2e import models


class Meddled(Storage):
    """A storage in which something happens in the middle of the bundle's way in."""

    meddle: Callable[[], None]

    def put(self, key: str, path: Path, check: Callable[[], None] = lambda: None) -> None:
        if key.endswith(keys.REPORT):
            self.meddle()
        super().put(key, path, check)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_sqlite(tmp_path / "sparsebook.sqlite")
    yield engine
    engine.dispose()


@pytest.fixture
def storage(tmp_path: Path) -> Meddled:
    return Meddled(tmp_path / "files")


@pytest.fixture
def repository(engine: sa.Engine) -> Repository:
    return Repository(engine)


@pytest.fixture
def runner(
    tmp_path: Path, engine: sa.Engine, storage: Storage, repository: Repository
) -> Iterator[Runner]:
    served = Queue(engine, lambda _job: None, Room(1, 1 << 40))  # makes the queues' tables
    queue = TrainingQueue(engine)
    loop = asyncio.new_event_loop()
    settings = Settings(data_dir=tmp_path)
    settings.work_dir.mkdir()
    yield Runner(
        settings,
        storage,
        repository,
        Trainings(
            storage,
            TrainingRepository(engine),
            queue,
            data_dir=tmp_path,
            worker_comes=lambda: False,
        ),
        Bell(loop),
        Metrics(repository.count_by_state),
    )
    loop.close()
    queue.close()
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
