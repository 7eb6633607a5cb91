"""Trainings through the durable queue and real workers: shared by content, lost to no crash, gone when unwanted."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sparsebook_service.finetune import service
from tests.e2e.trainings import Worker, Workshop, order, same, until, workshop
from tests.unit.training.worker import Job, Result


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    with workshop(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Result]:
    """A training of some seconds, so that it is met in its middle, and what it comes to undisturbed."""
    job = order(tmp_path_factory.mktemp("long") / "job", epochs=120, samples=4000)
    return job, job.train("undisturbed")


def kill_all(worker: Worker) -> list[psutil.Process]:
    trainers = worker.trainers()
    worker.kill()
    return trainers


def test_a_training_is_run_shared_and_freed(shop: Workshop, tmp_path: Path) -> None:
    job = order(tmp_path / "job")
    expected = job.train("undisturbed")
    worker = shop.worker()
    training = shop.ask(job)
    assert same(shop.result(training), expected)
    progress = shop.trainings.look(training).progress
    assert progress is not None
    assert progress.epochs == 3
    # Of the training nothing is left but its result, and the dataset, which others may want.
    assert {name.split("/")[2] for name in shop.files() if name.startswith("finetune")} == {
        "result"
    }
    assert shop.ask(job, "b") == training
    assert shop.trainings.look(training).result is not None
    other = order(tmp_path / "other", seed=1)
    assert shop.ask(other, "b") != training
    datasets = {name.split("/")[1] for name in shop.files() if name.startswith("datasets")}
    assert len(datasets) == 1
    shop.trainings.release("a")
    assert shop.trainings.look(training).result is not None
    shop.trainings.release("b")
    assert shop.files() == set()
    assert worker.stop() == 0
    assert shop.repository.workers(service.WORKER_SECONDS) == 0


def test_a_killed_trainer_and_a_killed_worker_change_nothing(
    shop: Workshop, long: tuple[Job, Result]
) -> None:
    job, expected = long
    shop.lost_seconds = 2.0
    workers = [shop.worker(), shop.worker()]
    training = shop.ask(job)
    shop.until_checkpoint(training)
    (first,) = [worker for worker in workers if worker.trainers()]
    (second,) = [worker for worker in workers if worker is not first]
    (trainer,) = first.trainers()
    trainer.kill()
    until(lambda: {process.pid for process in first.trainers()} - {trainer.pid}, "a new trainer")
    orphans = kill_all(first)  # the second one takes over what it loses
    for orphan in orphans:
        orphan.wait(timeout=30)
    assert shop.trainings.look(training).result is None
    assert same(shop.result(training), expected)
    assert second.process.poll() is None


def test_a_worker_that_is_started_again_goes_on(shop: Workshop, long: tuple[Job, Result]) -> None:
    job, expected = long
    worker = shop.worker()
    training = shop.ask(job)
    shop.until_checkpoint(training)
    assert worker.stop() == 0
    stopped_at = shop.trainings.look(training)
    assert stopped_at.progress is not None
    assert stopped_at.result is None
    shop.worker()
    found = shop.result(training)
    assert same(found, expected)
    assert found.values["seconds"] > 0


def test_what_nobody_wants_is_stopped_and_freed(shop: Workshop, tmp_path: Path) -> None:
    job = order(tmp_path / "job", epochs=10_000, samples=6000)
    worker = shop.worker()
    training = shop.ask(job, "a")
    assert shop.ask(job, "b") == training
    until(worker.trainers, "the trainer starts")
    shop.trainings.release("a")
    shop.until_checkpoint(training)
    assert worker.trainers()
    shop.trainings.release("b")
    until(lambda: not worker.trainers(), "the trainer ends")
    shop.trainings.keep_only([])
    assert shop.files() == set()
    # The same order again is another run.
    again = order(tmp_path / "again")
    assert shop.wait(shop.ask(again)).result is not None


def test_what_cannot_be_trained_says_why(shop: Workshop, tmp_path: Path) -> None:
    job = order(tmp_path / "job")
    (job.dataset / "train-00000.x.npy").write_bytes(b"no array")
    shop.worker()
    view = shop.wait(shop.ask(job))
    assert view.error is not None
    assert view.error["problem"] == "bad-data"
    assert "train-00000" in view.error["detail"]


def test_a_worker_in_a_folder_without_a_service_says_so(shop: Workshop, tmp_path: Path) -> None:
    here = shop.worker()
    lost = Worker(tmp_path / "nowhere", tmp_path / "lost.log")
    try:
        assert [event for event in lost.events() if "no service has worked" in event]
        assert not [event for event in here.events() if "no service has worked" in event]
        assert lost.stop() == 0
    finally:
        lost.kill()


def test_a_training_fits_the_least_limits_of_a_service(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARSEBOOK_JOB_ADDRESS_SPACE_BYTES", str(1 << 30))
    monkeypatch.setenv("SPARSEBOOK_JOB_FILE_BYTES", str(1 << 20))
    monkeypatch.setenv("SPARSEBOOK_TRAINER_DEVICE", "cpu")
    worker = shop.worker()
    training = shop.ask(order(tmp_path / "job", epochs=60, samples=6000))
    until(worker.trainers, "the trainer runs")
    (trainer,) = worker.trainers()
    until(lambda: trainer.rlimit(psutil.RLIMIT_AS)[0] == 1 << 30, "it has its limits")
    assert trainer.rlimit(psutil.RLIMIT_FSIZE)[0] == 1 << 20
    assert shop.result(training).values["ended"] == "finished"
