"""Fine-tuning between the stages: every training order of a compression, and what came of it."""

import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, SparseTensorProto, TensorProto, helper

from sparsebook_compressor.clock import Clock
from sparsebook_compressor.errors import NotTrainable, SparsebookError
from sparsebook_compressor.graph.tensors import is_float, read, read_sparse, read_stored
from sparsebook_compressor.graph.view import Holder
from sparsebook_compressor.protocol import Attempt, CutRow, EpochRow, Phase, Refusal
from sparsebook_compressor.trainable import Trainable
from sparsebook_compressor.training.aim.metrics import keep_reference
from sparsebook_compressor.training.aim.objective import Objective
from sparsebook_compressor.training.data.dataset import Dataset
from sparsebook_compressor.training.data.parts import Part
from sparsebook_compressor.training.losses.attach import adapt_inputs, attach
from sparsebook_compressor.training.orders.order import (
    Result,
    read_result,
    write_graph,
    write_order,
)
from sparsebook_compressor.training.orders.parameters import Fill, Parameter, prune, restore, share
from sparsebook_compressor.training.orders.rate import add_rate, kilobytes
from sparsebook_compressor.training.orders.settings import Settings
from sparsebook_compressor.training.orders.trainer import Trainer
from sparsebook_compressor.training.orders.values import Values

Array = npt.NDArray[np.generic]
F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
TrainingStage: TypeAlias = Literal["retrain", "tune"]
Sharing: TypeAlias = Callable[[ModelProto, str, F32, Callable[[], U8]], Parameter]

# A rate that diverges is lowered by this, so many times at most; one that brings nothing better than the start, once: there
# may be nothing better.
_BACKOFF = 4.0
_MOST_RETRIES = 2
# Each training has a seed of its own; an order holds one of 63 bits.
_SEEDS = 1 << 63


@dataclass(eq=False)
class FineTuning:
    """What training needs from the first round of pruning to the last centroid.

    Attributes:
        planned: names of the weights that are to be compressed.
        values: all weights, in and out.
        sharing: how weights that are shared enter the graph: `training.orders.parameters.share`, or one that takes less memory.
        phases: what was done so far.
        cuts: what pruning did so far, for the account.
        refused: trainings that the worker refused or failed in when others had been carried out; no more of that stage are
            ordered.
        retrained: names of the weights that were trained as floats.
        versions: of the worker, once it has done something.
    """

    trainable: Trainable
    objective: Objective
    dataset: Dataset
    trainer: Trainer
    settings: Settings
    planned: tuple[str, ...]
    values: Values
    source: Path
    folder: Path
    clock: Clock
    sharing: Sharing = share
    phases: list[Phase] = field(default_factory=list)
    cuts: list[CutRow] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    retrained: set[str] = field(default_factory=set)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def diverged(self) -> Phase | None:
        """The first training that ended without any good epoch because its loss was not finite."""
        bad = (phase for phase in self.phases if phase.ended == "diverged" and not phase.kept_epoch)
        return next(bad, None)

    @property
    def selection(self) -> str:
        """By which rule an epoch's state is kept, in words."""
        best = "highest metric" if self._select == "metric" else "lowest loss"
        return (
            f"{best} on the eval part, the state before training among them; of equals the earliest"
        )

    @property
    def _select(self) -> Literal["metric", "loss"]:
        # The loss of a few thousand samples is far less a matter of chance than the share of them that is right.
        return "metric" if self.objective.metric == "own" else "loss"

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
            with self._training("retrain", number, epochs, lambda: self._pruned(names, rate)) as (
                result,
                entered,
            ):
                for name, parameter in entered.items():
                    before = np.array(self.values.read(name))
                    self.values.write(name, restore(before, result.read(parameter.name)))
                self._keep_vectors(result)
                self.retrained.update(entered)

    def tune(self, shared: Sequence[str], number: int = 1, epochs: int | None = None) -> None:
        """Train the centroids of shared weights and all vectors; codes stay as they are.

        Raises:
            SparsebookError: the worker refuses the graph or fails, and nothing has been trained yet.
        """
        names = self._trained(shared)
        epochs = epochs or self.settings.tune_epochs
        with self._ordered("tune", number, names) as ordered:
            if not ordered:
                return
            with self._training("tune", number, epochs, lambda: self._shared(names)) as (
                result,
                entered,
            ):
                for name, parameter in entered.items():
                    self.values.move_centroids(name, np.array(result.read(parameter.name)))
                self._keep_vectors(result)

    def write_inference(self, path: Path, values: Values | None = None) -> None:
        """Write the model for ONNX Runtime, with the original's inputs and outputs: as it is now, or with other values."""
        model = ModelProto()
        model.CopyFrom(self.trainable.model)
        adapt_inputs(model, self.dataset, sampled=False)
        write_graph(path, model, self._fill(values or self.values), self.source)

    def write_loss(self, path: Path, inputs: Iterable[str]) -> None:
        """Write the graph of loss and metric; some of the initializers become inputs, to be fed in every run."""
        model = attach(self.trainable.model, self.objective, self.dataset)
        graph, wanted = model.graph, set(inputs)
        for tensor in [tensor for tensor in graph.initializer if tensor.name in wanted]:
            shape = list(tensor.dims)
            graph.input.append(helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, shape))
            graph.initializer.remove(tensor)
        write_graph(path, model, self._fill(self.values), self.source)

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

    def _trained(self, wanted: Iterable[str]) -> dict[str, str]:
        """Those of some weights that have a survivor and get a gradient, with their initializers."""
        frozen = {frozen.weight for frozen in self.trainable.frozen}
        known = self.trainable.weights
        names = (name for name in wanted if name in known and name not in frozen)
        return {name: known[name] for name in names if self.values.nonzeros(name)}

    def _pruned(self, names: Mapping[str, str], rate: float) -> "_Graph":
        model = attach(self.trainable.model, self.objective, self.dataset)
        entered = {
            name: prune(model, initializer, partial(self.values.read, name))
            for name, initializer in names.items()
        }
        if rate > 0:
            rms = {name: self._rms(name) for name in entered}
            size = sum(kilobytes(self.values.original(name), rms[name]) for name in entered)
            values = {parameter.value: rms[name] for name, parameter in entered.items()}
            add_rate(model, values, rate / max(size, 1e-9))
        return self._graph(model, entered)

    def _shared(self, names: Mapping[str, str]) -> "_Graph":
        model = attach(self.trainable.model, self.objective, self.dataset)
        codebooks = self.values.codebooks
        entered = {
            name: self.sharing(
                model, initializer, codebooks[name], partial(self.values.codes, name)
            )
            for name, initializer in names.items()
        }
        return self._graph(model, entered)

    def _graph(self, model: ModelProto, entered: dict[str, Parameter]) -> "_Graph":
        fill = self._fill(self.values)
        for parameter in entered.values():
            fill.update(parameter.fill)
        trained = (*(parameter.name for parameter in entered.values()), *self._vectors())
        return _Graph(model, fill, trained, entered)

    def _fill(self, values: Values) -> Fill:
        """Where the data of every tensor without data comes from."""
        constants: Fill = {
            name: partial(_read, holder, self.source)
            for name, holder in self.trainable.constants.items()
        }
        weights: Fill = {
            initializer: partial(values.read, name)
            for name, initializer in self.trainable.weights.items()
        }
        vectors: Fill = {name: partial(_given, vector) for name, vector in values.vectors.items()}
        return {**constants, **weights, **vectors}

    def _vectors(self) -> tuple[str, ...]:
        return tuple(vector.initializer for vector in self.trainable.vectors)

    def _keep_vectors(self, result: Result) -> None:
        for name in self._vectors():
            self.values.write_vector(name, np.array(result.read(name)))

    def _rms(self, name: str) -> float:
        original = self.values.original(name)
        return math.sqrt(float(np.square(original, dtype=np.float64).mean()))

    @contextmanager
    def _ordered(
        self, stage: TrainingStage, number: int, names: Mapping[str, str]
    ) -> Iterator[bool]:
        """Whether there is anything to train, and a worker that does; where it fails in what comes inside is noted.

        Raises:
            SparsebookError: the worker refuses the graph or fails, and nothing has been trained yet.
        """
        is_refused = any(each.stage == stage for each in self.refused)
        if is_refused or not (names or self._vectors()):
            yield False
            return
        try:
            with self.clock.stage(stage):
                yield True
        except (NotTrainable, _WorkerFailed) as error:
            if not self.phases:
                raise
            self.refused.append(Refusal(stage, number, str(error), error.problem))

    @contextmanager
    def _training(
        self,
        stage: TrainingStage,
        number: int,
        epochs: int,
        graph: Callable[[], "_Graph"],
    ) -> Iterator[tuple[Result, dict[str, Parameter]]]:
        """Carry an order out, again at a lower rate where nothing better than the start came of it.

        Inside, the result can be read; behind it the worker's files are gone.
        """
        rate = self.settings.learning_rate
        seconds = 0.0
        retried: list[Attempt] = []
        while True:
            made = graph()
            with self._room(f"{stage}-{len(self.phases)}-{len(retried)}") as folder:
                result = self._carry_out(folder, stage, epochs, rate, made)
                seconds += result.seconds
                patience = _MOST_RETRIES if result.ended == "diverged" else 1
                if result.kept_epoch > 0 or len(retried) >= patience:
                    self.phases.append(self._phase(stage, number, rate, retried, result, seconds))
                    yield result, made.entered
                    return
            retried.append(Attempt(rate, _rows(result), result.kept_epoch, result.ended))
            rate /= _BACKOFF

    @contextmanager
    def _room(self, name: str) -> Iterator[Path]:
        folder = self.folder / name
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
        self, folder: Path, stage: TrainingStage, epochs: int, rate: float, graph: "_Graph"
    ) -> Result:
        settings = self.settings
        order = replace(
            settings.order(graph.parameters, self.objective.form, epochs),
            learning_rate=rate,
            seed=(settings.seed + len(self.phases)) % _SEEDS,
            select=self._select,
            constants=graph.constants,
            # Decay is for weights of which any could be zero; a centroid stands where its cluster is.
            weight_decay=settings.weight_decay if stage == "retrain" else 0.0,
            noise=dict.fromkeys(self.dataset.floats, settings.noise) if settings.noise else {},
        )
        write_order(folder / "order", order, graph.model, graph.fill, self.source)
        dataset = self.dataset.shared
        try:
            result = self.trainer(folder / "order", dataset, folder / "work", self.clock.training)
            done = read_result(result, graph.parameters)
        except SparsebookError as error:
            # What was trained before is worth more than nothing at all.
            if self.phases:
                raise _WorkerFailed(error) from error
            raise
        # It is as large as the model, and nobody reads it again.
        shutil.rmtree(folder / "order")
        self.versions = done.versions
        return done

    def _density(self) -> float:
        nonzeros = sum(self.values.nonzeros(name) for name in self.planned)
        elements = sum(self.values.elements(name) for name in self.planned)
        return nonzeros / max(1, elements)


class _WorkerFailed(Exception):
    """What the worker raised; no weight has been changed since the training before."""

    def __init__(self, error: SparsebookError) -> None:
        super().__init__(str(error))
        self.problem = error.problem


@dataclass(frozen=True, eq=False)
class _Graph:
    """A training graph, where its data comes from, what of it is trained, and which weights that stands for."""

    model: ModelProto
    fill: Fill
    parameters: tuple[str, ...]
    entered: dict[str, Parameter]

    @property
    def constants(self) -> tuple[str, ...]:
        """Inputs that are the same in every run."""
        return tuple(name for each in self.entered.values() for name in each.constants)


def _rows(result: Result) -> tuple[EpochRow, ...]:
    return tuple(EpochRow(row.epoch, row.loss, row.eval_loss, row.metric) for row in result.epochs)


def _given(array: Array) -> Array:
    return array


def _read(holder: Holder, source: Path) -> Array:
    if isinstance(holder, SparseTensorProto):
        return read_sparse(holder, source)
    tensor: TensorProto = holder
    return read(tensor, source) if is_float(tensor) else read_stored(tensor, source)
