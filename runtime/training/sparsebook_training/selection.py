"""Which epoch's state is kept, and when training stops: functions of the history alone, so that a resumed run decides alike."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from sparsebook_training.order import Order

Ended = Literal["finished", "patience", "diverged"]


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch came to; None is what was not measured or is not finite.

    Attributes:
        epoch: 0 is the state before training.
        loss: mean of the training loss over the epoch, while the parameters moved.
        eval_loss: mean over the eval part, after the epoch.
        metric: of the eval part, after the epoch.
        learning_rate: of the epoch's last step.
    """

    epoch: int
    loss: float | None
    eval_loss: float | None
    metric: float | None
    learning_rate: float | None

    def record(self) -> dict[str, float | int | None]:
        """As plain data, which the constructor takes back."""
        return asdict(self)


def metric_value(kind: str, total: float, weight: float) -> float:
    """The metric from its sums over the eval part; NaN where nothing was weighed."""
    if not weight > 0:
        return math.nan
    mean = total / weight
    if kind == "mean":
        return mean
    return 1 - math.sqrt(mean) if mean >= 0 else math.nan


def kept(history: Sequence[Epoch], order: Order, *, evaluated: bool) -> int:
    """The epoch whose state is the best; of equals the earliest.

    Args:
        history: good epochs, from epoch 0 on.
        order: says what is best, and whether the start may be it.
        evaluated: whether there is an eval part; without one the last state is kept.

    Returns:
        The epoch. The start where nothing else is there.
    """
    candidates = history[0 if order.keep_start else 1 :]
    if not candidates:
        return 0
    if not evaluated:
        return candidates[-1].epoch
    return max(candidates, key=lambda epoch: (_merit(epoch, order.select), -epoch.epoch)).epoch


def out_of_patience(history: Sequence[Epoch], order: Order, *, evaluated: bool) -> bool:
    """Whether `patience` epochs brought nothing better."""
    if order.patience is None:
        return False
    return history[-1].epoch - kept(history, order, evaluated=evaluated) >= order.patience


def _merit(epoch: Epoch, select: str) -> tuple[float, float]:
    loss = -math.inf if epoch.eval_loss is None else -epoch.eval_loss
    if select == "loss":
        return (loss, 0.0)
    return (-math.inf if epoch.metric is None else epoch.metric, loss)
