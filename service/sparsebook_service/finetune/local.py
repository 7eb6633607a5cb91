"""A `Trainer` for a command line without a service: the trainer program as a child of this process."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from sparsebook_compressor.errors import NoTrainer
from sparsebook_compressor.progress import TrainingProgress
from sparsebook_service.finetune import problems
from sparsebook_service.finetune.deaths import outlive
from sparsebook_service.finetune.program import (
    Failed,
    Finished,
    Progressed,
    Trainer,
    TrainerMissing,
)

TICK_SECONDS = 0.5


class LocalTrainer:
    """Runs the trainer program, and again where it is killed.

    It ends with this process, and when whoever waits for it is interrupted.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def __call__(
        self,
        order: Path,
        dataset: Path,
        work: Path,
        listener: Callable[[TrainingProgress], None],
    ) -> Path:
        """As the compressor's `Trainer` says."""
        work.mkdir(parents=True, exist_ok=True)
        live = partial(self._live, order, dataset, work, listener)
        try:
            outlive(work, live, lambda _how, _deaths: self._require_runs())
        except problems.Stopped as stopped:
            raise problems.to_error(stopped.problem, str(stopped)) from stopped
        return work / "result"

    def _live(
        self,
        order: Path,
        dataset: Path,
        work: Path,
        listener: Callable[[TrainingProgress], None],
    ) -> str | None:
        """One run of the program: how it died, or None where it has made the result."""
        with self._trainer.start(order, dataset, work, work) as process:
            for line in process.lines(TICK_SECONDS):
                match line:
                    case Progressed():
                        listener(line.progress())
                    case Finished():
                        return None
                    case Failed(problem=problem, detail=detail):
                        raise problems.stopped(problem, detail)
            return problems.death(process.exit_status(), process.last_words())

    def _require_runs(self) -> None:
        """Tell a trainer that died from one that was never there.

        Raises:
            NoTrainer: it does not start; the message names it.
        """
        try:
            self._trainer.check()
        except TrainerMissing as error:
            raise NoTrainer(str(error)) from error
