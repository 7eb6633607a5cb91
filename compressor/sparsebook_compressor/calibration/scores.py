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
from sparsebook_compressor.training.aim.ending import Ending

F64 = npt.NDArray[np.float64]
Array = npt.NDArray[np.generic]

# What is the same for all classes changes none of these.
_SHIFTED = frozenset({"softmax", "log-softmax", "argmax"})


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
                    one, other = (_told(self.ends[index], each) for each in (a, b))
                    errors[index] += float(np.square(one - other).sum())
                    norms[index] += float(np.square(one).sum())
        shown = norms > 0
        return float((errors[shown] / norms[shown]).mean()) if shown.any() else 0.0


def _told(end: Ending, scores: Array) -> F64:
    """Scores less what the function behind them does not see."""
    told: F64 = np.nan_to_num(scores.astype(np.float64))
    if end.kind in _SHIFTED and end.axis is not None and -told.ndim <= end.axis < told.ndim:
        told = told - told.mean(axis=end.axis, keepdims=True)
    return told


def _run(subject: Subject, ends: Sequence[Ending], feeds: list[Feed]) -> Iterator[list[Array]]:
    names = [end.scores for end in ends]
    for found in subject.bench.run(names, feeds):
        yield [found[name] for name in names]
