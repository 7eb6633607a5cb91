"""What labels are to the first output: classes, probabilities, yes or no, values; and whether all are in range."""

import math
from typing import Literal, TypeAlias

import numpy as np

from sparsebook_compressor.errors import BadData
from sparsebook_compressor.feeds import shown
from sparsebook_compressor.training.aim.ending import Ending
from sparsebook_compressor.training.data.dataset import LABELS, Dataset
from sparsebook_compressor.training.data.parts import PARTS
from sparsebook_compressor.training.data.probe import Probe

Target: TypeAlias = Literal["class", "probabilities", "binary", "values"]


class LabelReading:
    """Labels beside the first output that they are for.

    Args:
        dataset: has labels.
        probe: what the original makes of the data.
        end: how the graph ends at its first output.
        chosen: the first output is an ArgMax's.
    """

    def __init__(self, dataset: Dataset, probe: Probe, end: Ending, *, chosen: bool) -> None:
        self.dataset = dataset
        self.probe = probe
        self.end = end
        self.first = probe.outputs[0]
        self.chosen = chosen

    def read(self, default: int | None) -> tuple[Target, int | None]:
        """What the labels are to the first output, and the axis of its classes.

        Args:
            default: the axis of its classes as far as the graph tells.

        Raises:
            BadData: labels of a shape or dtype that suits no loss, or one out of range.
        """
        dtype, shape = self.dataset.array_facts(LABELS)
        found, output = _long(shape), self.first.shape
        integers = dtype.kind in "iu"
        if self.chosen:
            if integers and found == _long(output):
                self._check_range(None)
                return "class", default
            raise self._unsuitable(dtype, shape)
        if self.first.is_float and integers:
            axes = [axis for axis in (default, len(output) - 1, 1) if axis is not None]
            for axis in axes:
                if not 0 <= axis < len(output) or output[axis] < 2:
                    continue
                if found == _long(output[:axis] + output[axis + 1 :]):
                    self._check_range(output[axis])
                    return "class", axis
            if self.end.kind == "sigmoid" and found == _long(output):
                self._check_range(2)
                return "binary", None
        if self.first.is_float and not integers and found == _long(output):
            if self.end.kind == "sigmoid":
                self._check_probabilities()
                return "binary", None
            if self.end.kind in ("softmax", "log-softmax") and default is not None:
                self._check_probabilities()
                return "probabilities", default
            return "values", None
        raise self._unsuitable(dtype, shape)

    def _unsuitable(self, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> BadData:
        facts = self.first
        file = self.dataset.files
        labels = f"{file}: array 'labels' has {_values(shape)}, {dtype}, for every sample"
        if facts.dtype is None:
            return BadData(
                f"{labels}, but the first output {facts.name!r} is no tensor of numbers, which labels could be compared with; "
                "leave them out, or give a loss of your own (--loss)"
            )
        output = facts.shape[1:] if self.probe.batched else facts.shape
        scores = next((each for each in self.probe.outputs if each.is_float and each.shape), None)
        if not facts.is_float and not self.chosen and scores is not None:
            return BadData(
                f"{labels}, but the first output {facts.name!r} is {facts.dtype}, not the scores that labels are compared with; make "
                f"{scores.name!r} the first one of the graph, or the only one (docs/faq.md), leave the labels out, or give a loss of your own (--loss)"
            )
        return BadData(
            f"{labels}, the first output {facts.name!r} has {_values(output)}, {facts.dtype}: give the number of a class "
            "(integers) for every position of a classifier, or floats of the output's own shape; or a loss of your own (--loss)"
        )

    def _check_range(self, classes: int | None) -> None:
        last = math.inf if classes is None else classes - 1
        numbered = "from 0 on" if classes is None else f"from 0 to {last}"
        self._require(
            last,
            f"the classes of the output {self.first.name!r} are numbered {numbered}; correct it, or leave such samples out",
        )

    def _check_probabilities(self) -> None:
        self._require(
            1,
            f"the output {self.first.name!r} is a {_FUNCTIONS[self.end.kind]}'s, probabilities from 0 to 1; give these, or "
            "the numbers of classes as integers",
        )

    def _require(self, last: float, why: str) -> None:
        """Refuse labels outside 0 to `last`, in the order of the parts."""
        for part in PARTS:
            first = 0
            for labels in self.dataset.column(part, LABELS):
                wrong = (labels < 0) | (labels > last)
                if wrong.any():
                    where = np.argwhere(wrong)[0]
                    sample = self.dataset.sample_name(part, LABELS, first + int(where[0]))
                    raise BadData(f"{sample}, holds {labels[tuple(where)]}, but {why}")
                first += len(labels)


_FUNCTIONS = {"sigmoid": "Sigmoid", "softmax": "Softmax", "log-softmax": "LogSoftmax"}


def _values(shape: tuple[int, ...]) -> str:
    """How many values a sample has, for people: a number, or a shape."""
    return f"values {shown(shape)}" if shape else "one value"


def _long(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its axes of one entry: [1, 5] and [5] hold the same positions."""
    return tuple(size for size in shape if size != 1)
