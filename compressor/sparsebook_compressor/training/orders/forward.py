"""The loss and the metric of the training graph in ONNX Runtime, without gradients: what a worker would say of a state."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sparsebook_compressor.errors import BadData
from sparsebook_compressor.feeds import Feed
from sparsebook_compressor.measure import first_line, session
from sparsebook_compressor.protocol import EpochRow
from sparsebook_compressor.training.losses.attach import OUTPUTS
from sparsebook_compressor.training.orders.finetuning import FineTuning
from sparsebook_compressor.training.orders.graphs import write_loss
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
        write_loss(path, tuning.task, tuning.values, inputs)
        self._session = session(path)
        taken = {value.name for value in self._session.get_inputs()} - set(inputs)
        self._arrays = sorted(taken)

    def feeds(self) -> Iterator[Feed]:
        """The eval part as the graph reads it, `Settings.feed` samples a time."""
        dataset = self._tuning.task.dataset
        for feed in dataset.batches("eval", self._tuning.task.settings.feed, self._arrays):
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

        Raises:
            BadData: loss or metric do not run on the eval part's arrays.
        """
        loss = metric_sum = metric_weight = 0.0
        samples = 0
        for feed in feeds:
            count = len(next(iter(feed.values())))
            found = self._run({**feed, **(weights or {})}, samples, count)
            loss += float(found[0]) * count
            metric_sum += float(found[1])
            metric_weight += float(found[2])
            samples += count
        metric = _metric(self._tuning.task.objective.form, metric_sum, metric_weight)
        return EpochRow(0, None, _finite(loss / samples), _finite(metric))

    def _run(self, feed: Feed, first: int, count: int) -> Sequence[np.ndarray[Any, Any]]:
        try:
            found: Sequence[np.ndarray[Any, Any]] = self._session.run(list(OUTPUTS), feed)
        except Exception as error:  # the original ran on these samples: it is the other arrays
            dataset = self._tuning.task.dataset
            given = set(dataset.arrays) - {spec.name for spec in dataset.specs}
            others = ", ".join(repr(name) for name in self._arrays if name in given)
            raise BadData(
                f"the loss or the metric does not run on samples {first} to {first + count - 1} of the eval part: "
                f"{first_line(error)}; look at what the data holds for {others} there"
            ) from error
        return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _metric(form: MetricForm, total: float, weight: float) -> float:
    """From its two sums, as docs/training.md says."""
    mean = total / weight if weight > 0 else math.nan
    if form == "mean":
        return mean
    return 1 - math.sqrt(mean) if mean >= 0 else math.nan
