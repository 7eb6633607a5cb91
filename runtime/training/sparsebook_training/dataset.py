"""The dataset: shards of .npy files, one open at a time, in an order that the seed and the epoch decide (docs/training.md, section 2)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsebook_training import fields, npy
from sparsebook_training import noise as noising
from sparsebook_training import shift as shifting
from sparsebook_training.errors import Failed, Problem
from sparsebook_training.npy import Array, Input

_PROBLEM: Problem = "bad-data"
_MOST_SAMPLES = 1 << 48
_NO_NOISE: Mapping[str, float] = {}
_NO_SHIFT: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Shard:
    """Some samples: an .npy file an input.

    Attributes:
        samples: how many; the first dimension of every file.
        files: input to file.
    """

    samples: int
    files: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class Run:
    """What the graph is run on once.

    Attributes:
        feed: an array an input.
        samples: how many.
        share: of the batch's samples, so that the batch's shares sum up to 1.
        last: whether it completes the batch, so that the optimizer steps.
    """

    feed: Mapping[str, Array]
    samples: int
    share: float
    last: bool


@dataclass(frozen=True, slots=True)
class Dataset:
    """`dataset.json`, validated, for a graph whose inputs fit.

    Attributes:
        train: shards to train on, at least one.
        evaluation: shards to select by, maybe none.
        inputs: of the graph.
    """

    train: tuple[Shard, ...]
    evaluation: tuple[Shard, ...]
    inputs: Mapping[str, Input]

    def batches(self, batch_size: int) -> int:
        """Optimizer steps an epoch."""
        return sum(_batches(shard.samples, batch_size) for shard in self.train)

    def ranks(self) -> dict[str, int]:
        """How many axes a sample of each input has, without that of the samples."""
        return {name: array.ndim - 1 for name, array in _open(self.train[0], self.inputs).items()}

    def training_runs(
        self,
        seed: int,
        epoch: int,
        batch_size: int,
        feed: int,
        noise: Mapping[str, float] = _NO_NOISE,
        shift: Mapping[str, int] = _NO_SHIFT,
    ) -> Iterator[Run]:
        """An epoch: shards in a seeded order, the samples of each in a seeded order.

        A shard's last, incomplete batch is left out unless it is the shard's only one.

        Args:
            seed: of the order, of the shifts and of the noise.
            epoch: each has another order.
            batch_size: samples a batch.
            feed: samples a run, at most.
            noise: inputs to the share of their elements that is taken away.
            shift: inputs to the most elements by which a sample is moved.
        """
        for index in np.random.default_rng([seed, epoch]).permutation(len(self.train)):
            shard = self.train[index]
            arrays = _open(shard, self.inputs)
            rng = np.random.default_rng([seed, epoch, int(index)])
            order = rng.permutation(shard.samples)
            for batch in range(_batches(shard.samples, batch_size)):
                chosen = order[batch * batch_size : (batch + 1) * batch_size]
                for start in range(0, len(chosen), feed):
                    part = chosen[start : start + feed]
                    given = self._gather(arrays, part)
                    for name, most in shift.items():
                        # An input without a dimension for samples is a sample as it is.
                        samples = given[name].reshape(len(part), *arrays[name].shape[1:])
                        shifted = shifting.moved(samples, most, rng)
                        given[name] = shifted.reshape(given[name].shape)
                    for name, share in noise.items():
                        given[name] = noising.thinned(given[name], share, rng)
                    yield Run(
                        given,
                        samples=len(part),
                        share=len(part) / len(chosen),
                        last=start + feed >= len(chosen),
                    )

    def evaluation_runs(self, feed: int) -> Iterator[Run]:
        """The whole eval part, in its own order."""
        for shard in self.evaluation:
            arrays = _open(shard, self.inputs)
            for start in range(0, shard.samples, feed):
                part = np.arange(start, min(start + feed, shard.samples))
                yield Run(self._gather(arrays, part), samples=len(part), share=1.0, last=False)

    def _gather(
        self, arrays: Mapping[str, Array], indices: npt.NDArray[np.int64]
    ) -> dict[str, Array]:
        # An input without a dimension for samples is fed one sample as it is.
        return {
            name: np.ascontiguousarray(
                array[indices[0]] if array.ndim > len(self.inputs[name].dims) else array[indices]
            )
            for name, array in arrays.items()
        }


def read(folder: Path, inputs: Mapping[str, Input], feed: int) -> Dataset:
    """The dataset of a folder; every file's header is looked at, none of their samples.

    Args:
        folder: holds dataset.json and the files.
        inputs: of the graph.
        feed: samples a run.

    Raises:
        Failed: dataset.json is not as specified, a file is missing or damaged, or an array does not fit its input.
    """
    found = fields.read(folder / "dataset.json", _PROBLEM)
    found.integer("format", 1, 1)
    names = found.names("inputs")
    if set(names) != set(inputs):
        found.fail(f"its inputs are {sorted(names)}, the graph's are {sorted(inputs)}")
    parts = fields.Fields(found.take("parts"), "dataset.json, 'parts'", _PROBLEM)
    found.end()
    train = _part(folder, parts, "train", names)
    evaluation = _part(folder, parts, "eval", names)
    parts.end()
    if not train:
        raise Failed(_PROBLEM, "dataset.json: there is nothing to train on: 'train' has no shards")
    for shard in (*train, *evaluation):
        for name, array in _open(shard, inputs).items():
            _check(shard.files[name].name, array, inputs[name], feed)
    return Dataset(train, evaluation, inputs)


def _part(
    folder: Path, parts: fields.Fields, part: str, names: tuple[str, ...]
) -> tuple[Shard, ...]:
    listed = parts.take(part)
    if not isinstance(listed, list):
        parts.fail(f"{part!r} must be a list of shards")
    shards = []
    for number, entry in enumerate(listed):
        shard = fields.Fields(entry, f"dataset.json, shard {number} of {part!r}", _PROBLEM)
        samples = shard.integer("samples", 1, _MOST_SAMPLES)
        files = shard.take("files")
        shard.end()
        if not isinstance(files, dict) or set(files) != set(names):
            shard.fail("'files' must name one file an input")
        for file in files.values():
            if not isinstance(file, str) or file in (".", "..") or Path(file).name != file:
                shard.fail(f"{file!r} is no plain file name")
        shards.append(Shard(samples, {name: folder / files[name] for name in names}))
    return tuple(shards)


def _open(shard: Shard, inputs: Mapping[str, Input]) -> dict[str, Array]:
    arrays = {name: npy.mapped(shard.files[name], _PROBLEM) for name in inputs}
    for name, array in arrays.items():
        if array.ndim == 0 or len(array) != shard.samples:
            raise Failed(
                _PROBLEM,
                f"{shard.files[name].name}: {shard.samples} samples are promised, its shape is {array.shape}",
            )
    return arrays


def _check(file: str, array: Array, spec: Input, feed: int) -> None:
    if array.dtype != spec.dtype:
        raise Failed(
            _PROBLEM, f"{file}: its dtype is {array.dtype}, the graph's input is {spec.dtype}"
        )
    single = array.ndim == len(spec.dims) + 1
    rest = spec.dims if single else spec.dims[1:]
    shape = array.shape[1:]
    head = spec.dims[0] if spec.dims and not single else None
    fits = len(shape) == len(rest) and all(
        dim is None or dim == size for dim, size in zip(rest, shape, strict=True)
    )
    wants = "x".join("?" if dim is None else str(dim) for dim in spec.dims) or "a scalar"
    if not fits:
        raise Failed(
            _PROBLEM, f"{file}: a sample's shape is {shape}, the graph's input takes {wants}"
        )
    if feed != 1 and (single or head is not None):
        raise Failed(
            _PROBLEM, f"{file}: the graph's input takes {wants}: one sample a run, not {feed}"
        )
    if feed == 1 and head not in (None, 1):
        raise Failed(
            _PROBLEM, f"{file}: the graph's input takes {wants}, which one sample does not fill"
        )


def _batches(samples: int, batch_size: int) -> int:
    return max(1, samples // batch_size)
