"""From an artifact and data to everything that tuning needs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from onnx import ModelProto

from sparsebook_compressor import feeds, trainable
from sparsebook_compressor.clock import Clock
from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import NotTrainable
from sparsebook_compressor.graph.view import GraphView
from sparsebook_compressor.training.aim.metrics import record_teacher, require_runs
from sparsebook_compressor.training.aim.objective import Objective, decide
from sparsebook_compressor.training.aim.own import OwnGraphs
from sparsebook_compressor.training.data.dataset import Dataset
from sparsebook_compressor.training.data.parts import PARTS
from sparsebook_compressor.training.data.probe import probe
from sparsebook_compressor.training.orders.finetuning import FineTuning
from sparsebook_compressor.training.orders.settings import require_inputs, settle_tuning
from sparsebook_compressor.training.orders.task import Task
from sparsebook_compressor.training.orders.trainer import Trainer
from sparsebook_compressor.training.orders.values import Values
from sparsebook_compressor.tuning import demands
from sparsebook_compressor.tuning.blocks import share_in_blocks
from sparsebook_compressor.tuning.held import Held
from sparsebook_compressor.tuning.subject import BEFORE, Subject


def prepare(
    subject: Subject,
    config: Config,
    files: tuple[Path, ...],
    loss: Path | None,
    metric: Path | None,
    trainer: Trainer,
    clock: Clock,
) -> tuple[FineTuning, Mapping[str, Held]]:
    """Check the data, decide what to minimise, and lay the codes out.

    Returns:
        What trains the centroids, `planned` being those that can be trained; and all coded weights by name.

    Raises:
        BadData: the data does not fit the artifact, or has no labels.
        BadValue: the config asks for what cannot be done to an artifact.
        NotTrainable: no coded weight gets a gradient.
    """
    demands.check_config(config, subject.output)
    own = OwnGraphs.read(loss, metric, subject.model)
    dataset = _dataset(subject, config, files, own)
    require_inputs(config, dataset.floats, dataset.movable(config.train.shift))
    model, view, coded = subject.opened()
    objective = _objective(subject, model, dataset, config, own)
    prepared = _trainable(model, view, objective, dataset)
    frozen = {each.weight: each.reason for each in prepared.frozen}
    planned = tuple(name for name in coded if name not in frozen)
    if not planned:
        name = next(iter(coded))
        raise NotTrainable(
            f"no codebook gets a gradient: {name!r}: {frozen[name]}; docs/trainable.md lists the operators that have one"
        )
    record_teacher(subject.path, dataset, objective)
    runs, library = subject.runnable(subject.path, BEFORE)
    require_runs(runs, dataset, PARTS, objective, library)
    task = Task(
        trainable=prepared,
        objective=objective,
        dataset=dataset,
        trainer=trainer,
        settings=settle_tuning(config, dataset.samples("train"), free_batch=objective.batched),
        planned=planned,
        source=subject.path,
        folder=subject.scratch / "orders",
        clock=clock,
        sharing=share_in_blocks,
    )
    return FineTuning(task, _values(view, coded, subject.scratch / "values")), coded


def _dataset(
    subject: Subject,
    config: Config,
    files: tuple[Path, ...],
    own: OwnGraphs,
) -> Dataset:
    specs = feeds.input_specs(subject.model)
    dataset = Dataset.prepare(files, specs, subject.scratch / "data", config.seed, own.arrays)
    demands.check_data(dataset, files[0].name, own)
    return dataset


def _objective(
    subject: Subject,
    model: ModelProto,
    dataset: Dataset,
    config: Config,
    own: OwnGraphs,
) -> Objective:
    runs, library = subject.runnable(subject.path, BEFORE)
    objective = decide(
        model,
        dataset,
        probe(runs, dataset, library),
        loss="labels",
        metric=config.budget.metric,
        own_loss=own.loss,
        own_metric=own.metric,
    )
    demands.check_objective(objective)
    return objective


def _trainable(
    model: ModelProto, view: GraphView, objective: Objective, dataset: Dataset
) -> trainable.Trainable:
    """The graph that is trained; biases stay as they are."""
    prepared = trainable.prepare(
        model, view, outputs=objective.learned, shapes=dataset.feed_shapes()
    )
    return replace(prepared, vectors=())


def _values(view: GraphView, coded: Mapping[str, Held], folder: Path) -> Values:
    """Codes in files, one weight after the other."""
    values = Values(view.weights, folder)
    for name, held in coded.items():
        weight = held.decode()
        values.share(name, weight.codes, weight.codebook)
    return values
