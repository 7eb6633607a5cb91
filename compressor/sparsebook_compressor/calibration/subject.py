"""What is calibrated: the model on its workbench, its weights' sites, and what it is run on."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.calibration.biases import Bias
from sparsebook_compressor.calibration.sites import Site
from sparsebook_compressor.calibration.workbench import Workbench
from sparsebook_compressor.feeds import Feed
from sparsebook_compressor.graph.tensors import check_finite
from sparsebook_compressor.training.aim.objective import Objective
from sparsebook_compressor.training.data.dataset import Dataset

F32 = npt.NDArray[np.float32]
Origin: TypeAlias = Literal["given", "synthetic"]

_BATCH = 32
# What one weight's errors do to the outputs shows on fewer samples than its second moments need.
_PROBE = 32


@dataclass(frozen=True, eq=False)
class Subject:
    """A model to calibrate.

    Attributes:
        model: its file.
        bench: the same, to be changed.
        sites: of the weights that are calibrated, in the graph's order.
        biases: by the weights' names.
        dataset: its train part is looked at, its eval part decides, its test part is reported.
        objective: the metric.
        origin: where the inputs are from.
        samples: how many of the train part are looked at, at most.
        folder: for files.
    """

    model: Path
    bench: Workbench
    sites: tuple[Site, ...]
    biases: dict[str, Bias]
    dataset: Dataset
    objective: Objective
    origin: Origin
    samples: int
    folder: Path

    @property
    def used(self) -> int:
        """Samples that are looked at."""
        return min(self.samples, self.dataset.samples("train"))

    @property
    def masks(self) -> list[str]:
        """Inputs that say which positions are padding: integers or booleans called masks."""
        return [
            spec.name
            for spec in self.dataset.specs
            if spec.dtype is not None and spec.dtype.kind in "iub" and "mask" in spec.name.lower()
        ]

    def feeds(self) -> Iterator[Feed]:
        """What layers are looked at on."""
        return self._feeds(self.samples)

    def probe(self) -> list[Feed]:
        """What outputs are compared on, weight by weight."""
        return list(self._feeds(min(self.samples, _PROBE)))

    def values(self, site: Site) -> F32:
        """The original's weight, float32[elements].

        Raises:
            NotFinite: it holds NaN or infinity.
        """
        values = site.weight.read()
        check_finite(values, site.weight.name)
        return values

    def restore(self) -> None:
        """Make the workbench's model the original again."""
        for site in self.sites:
            self.bench.put(site.weight.name, self.values(site))
        for bias in self.biases.values():
            self.bench.set_constant(bias.name, bias.values)

    def _feeds(self, samples: int) -> Iterator[Feed]:
        size = min(_BATCH, samples) if self.objective.batched else 1
        names = [spec.name for spec in self.dataset.specs]
        return islice(self.dataset.batches("train", size, names), max(1, samples // size))
