"""Runs one training from its row to its end: the body of the worker's durable workflow.

It may run again at any time, here or in another worker, after a crash: it goes on after the last checkpoint that is in
the storage and ends in the same bytes. It writes to the row only while it holds it.
"""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import structlog

from sparsebook_compressor.errors import StorageFull
from sparsebook_compressor.progress import TrainingProgress
from sparsebook_service.durable import Interrupted, when_it_answers, when_there_is_room
from sparsebook_service.finetune import checkpoints, contents, keys, problems
from sparsebook_service.finetune.checkpoints import Checkpoints
from sparsebook_service.finetune.deaths import outlive
from sparsebook_service.finetune.metrics import Ending, TrainingMetrics
from sparsebook_service.finetune.program import Failed, Finished, Progressed, Trainer
from sparsebook_service.finetune.repository import TrainingRepository, TrainingRow
from sparsebook_service.storage import Storage, full_disk_named

# A training that is no longer wanted is killed within a tick.
TICK_SECONDS = 0.5
# Small models finish epochs faster than they are worth a copy.
CHECKPOINT_SECONDS = 2.0
RESULT = "result.json"

T = TypeVar("T")
log = structlog.get_logger(__name__)


class _NoLongerWanted(Exception):
    """Every job that wanted it has ended."""


class _Abandoned(Exception):
    """The run has ended while a copy was under way."""


@dataclass(frozen=True)
class Tools:
    """What a worker works with; `folder` is its own, for what the trainer writes. `closing` ends what runs."""

    trainer: Trainer
    storage: Storage
    repository: TrainingRepository
    folder: Path
    metrics: TrainingMetrics = field(default_factory=TrainingMetrics)
    closing: threading.Event = field(default_factory=threading.Event)


def run(tools: Tools, number: int) -> None:
    """Bring a training to its end; returns at once where it has reached it already.

    Raises:
        Interrupted: the worker stops, or another one has taken the training over.
    """
    if tools.closing.is_set():
        raise Interrupted
    repository, closing = tools.repository, tools.closing
    holder = os.urandom(16).hex()
    row = when_there_is_room(lambda: repository.begin(number, holder), closing)
    if row is None:
        return
    with tools.metrics.training() as counted:
        counted.ending = _run_held(tools, row, holder)


def _run_held(tools: Tools, row: TrainingRow, holder: str) -> Ending:
    """Bring a training that is held to its end, and say what became of it."""
    repository, number = tools.repository, row.number
    # Jobs share a training that is the same for them: all are named.
    bound = log.bind(training=number, jobs=repository.wanted_by(row.id))
    bound.info("training started", id=row.id)
    started = time.monotonic()
    try:
        with full_disk_named("the training's files"), _Run(tools, row, holder) as this:
            this.to_the_end()
        bound.info("training ended", seconds=round(time.monotonic() - started, 3))
        return "succeeded"
    except _NoLongerWanted:
        bound.info("training stopped", reason="no longer wanted")
        return "unwanted"
    except problems.Stopped as stopped:
        problem = {"problem": stopped.problem, "detail": str(stopped)}
    except StorageFull as full:
        problem = {"problem": full.problem, "detail": str(full)}
    except Exception:
        if not repository.is_held(number, holder):
            # Its files were removed under its hands.
            bound.info("training stopped", reason="no longer wanted")
            return "unwanted"
        bound.exception("a fault in a training")
        detail = "an unexpected fault; the fine-tuning worker's log has the details"
        problem = {"problem": "internal", "detail": detail}
    bound.warning("training failed", **problem)
    when_there_is_room(lambda: repository.fail(number, holder, problem), tools.closing)
    return "failed"


class _Run:
    """One run of one training; leaving the `with` ends the copy that is under way."""

    def __init__(self, tools: Tools, row: TrainingRow, holder: str) -> None:
        self._tools = tools
        self._row = row
        self._holder = holder
        # Copies are made beside the ticks, because a large one takes longer than a tick.
        self._copier = ThreadPoolExecutor(1)
        self._abandoned = threading.Event()
        self._copying: Future[bool] | None = None
        self._copied: int | None = None
        self._copy_due = 0.0
        self._checkpoints = Checkpoints(tools.storage, row.id, self._check_copy)
        self._progress: TrainingProgress | None = None
        self._order = self._dataset = Path()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._abandoned.set()
        self._copier.shutdown(cancel_futures=True)

    def _check_copy(self) -> None:
        if self._abandoned.is_set():
            raise _Abandoned

    def to_the_end(self) -> None:
        """Train, and put the result into the storage."""
        target = keys.result(self._row.id)
        if self._tools.storage.size(f"{target}/{RESULT}") is None:
            folder = Path(tempfile.mkdtemp(prefix=f"{self._row.number}.", dir=self._tools.folder))
            try:
                self._train(folder, folder / "work")
                self._publish(folder / "work" / "result", target)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        if not when_there_is_room(self._succeed, self._tools.closing):
            self._beat()
        self._tools.storage.remove(keys.checkpoints(self._row.id))
        self._tools.storage.remove(keys.order(self._row.id))

    def _succeed(self) -> bool:
        """One try to finish the row: the result is there, a full disk must not fail it any more."""
        self._beat()
        return self._tools.repository.succeed(self._row.number, self._holder)

    def _train(self, folder: Path, work: Path) -> None:
        """Run the program until it has the result, again and again where it is killed."""
        self._beside(partial(self._checkpoints.restore, work))
        self._order, self._dataset = self._beside(partial(self._at_hand, folder))
        self._copied = checkpoints.newest(work)
        outlive(work, partial(self._follow, folder, work), self._mourn)

    def _at_hand(self, folder: Path) -> tuple[Path, Path]:
        """The folders of the order and of the dataset; copies where the storage is not on this machine.

        A search for a budget trains on one dataset again and again, so its copy stays as long as a job wants it.
        """
        storage, dataset = self._tools.storage, self._row.dataset
        order = storage.at_hand(keys.order(self._row.id), folder / "order", self._check_copy)
        copies = self._tools.folder / keys.DATASETS
        wanted = {row.dataset for row in self._tools.repository.all()}
        for copy in copies.iterdir() if copies.is_dir() else ():
            if copy.name.split(".")[0] not in wanted:
                shutil.rmtree(copy, ignore_errors=True)
        return order, storage.at_hand(keys.dataset(dataset), copies / dataset, self._check_copy)

    def _mourn(self, died: str, deaths: int) -> None:
        self._tools.metrics.trainer_died(died)
        log.warning("the trainer died", training=self._row.number, how=died, deaths=deaths)

    def _follow(self, folder: Path, work: Path) -> str | None:
        """One run of the program: how it died, or None where it has made the result."""
        work.mkdir(parents=True, exist_ok=True)
        beaten = 0.0
        with self._tools.trainer.start(self._order, self._dataset, work, folder) as process:
            for line in process.lines(TICK_SECONDS):
                match line:
                    case Finished():
                        self._beat()  # a training shorter than a tick has a last progress too
                        return None
                    case Failed(problem=problem, detail=detail):
                        self._beat()  # without the files of what nobody wants it must fail
                        log.info("the trainer failed", said=process.last_words())
                        raise problems.stopped(problem, detail)
                    case Progressed():
                        self._progress = line.progress()
                if time.monotonic() - beaten >= TICK_SECONDS:
                    beaten = time.monotonic()
                    self._beat()
                    self._copy(work)
            self._beat()
            return problems.death(process.exit_status(), process.last_words())

    def _copy(self, work: Path) -> None:
        """Begin to copy the newest checkpoint into the storage, where that is due."""
        if self._copying is not None:
            if not self._copying.done():
                return
            copying, self._copying = self._copying, None
            try:
                copying.result()
            except StorageFull as full:  # without it there is less to go on from, that is all
                log.warning("no checkpoint kept", training=self._row.number, detail=str(full))
        epoch = checkpoints.newest(work)
        if epoch is not None and epoch != self._copied and time.monotonic() >= self._copy_due:
            self._copied, self._copy_due = epoch, time.monotonic() + CHECKPOINT_SECONDS
            self._copying = self._copier.submit(self._checkpoints.store, work, epoch)

    def _publish(self, result: Path, target: str) -> None:
        """Put the result into the storage; what says that it is whole comes last."""
        for name in sorted(contents.names(result), key=lambda name: name == RESULT):
            copy = partial(self._tools.storage.put, f"{target}/{name}", result / name)
            self._beside(partial(copy, self._check_copy))

    def _beside(self, work: Callable[[], T]) -> T:
        """Do what may take long while the ticks go on."""
        doing = self._copier.submit(work)
        while not wait([doing], TICK_SECONDS).done:
            self._beat()
        return doing.result()

    def _beat(self) -> None:
        """Say that it goes on, and hear whether it is to go on."""
        if self._tools.closing.is_set():
            raise Interrupted
        number, repository = self._row.number, self._tools.repository
        progress, self._progress = self._progress, None
        try:
            held = when_it_answers(
                lambda: repository.beat(number, self._holder, progress), self._tools.closing
            )
        except StorageFull:  # then it is heard at least
            held = repository.is_held(number, self._holder)
        if held:
            return
        if repository.is_live(number):
            raise Interrupted  # another run holds it: this one was taken for lost
        raise _NoLongerWanted
