from pathlib import Path

from sparsebook_compressor.progress import Stage, TrainingProgress
from sparsebook_service.database import open_sqlite
from sparsebook_service.jobs.history import Observer
from sparsebook_service.jobs.protocol import Advanced
from sparsebook_service.jobs.repository import Repository

UPLOAD = {"model": {"name": "m", "bytes": 1, "sha256": ""}, "data": [], "external": []}


def advanced(stage: Stage, training: TrainingProgress | None = None) -> Advanced:
    return Advanced(stage=stage, weight=None, fraction=0.5, training=training)


def at(epoch: int, loss: float | None, metric: float | None) -> TrainingProgress:
    return TrainingProgress(epoch, 3, 0.5, loss, metric, 100.0)


def test_stages_and_epochs_are_told_once() -> None:
    observer = Observer()
    for message in (
        advanced("admit"),
        advanced("retrain"),
        advanced("retrain", at(0, None, None)),
        advanced("retrain", at(1, 0.9, 0.5)),
        advanced("retrain", at(1, 0.8, 0.5)),
        advanced("retrain", at(2, 0.7, 0.6)),
        advanced("retrain", at(1, 0.5, 0.7)),  # another training
        advanced("pack"),
    ):
        observer.see(message)
    happened = observer.take()
    assert [what.kind for what in happened] == [
        *("stage", "stage"),
        *("point", "point", "point", "point"),
        "stage",
    ]
    points = [what.data for what in happened if what.kind == "point"]
    assert [(point["epoch"], point["loss"], point["metric"]) for point in points] == [
        (0, None, 0.5),
        (1, 0.8, 0.6),
        (2, 0.7, 0.6),
        (1, 0.5, 0.7),
    ]
    assert {point["stage"] for point in points} == {"retrain"}
    assert observer.take() == []


def test_the_history_goes_with_the_job(tmp_path: Path) -> None:
    repository = Repository(open_sqlite(tmp_path / "jobs.sqlite"))
    for job_id in ("a", "b"):
        repository.add(job_id, config={}, upload=UPLOAD, fingerprint=job_id, idempotency_key=None)
        repository.begin(job_id)
    repository.wait("a", "a worker")
    repository.begin("a")
    assert [(event.number, event.what.kind) for event in repository.events("a", 0)] == [
        (1, "started"),
        (2, "waiting"),
        (3, "started"),
    ]
    assert [event.number for event in repository.events("a", 2)] == [3]
    rows, lengths = repository.look(["a", "b", "c"])
    assert (set(rows), dict(lengths)) == ({"a", "b"}, {"a": 3, "b": 1})
    repository.cancel("a", {"why": "me"})
    assert not repository.wait("a", None)
    assert len(repository.events("a", 0)) == 3
    repository.delete("a")
    assert repository.events("a", 0) == []
    assert len(repository.events("b", 0)) == 1
