"""The fine-tuning worker as the benchmarks start it: a child of this process, on one thread."""

from pathlib import Path

from sparsebook_service.finetune.local import LocalTrainer
from sparsebook_service.finetune.program import Trainer

PYTHON = Path(".venv-trainer/bin/python")


def worker() -> LocalTrainer:
    """What carries training orders out.

    Raises:
        TrainerMissing: its environment is not there; `make .venv-trainer` makes it.
    """
    trainer = Trainer(PYTHON.absolute(), "cpu")
    trainer.check()
    return LocalTrainer(trainer)
