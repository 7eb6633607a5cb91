"""What each metric counts, batch by batch, in NumPy and float64."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.feeds import Feed
from sparsebook_compressor.training.aim.objective import Objective
from sparsebook_compressor.training.aim.own import OwnRun
from sparsebook_compressor.training.data.dataset import LABELS

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]
Outputs = Sequence[Array | None]

BLOCK = 64
MOST_NEIGHBOURS = 20_000
"""Samples among which retrieval looks for neighbours: the first ones of a part. The work grows with their square."""
_WORST = float(np.finfo(np.float32).max)
_TINY = 1e-12
# Two neighbours whose similarity differs by less are equally near: duplicates in the data differ by rounding alone.
_SAME = 1e-6


class Tally(Protocol):
    """Takes batches in order."""

    def add(self, outputs: Outputs, feed: Feed, reference: Outputs) -> None:
        """Count a batch: the model's outputs, the arrays it was fed from, the original's outputs."""

    def value(self) -> float:
        """The metric over all batches."""


def tally_of(objective: Objective) -> Tally:
    """What counts the objective's metric."""
    match objective.metric:
        case "accuracy" | "agreement":
            return Hits(objective)
        case "retrieval":
            return Retrieval(objective)
        case "fidelity":
            return RelativeError(objective)
        case "own":
            assert objective.own_metric is not None
            return OwnMean(OwnRun(objective.own_metric), objective.batched)


class Hits:
    """Accuracy or agreement: the share of positions where two choices are the same."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._hits = self._positions = 0

    def add(self, outputs: Outputs, feed: Feed, reference: Outputs) -> None:
        """Count a batch."""
        output = outputs[0]
        assert output is not None
        finite = self._finite(output)
        if self._objective.metric == "agreement":
            expected = self._choice(_some(reference[0]))
        elif self._objective.target == "binary":
            labels: Array = feed[LABELS]
            expected = (labels > 0.5).ravel()
        elif self._objective.target == "probabilities":
            expected = self._choice(feed[LABELS])
        else:
            expected = feed[LABELS].ravel()
        binary = self._objective.metric == "accuracy" and self._objective.target == "binary"
        found = (output > 0.5).ravel() if binary else self._choice(output)
        hits = (found == expected) & finite
        self._hits += int(np.count_nonzero(hits))
        self._positions += hits.size

    def value(self) -> float:
        """The share of hits."""
        return self._hits / self._positions if self._positions else 0.0

    def _choice(self, value: Array) -> Array:
        if self._objective.chosen:
            return value.ravel()
        assert self._objective.axis is not None
        chosen: Array = value.argmax(self._objective.axis)
        return chosen.ravel()

    def _finite(self, output: Array) -> Array | bool:
        """A position with NaN among its scores is no hit, wherever NumPy finds the largest."""
        if output.dtype.kind != "f":
            return True
        numbers = ~np.isnan(output)
        if self._objective.axis is None or self._objective.target == "binary":
            return numbers.ravel()
        return numbers.all(self._objective.axis).ravel()


class RelativeError:
    """1 - sqrt(mean over outputs of squared error / squared reference), every output with the same weight."""

    def __init__(self, objective: Objective) -> None:
        self._labels = objective.against == "labels"
        self._floats = (0,) if self._labels else objective.floats
        self._batched = objective.batched
        # Squared errors and squares of every sample, by outputs.
        self._errors: list[list[F64]] = [[] for _ in self._floats]
        self._squares: list[list[F64]] = [[] for _ in self._floats]

    def add(self, outputs: Outputs, feed: Feed, reference: Outputs) -> None:
        """Count a batch."""
        for place, index in enumerate(self._floats):
            found = _some(outputs[index]).astype(np.float64)
            if self._labels:
                expected = feed[LABELS].astype(np.float64).reshape(found.shape)
            else:
                expected = _some(reference[index]).astype(np.float64)
            if expected.shape != found.shape:
                # Detections: the shape depends on the values. What one has and the other has not is error.
                expected, found = _padded(expected, found)
            finite = np.isfinite(expected)
            numbers = np.nan_to_num(found, nan=_WORST, posinf=_WORST, neginf=-_WORST)
            expected = np.where(finite, expected, 0.0)
            errors = np.square(np.where(finite, numbers, 0.0) - expected)
            samples = self._samples(feed, found.shape)
            for kept, squares in ((self._errors, errors), (self._squares, np.square(expected))):
                kept[place].append(squares.reshape(samples, -1).sum(axis=1))

    def value(self) -> float:
        """At most 1."""
        return 1.0 - float(np.sqrt(np.mean([share for share, _ in self._shares()])))

    def spared(self) -> float:
        """The metric were every output's squared error a standard error larger than on these samples; of one sample nothing is known."""
        return 1.0 - float(np.sqrt(np.mean([share + error for share, error in self._shares()])))

    def _samples(self, feed: Feed, shape: tuple[int, ...]) -> int:
        """How many samples an output's first axis holds; 1 where it is no axis of samples."""
        size = len(next(iter(feed.values()))) if self._batched else 1
        return size if shape and shape[0] == size else 1

    def _shares(self) -> list[tuple[float, float]]:
        """Every output's squared error over its squares, and the standard error of that.

        It is that of a ratio of two means, r = mean(e) / mean(s): the deviation of e - r s over samples, by the root of their number and
        mean(s) (Cochran, Sampling Techniques, 3rd edition, eq. 2.46).
        """
        found = []
        for kept_errors, kept_squares in zip(self._errors, self._squares, strict=True):
            errors, squares = np.concatenate(kept_errors), np.concatenate(kept_squares)
            total = float(squares.sum())
            share = float(errors.sum()) / total if total else float(errors.sum() > 0)
            doubt = 0.0
            if total and len(errors) > 1:
                spread = float(np.std(errors - share * squares, ddof=1))
                doubt = spread * math.sqrt(len(errors)) / total
            found.append((share, doubt))
        return found


class Retrieval:
    """The share of samples whose nearest neighbour, by cosine, is the nearest for the original too."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._found: list[F64] = []
        self._expected: list[F64] = []
        self._left = MOST_NEIGHBOURS

    def add(self, outputs: Outputs, feed: Feed, reference: Outputs) -> None:
        """Keep a batch's embeddings."""
        del feed
        index = self._objective.embedding
        for kept, value in ((self._found, outputs[index]), (self._expected, reference[index])):
            kept.append(self._unit(_some(value))[: self._left])
        self._left -= len(self._found[-1])

    def value(self) -> float:
        """Between 0 and 1; 1 where there is only one sample."""
        found, expected = np.concatenate(self._found), np.concatenate(self._expected)
        if len(found) < 2:
            return 1.0
        hits = 0
        for first in range(0, len(found), BLOCK):
            rows = np.arange(first, min(first + BLOCK, len(found)))
            mine, theirs = found[rows] @ found.T, expected[rows] @ expected.T
            for similar in (mine, theirs):
                similar[rows - first, rows] = -np.inf
            chosen = theirs[rows - first, mine.argmax(1)]
            hits += int((chosen >= theirs.max(1) - _SAME).sum())
        return hits / len(found)

    def _unit(self, value: Array) -> F64:
        vectors = np.nan_to_num(value.astype(np.float64))
        samples = len(vectors) if self._objective.batched else 1
        vectors = vectors.reshape(samples, -1, vectors.shape[-1]).mean(1)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: F64 = vectors / np.maximum(lengths, _TINY)
        return unit


class OwnMean:
    """The caller's own metric, averaged over samples; of a ruined model it may be no finite number."""

    def __init__(self, run: OwnRun, batched: bool) -> None:
        self._run = run
        self._batched = batched
        self._sum = 0.0
        self._weight = 0

    def add(self, outputs: Outputs, feed: Feed, reference: Outputs) -> None:
        """Count a batch."""
        samples = len(next(iter(feed.values()))) if self._batched else 1
        self._sum += samples * self._run.measure(outputs, feed, reference)
        self._weight += samples

    def value(self) -> float:
        """The mean."""
        return self._sum / self._weight if self._weight else 0.0


def _some(value: Array | None) -> Array:
    if value is None:
        raise ValueError("an output is no tensor of numbers")
    return value


def _padded(one: F64, other: F64) -> tuple[F64, F64]:
    shape = tuple(max(pair) for pair in zip(one.shape, other.shape, strict=True))
    pads = ([(0, to - size) for size, to in zip(a.shape, shape, strict=True)] for a in (one, other))
    return np.pad(one, next(pads)), np.pad(other, next(pads))
