"""The training: epochs of steps, an evaluation after each, a checkpoint in between."""

import math
import platform
import time
from importlib.metadata import version

import numpy as np
import onnx

from sparsebook_training import selection
from sparsebook_training.dataset import Dataset
from sparsebook_training.errors import Failed
from sparsebook_training.fields import finite
from sparsebook_training.order import Order
from sparsebook_training.progress import Channel, Progress
from sparsebook_training.schedule import learning_rate
from sparsebook_training.selection import Ended, Epoch
from sparsebook_training.session import THREADS, Session
from sparsebook_training.torchless import onnxruntime
from sparsebook_training.work import Training, Work

# Passes that fuse operators move a loss by some float32 roundings; batch statistics in place of stored ones move it by tenths.
_SAME_SHARE = 0.01
_SAME = 1e-5


class Loop:
    """One training, from its start or its last checkpoint to its result.

    Args:
        order: what is to be done.
        dataset: what is trained and evaluated on.
        session: at the start, or at `resumed`.
        work: where it is kept.
        channel: who is told.
        resumed: the last checkpoint's, if there is one.
    """

    def __init__(
        self,
        order: Order,
        dataset: Dataset,
        session: Session,
        work: Work,
        channel: Channel,
        resumed: Training | None,
    ) -> None:
        self._order = order
        self._dataset = dataset
        self._session = session
        self._work = work
        self._channel = channel
        training = resumed or Training((), 0, 0, 0.0, 0.0)
        self._history = list(training.history)
        self._steps = training.steps
        self._samples = training.samples
        self._training_seconds = training.training_seconds
        self._started = time.monotonic() - training.seconds
        self._all_steps = dataset.batches(order.batch_size) * order.epochs
        self._evaluated = bool(dataset.evaluation)

    def run(self) -> None:
        """Train, and put the result in place."""
        diverged = None if self._history else self._start()
        ended: Ended = "diverged" if diverged else "finished"
        while not diverged and self._epoch < self._order.epochs:
            if selection.out_of_patience(self._history, self._order, evaluated=self._evaluated):
                ended = "patience"
                break
            diverged = self._advance()
            ended = "diverged" if diverged else "finished"
        epochs = [*self._history, diverged] if diverged else self._history
        self._work.finish(self._kept(), self._result(epochs, ended))

    @property
    def _epoch(self) -> int:
        return self._history[-1].epoch

    def _start(self) -> Epoch | None:
        """Evaluate and keep the state before training; the epoch where that is not finite."""
        self._compare()
        start = self._evaluate(Epoch(0, None, None, None, None))
        self._work.keep(0, self._session.parameters())
        return self._judge(start)

    def _compare(self) -> None:
        order = self._order
        run = next(self._dataset.training_runs(order.seed, 1, order.batch_size, order.feed))
        trained, plain = self._session.compare(run)
        if abs(trained - plain) > max(_SAME_SHARE * max(abs(trained), abs(plain)), _SAME):
            raise Failed(
                "not-trainable",
                f"the graph with gradients is another function: its loss on the first samples is {trained:g}, "
                f"without gradients {plain:g}; an operator in it behaves differently in training, as BatchNormalization",
            )

    def _advance(self) -> Epoch | None:
        """Train for an epoch and keep what it came to; the epoch where that is not finite."""
        found = self._train(self._epoch + 1)
        if found.loss is None:
            return found
        found = self._evaluate(found)
        if self._judge(found):
            return found
        kept = self._kept()
        if kept == found.epoch:
            self._work.keep(kept, self._session.parameters())
        self._work.checkpoint(self._session, self._training(), kept)
        return None

    def _judge(self, epoch: Epoch) -> Epoch | None:
        # Parameters that are not finite can hide behind a loss that is: Relu, and no eval part to see the last step.
        unfit = self._evaluated and epoch.eval_loss is None
        if unfit or not self._session.is_finite():
            return epoch
        self._history.append(epoch)
        return None

    def _train(self, epoch: int) -> Epoch:
        """Train for an epoch, until its end or until its loss is not finite."""
        order = self._order
        total, samples, rate = 0.0, 0, None
        spent, started = self._training_seconds, time.monotonic()
        for run in self._dataset.training_runs(
            order.seed, epoch, order.batch_size, order.feed, order.noise, order.shift
        ):
            sums = self._session.accumulate(run)
            if not math.isfinite(sums.loss):
                return Epoch(epoch, None, None, None, rate)
            total += sums.loss * run.samples
            samples += run.samples
            if not run.last:
                continue
            rate = learning_rate(order, self._steps, self._all_steps)
            self._session.step(rate)
            self._steps += 1
            self._training_seconds = spent + time.monotonic() - started
            self._tell(epoch, total / samples, self._samples + samples)
        self._samples += samples
        return Epoch(epoch, total / samples, None, None, rate)

    def _evaluate(self, epoch: Epoch) -> Epoch:
        """The epoch with what the eval part says of it."""
        if not self._evaluated:
            return epoch
        loss = metric_sum = metric_weight = 0.0
        samples = 0
        for run in self._dataset.evaluation_runs(self._order.feed):
            sums = self._session.evaluate(run)
            loss += sums.loss * run.samples
            samples += run.samples
            metric_sum += sums.metric_sum
            metric_weight += sums.metric_weight
            self._tell(epoch.epoch, epoch.loss, self._samples)
        metric = selection.metric_value(self._order.metric, metric_sum, metric_weight)
        return Epoch(
            epoch.epoch, epoch.loss, finite(loss / samples), finite(metric), epoch.learning_rate
        )

    def _kept(self) -> int:
        return selection.kept(self._history, self._order, evaluated=self._evaluated)

    def _training(self) -> Training:
        seconds = time.monotonic() - self._started
        return Training(
            tuple(self._history), self._steps, self._samples, self._training_seconds, seconds
        )

    def _tell(self, epoch: int, loss: float | None, samples: int) -> None:
        self._channel.progress(
            Progress(
                epoch=epoch,
                epochs=self._order.epochs,
                fraction=self._steps / self._all_steps,
                loss=loss,
                metric=self._history[-1].metric if self._history else None,
                samples_per_second=self._rate(samples),
            )
        )

    def _rate(self, samples: int) -> float | None:
        return samples / self._training_seconds if self._training_seconds > 0 else None

    def _result(self, epochs: list[Epoch], ended: Ended) -> dict[str, object]:
        return {
            "format": 1,
            "epochs": [
                {"epoch": e.epoch, "loss": e.loss, "eval_loss": e.eval_loss, "metric": e.metric}
                for e in epochs
            ],
            "kept_epoch": self._kept(),
            "ended": ended,
            "learning_rates": [epoch.learning_rate for epoch in epochs[1:]],
            "steps": self._steps,
            "samples_per_second": self._rate(self._samples),
            "seconds": time.monotonic() - self._started,
            "device": self._session.device,
            "threads": THREADS,
            "versions": {
                "sparsebook-training": version("sparsebook-training"),
                "onnxruntime": onnxruntime.__version__,
                "onnx": onnx.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }
