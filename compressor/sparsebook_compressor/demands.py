"""What a config asks for, besides a model."""

from collections.abc import Sequence
from pathlib import Path

from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import BadValue, NoTrainer


def require_data(
    config: Config,
    files: Sequence[Path],
    loss: Path | None,
    metric: Path | None,
    *,
    trains: bool,
) -> None:
    """What can be said before the model is opened; of the files only the names are used.

    Args:
        config: what is to be done.
        files: with samples.
        loss: of the caller's own.
        metric: likewise.
        trains: whether there is somebody to retrain.

    Raises:
        BadValue: something is asked for that needs data.
        NoTrainer: retraining is asked for, and nobody is there to do it.
    """
    asked = asks(config, loss, metric)
    if config.preset == "small":
        _require_calibration(config, files, loss, metric)
        return
    if asked is not None and not files:
        raise BadValue(f"{asked} needs data to train and measure with; give an .npz (--data F.npz)")
    if asked is not None and not trains:
        raise NoTrainer(
            f"{asked} needs the fine-tuning worker, and there is none; make its environment with `make .venv-trainer`, or say with "
            "SPARSEBOOK_TRAINER_PYTHON where it is"
        )
    if asked is not None and config.train.loss == "none":
        raise BadValue(
            f"config train.loss: {asked} is for retraining, which 'none' switches off; leave one of the two out"
        )
    if config.budget.max_drop is not None and config.prune.scope == "global":
        raise BadValue(
            "config prune.scope: a budget search decides each weight's density by its sensitivity; leave 'global' out"
        )
    if config.train.weight_decay > 0 and config.train.optimizer == "sgd":
        raise BadValue("config train.weight_decay: it is AdamW's; leave train.optimizer at 'adamw'")
    if config.train.rate > 0 and config.prune.rounds == 1:
        raise BadValue(
            "config train.rate: it works while pruning goes on; prune.rounds must be 2 at least, or left out"
        )


def _require_calibration(
    config: Config, files: Sequence[Path], loss: Path | None, metric: Path | None
) -> None:
    """The preset `small` decides from inputs and trains nothing.

    Raises:
        BadValue: something is asked for that it does not do.
    """
    if loss is not None or ("train" in config.model_fields_set and config.train.loss != "none"):
        raise BadValue(
            "config preset: 'small' trains nothing; leave train and the loss out, or take the preset 'paper' or 'safe' to retrain"
        )
    if metric is not None:
        raise BadValue("config preset: 'small' measures by a built-in metric; leave --metric out")
    if config.prune.scope == "global":
        raise BadValue("config prune.scope: 'small' decides each weight's density; leave it out")
    if config.budget.metric in ("accuracy", "agreement", "retrieval") and not files:
        raise BadValue(
            f"config budget.metric: {config.budget.metric!r} needs data to measure with; give an .npz (--data F.npz)"
        )


def asks(config: Config, loss: Path | None, metric: Path | None) -> str | None:
    """The first wish that only retraining can fulfil."""
    if config.budget.max_drop is not None:
        return "budget.max_drop"
    if loss is not None:
        return f"the loss {loss.name}"
    if metric is not None:
        return f"the metric {metric.name}"
    if config.budget.metric != "auto":
        return "budget.metric"
    if "train" in config.model_fields_set and config.train.loss != "none":
        return "train"
    return None


def require_operators(config: Config, base: bool) -> None:
    """What can be said of a base before it is opened.

    Raises:
        BadValue: there is one, and the output has no payloads that could keep its codes.
    """
    if base and config.output != "operator":
        raise BadValue(
            f"a base is for the output 'operator', not for {config.output!r}: leave one of the two out"
        )
