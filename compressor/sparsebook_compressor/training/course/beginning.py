"""From data and a model to everything that fine-tuning needs, before anything is trained."""

from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto

from sparsebook_compressor.clock import Clock
from sparsebook_compressor.config import Config
from sparsebook_compressor.graph.view import GraphView
from sparsebook_compressor.plan import Plan
from sparsebook_compressor.trainable import prepare
from sparsebook_compressor.training.aim.metrics import record_teacher, require_runs
from sparsebook_compressor.training.aim.objective import decide
from sparsebook_compressor.training.aim.own import OwnGraphs
from sparsebook_compressor.training.data.dataset import Dataset
from sparsebook_compressor.training.data.parts import PARTS
from sparsebook_compressor.training.data.probe import probe
from sparsebook_compressor.training.orders.finetuning import FineTuning
from sparsebook_compressor.training.orders.settings import require_inputs, settle
from sparsebook_compressor.training.orders.task import Task
from sparsebook_compressor.training.orders.trainer import Trainer
from sparsebook_compressor.training.orders.values import Values


@dataclass(frozen=True, eq=False)
class Original:
    """The user's model: its file, what was parsed of it, and its weights."""

    path: Path
    parsed: ModelProto
    view: GraphView


@dataclass(frozen=True, eq=False)
class Means:
    """With what training is done.

    Attributes:
        trainer: carries orders out.
        folder: for all files.
        clock: is told.
    """

    trainer: Trainer
    folder: Path
    clock: Clock


def begin(
    original: Original, plan: Plan, dataset: Dataset, config: Config, own: OwnGraphs, means: Means
) -> FineTuning:
    """Prepare the graph, decide what to minimise, and record what the original says.

    Args:
        original: the model.
        plan: what is to be done to its weights.
        dataset: with samples to train with.
        config: the caller's.
        own: the caller's loss and metric, if any.
        means: who trains, and where.

    Raises:
        BadData: the data does not fit the model, or the loss.
        BadValue: the config wants what this model does not have.
        NotTrainable: no weight gets a gradient, or no output can be learned from.
    """
    require_inputs(config, dataset.floats, dataset.movable(config.train.shift))
    objective = decide(
        original.parsed,
        dataset,
        probe(original.path, dataset),
        loss=config.train.loss,
        metric=config.budget.metric,
        own_loss=own.loss,
        own_metric=own.metric,
    )
    trainable = prepare(
        original.parsed, original.view, outputs=objective.learned, shapes=dataset.feed_shapes()
    )
    recorded = record_teacher(original.path, dataset, objective)
    # A sample that the model does not take is to be known before hours of training, not in them or after them.
    require_runs(
        original.path, dataset, [part for part in PARTS if part not in recorded], objective
    )
    settings = settle(config, plan, dataset.samples("train"), free_batch=objective.batched)
    task = Task(
        trainable=trainable,
        objective=objective,
        dataset=dataset,
        trainer=means.trainer,
        settings=settings,
        planned=tuple(row.name for row in plan.rows),
        source=original.path,
        folder=means.folder / "orders",
        clock=means.clock,
    )
    return FineTuning(task, Values(original.view.weights, means.folder / "values"))
