"""What a tuning cannot do, refused before anything is trained."""

from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import BadData, BadValue
from sparsebook_compressor.training.aim.objective import Objective
from sparsebook_compressor.training.aim.own import OwnGraphs
from sparsebook_compressor.training.data.dataset import Dataset

_NO_ORIGINAL = "the original model, which is not there when an artifact is tuned"


def check_config(config: Config, output: str) -> None:
    """Refuse options that have no meaning for an artifact.

    Args:
        config: the caller's.
        output: what the artifact is.

    Raises:
        BadValue: naming the option.
    """
    given = config.model_fields_set
    for section in ("weights", "prune", "share"):
        if section in given and getattr(config, section) != Config.model_fields[
            section
        ].get_default(call_default_factory=True):
            raise BadValue(
                f"config {section}: an artifact's codes and gaps stay as they are; leave it out"
            )
    if config.budget.max_drop is not None:
        raise BadValue(
            "config budget.max_drop: there is nothing to search: only centroids are trained"
        )
    for gate in ("min_ratio", "max_latency_ms"):
        if getattr(config.budget, gate) is not None:
            raise BadValue(
                f"config budget.{gate}: tuning changes neither size nor speed; leave it out"
            )
    if "output" in given and config.output != output:
        raise BadValue(
            f"config output: the artifact is {output!r} and stays so; leave it out, or compress the model again"
        )
    if config.preset != Config.model_fields["preset"].default:
        raise BadValue(
            f"config preset: {config.preset!r} chooses densities and bits, and an artifact has its own; leave it out"
        )
    if config.train.weight_decay > 0:
        raise BadValue(
            "config train.weight_decay: only centroids are trained, which have none; leave it out"
        )
    if config.train.shift > 0:
        raise BadValue(
            "config train.shift: samples are moved while weights are retrained, and only centroids are trained; leave it out"
        )
    if config.train.rate > 0:
        raise BadValue("config train.rate: the size stays as it is: only centroids are trained")
    if config.train.loss == "none":
        raise BadValue("config train.loss: 'none' leaves nothing to tune for; use 'labels'")
    if config.train.loss == "distill":
        raise BadValue(f"config train.loss: 'distill' needs {_NO_ORIGINAL}; use 'labels'")


def check_data(dataset: Dataset, files: str, own: OwnGraphs) -> None:
    """Refuse data that cannot tell a better centroid from a worse one.

    Args:
        dataset: the data.
        files: names of its files.
        own: the caller's loss and metric, if any.

    Raises:
        BadData: nothing to train with, or no labels.
        BadValue: a loss or metric that reads the original's outputs.
    """
    if not dataset.trains:
        raise BadData(
            f"{files}: has a test part alone; add the inputs without 'test_' before their names: they are what is trained with"
        )
    given = (("loss", own.loss), ("metric", own.metric))
    for what, graph in given:
        inputs = {} if graph is None else graph.inputs
        read = next((name for name, (source, _) in inputs.items() if source == "teacher"), None)
        if graph is not None and read is not None:
            raise BadValue(
                f"{what} {graph.name}: its input {read!r} is an output of {_NO_ORIGINAL}"
            )
    missing = [what for what, graph in given if graph is None]
    if missing and not dataset.has_labels:
        raise BadData(
            f"{files}: has no 'labels', and an artifact has nothing else to learn from: outputs of its own would only hold it "
            f"where it is. Add an array 'labels' (and eval_labels, test_labels), or give a {' and a '.join(missing)} of your own"
        )


def check_objective(objective: Objective) -> None:
    """Refuse a metric that compares with the original.

    Raises:
        BadValue: naming it.
    """
    if objective.reference:
        raise BadValue(
            f"config budget.metric: {objective.metric!r} compares with {_NO_ORIGINAL}; leave it out, or give a metric of your "
            "own (--metric)"
        )
