"""What the original makes of the data: the shapes of its outputs, and whether it takes several samples at once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from sparsebook_compressor.errors import BadData
from sparsebook_compressor.feeds import Feed
from sparsebook_compressor.measure import first_line, required_session
from sparsebook_compressor.outputs import all_numbers
from sparsebook_compressor.training.data.dataset import Dataset

Array = npt.NDArray[Any]


def does_not_run(error: Exception) -> str:
    """What is said of samples on which the original fails."""
    return (
        f"the model does not run on it: {first_line(error)}; compare its sizes, and numbers that are looked up in a table, with "
        "what the model takes"
    )


@dataclass(frozen=True, slots=True)
class OutputFacts:
    """An output of the original.

    Attributes:
        name: of the output.
        dtype: None where it holds no numbers.
        shape: on one sample.
    """

    name: str
    dtype: np.dtype[np.generic] | None
    shape: tuple[int, ...]

    @property
    def is_float(self) -> bool:
        """Whether it can be learned from."""
        return self.dtype is not None and self.dtype.kind == "f"


@dataclass(frozen=True, slots=True)
class Probe:
    """The original's outputs on the first samples.

    Attributes:
        outputs: in the graph's order.
        batched: whether several samples can be fed at once, and every output has them on its first axis.
        feed: the first two samples where several can be fed at once, else the first; all arrays of the data.
        values: the outputs on it.
    """

    outputs: tuple[OutputFacts, ...]
    batched: bool
    feed: Feed = field(repr=False)
    values: tuple[Array | None, ...] = field(repr=False)


def probe(model: Path, dataset: Dataset, library: Path | None = None) -> Probe:
    """Run the original on one sample, and on two at once where its inputs allow that.

    What holds for one only, by broadcasting, is not taken for granted of a batch.

    Args:
        model: the original.
        dataset: the data.
        library: the operator library, where the model has operators.

    Raises:
        BadData: it does not run on the data.
        BadValue: ONNX Runtime does not load it.
    """
    running = required_session(model, library)
    inputs = [spec.name for spec in dataset.specs]
    names = [output.name for output in running.get_outputs()]
    part = dataset.part_with_samples()
    feed = next(dataset.batches(part, 1))
    try:
        one = all_numbers(running.run(None, {name: feed[name] for name in inputs}))
    except Exception as error:  # whatever ONNX Runtime throws, the samples are what it was given
        sample = dataset.sample_name(part, inputs[0], 0)
        raise BadData(f"{sample}: {does_not_run(error)}") from error
    outputs = tuple(_facts(name, value) for name, value in zip(names, one, strict=True))
    pair = next(dataset.batches(part, 2))
    several = dataset.batchable and len(pair[inputs[0]]) == 2
    two = _outputs_of(running, {name: pair[name] for name in inputs}, outputs) if several else None
    return Probe(
        outputs,
        batched=two is not None,
        feed=feed if two is None else pair,
        values=tuple(one if two is None else two),
    )


def _outputs_of(
    running: ort.InferenceSession, pair: Feed, outputs: tuple[OutputFacts, ...]
) -> list[Array | None] | None:
    """What two samples give; None where not twice the first axis: a graph may be made for one in spite of its inputs."""
    try:
        two = all_numbers(running.run(None, pair))
    except Exception:  # it takes them one at a time, which worked
        return None
    numbers = [
        (facts, value) for facts, value in zip(outputs, two, strict=True) if facts.dtype is not None
    ]
    fits = all(
        facts.shape[:1] == (1,) and value is not None and value.shape == (2, *facts.shape[1:])
        for facts, value in numbers
    )
    return two if fits else None


def _facts(name: str, value: Array | None) -> OutputFacts:
    if value is None:
        return OutputFacts(name, None, ())
    return OutputFacts(name, value.dtype, value.shape)
