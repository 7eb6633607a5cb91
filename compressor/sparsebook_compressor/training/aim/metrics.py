"""Metrics outside training, in NumPy and float64: every figure that is reported is one of these.

The model runs batch by batch; the original's outputs wait in files, so that the two never live at the same time.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.errors import BadData, InputError, InternalError
from sparsebook_compressor.feeds import Feed
from sparsebook_compressor.measure import first_line, session
from sparsebook_compressor.outputs import all_numbers
from sparsebook_compressor.training.aim.objective import Objective
from sparsebook_compressor.training.aim.tallies import Outputs, Tally, tally_of
from sparsebook_compressor.training.data.dataset import Dataset, teacher_name
from sparsebook_compressor.training.data.parts import Part
from sparsebook_compressor.training.data.probe import does_not_run

Array = npt.NDArray[Any]

BATCH = 64


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


def record_teacher(model: Path, dataset: Dataset, objective: Objective) -> tuple[Part, ...]:
    """Run the original over train and eval part and put the outputs that training reads into the dataset.

    The dataset then offers a worker the arrays that the objective's graph takes, and no others.

    Returns:
        The parts that the original has run over: none where training reads nothing of it.

    Raises:
        BadData: the original does not run on the data, or the shape of an output is not the same for every sample.
    """
    wanted = objective.teachers
    parts: tuple[Part, ...] = ("train", "eval") if wanted else ()
    for part in parts:
        with dataset.record(part, [teacher_name(index) for index in wanted]) as recorder:
            for first, outputs in _run_original(model, dataset, part, objective):
                values = [outputs[index] for index in wanted]
                _require_finite(values, objective, dataset, part, first)
                recorder.add([_taught(value, objective) for value in values])
    inputs = [spec.name for spec in dataset.specs]
    dataset.offer([*inputs, *objective.arrays, *(teacher_name(index) for index in wanted)])
    return parts


def require_runs(
    model: Path,
    dataset: Dataset,
    parts: Iterable[Part],
    objective: Objective,
    library: Path | None = None,
) -> None:
    """Run a model on every sample of some parts; what it gives is thrown away.

    Args:
        model: the original, or an artifact.
        dataset: the data.
        parts: of the data.
        objective: says whether several samples can be fed at once.
        library: the operator library, where the model has operators.

    Raises:
        BadData: there is a sample that it does not take.
    """
    for part in parts:
        for _ in _run_original(model, dataset, part, objective, library):
            pass


def evaluate(
    model: Path,
    library: Path | None,
    dataset: Dataset,
    part: Part,
    objective: Objective,
    reference: Path | None,
) -> float | None:
    """Measure a model on a part of the data; None where the metric is no finite number, as one of the caller's own may be.

    Arguments and errors are those of `tallied`.
    """
    return finite(tallied(model, library, dataset, part, objective, reference).value())


def finite(value: float) -> float | None:
    """The value, or None where it is no finite number."""
    return value if math.isfinite(value) else None


def tallied(
    model: Path,
    library: Path | None,
    dataset: Dataset,
    part: Part,
    objective: Objective,
    reference: Path | None,
) -> Tally:
    """Run a model on a part of the data and count its metric.

    Args:
        model: the original, or anything with its inputs and outputs.
        library: the operator library, where the model has operators.
        dataset: the data.
        part: of the data.
        objective: says which metric.
        reference: the folder that `keep_reference` filled for this part; a metric against labels needs none.

    Raises:
        BadData: the data cannot be measured with.
        InternalError: the model does not run though the original does.
    """
    tally = tally_of(objective)
    references = _references(reference, objective, len(objective.outputs))
    names = list(dataset.arrays)
    try:
        running = session(model, library)
        size = BATCH if objective.batched else 1
        for feed in dataset.batches(part, size, names):
            outputs = all_numbers(running.run(None, _inputs(dataset, feed)))
            tally.add(outputs, feed, next(references))
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InternalError(
            f"{model.name} does not run on the {part} part: {first_line(error)}"
        ) from error
    return tally


def _run_original(
    model: Path, dataset: Dataset, part: Part, objective: Objective, library: Path | None = None
) -> Iterator[tuple[int, Outputs]]:
    """The original's outputs batch by batch, each with the number of its first sample in the part."""
    running: Any = None
    names = [spec.name for spec in dataset.specs]
    first, size = 0, BATCH if objective.batched else 1
    for feed in dataset.batches(part, size, names):
        try:
            running = running or session(model, library)
            outputs = running.run(None, feed)
        except Exception as error:  # it ran on the first samples: these are what it does not take
            sample = dataset.sample_name(part, names[0], first + _culprit(running, feed, size))
            raise BadData(f"{sample}: {does_not_run(error)}") from error
        yield first, all_numbers(outputs)
        first += len(feed[names[0]]) if objective.batched else 1


def _culprit(running: Any, feed: Feed, size: int) -> int:
    """The first sample of a batch on which a model does not run alone; 0 where each does."""
    count = len(next(iter(feed.values()))) if size > 1 else 0
    for index in range(count):
        try:
            running.run(None, {name: array[index : index + 1] for name, array in feed.items()})
        except Exception:  # this is the one
            return index
    return 0


def _require_finite(
    values: Sequence[Array | None], objective: Objective, dataset: Dataset, part: Part, first: int
) -> None:
    for value in values:
        if value is not None and value.dtype.kind == "f" and not np.isfinite(value).all():
            index = int(np.argwhere(~np.isfinite(value))[0][0]) if objective.batched else 0
            sample = dataset.sample_name(part, dataset.specs[0].name, first + index)
            raise BadData(
                f"{sample}: the original gives NaN or infinity on it, which nothing can learn from; leave such samples out"
            )


def _taught(value: Array | None, objective: Objective) -> Array:
    """An output as the dataset keeps it: float32 or int64, samples on the first axis."""
    assert value is not None
    kept = value.astype(np.float32 if value.dtype.kind == "f" else np.int64)
    return kept if objective.batched else kept[np.newaxis]


def _inputs(dataset: Dataset, feed: Feed) -> Feed:
    return {spec.name: feed[spec.name] for spec in dataset.specs}


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
