"""Metrics outside training, in NumPy and float64: every figure that is reported is one of these.

The model runs batch by batch; the original's outputs wait in files, so that the two never live at the same time.
"""

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.errors import BadData, InputError, InternalError
from sparsebook_compressor.feeds import Feed
from sparsebook_compressor.measure import first_line, session
from sparsebook_compressor.training.aim.objective import Objective
from sparsebook_compressor.training.aim.tallies import Flags, Hits, Outputs, tally_of
from sparsebook_compressor.training.data.dataset import Dataset, teacher_name
from sparsebook_compressor.training.data.parts import Part

Array = npt.NDArray[Any]

BATCH = 64


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A metric on one part.

    Attributes:
        value: of the metric; None where it is no finite number, as a metric of the caller's own may be.
        samples: of the part.
        hits: bool [positions], in order, for accuracy and agreement; else None. The same positions of two
            evaluations can be paired.
    """

    value: float | None
    samples: int
    hits: Flags | None = None


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

    The dataset then offers a worker the arrays that the objective's graph takes, and no others.

    Raises:
        BadData: the original does not run on the data, or the shape of an output is not the same for every sample.
    """
    wanted = objective.teachers
    parts: tuple[Part, ...] = ("train", "eval") if wanted else ()
    for part in parts:
        with dataset.record(part, [teacher_name(index) for index in wanted]) as recorder:
            for _, outputs in _run_original(model, dataset, part, objective):
                recorder.add([_taught(outputs[index], objective) for index in wanted])
    inputs = [spec.name for spec in dataset.specs]
    dataset.offer([*inputs, *objective.arrays, *(teacher_name(index) for index in wanted)])


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
    tally = tally_of(objective)
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
    value = tally.value()
    return Evaluation(value if math.isfinite(value) else None, dataset.samples(part), hits)


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
