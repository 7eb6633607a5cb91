"""How long and how fast to train: the config's wishes, and defaults from the size of the data."""

import math
from collections.abc import Collection
from dataclasses import dataclass

from sparsebook_compressor.config import Config, Optimizer, Schedule
from sparsebook_compressor.errors import BadValue
from sparsebook_compressor.plan import Plan
from sparsebook_compressor.training.orders.order import MetricForm, Order

BATCH_SIZE = 64
# Enough steps to win a pruned LeNet's accuracy back, whatever the data's size; see docs/training.md for the measurement.
_STEPS = 4_000
_EPOCHS = (16, 100)
# The share of the epochs behind the last pruning; the rounds before it share the rest.
_LAST_ROUND = 0.5
# Centroids are few and each has the gradient of a whole cluster: a quarter of the epochs is enough.
_TUNE = 0.25
# Runs of the graph a batch, where an artifact is tuned in little memory.
_RUNS = 4
_LEARNING_RATE: dict[Optimizer, float] = {"adamw": 1e-3, "sgd": 1e-2}
# A round of the default halves the survivors at most.
_LEFT_BY_A_ROUND = 0.5
_MOST_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Settings:
    """The protocol of fine-tuning, for the report too.

    Attributes:
        round_epochs: of every prune-retrain round, the last one at the end.
        tune_epochs: of the centroids.
        rate: weight of the rate term while pruning still goes on.
        weight_decay: AdamW's, while weights are retrained.
        noise: share of the float inputs' elements that is taken away from samples while training.
        shift: most elements by which samples are moved while weights are retrained.
    """

    round_epochs: tuple[int, ...]
    tune_epochs: int
    batch_size: int
    feed: int
    learning_rate: float
    optimizer: Optimizer
    schedule: Schedule
    patience: int | None
    rate: float
    weight_decay: float
    noise: float
    shift: int
    seed: int

    def order(self, parameters: tuple[str, ...], metric: MetricForm, epochs: int) -> Order:
        """To train some of a graph's initializers by these settings; what differs between stages is not in it."""
        return Order(
            parameters=parameters,
            metric=metric,
            batch_size=self.batch_size,
            feed=self.feed,
            epochs=epochs,
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
            schedule=self.schedule,
            patience=self.patience,
            seed=self.seed,
            keep_start=True,
        )


def settle(config: Config, plan: Plan, samples: int, *, free_batch: bool) -> Settings:
    """Decide everything that the config leaves open.

    Args:
        config: the caller's.
        plan: whose densities say how many rounds of pruning there are.
        samples: of the train part.
        free_batch: whether the graph takes any number of samples a run, or one alone.
    """
    batch = _batch_size(config, samples)
    epochs = config.train.epochs or _epochs(batch, samples)
    rounds = config.prune.rounds or _rounds(plan, config.train.rate, epochs)
    feed = batch if free_batch else 1
    return _settings(config, batch, feed, _spread(epochs, rounds), max(1, round(epochs * _TUNE)))


def settle_tuning(config: Config, samples: int, *, free_batch: bool) -> Settings:
    """The same for the centroids of an artifact alone.

    A run takes a quarter of a batch's samples, so that activations take a quarter of the memory: the gradients add up to the
    batch's.

    Args:
        config: the caller's; `train.epochs` are those of the centroids, and there is neither a rate nor weight decay.
        samples: of the train part.
        free_batch: as in `settle`.
    """
    batch = _batch_size(config, samples)
    epochs = config.train.epochs or max(1, round(_epochs(batch, samples) * _TUNE))
    feed = math.ceil(batch / _RUNS) if free_batch else 1
    return _settings(config, batch, feed, (), epochs)


def require_inputs(config: Config, floats: Collection[str], movable: Collection[str]) -> None:
    """Refuse noise where there is nothing to take elements from, and shifts where there is nothing to move.

    Args:
        config: the caller's.
        floats: names of the model's inputs of floats.
        movable: of those of them that can be moved by as much as the config wants.

    Raises:
        BadValue: there are none, and `train.noise` or `train.shift` is wanted.
    """
    if config.train.shift and not movable:
        raise BadValue(
            "config train.shift: no input of the model takes floats in samples of two or more axes, the last two of them longer "
            f"than {config.train.shift}, along which they could be moved; leave it out, or make it smaller"
        )
    if config.train.noise and not floats:
        raise BadValue(
            "config train.noise: no input of the model takes floats, of which some could be taken away; leave it out"
        )


def density_of_round(density: float, number: int, rounds: int) -> float:
    """The density that round `number` of `rounds`, counted from 1, prunes to: every round keeps the same share.

    >>> [round(density_of_round(0.125, number, 3), 3) for number in (1, 2, 3)]
    [0.5, 0.25, 0.125]
    """
    return float(density ** (number / rounds))


def _settings(
    config: Config, batch: int, feed: int, round_epochs: tuple[int, ...], tune_epochs: int
) -> Settings:
    train = config.train
    return Settings(
        round_epochs=round_epochs,
        tune_epochs=tune_epochs,
        batch_size=batch,
        feed=feed,
        learning_rate=train.learning_rate or _LEARNING_RATE[train.optimizer],
        optimizer=train.optimizer,
        schedule=train.schedule,
        patience=train.patience,
        rate=train.rate,
        weight_decay=train.weight_decay,
        noise=train.noise,
        shift=train.shift,
        seed=config.seed,
    )


def _batch_size(config: Config, samples: int) -> int:
    return min(config.train.batch_size or BATCH_SIZE, samples)


def _epochs(batch: int, samples: int) -> int:
    """The default: fewer, the more steps there are in one."""
    return min(max(math.ceil(_STEPS * batch / samples), _EPOCHS[0]), _EPOCHS[1])


def _rounds(plan: Plan, rate: float, epochs: int) -> int:
    smallest = min((row.density for row in plan.rows if row.density), default=1.0)
    halving = min(math.ceil(math.log(smallest, _LEFT_BY_A_ROUND)), _MOST_ROUNDS, epochs)
    # The rate is for training with pruning still to come: it has a round to work in, of however few epochs.
    return max(2 if rate > 0 else 1, halving)


def _spread(epochs: int, rounds: int) -> tuple[int, ...]:
    """Epochs by round: the last has its share, the others the rest, as evenly as whole epochs allow; at least one each."""
    others = rounds - 1
    last = max(1, min(math.ceil(epochs * _LAST_ROUND), epochs - others)) if others else epochs
    rest = max(others, epochs - last)
    ends = [rest * number // max(1, others) for number in range(rounds)]
    return (*(ends[number + 1] - ends[number] for number in range(others)), last)
