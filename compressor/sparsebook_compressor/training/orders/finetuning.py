"""Fine-tuning between the stages: every training order of a compression, and what came of it."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from sparsebook_compressor.errors import NotTrainable, SparsebookError
from sparsebook_compressor.protocol import Attempt, EpochRow, Phase, Refusal
from sparsebook_compressor.training.orders.graphs import (
    TrainingGraph,
    pruned_graph,
    rounded_graph,
    shared_graph,
)
from sparsebook_compressor.training.orders.journal import Journal
from sparsebook_compressor.training.orders.order import Result, read_result, write_order
from sparsebook_compressor.training.orders.parameters import Parameter, restore
from sparsebook_compressor.training.orders.rounding import Bins
from sparsebook_compressor.training.orders.task import Task
from sparsebook_compressor.training.orders.values import Values

TrainingStage: TypeAlias = Literal["retrain", "tune"]

# A rate that diverges is lowered by this, so many times at most; one that brings nothing better than the start, once: there
# may be nothing better.
_BACKOFF = 4.0
_MOST_RETRIES = 2
# Each training has a seed of its own; an order holds one of 63 bits.
_SEEDS = 1 << 63


@dataclass(eq=False)
class FineTuning:
    """Orders the trainings of a task.

    Attributes:
        task: what is given.
        values: all weights, in and out.
        journal: what was done so far.
    """

    task: Task
    values: Values
    journal: Journal = field(default_factory=Journal)

    def retrain(self, pruned: Sequence[str], number: int, epochs: int, rate: float) -> None:
        """Train the survivors of pruned weights and all vectors; what is zero stays zero.

        Args:
            pruned: weights whose zeros are held.
            number: of the round, for the report.
            epochs: at most.
            rate: what the size of the weights as the user has them weighs in the loss, 0 for none.

        Raises:
            SparsebookError: the worker refuses the graph or fails, and nothing has been trained yet.
        """
        names = self._trained(pruned)
        with self._ordered("retrain", number, names) as ordered:
            if not ordered:
                return
            graph = partial(pruned_graph, self.task, self.values, names, rate)
            with self._training("retrain", number, epochs, graph) as (result, entered):
                for name, parameter in entered.items():
                    before = np.array(self.values.read(name))
                    self.values.write(name, restore(before, result.read(parameter.name)))
                self._keep_vectors(result)
                self.journal.retrained.update(entered)

    def settle(self, shared: Sequence[str], floats: Values, number: int, epochs: int) -> None:
        """Train weights while the graph sees their centroids, and give each element the centroid that it saw last.

        Args:
            shared: weights that have been shared; their codebooks stay as they are.
            floats: the same weights before.
            number: of the round, for the report.
            epochs: at most.

        Raises:
            SparsebookError: the worker refuses the graph or fails, and nothing has been trained yet.
        """
        names = self._trained(shared)
        with self._ordered("retrain", number, names) as ordered:
            if not ordered:
                return
            graph = partial(rounded_graph, self.task, floats, self.values, names)
            with self._training("retrain", number, epochs, graph) as (result, entered):
                for name, parameter in entered.items():
                    before = np.array(floats.read(name))
                    trained = restore(before, result.read(parameter.name))
                    codebook = self.values.codebooks[name]
                    bins = Bins.of(codebook, before[before != 0])
                    codes = np.where(before != 0, bins.codes(trained), np.uint8(0))
                    self.values.share(name, codes, codebook)
                self._keep_vectors(result)

    def tune(self, shared: Sequence[str], number: int = 1, epochs: int | None = None) -> None:
        """Train the centroids of shared weights and all vectors; codes stay as they are.

        Raises:
            SparsebookError: the worker refuses the graph or fails, and nothing has been trained yet.
        """
        names = self._trained(shared)
        epochs = epochs or self.task.settings.tune_epochs
        with self._ordered("tune", number, names) as ordered:
            if not ordered:
                return
            graph = partial(shared_graph, self.task, self.values, names)
            with self._training("tune", number, epochs, graph) as (result, entered):
                for name, parameter in entered.items():
                    self.values.move_centroids(name, np.array(result.read(parameter.name)))
                self._keep_vectors(result)

    def _trained(self, wanted: Iterable[str]) -> dict[str, str]:
        """Those of some weights that have a survivor and get a gradient, with their initializers."""
        frozen = {frozen.weight for frozen in self.task.trainable.frozen}
        known = self.task.trainable.weights
        names = (name for name in wanted if name in known and name not in frozen)
        return {name: known[name] for name in names if self.values.nonzeros(name)}

    def _keep_vectors(self, result: Result) -> None:
        for name in self.task.vectors:
            self.values.write_vector(name, np.array(result.read(name)))

    @contextmanager
    def _ordered(
        self, stage: TrainingStage, number: int, names: Mapping[str, str]
    ) -> Iterator[bool]:
        """Whether there is anything to train, and a worker that does; where it fails in what comes inside is noted.

        Raises:
            SparsebookError: the worker refuses the graph or fails, and nothing has been trained yet.
        """
        is_refused = any(each.stage == stage for each in self.journal.refused)
        if is_refused or not (names or self.task.vectors):
            yield False
            return
        try:
            with self.task.clock.stage(stage):
                yield True
        except (NotTrainable, _WorkerFailed) as error:
            if not self.journal.phases:
                raise
            self.journal.refused.append(Refusal(stage, number, str(error), error.problem))

    @contextmanager
    def _training(
        self, stage: TrainingStage, number: int, epochs: int, graph: Callable[[], TrainingGraph]
    ) -> Iterator[tuple[Result, dict[str, Parameter]]]:
        """Carry an order out, again at a lower rate where nothing better than the start came of it.

        Inside, the result can be read; behind it the worker's files are gone.
        """
        rate = self.task.settings.learning_rate
        seconds = 0.0
        retried: list[Attempt] = []
        while True:
            made = graph()
            with self._room(f"{stage}-{len(self.journal.phases)}-{len(retried)}") as folder:
                result = self._carry_out(folder, stage, epochs, rate, made)
                seconds += result.seconds
                patience = _MOST_RETRIES if result.ended == "diverged" else 1
                if result.kept_epoch > 0 or len(retried) >= patience:
                    self.journal.phases.append(
                        self._phase(stage, number, rate, retried, result, seconds)
                    )
                    yield result, made.entered
                    return
            retried.append(Attempt(rate, _rows(result), result.kept_epoch, result.ended))
            rate /= _BACKOFF

    @contextmanager
    def _room(self, name: str) -> Iterator[Path]:
        folder = self.task.folder / name
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def _phase(
        self,
        stage: TrainingStage,
        number: int,
        rate: float,
        retried: Sequence[Attempt],
        result: Result,
        seconds: float,
    ) -> Phase:
        return Phase(
            stage=stage,
            number=number,
            density=self._density(),
            learning_rate=rate,
            retries=len(retried),
            epochs=_rows(result),
            kept_epoch=result.kept_epoch,
            ended=result.ended,
            seconds=seconds,
            samples_per_second=result.samples_per_second,
            device=result.device,
            retried=tuple(retried),
        )

    def _carry_out(
        self, folder: Path, stage: TrainingStage, epochs: int, rate: float, graph: TrainingGraph
    ) -> Result:
        task, settings = self.task, self.task.settings
        order = replace(
            settings.order(graph.parameters, task.objective.form, epochs),
            learning_rate=rate,
            seed=(settings.seed + len(self.journal.phases)) % _SEEDS,
            select=task.select,
            constants=graph.constants,
            # Decay is for weights of which any could be zero; a centroid stands where its cluster is.
            weight_decay=settings.weight_decay if stage == "retrain" else 0.0,
            noise=dict.fromkeys(task.dataset.floats, settings.noise) if settings.noise else {},
            shift=self._shift() if stage == "retrain" else {},
        )
        write_order(folder / "order", order, graph.model, graph.fill, task.source)
        dataset, listener = task.dataset.shared, task.clock.training
        try:
            result = task.trainer(folder / "order", dataset, folder / "work", listener)
            done = read_result(result, graph.parameters)
        except SparsebookError as error:
            # What was trained before is worth more than nothing at all.
            if self.journal.phases:
                raise _WorkerFailed(error) from error
            raise
        # It is as large as the model, and nobody reads it again.
        shutil.rmtree(folder / "order")
        self.journal.versions = done.versions
        return done

    def _shift(self) -> dict[str, int]:
        # Not of centroids: there is little in them to overfit, and the eval part has samples as they are.
        shift = self.task.settings.shift
        return dict.fromkeys(self.task.dataset.movable(shift), shift) if shift else {}

    def _density(self) -> float:
        nonzeros = sum(self.values.nonzeros(name) for name in self.task.planned)
        elements = sum(self.values.elements(name) for name in self.task.planned)
        return nonzeros / max(1, elements)


class _WorkerFailed(Exception):
    """What the worker raised; no weight has been changed since the training before."""

    def __init__(self, error: SparsebookError) -> None:
        super().__init__(str(error))
        self.problem = error.problem


def _rows(result: Result) -> tuple[EpochRow, ...]:
    return tuple(EpochRow(row.epoch, row.loss, row.eval_loss, row.metric) for row in result.epochs)
