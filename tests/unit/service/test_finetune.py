"""Trainings: known by content, wanted by jobs, held by one run at a time, with checkpoints that are whole or not there."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from sparsebook_compressor.errors import InternalError, NoTrainer, SparsebookError, StorageFull
from sparsebook_compressor.progress import TrainingProgress
from sparsebook_service import durable
from sparsebook_service.finetune import contents, keys, problems, program, service
from sparsebook_service.finetune.checkpoints import Checkpoints, newest
from sparsebook_service.finetune.deaths import MOST_DEATHS
from sparsebook_service.finetune.local import LocalTrainer
from sparsebook_service.finetune.program import Trainer, TrainerMissing
from sparsebook_service.finetune.queue import TrainingQueue
from sparsebook_service.finetune.repository import TrainingRepository, TrainingRow
from sparsebook_service.finetune.run import RESULT, Tools, run
from sparsebook_service.finetune.service import Trainings
from sparsebook_service.hosts.heartbeats import Room
from sparsebook_service.jobs.workflow import Queue
from sparsebook_service.settings import Settings
from sparsebook_service.storage import Storage

PROGRESS = TrainingProgress(2, 8, 0.2, 0.5, None, 1000.0)


@pytest.fixture
def repository(engine: sa.Engine) -> TrainingRepository:
    return TrainingRepository(engine)


@pytest.fixture
def trainings(
    engine: sa.Engine, storage: Storage, repository: TrainingRepository
) -> Iterator[Trainings]:
    served = Queue(engine, lambda _job: None, Room(1, 1 << 40))  # makes the queues' tables
    queue = TrainingQueue(engine)
    yield Trainings(
        storage, repository, queue, data_dir=Path("/a data folder"), worker_comes=lambda: False
    )
    queue.close()
    served.close()


def write(folder: Path, **files: bytes) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def read(folder: Path) -> contents.Contents:
    return contents.read(folder, lambda: None)


# ---------------------------------------------------------------------------------------------- contents


def test_the_same_files_are_the_same_training(tmp_path: Path) -> None:
    first = read(write(tmp_path / "a", order=b"1", deep__model=b"2"))
    assert [file.name for file in first.files] == ["deep/model", "order"]
    assert read(write(tmp_path / "b", deep__model=b"2", order=b"1")).identity == first.identity
    others = [
        write(tmp_path / "c", order=b"1", deep__model=b"3"),
        write(tmp_path / "d", order=b"1", model=b"2"),
        write(tmp_path / "e", order=b"1"),
    ]
    assert first.identity not in {read(other).identity for other in others}
    assert contents.training_id(first, "x") != contents.training_id(first, "y")


def test_links_and_pipes_are_no_part_of_an_order(tmp_path: Path) -> None:
    for number, make in enumerate(
        (
            lambda path: path.symlink_to("/etc/passwd"),
            lambda path: path.symlink_to("/etc", target_is_directory=True),
        )
    ):
        folder = write(tmp_path / str(number), order=b"1")
        make(folder / "model")
        with pytest.raises(InternalError, match="model"):
            read(folder)


# --------------------------------------------------------------------------------------------- the tables


def test_one_run_holds_a_training(repository: TrainingRepository) -> None:
    row = repository.want("t", "d", "job")
    assert (row.state, row.holder, row.progress) == ("queued", None, None)
    assert not repository.beat(row.number, "first", PROGRESS)
    assert repository.begin(row.number, "first") is not None
    assert repository.beat(row.number, "first", PROGRESS)
    assert repository.begin(row.number, "second") is not None
    assert not repository.beat(row.number, "first", None)
    assert not repository.succeed(row.number, "first")
    assert not repository.fail(row.number, "first", {})
    assert repository.is_live(row.number)
    assert repository.is_held(row.number, "second")
    assert repository.succeed(row.number, "second")
    assert repository.begin(row.number, "third") is None
    assert not repository.give_up(row.number, {})
    done = repository.get("t")
    assert done is not None
    assert (done.state, done.progress) == ("succeeded", PROGRESS)


def test_a_training_lives_as_long_as_a_job_wants_it(repository: TrainingRepository) -> None:
    first = repository.want("t", "d", "a")
    assert repository.want("t", "d", "b").number == first.number
    repository.want("u", "d", "b")
    assert (repository.wanted_by("t"), repository.wanted_by("u")) == (["a", "b"], ["b"])
    repository.release("a")
    assert repository.wanted_by("t") == ["b"]
    assert [row.id for row in repository.all()] == ["t", "u"]
    assert repository.ahead(repository.all()[1].number) == 1
    repository.release("b")
    assert repository.all() == []
    assert repository.want("t", "d", "a").number > first.number
    repository.want("u", "d", "c")
    repository.keep_only(["c"])
    assert [row.id for row in repository.all()] == ["u"]


# ---------------------------------------------------------------------------------- asking and letting go


def test_what_a_job_waits_for(
    trainings: Trainings, repository: TrainingRepository, storage: Storage, tmp_path: Path
) -> None:
    dataset = write(tmp_path / "dataset", data=b"0")
    asking = trainings.asking("job", lambda: None)
    first = asking.ask(write(tmp_path / "a", order=b"1"), dataset)
    second = asking.ask(write(tmp_path / "b", order=b"2"), dataset)
    assert asking.ask(tmp_path / "a", dataset) == first
    assert storage.local(keys.order(first)).is_dir()
    waiting = asking.look(first).waiting or ""
    assert "--data-dir '/a data folder'" in waiting
    repository.worker_lives("finetune-1")
    assert asking.look(first).waiting is None
    assert "one other training is ahead" in (asking.look(second).waiting or "")
    row = repository.get(first)
    assert row is not None
    repository.begin(row.number, "holder")
    repository.fail(row.number, "holder", {"problem": "bad-data", "detail": "x"})
    assert asking.look(first).error == {"problem": "bad-data", "detail": "x"}
    assert asking.look(second).waiting is None
    trainings.release("job")
    assert asking.look(first) == service.View()
    for kind in (keys.TRAININGS, keys.DATASETS):
        assert storage.folders(kind) == []


def test_files_of_no_training_go(trainings: Trainings, storage: Storage, tmp_path: Path) -> None:
    asked = trainings.asking("job", lambda: None).ask(
        write(tmp_path / "a", order=b"1"), write(tmp_path / "dataset", data=b"0")
    )
    for key in (keys.order("lost"), keys.dataset("lost")):
        write(storage.local(key), file=b"x")
    trainings.keep_only(["job"])
    assert storage.folders(keys.TRAININGS) == [asked]
    assert len(storage.folders(keys.DATASETS)) == 1


class Cancelled(Exception):
    """The job is not wanted any more."""


class Countdown:
    """A check that raises when it is called for the last time."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def __call__(self) -> None:
        self.left -= 1
        if not self.left:
            raise Cancelled


def test_a_cancelled_job_stops_in_the_middle_of_its_dataset(
    trainings: Trainings, repository: TrainingRepository, storage: Storage, tmp_path: Path
) -> None:
    megabytes = 20
    order = write(tmp_path / "a", order=b"1")
    dataset = write(tmp_path / "dataset", data=bytes(megabytes << 20))
    hashing = Countdown(megabytes)
    with pytest.raises(Cancelled):
        trainings.asking("job", hashing).ask(order, dataset)
    assert repository.all() == []
    copying = Countdown(2 * megabytes)
    with pytest.raises(Cancelled):
        trainings.asking("job", copying).ask(order, dataset)
    assert [row.state for row in repository.all()] == ["queued"]
    assert storage.folders(keys.dataset(repository.all()[0].dataset)) == []


def test_what_is_published_after_the_release_goes_too(
    trainings: Trainings,
    repository: TrainingRepository,
    storage: Storage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order = write(tmp_path / "a", order=b"1")
    dataset = write(tmp_path / "dataset", data=b"0")
    wanted = repository.want

    def released_meanwhile(training_id: str, dataset_id: str, job_id: str) -> TrainingRow:
        row = wanted(training_id, dataset_id, job_id)
        repository.release(job_id)
        return row

    monkeypatch.setattr(repository, "want", released_meanwhile)
    trainings.asking("job", lambda: None).ask(order, dataset)
    assert len(storage.folders(keys.DATASETS)) == 1
    trainings.release("job")
    assert storage.folders(keys.DATASETS) == storage.folders(keys.TRAININGS) == []
    write(storage.local(keys.checkpoints("late")), file=b"x")
    trainings.sweep()
    assert storage.folders(keys.TRAININGS) == []


# -------------------------------------------------------------------------------------------- checkpoints


def work_of(folder: Path, epoch: int, kept: int) -> Path:
    work = write(folder, **{"order.sha256": b"f", f"kept-{kept}__0.npy": bytes([kept])})
    write(work, **{f"checkpoint-{epoch}__state": bytes([epoch]), "graph__g": b"g", "lock": b""})
    return write(work, **{f"kept-{epoch + 1}.partial__0.npy": b"half"})


def test_a_checkpoint_comes_back_with_what_it_needs(storage: Storage, tmp_path: Path) -> None:
    checkpoints = Checkpoints(storage, "t", lambda: None)
    assert checkpoints.restore(tmp_path / "empty") is None
    work = work_of(tmp_path / "run/work", 3, 2)
    assert newest(work) == 3
    assert checkpoints.store(work, 3)
    back = tmp_path / "back"
    assert checkpoints.restore(back) == 3
    found = {str(path.relative_to(back)) for path in back.rglob("*") if path.is_file()}
    assert found == {"order.sha256", "kept-2/0.npy", "checkpoint-3/state"}
    later = work_of(tmp_path / "later/work", 5, 5)
    assert checkpoints.store(later, 5)
    assert storage.folders(keys.checkpoints("t")) == ["5", "5.json"]


def test_a_copy_that_is_abandoned_is_no_checkpoint(storage: Storage, tmp_path: Path) -> None:
    work = work_of(tmp_path / "run/work", 3, 2)
    with pytest.raises(Cancelled):
        Checkpoints(storage, "t", Countdown(2)).store(work, 3)
    assert Checkpoints(storage, "t", lambda: None).restore(tmp_path / "back") is None
    assert Checkpoints(storage, "t", lambda: None).store(work, 3)
    with pytest.raises(Cancelled):
        Checkpoints(storage, "t", Countdown(2)).restore(tmp_path / "back")


def test_half_a_checkpoint_does_not_count(storage: Storage, tmp_path: Path) -> None:
    checkpoints = Checkpoints(storage, "t", lambda: None)
    checkpoints.store(work_of(tmp_path / "run/work", 3, 2), 3)
    gone = work_of(tmp_path / "gone/work", 4, 4)
    (gone / "checkpoint-4/state").unlink()
    (gone / "checkpoint-4").rmdir()
    assert not checkpoints.store(gone, 4)
    storage.put(f"{keys.checkpoints('t')}/6/checkpoint-6/state", gone / "order.sha256")
    assert checkpoints.restore(tmp_path / "back") == 3
    storage.local(f"{keys.checkpoints('t')}/3/checkpoint-3/state").write_bytes(b"cut short")
    assert checkpoints.restore(tmp_path / "back") is None


# ------------------------------------------------------------------------------------- the end of a run


class Full(TrainingRepository):
    """Its disk is full for the first tries to finish a training."""

    def __init__(self, engine: sa.Engine, meanwhile: Callable[[], None], tries: int = 3) -> None:
        super().__init__(engine)
        self.meanwhile = meanwhile
        self.left = tries

    def succeed(self, number: int, holder: str) -> bool:
        self.left -= 1
        if self.left < 0:
            return super().succeed(number, holder)
        self.meanwhile()
        raise StorageFull("no room left on the disk for the database")


@pytest.fixture
def finished(
    repository: TrainingRepository,
    storage: Storage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Full], int]:
    """Runs a training whose result is there already; its number."""
    monkeypatch.setattr(durable, "ROOM_SECONDS", 0.01)
    row = repository.want("t", "d", "job")
    write(storage.local(keys.result("t")), **{RESULT: b"{}"})
    work = tmp_path / "worker"
    work.mkdir()

    def run_with(full: Full) -> int:
        run(Tools(Trainer(tmp_path / "none", "cpu"), storage, full, work), row.number)
        return row.number

    return run_with


def test_a_finished_training_waits_for_room_to_say_so(
    engine: sa.Engine, repository: TrainingRepository, finished: Callable[[Full], int]
) -> None:
    finished(Full(engine, lambda: None))
    row = repository.get("t")
    assert row is not None
    assert (row.state, row.error) == ("succeeded", None)


def test_a_cancel_is_heard_while_a_finished_training_waits_for_room(
    engine: sa.Engine, repository: TrainingRepository, finished: Callable[[Full], int]
) -> None:
    full = Full(engine, lambda: repository.release("job"))
    assert not repository.is_live(finished(full))
    assert repository.get("t") is None
    assert full.left == 2  # it was not tried again


# -------------------------------------------------------------------------------------------- the program


def test_a_missing_trainer_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainerMissing, match=r"no .*/python; make it"):
        Trainer(tmp_path / "python", "auto").check()
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(TrainerMissing, match="no such module"):
        Trainer(broken, "auto").check()
    broken.write_bytes(b"")
    with pytest.raises(TrainerMissing, match="does not run"):
        Trainer(broken, "auto").check()


def test_problems_of_the_trainer_become_errors() -> None:
    assert isinstance(problems.to_error("storage-full", "x"), StorageFull)
    assert isinstance(problems.to_error("anything", "x"), InternalError)
    assert str(problems.to_error("not-trainable", "no gradient for Elu")).startswith(
        "no gradient for Elu; docs/trainable.md"
    )
    memory = problems.death(-9, "")
    assert problems.of_death(memory) == "limit-exceeded"
    assert isinstance(problems.to_error("limit-exceeded", memory), problems.LimitExceeded)
    said = "a\nthe reason\n2026-11-24 00:16:07 [I:onnxruntime:Default, x.cc:15 Apply] modified: 0"
    assert problems.death(3, said) == "the trainer ended with status 3: the reason"


def dying(folder: Path, death: str) -> Trainer:
    """A program that works, notes every run, and dies in each; before its second death it makes a checkpoint."""
    program = folder / "python"
    program.write_text(
        "#!/bin/sh\n"
        'case "$*" in *--help*) exit 0;; esac\n'
        f"echo run >> {folder}/runs\n"
        f'[ "$(wc -l < {folder}/runs)" -eq 2 ] && mkdir "$6/checkpoint-1"\n'
        f"{death}\n"
    )
    program.chmod(0o755)
    return Trainer(program, "cpu")


@pytest.mark.parametrize(
    ("death", "error", "words"),
    [
        ("kill -9 $$", problems.LimitExceeded, "because memory ran out"),
        ("echo no luck >&2; exit 7", InternalError, "the trainer ended with status 7: no luck"),
    ],
)
def test_a_trainer_that_dies_again_and_again_is_given_up(
    death: str, error: type[SparsebookError], words: str, tmp_path: Path
) -> None:
    """Deaths are counted from the last new checkpoint on."""
    trainer = LocalTrainer(dying(tmp_path, death))
    with pytest.raises(error, match=words):
        trainer(tmp_path / "order", tmp_path / "dataset", tmp_path / "work", lambda _step: None)
    assert (tmp_path / "runs").read_text().count("run") == 1 + MOST_DEATHS


def test_a_trainer_that_does_not_start_is_not_tried_again(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text(f"#!/bin/sh\necho run >> {tmp_path}/runs\necho no module >&2\nexit 1\n")
    broken.chmod(0o755)
    trainer = LocalTrainer(Trainer(broken, "cpu"))
    with pytest.raises(NoTrainer, match="no module"):
        trainer(tmp_path / "order", tmp_path / "dataset", tmp_path / "work", lambda _step: None)
    assert (tmp_path / "runs").read_text().count(
        "run"
    ) == 2  # the second one only asks for its help


def test_a_trainer_of_the_service_has_the_limits_of_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But no limit of addresses where there may be CUDA, which reserves them for all memory there is."""
    wanted = Settings(job_address_space_bytes=1 << 30, job_file_bytes=1 << 20)
    monkeypatch.setattr(program, "GPU", tmp_path / "none")
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 1 << 20}
    assert program.Trainer.limited(wanted).limits == limits | {resource.RLIMIT_AS: 1 << 30}
    monkeypatch.setattr(program, "GPU", tmp_path)
    assert program.Trainer.limited(wanted).limits == limits
    assert program.Trainer.of(wanted).limits == {}


def test_an_allocation_that_fails_is_no_fault_of_the_graph() -> None:
    """ONNX Runtime would have it that the graph cannot be trained."""
    for problem, detail in (
        ("not-trainable", "the graph cannot be trained: std::bad_alloc"),
        ("internal", "MemoryError: "),
    ):
        stopped = problems.stopped(problem, detail)
        assert stopped.problem == "limit-exceeded"
        assert str(stopped).endswith(detail)
    assert problems.stopped("not-trainable", "no gradient").problem == "not-trainable"
