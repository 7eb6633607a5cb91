"""What an error in a weight does to the outputs: to the scores behind a final Softmax, Sigmoid or ArgMax where there is one.

A Softmax that is sure of its answer hides an error until the answer turns, so that of some dozens of samples the few that are not sure would
decide alone which weights matter; and a choice shows nothing of an error that turns none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.calibration.subject import Subject
from sparsebook_compressor.feeds import Feed
from sparsebook_compressor.outputs import numbers
from sparsebook_compressor.training.aim.ending import Ending

F64 = npt.NDArray[np.float64]
Array = npt.NDArray[np.generic]

# What is the same for all classes changes none of these.
_SHIFTED = frozenset({"softmax", "log-softmax", "argmax"})
# Float32's largest: its squares can be summed in float64.
_WORST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Scores:
    """The original's scores on the probe's feeds.

    Attributes:
        feeds: what is run.
        ends: of the graph, one an output.
        expected: scores by feed and output.
    """

    feeds: list[Feed]
    ends: list[Ending]
    expected: list[list[Array]]

    @classmethod
    def of(cls, subject: Subject) -> "Scores":
        """Run the model as it is on the workbench, the original."""
        feeds = subject.probe()
        ends = [subject.bench.ending(name) for name in subject.objective.outputs]
        return cls(feeds, ends, list(_run(subject, ends, feeds)))

    def error(self, subject: Subject) -> float:
        """Mean over the scores that are floats of their squared relative error, as the model is now."""
        errors = np.zeros(len(self.ends))
        norms = np.zeros(len(self.ends))
        for expected, found in zip(
            self.expected, _run(subject, self.ends, self.feeds), strict=True
        ):
            for index, (a, b) in enumerate(zip(expected, found, strict=True)):
                if a.dtype.kind == "f" and a.shape == b.shape:
                    finite = np.isfinite(a)
                    one, other = (_told(self.ends[index], each, finite) for each in (a, b))
                    errors[index] += float(np.square(one - other).sum())
                    norms[index] += float(np.square(one).sum())
        shown = norms > 0
        return float((errors[shown] / norms[shown]).mean()) if shown.any() else 0.0


def _told(end: Ending, scores: Array, finite: npt.NDArray[np.bool_]) -> F64:
    """Scores less what the function behind them does not see.

    They are zero where the original's are not finite: what a mask rules out says nothing of weights. Others that are not finite are as
    wrong as a score can be.
    """
    told: F64 = np.where(finite, scores, 0.0).astype(np.float64)
    told = np.nan_to_num(told, nan=_WORST, posinf=_WORST, neginf=-_WORST)
    if end.kind in _SHIFTED and end.axis is not None and -told.ndim <= end.axis < told.ndim:
        shown = finite.sum(axis=end.axis, keepdims=True)
        mean = told.sum(axis=end.axis, keepdims=True) / np.maximum(shown, 1)
        told = np.where(finite, told - mean, 0.0)
    return told


def _run(subject: Subject, ends: Sequence[Ending], feeds: list[Feed]) -> Iterator[list[Array]]:
    names = [end.scores for end in ends]
    for found in subject.bench.run(names, feeds):
        given = [numbers(found[name]) for name in names]
        yield [np.zeros(0, np.bool_) if value is None else value for value in given]
