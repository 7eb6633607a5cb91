"""Metrics outside training, in NumPy and float64: every figure that is reported is one of these.

The model runs batch by batch; the original's outputs wait in files, so that the two never live at the same time.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.errors import BadData, InputError, InternalError
from sparsebook_compressor.feeds import Feed
from sparsebook_compressor.measure import first_line, session
from sparsebook_compressor.training.dataset import LABELS, Dataset
from sparsebook_compressor.training.objective import Objective
from sparsebook_compressor.training.own import OwnRun
from sparsebook_compressor.training.parts import Part
from sparsebook_compressor.training.wires import teacher_name

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Outputs = Sequence[Array | None]

BATCH = 64
MOST_NEIGHBOURS = 20_000
"""Samples among which retrieval looks for neighbours: the first ones of a part. The work grows with their square."""
_WORST = float(np.finfo(np.float32).max)
_TINY = 1e-12
# Two neighbours whose similarity differs by less are equally near: duplicates in the data differ by rounding alone.
_SAME = 1e-6


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A metric on one part.

    Attributes:
        value: of the metric.
        samples: of the part.
        hits: bool [positions], in order, for accuracy and agreement; else None. The same positions of two
            evaluations can be paired.
    """

    value: float
    samples: int
    hits: Flags | None = None


class Tally(Protocol):
    """Takes batches in order."""

    def add(self, outputs: Outputs, feed: Feed, reference: Outputs) -> None:
        """Count a batch: the model's outputs, the arrays it was fed from, the original's outputs."""

    def value(self) -> float:
        """The metric over all batches."""


def keep_reference(
    model: Path, dataset: Dataset, part: Part, objective: Objective, folder: Path
) -> None:
    """Run the original and keep those of its outputs that the metric reads.

    Args:
        model: the original.
        dataset: the data.
        part: of the data.
        objective: says which outputs.
        folder: for one file an output; made where it is missing.

    Raises:
        BadData: the original does not run on the data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        files = [
            (index, stack.enter_context(_reference_file(folder, index).open("wb")))
            for index in objective.reference
        ]
        if not files:
            return
        for _, outputs in _run_original(model, dataset, part, objective):
            for index, file in files:
                value = outputs[index]
                assert value is not None
                np.save(file, value)


def record_teacher(model: Path, dataset: Dataset, objective: Objective) -> None:
    """Run the original over train and eval part and put the outputs that training reads into the dataset.

    Raises:
        BadData: the original does not run on the data, or the shape of an output is not the same for every sample.
    """
    wanted = objective.teachers
    if not wanted:
        return
    parts: tuple[Part, ...] = ("train", "eval")
    for part in parts:
        with dataset.record(part, [teacher_name(index) for index in wanted]) as recorder:
            for _, outputs in _run_original(model, dataset, part, objective):
                recorder.add([_taught(outputs[index], objective) for index in wanted])


def evaluate(
    model: Path,
    library: Path | None,
    dataset: Dataset,
    part: Part,
    objective: Objective,
    reference: Path | None,
) -> Evaluation:
    """Measure a model on a part of the data.

    Args:
        model: the original, or anything with its inputs and outputs.
        library: the operator library, where the model has operators.
        dataset: the data.
        part: of the data.
        objective: says which metric.
        reference: the folder that `keep_reference` filled for this part, or the original itself, which is run first;
            a metric against labels needs none.

    Raises:
        BadData: the original does not run on the data.
        InternalError: the model does not run though the original does.
    """
    if objective.reference and reference is not None and reference.is_file():
        with tempfile.TemporaryDirectory(prefix="sparsebook-") as folder:
            keep_reference(reference, dataset, part, objective, Path(folder))
            return evaluate(model, library, dataset, part, objective, Path(folder))
    tally = _tally(objective)
    references = _references(reference, objective, len(objective.outputs))
    names = list(dataset.arrays)
    try:
        running = session(model, library)
        size = BATCH if objective.batched else 1
        for feed in dataset.batches(part, size, names):
            outputs = _numbers(running.run(None, _inputs(dataset, feed)))
            tally.add(outputs, feed, next(references))
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InternalError(
            f"{model.name} does not run on the {part} part: {first_line(error)}"
        ) from error
    hits = tally.hits() if isinstance(tally, Hits) else None
    return Evaluation(tally.value(), dataset.samples(part), hits)


def _tally(objective: Objective) -> Tally:
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
        self._found: list[Flags] = []

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
        self._found.append((found == expected) & finite)

    def hits(self) -> Flags:
        """Which positions were hit, in order."""
        return np.concatenate(self._found) if self._found else np.zeros(0, bool)

    def value(self) -> float:
        """The share of hits."""
        hits = self.hits()
        return float(hits.mean()) if len(hits) else 0.0

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
        self._errors = np.zeros(len(self._floats))
        self._squares = np.zeros(len(self._floats))

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
            self._errors[place] += np.square(np.where(finite, numbers, 0.0) - expected).sum()
            self._squares[place] += np.square(expected).sum()

    def value(self) -> float:
        """At most 1."""
        shares = [
            error / square if square else float(error > 0)
            for error, square in zip(self._errors, self._squares, strict=True)
        ]
        return 1.0 - float(np.sqrt(np.mean(shares)))


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
        for first in range(0, len(found), BATCH):
            rows = np.arange(first, min(first + BATCH, len(found)))
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
    """The caller's own metric, averaged over samples."""

    def __init__(self, run: OwnRun, batched: bool) -> None:
        self._run = run
        self._batched = batched
        self._sum = 0.0
        self._weight = 0

    def add(self, outputs: Outputs, feed: Feed, reference: Outputs) -> None:
        """Count a batch."""
        samples = len(next(iter(feed.values()))) if self._batched else 1
        self._sum += samples * self._run(outputs, feed, reference)
        self._weight += samples

    def value(self) -> float:
        """The mean."""
        return self._sum / self._weight if self._weight else 0.0


def _run_original(
    model: Path, dataset: Dataset, part: Part, objective: Objective
) -> Iterator[tuple[Feed, Outputs]]:
    running: Any = None
    size = BATCH if objective.batched else 1
    for feed in dataset.batches(part, size, [spec.name for spec in dataset.specs]):
        try:
            running = running or session(model)
            outputs = running.run(None, feed)
        except Exception as error:  # it ran on the first samples: these are what it does not take
            raise BadData(
                f"the model does not run on the data ({part} part): {first_line(error)}"
            ) from error
        yield feed, _numbers(outputs)


def _taught(value: Array | None, objective: Objective) -> Array:
    """An output as the dataset keeps it: float32 or int64, samples on the first axis."""
    assert value is not None
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise BadData(
            "the original gives NaN or infinity on the data, which nothing can learn from; leave such samples out"
        )
    kept = value.astype(np.float32 if value.dtype.kind == "f" else np.int64)
    return kept if objective.batched else kept[np.newaxis]


def _inputs(dataset: Dataset, feed: Feed) -> Feed:
    return {spec.name: feed[spec.name] for spec in dataset.specs}


def _numbers(outputs: Sequence[object]) -> list[Array | None]:
    return [
        value if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" else None
        for value in outputs
    ]


def _reference_file(folder: Path, index: int) -> Path:
    return folder / f"output-{index}.npys"


def _references(folder: Path | None, objective: Objective, count: int) -> Iterator[Outputs]:
    """What `keep_reference` kept, batch by batch."""
    with ExitStack() as stack:
        files = []
        if objective.reference:
            assert folder is not None, "the metric compares with the original"
            files = [
                (index, stack.enter_context(_reference_file(folder, index).open("rb")))
                for index in objective.reference
            ]
        while True:
            outputs: list[Array | None] = [None] * count
            for index, file in files:
                outputs[index] = np.load(file, allow_pickle=False)
            yield outputs


def _some(value: Array | None) -> Array:
    if value is None:
        raise ValueError("an output is no tensor of numbers")
    return value


def _padded(one: F64, other: F64) -> tuple[F64, F64]:
    shape = tuple(max(pair) for pair in zip(one.shape, other.shape, strict=True))
    pads = ([(0, to - size) for size, to in zip(a.shape, shape, strict=True)] for a in (one, other))
    return np.pad(one, next(pads)), np.pad(other, next(pads))
