"""What fine-tuning is given: the graph, the aim, the data, and with what it is done."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sparsebook_compressor.clock import Clock
from sparsebook_compressor.trainable import Trainable
from sparsebook_compressor.training.aim.metrics import keep_reference
from sparsebook_compressor.training.aim.objective import Objective
from sparsebook_compressor.training.data.dataset import Dataset
from sparsebook_compressor.training.data.parts import Part
from sparsebook_compressor.training.orders.parameters import Sharing, share
from sparsebook_compressor.training.orders.settings import Settings
from sparsebook_compressor.training.orders.trainer import Trainer


@dataclass(frozen=True, eq=False)
class Task:
    """What training needs from the first round of pruning to the last centroid, none of which it changes.

    Attributes:
        trainable: the training graph, without data.
        planned: names of the weights that are to be compressed.
        source: the user's file.
        folder: for all files.
        clock: is told.
        sharing: how weights that are shared enter the graph: `training.orders.parameters.share`, or one that takes less memory.
    """

    trainable: Trainable
    objective: Objective
    dataset: Dataset
    trainer: Trainer
    settings: Settings
    planned: tuple[str, ...]
    source: Path
    folder: Path
    clock: Clock
    sharing: Sharing = share

    @property
    def select(self) -> Literal["metric", "loss"]:
        """By what an epoch's state is kept."""
        # The loss of a few thousand samples is far less a matter of chance than the share of them that is right.
        return "metric" if self.objective.metric == "own" else "loss"

    @property
    def selection(self) -> str:
        """By which rule an epoch's state is kept, in words."""
        best = "highest metric" if self.select == "metric" else "lowest loss"
        return (
            f"{best} on the eval part, the state before training among them; of equals the earliest"
        )

    @property
    def vectors(self) -> tuple[str, ...]:
        """Initializers that are trained besides the weights."""
        return tuple(vector.initializer for vector in self.trainable.vectors)

    def shape(self, initializer: str) -> tuple[int, ...]:
        """Of an initializer of the training graph."""
        tensors = self.trainable.model.graph.initializer
        return next(tuple(tensor.dims) for tensor in tensors if tensor.name == initializer)

    def reference(self, part: Part) -> Path:
        """The original's outputs on a part, as far as the metric reads them; the original is run once."""
        folder = self.folder / f"reference-{part}"
        if not folder.exists():
            keep_reference(self.source, self.dataset, part, self.objective, folder)
        return folder
