"""How much a model suffers when one weight alone is pruned: what a budget search spends by.

Nothing is trained here. The training graph's own loss is taken on samples of the eval part, with the weights as inputs of
the session, so that one session serves all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from sparsebook_compressor.feeds import Feed
from sparsebook_compressor.plan import PlanRow
from sparsebook_compressor.stages.prune import cut_by_density, survivors
from sparsebook_compressor.training.finetuning import FineTuning

F32 = npt.NDArray[np.float32]

DENSITIES = (0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.055, 0.035, 0.02, 0.01, 0.004)
# No model tried kept anything below.
LEAST_DENSITY = DENSITIES[-1]
MOST_SAMPLES = 512
# A model of many weights gets a coarser curve for each.
MOST_RUNS = 240


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Of one weight: the loss that each density adds, never falling as the density falls.

    Attributes:
        densities: from high to low; the first is 1.
        damage: loss above the original's, at each.
    """

    densities: tuple[float, ...]
    damage: tuple[float, ...]


def sensitivities(
    tuning: FineTuning, rows: Sequence[PlanRow], folder: Path
) -> dict[str, Sensitivity]:
    """Prune every weight alone to a ladder of densities and take the loss.

    Args:
        tuning: whose graph, data and original weights are used.
        rows: the weights.
        folder: for the graph.
    """
    probe = _Probe(tuning, [row.name for row in rows], folder)
    rungs = max(3, min(len(DENSITIES), MOST_RUNS // max(1, len(rows))))
    ladder = [DENSITIES[round(i * (len(DENSITIES) - 1) / (rungs - 1))] for i in range(rungs)]
    start = probe.loss({})
    found = {}
    for row in rows:
        losses = [probe.loss({row.name: probe.pruned(row.name, density)}) for density in ladder]
        damage = np.maximum.accumulate([0.0, *(max(0.0, loss - start) for loss in losses)])
        found[row.name] = Sensitivity((1.0, *ladder), tuple(float(value) for value in damage))
    return found


class _Probe:
    """The training graph with its weights as inputs."""

    def __init__(self, tuning: FineTuning, names: Sequence[str], folder: Path) -> None:
        folder.mkdir(parents=True)
        path = folder / "loss.onnx"
        known = tuning.trainable.weights
        self._inputs = {name: known[name] for name in names if name in known}
        tuning.write_loss(path, self._inputs.values())
        self._values = tuning.values
        self._dims = {name: tuning.shape(name) for name in self._inputs.values()}
        options = ort.SessionOptions()
        options.log_severity_level = 4
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        data = {value.name for value in self._session.get_inputs()} - set(self._inputs.values())
        self._feeds = _some(tuning, sorted(data))

    def pruned(self, name: str, density: float) -> F32:
        """A weight of the user's model, pruned to a density."""
        values = self._values.original(name)
        kept = np.zeros_like(values)
        for start, mask in survivors(values, cut_by_density(values, density)):
            piece = slice(start, start + len(mask))
            kept[piece] = np.where(mask, values[piece], np.float32(0))
        return kept

    def loss(self, changed: Mapping[str, F32]) -> float:
        """Mean loss with some weights changed and the others as the user has them."""
        weights = {}
        for name, initializer in self._inputs.items():
            values = changed.get(name)
            values = self._values.original(name) if values is None else values
            weights[initializer] = values.reshape(self._dims[initializer])
        total = samples = 0.0
        for feed in self._feeds:
            count = len(next(iter(feed.values())))
            (loss,) = self._session.run(["loss"], {**feed, **weights})
            total, samples = total + float(loss) * count, samples + count
        # A pruned model may give infinities: that is as bad as it gets, and still a number to compare.
        return float(np.nan_to_num(total / samples, nan=1e30, posinf=1e30))


def _some(tuning: FineTuning, names: list[str]) -> list[Feed]:
    """The first samples of the eval part, as the loss reads them."""
    feeds: list[Feed] = []
    left = MOST_SAMPLES
    dataset = tuning.dataset
    for feed in dataset.batches("eval", tuning.settings.feed, names):
        # Samples lie on the first axis of all inputs of the training graph, of those that the model takes whole too.
        feeds.append(
            {
                name: array[np.newaxis] if name in dataset.whole else array
                for name, array in feed.items()
            }
        )
        left -= len(next(iter(feeds[-1].values())))
        if left <= 0:
            break
    return feeds
