"""What jobs do with trainings: ask for them, follow them, let them go."""

import shlex
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from sparsebook_compressor.progress import TrainingProgress
from sparsebook_service.finetune import contents, keys
from sparsebook_service.finetune.contents import Contents
from sparsebook_service.finetune.queue import TrainingQueue
from sparsebook_service.finetune.repository import TrainingRepository, TrainingRow, TrainingState
from sparsebook_service.storage import Storage, go_on

# A worker says every second that it lives.
WORKER_SECONDS = 5.0

# What a trainer takes: itself, and its samples, weights, gradients and moments a few times over (docs/scaling.md).
BASE_BYTES = 200 << 20
PER_BYTE = 4
# Where the storage is a folder of this machine, nothing is copied.
NOWHERE = Path("/nonexistent")

STARTING = "waiting for a fine-tuning worker: it is starting"

log = structlog.get_logger(__name__)


def no_worker(data_dir: Path) -> str:
    """What a job waits for in a data folder without a worker."""
    return (
        "waiting for a fine-tuning worker: none is running; start one with "
        f"`sparsebook worker --queue finetune --data-dir {shlex.quote(str(data_dir))}`"
    )


@dataclass(frozen=True, slots=True)
class View:
    """How a training is. At its end it has a `result` (a folder) or an `error` (problem and detail)."""

    progress: TrainingProgress | None = None
    waiting: str | None = None
    result: Path | None = None
    error: dict[str, str] | None = None


class Trainings:
    """Trainings of one data folder. Methods block."""

    def __init__(
        self,
        storage: Storage,
        repository: TrainingRepository,
        queue: TrainingQueue,
        *,
        data_dir: Path,
        worker_comes: Callable[[], bool],
    ) -> None:
        """`worker_comes` says whether a worker of the service's own will be there soon."""
        self._data_dir = data_dir
        self._storage = storage
        self._repository = repository
        self._queue = queue
        self._worker_comes = worker_comes
        self._suspects: set[int] = set()
        # Held while rows and files are brought into step: a folder without a row is nobody's.
        self._lock = threading.Lock()

    @property
    def have_a_worker(self) -> bool:
        """Whether one is at work, or comes soon."""
        return bool(self._repository.workers(WORKER_SECONDS)) or self._worker_comes()

    def asking(self, job_id: str, check: Callable[[], None], folder: Path = NOWHERE) -> "Asking":
        """The trainings of one run of a job.

        Args:
            job_id: of the job.
            check: raises where the job is not to go on, and is called often.
            folder: for copies of results, where the storage is not on this machine.
        """
        return Asking(self._storage, self, job_id, check, folder)

    def want(self, training_id: str, dataset_id: str, job_id: str) -> TrainingRow:
        """Note that a job wants a training; from here on its files are kept."""
        with self._alone():
            return self._repository.want(training_id, dataset_id, job_id)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock, self._repository.alone():
            yield

    def submit(self, training_id: str, memory: int) -> None:
        """Hand a training whose files are in the storage to the workers; again changes nothing.

        It needs about so many bytes of memory.
        """
        row = self._repository.get(training_id)
        if row is not None and row.state in {"queued", "running"}:
            self._queue.submit(row.number, memory)

    def look(
        self,
        training_id: str,
        folder: Path = NOWHERE,
        check: Callable[[], None] = go_on,
    ) -> View:
        """How a training is that a job wants; `folder` is for a copy of its result, which `check` can end."""
        row = self._repository.get(training_id)
        if row is None:  # the job has just been cancelled or deleted
            return View()
        if row.state == "succeeded":
            found = self._storage.at_hand(keys.result(training_id), folder / training_id, check)
            return View(row.progress, result=found)
        if row.state == "failed":
            return View(row.progress, error=row.error)
        return View(row.progress, waiting=self._waiting(row))

    def _waiting(self, row: TrainingRow) -> str | None:
        if not self._repository.workers(WORKER_SECONDS):
            return STARTING if self._worker_comes() else no_worker(self._data_dir)
        if row.state == "running":
            return None
        ahead = self._repository.ahead(row.number)
        if not ahead:
            return None
        others = "one other training is" if ahead == 1 else f"{ahead} other trainings are"
        return f"waiting for a fine-tuning worker: {others} ahead"

    def release(self, job_id: str) -> None:
        """A job has ended: free what it alone has asked for."""
        with self._alone():
            self._repository.release(job_id)
            self._remove_unwanted()

    def sweep(self) -> None:
        """Free what a worker has still written of a training that nobody wants any more. Call it now and then."""
        with self._alone():
            self._remove_unwanted()

    def keep_only(self, job_ids: list[str]) -> None:
        """Free what none of these jobs has asked for, files without a row among it."""
        with self._alone():
            self._repository.keep_only(job_ids)
            self._remove_unwanted()

    def by_state(self) -> dict[TrainingState, int]:
        """How many trainings are in which state."""
        return self._repository.count_by_state()

    def wanting(self) -> set[str]:
        """The jobs that want a training."""
        return self._repository.wanting()

    def release_ended(self, job_ids: Iterable[str]) -> None:
        """Free what jobs that have ended, or that are none, have asked for."""
        for job_id in job_ids:
            with self._lock:
                self._repository.release(job_id)
        self.sweep()

    def lost_hosts(self, seconds: float) -> None:
        """Let other workers take what those have that were silent for so long. Call it now and then."""
        self._queue.sweep(seconds)

    def forget_ended(self) -> None:
        """Remove what the queue still knows of trainings that have ended. Call it now and then."""
        self._queue.forget_ended(lambda ended: ended & self._repository.live())

    def end_stranded(self) -> None:
        """End what the queue still has under way of trainings that are over for minutes. Call it now and then."""
        self._queue.end_stranded(lambda under_way: under_way & self._repository.live())

    def _remove_unwanted(self) -> None:
        rows = self._repository.all()
        wanted = {
            keys.TRAININGS: {row.id for row in rows},
            keys.DATASETS: {row.dataset for row in rows},
        }
        for kind, identities in wanted.items():
            for identity in self._storage.folders(kind):
                if identity not in identities:
                    self._storage.remove(f"{kind}/{identity}")

    def close(self) -> None:
        """Let go of the queue."""
        self._queue.close()

    def take_up_lost(self, seconds: float) -> None:
        """Give trainings of which nothing was heard for so long to another worker; those that are given up fail.

        Call it now and then. A training must be found lost twice, because a worker that has just taken it may not have said so yet.
        """
        quiet = self._repository.quiet(seconds)
        for number in self._queue.given_up(quiet):
            error = {
                "problem": "internal",
                "detail": "the training was given up: it failed too often",
            }
            self._repository.give_up(number, error)
        lost = self._queue.claimed(quiet)
        for number in lost & self._suspects:
            self._queue.resume(number)
            log.warning("training taken up again", training=number)
        self._suspects = lost - self._suspects


class Asking:
    """What one run of a job asks for."""

    def __init__(
        self,
        storage: Storage,
        trainings: Trainings,
        job_id: str,
        check: Callable[[], None],
        folder: Path = NOWHERE,
    ) -> None:
        self._folder = folder
        self._storage = storage
        self._trainings = trainings
        self._job_id = job_id
        self._check = check
        self._datasets: dict[object, Contents] = {}

    def ask(self, order: Path, dataset: Path) -> str:
        """Ask for a training; the same one again is found as it is.

        Args:
            order: folder of the order.
            dataset: folder of the dataset; it is read once as long as it stays as it is.

        Returns:
            The training's id.

        Raises:
            InternalError: a folder holds something else than plain files.
            StorageFull: the disk has no room.
        """
        order_contents = contents.read(order, self._check)
        dataset_contents = self._read_dataset(dataset)
        dataset_id = dataset_contents.identity
        training_id = contents.training_id(order_contents, dataset_id)
        row = self._trainings.want(training_id, dataset_id, self._job_id)
        if row.state in {"queued", "running"}:
            self._store(dataset_contents, dataset, keys.dataset(dataset_id))
            self._store(order_contents, order, keys.order(training_id))
            size = sum(file.bytes for file in (*dataset_contents.files, *order_contents.files))
            self._trainings.submit(training_id, BASE_BYTES + PER_BYTE * size)
        return training_id

    def look(self, training_id: str) -> View:
        """How a training is that was asked for."""
        return self._trainings.look(training_id, self._folder, self._check)

    def _read_dataset(self, dataset: Path) -> Contents:
        known_by = (dataset, tuple(_facts(dataset / name) for name in contents.names(dataset)))
        if known_by not in self._datasets:
            self._datasets[known_by] = contents.read(dataset, self._check)
        return self._datasets[known_by]

    def _store(self, found: Contents, folder: Path, key: str) -> None:
        for file in found.files:
            self._check()
            if self._storage.size(f"{key}/{file.name}") != file.bytes:
                self._storage.put(f"{key}/{file.name}", folder / file.name, self._check)


def _facts(path: Path) -> tuple[str, int, int, int]:
    """What changes when a file does."""
    found = path.lstat()
    return str(path), found.st_ino, found.st_size, found.st_mtime_ns
