"""How much a model suffers when one weight alone is pruned: what a budget search spends by.

Nothing is trained here. The training graph's own loss is taken on samples of the eval part, with the weights as inputs of
the session, so that one session serves all of them. Those that are as the user has them are mapped from files.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.feeds import Feed
from sparsebook_compressor.plan import PlanRow
from sparsebook_compressor.stages.prune import cut_by_density, pruned
from sparsebook_compressor.training.orders.finetuning import FineTuning
from sparsebook_compressor.training.orders.forward import Forward

F32 = npt.NDArray[np.float32]

DENSITIES = (0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.055, 0.035, 0.02, 0.01, 0.004)
# No model tried kept anything below.
LEAST_DENSITY = DENSITIES[-1]
MOST_SAMPLES = 512
# A model of many weights gets a coarser curve for each.
MOST_RUNS = 240
_WORST = 1e30


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Of one weight: the loss that each density adds, never falling as the density falls.

    Attributes:
        densities: from high to low; the first is 1.
        damage: loss above the original's, at each; 0 where pruning makes the loss smaller.
        felt: whether the loss changes at all, up or down; what it does not see may be worth a lot elsewhere.
    """

    densities: tuple[float, ...]
    damage: tuple[float, ...]
    felt: bool = True


def sensitivities(
    tuning: FineTuning, rows: Sequence[PlanRow], folder: Path
) -> dict[str, Sensitivity]:
    """Prune every weight alone to a ladder of densities and take the loss.

    Args:
        tuning: whose graph, data and original weights are used.
        rows: the weights.
        folder: for the graph and the weights; it is made, and gone in the end.
    """
    probe = _Probe(tuning, [row.name for row in rows], folder)
    rungs = max(3, min(len(DENSITIES), MOST_RUNS // max(1, len(rows))))
    ladder = [DENSITIES[round(i * (len(DENSITIES) - 1) / (rungs - 1))] for i in range(rungs)]
    start = probe.loss()
    found = {}
    for row in rows:
        losses = [probe.loss(row.name, density) for density in ladder]
        damage = np.maximum.accumulate([0.0, *(max(0.0, loss - start) for loss in losses)])
        # The same weights give the same bits, so that any difference at all is the weight's doing.
        felt = any(loss != start for loss in losses)
        found[row.name] = Sensitivity((1.0, *ladder), tuple(float(value) for value in damage), felt)
    shutil.rmtree(folder)
    return found


class _Probe:
    """The training graph with its weights as inputs."""

    def __init__(self, tuning: FineTuning, names: Sequence[str], folder: Path) -> None:
        folder.mkdir(parents=True)
        known = tuning.task.trainable.weights
        self._inputs = {name: known[name] for name in names if name in known}
        self._values = tuning.values
        self._forward = Forward(tuning, folder / "loss.onnx", list(self._inputs.values()))
        self._feeds = _some(self._forward)
        self._held = {
            initializer: _mapped(
                folder / f"{number:05}.npy",
                self._values.original(name).reshape(tuning.task.shape(initializer)),
            )
            for number, (name, initializer) in enumerate(self._inputs.items())
        }

    def loss(self, name: str | None = None, density: float = 1.0) -> float:
        """Mean loss with one weight pruned to a density, or none, and the others as the user has them."""
        weights: dict[str, npt.NDArray[np.generic]] = dict(self._held)
        if name in self._inputs:
            initializer = self._inputs[name]
            held = self._held[initializer]
            flat = held.reshape(-1)
            weights[initializer] = pruned(flat, cut_by_density(flat, density)).reshape(held.shape)
        loss = self._forward.evaluate(self._feeds, weights).eval_loss
        # A pruned model may give infinities: that is as bad as it gets, and still a number to compare.
        return _WORST if loss is None else loss


def _mapped(path: Path, values: F32) -> F32:
    """Float32 in a file, whose pages the system may drop: all weights together are a second copy of the model."""
    np.save(path, values, allow_pickle=False)
    mapped: F32 = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


def _some(forward: Forward) -> list[Feed]:
    """The first samples of the eval part."""
    feeds: list[Feed] = []
    left = MOST_SAMPLES
    for feed in forward.feeds():
        feeds.append(feed)
        left -= len(next(iter(feed.values())))
        if left <= 0:
            break
    return feeds
