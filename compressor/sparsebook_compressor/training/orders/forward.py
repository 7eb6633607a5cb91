"""The loss and the metric of the training graph in ONNX Runtime, without gradients: what a worker would say of a state."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from sparsebook_compressor.feeds import Feed
from sparsebook_compressor.measure import session
from sparsebook_compressor.protocol import EpochRow
from sparsebook_compressor.training.losses.attach import OUTPUTS
from sparsebook_compressor.training.orders.finetuning import FineTuning
from sparsebook_compressor.training.orders.order import MetricForm


class Forward:
    """Runs the training graph as its weights are now, batch by batch of the eval part."""

    def __init__(self, tuning: FineTuning, path: Path, inputs: Sequence[str] = ()) -> None:
        """Write and load the graph.

        Args:
            tuning: whose graph, data and weights are used.
            path: of the file that is written, without the inputs' data.
            inputs: initializers that are fed in every run instead.
        """
        self._tuning = tuning
        tuning.write_loss(path, inputs)
        self._session = session(path)
        taken = {value.name for value in self._session.get_inputs()} - set(inputs)
        self._arrays = sorted(taken)

    def feeds(self) -> Iterator[Feed]:
        """The eval part as the graph reads it, `Settings.feed` samples a time."""
        dataset = self._tuning.dataset
        for feed in dataset.batches("eval", self._tuning.settings.feed, self._arrays):
            # Samples lie on the first axis of all inputs of the training graph, of those that the model takes whole too.
            yield {
                name: array[np.newaxis] if name in dataset.whole else array
                for name, array in feed.items()
            }

    def evaluate(self, feeds: Iterable[Feed], weights: Feed | None = None) -> EpochRow:
        """Mean loss, and metric; None is what is no finite number, as in a worker's result.

        Args:
            feeds: samples.
            weights: of the inputs.
        """
        loss = metric_sum = metric_weight = 0.0
        samples = 0
        for feed in feeds:
            count = len(next(iter(feed.values())))
            found = self._session.run(list(OUTPUTS), {**feed, **(weights or {})})
            loss += float(found[0]) * count
            metric_sum += float(found[1])
            metric_weight += float(found[2])
            samples += count
        metric = _metric(self._tuning.objective.form, metric_sum, metric_weight)
        return EpochRow(0, None, _finite(loss / samples), _finite(metric))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _metric(form: MetricForm, total: float, weight: float) -> float:
    """From its two sums, as docs/training.md says."""
    mean = total / weight if weight > 0 else math.nan
    if form == "mean":
        return mean
    return 1 - math.sqrt(mean) if mean >= 0 else math.nan
