"""Who carries a training order out: the compressor's one door to the fine-tuning worker.

The compressor writes an order and a dataset (docs/training.md), hands the folders to a `Trainer`, and reads the folder
that it gets back. Whether the worker is a child of this process or stands behind a queue is not its concern.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sparsebook_compressor.progress import TrainingProgress

__all__ = ["Trainer", "TrainingProgress"]


class Trainer(Protocol):
    """Carries training orders out, one after the other."""

    def __call__(
        self,
        order: Path,
        dataset: Path,
        work: Path,
        listener: Callable[[TrainingProgress], None],
    ) -> Path:
        """Carry an order out.

        Args:
            order: folder of the order, format 1; it is only read, and stays as it is until the call ends.
            dataset: folder of the dataset, format 1; likewise. The same dataset may serve many orders.
            work: a folder of this training's own, which need not exist; what the worker leaves there is its own matter,
                until the result has been read: the folder is removed then.
            listener: is told how far it is, several times a second at most.

        Returns:
            The folder of the result, format 1; it stays until it has been read, which is before the next order is given.

        Raises:
            NotTrainable: the graph of the order cannot be trained.
            BadData: the dataset does not fit the graph.
            StorageFull: no room left for the training's files.
            InternalError: the worker failed.
        """
        ...
