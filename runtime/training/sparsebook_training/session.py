"""ONNX Runtime's training session: runs, steps, parameters."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sparsebook_training.dataset import Run
from sparsebook_training.errors import Failed
from sparsebook_training.graph import SHARE, Artifacts
from sparsebook_training.npy import Array
from sparsebook_training.reason import reason, written
from sparsebook_training.torchless import CheckpointState, Module, Optimizer, onnxruntime

# With 2 threads the gradient of Gather is slower, and its sums depend on timing; with 1 every run gives the same bits.
THREADS = 1


@dataclass(frozen=True, slots=True)
class Sums:
    """What one run of the graph gives.

    Attributes:
        loss: mean over the run's samples.
        metric_sum: over the run's samples.
        metric_weight: likewise.
    """

    loss: float
    metric_sum: float
    metric_weight: float


class Session:
    """A graph with its parameters, its gradients and its optimizer.

    Args:
        artifacts: of the graph.
        checkpoint: the state to start from: `artifacts.checkpoint`, or what `save` wrote.
        parameters: names, in the order's order.
        device: "cpu" or "cuda".
        constants: inputs that are the same in every run.

    Raises:
        Failed: ONNX Runtime has no kernel for a node of the gradient graph ("not-trainable").
    """

    def __init__(
        self,
        artifacts: Artifacts,
        checkpoint: Path,
        parameters: tuple[str, ...],
        device: str,
        constants: Mapping[str, Array],
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.inter_op_num_threads = THREADS
        # An order with constants is one that has to go with little memory, and the arena keeps what it once had.
        options.enable_cpu_mem_arena = not constants
        self._constants = constants
        self._parameters = parameters
        self.device = device
        self._state = CheckpointState.load_checkpoint(checkpoint)
        try:
            self._module = Module(
                artifacts.training,
                self._state,
                artifacts.evaluation,
                device=device,
                session_options=options,
            )
            self._optimizer = Optimizer(artifacts.optimizer, self._module)
        except RuntimeError as error:
            raise Failed(
                "not-trainable", f"the graph cannot be trained: {reason(error)}"
            ) from error
        self._training_inputs = tuple(self._module.train().input_names())
        self._evaluation_inputs = tuple(self._module.eval().input_names())

    def accumulate(self, run: Run) -> Sums:
        """Run forwards and backwards; the gradients add up until `step`."""
        self._module.train()
        return self._run(run, self._training_inputs)

    def evaluate(self, run: Run) -> Sums:
        """Run forwards."""
        self._module.eval()
        return self._run(run, self._evaluation_inputs)

    def step(self, learning_rate: float) -> None:
        """Move the parameters along the gradients, which start from zero again afterwards."""
        self._optimizer.set_learning_rate(learning_rate)
        self._optimizer.step()
        self.forget_gradients()

    def forget_gradients(self) -> None:
        """Let the gradients start from zero again."""
        self._module.lazy_reset_grad()

    def compare(self, run: Run) -> tuple[float, float]:
        """The loss of a run with gradients and without; the gradients are forgotten."""
        with_gradients = self.accumulate(run).loss
        self.forget_gradients()
        return with_gradients, self.evaluate(run).loss

    def parameters(self) -> Iterator[Array]:
        """The parameters' values, one after the other."""
        for name in self._parameters:
            yield self._state.parameters[name].data

    def is_finite(self) -> bool:
        """Whether every parameter is."""
        return all(bool(np.isfinite(values).all()) for values in self.parameters())

    def save(self, path: Path) -> None:
        """Write parameters and optimizer state.

        Raises:
            OSError: as when there is no room.
        """
        try:
            CheckpointState.save_checkpoint(self._state, path, include_optimizer_state=True)
        except RuntimeError as error:
            raise written(error) or error from error

    def _run(self, run: Run, names: tuple[str, ...]) -> Sums:
        feed: Mapping[str, Array] = {
            **self._constants,
            **run.feed,
            SHARE: np.array(run.share, np.float32),
        }
        try:
            found = self._module(*(feed[name] for name in names))
        except RuntimeError as error:
            # As an index that is out of a table's range, or a reshape that this batch does not fit.
            raise Failed("not-trainable", f"the graph cannot be run: {reason(error)}") from error
        # In the order in which graph.py declares them, the weighed loss first.
        _, loss, metric_sum, metric_weight = found
        return Sums(float(loss), float(metric_sum), float(metric_weight))
