"""From data and a model to everything that fine-tuning needs, before anything is trained."""

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
from sparsebook_compressor.training.orders.settings import require_floats, settle
from sparsebook_compressor.training.orders.trainer import Trainer
from sparsebook_compressor.training.orders.values import Values


def begin(
    parsed: ModelProto,
    view: GraphView,
    plan: Plan,
    model: Path,
    dataset: Dataset,
    config: Config,
    own: OwnGraphs,
    trainer: Trainer,
    folder: Path,
    clock: Clock,
) -> FineTuning:
    """Prepare the graph, decide what to minimise, and record what the original says.

    Args:
        parsed: the model.
        view: its weights.
        plan: what is to be done to them.
        model: the user's file.
        dataset: with samples to train with.
        config: the caller's.
        own: the caller's loss and metric, if any.
        trainer: carries orders out.
        folder: for all files.
        clock: is told.

    Raises:
        BadData: the data does not fit the model, or the loss.
        BadValue: the config wants what this model does not have.
        NotTrainable: no weight gets a gradient, or no output can be learned from.
    """
    require_floats(config, dataset.floats)
    objective = decide(
        parsed,
        dataset,
        probe(model, dataset),
        loss=config.train.loss,
        metric=config.budget.metric,
        own_loss=own.loss,
        own_metric=own.metric,
    )
    trainable = prepare(parsed, view, outputs=objective.learned, shapes=dataset.feed_shapes())
    recorded = record_teacher(model, dataset, objective)
    # A sample that the model does not take is to be known before hours of training, not in them or after them.
    require_runs(model, dataset, [part for part in PARTS if part not in recorded], objective)
    settings = settle(config, plan, dataset.samples("train"), free_batch=objective.batched)
    return FineTuning(
        trainable=trainable,
        objective=objective,
        dataset=dataset,
        trainer=trainer,
        settings=settings,
        planned=tuple(row.name for row in plan.rows),
        values=Values(view.weights, folder / "values"),
        source=model,
        folder=folder / "orders",
        clock=clock,
    )
