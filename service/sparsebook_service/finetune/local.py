"""A `Trainer` for a command line without a service: the trainer program as a child of this process."""

from collections.abc import Callable
from pathlib import Path

from sparsebook_compressor.errors import InternalError, NoTrainer
from sparsebook_compressor.progress import TrainingProgress
from sparsebook_service.finetune import problems
from sparsebook_service.finetune.program import (
    Failed,
    Finished,
    Progressed,
    Trainer,
    TrainerMissing,
)

TICK_SECONDS = 0.5


class LocalTrainer:
    """Runs the trainer program. It ends with this process, and when whoever waits for it is interrupted."""

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
        ended: Finished | Failed | None = None
        with self._trainer.start(order, dataset, work, work) as process:
            for line in process.lines(TICK_SECONDS):
                if isinstance(line, Progressed):
                    listener(line.progress())
                elif line is not None:
                    ended = line
            if ended is None:
                self._require_runs()
                raise InternalError(problems.death(process.exit_status(), process.last_words()))
        if isinstance(ended, Failed):
            raise problems.to_error(ended.problem, ended.detail)
        return work / "result"

    def _require_runs(self) -> None:
        """Tell a trainer that died from one that was never there.

        Raises:
            NoTrainer: it does not start; the message names it.
        """
        try:
            self._trainer.check()
        except TrainerMissing as error:
            raise NoTrainer(str(error)) from error
