"""The data of a job: from .npz files to the folder that a worker reads (docs/training.md, docs/data.md).

Train and eval part go to `shared/`, the test part to `test/` beside it, so that no worker can see it. Every array is
checked while it is copied; no array is ever in memory whole.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.errors import BadData
from sparsebook_compressor.feeds import InputSpec, check_inputs
from sparsebook_compressor.training.data.parts import PARTS, Part, PartFacts
from sparsebook_compressor.training.data.preparation import FOLDERS, LABELS, OWN_NAMES, Preparation
from sparsebook_compressor.training.data.shards import Reader, Recorder, Shard, blocks

Array = npt.NDArray[Any]
Feed = dict[str, Array]

FORMAT = 1
# Those along which pictures are moved.
_AXES = 2

__all__ = ["FORMAT", "LABELS", "Dataset", "teacher_name"]


def teacher_name(index: int) -> str:
    """The array that holds an output of the original; no array of the caller's has such a name."""
    return f"{OWN_NAMES}original.{index}"


@dataclass(slots=True)
class Dataset:
    """Checked data on disk.

    Attributes:
        folder: holds `shared/` (train and eval part: all that a worker gets) and `test/`.
        specs: the graph's inputs.
        arrays: names of all arrays: inputs, then labels and those of own losses and metrics.
        whole: inputs whose samples are whole feeds: the array has one axis more than the input.
        splits: the three parts, for the report.
        files: names of the caller's files, for messages.
    """

    folder: Path
    specs: tuple[InputSpec, ...]
    arrays: tuple[str, ...]
    whole: frozenset[str]
    splits: tuple[PartFacts, ...]
    files: str
    _shards: dict[Part, list[Shard]]
    _recorded: list[str] = field(default_factory=list)
    _offered: tuple[str, ...] | None = None
    _mean_squares: dict[str, float] = field(default_factory=dict)

    @classmethod
    def prepare(
        cls,
        files: Sequence[Path],
        specs: tuple[InputSpec, ...],
        folder: Path,
        seed: int,
        extra: Sequence[str] = (),
        *,
        trains: bool = True,
        calibrates: bool = False,
    ) -> "Dataset":
        """Check data files and copy them into a folder.

        Args:
            files: one .npz, or several that continue each other.
            specs: the graph's inputs, each of which needs an array of its name.
            folder: to write to; it is made where it is missing.
            seed: decides which samples become a part that is not given.
            extra: names of further arrays that a loss or metric of the caller's own reads.
            trains: whether anything is trained. Else all is checked, and only the test part kept: the given one, or a tenth
                of the plain arrays, one sample at least.
            calibrates: whether layers are fitted without training: more of few samples is split off, since they need fewer.

        Raises:
            BadData: a file does not fit; the message says which, where, and what to do.
        """
        if not files:
            raise BadData("no data file was given")
        check_inputs(specs, files[0].name)
        found = Preparation(
            files, specs, folder, seed, tuple(extra), trains=trains, calibrates=calibrates
        ).run()
        dataset = cls(
            folder, specs, found.arrays, found.whole, found.splits, found.files, found.shards
        )
        dataset.describe()
        return dataset

    @property
    def shared(self) -> Path:
        """The folder that a worker gets."""
        return self.folder / "shared"

    @property
    def has_labels(self) -> bool:
        """Whether every part has labels."""
        return LABELS in self.arrays and LABELS not in {spec.name for spec in self.specs}

    @property
    def floats(self) -> tuple[str, ...]:
        """Names of the inputs that take floats."""
        return tuple(
            spec.name for spec in self.specs if spec.dtype is not None and spec.dtype.kind == "f"
        )

    def movable(self, most: int) -> tuple[str, ...]:
        """Names of the inputs that take floats and whose samples have two last axes, each longer than `most`."""
        return tuple(
            name
            for name in self.floats
            if len(shape := self.array_facts(name)[1]) >= _AXES and min(shape[-_AXES:]) > most
        )

    @property
    def trains(self) -> bool:
        """Whether there are samples to train with; without them a compression can only be compared."""
        return self.samples("train") > 0

    @property
    def batchable(self) -> bool:
        """Whether the declared inputs take several samples at once."""
        return not self.whole and all(spec.dims[0] is None for spec in self.specs)

    def samples(self, part: Part) -> int:
        """How many samples a part has."""
        return sum(shard.samples for shard in self._shards[part])

    def part_with_samples(self) -> Part:
        """The first part that has samples, in the order train, eval, test."""
        return next(part for part in PARTS if self.samples(part))

    def batches(self, part: Part, size: int, names: Sequence[str] | None = None) -> Iterator[Feed]:
        """A part's samples in order, in the layout that the graph takes.

        Args:
            part: which.
            size: most samples a batch; the last of a shard may be smaller. 1 where the data is not `batchable`.
            names: arrays to read; all inputs, labels and further ones by default, without what was recorded.
        """
        wanted = self.arrays if names is None else tuple(names)
        size = size if self.batchable else 1
        root = self.folder / FOLDERS[part]
        for shard in self._shards[part]:
            with contextlib.ExitStack() as stack:
                readers = {
                    name: stack.enter_context(Reader(root / shard.files[name])) for name in wanted
                }
                for _ in range(0, shard.samples, size):
                    feed = {name: reader.take(size) for name, reader in readers.items()}
                    yield {
                        # Of scalars too an array, not a NumPy scalar, which ONNX Runtime does not take.
                        name: array[0, ...] if name in self.whole else array
                        for name, array in feed.items()
                    }

    def column(self, part: Part, name: str, size: int = 256) -> Iterator[Array]:
        """One array of a part, in order, in blocks of at most `size` samples on the first axis."""
        for shard in self._shards[part]:
            yield from blocks(self.folder / FOLDERS[part] / shard.files[name], size)

    def array_facts(self, name: str) -> tuple[np.dtype[np.generic], tuple[int, ...]]:
        """Dtype of an array, and the shape of one sample in the first shard that has samples."""
        part = self.part_with_samples()
        with Reader(self.folder / FOLDERS[part] / self._shards[part][0].files[name]) as reader:
            array = reader.take(1)
        return array.dtype, array.shape[1:]

    def sample_name(self, part: Part, array: str, index: int) -> str:
        """A sample as the caller's files have it, for messages: file, array, and its index there.

        Args:
            part: that it belongs to now.
            array: name of the array.
            index: of the sample in that part.
        """
        for shard in self._shards[part]:
            if index < shard.samples:
                return shard.origin.name(array, index)
            index -= shard.samples
        raise IndexError(index)

    def feed_shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes in which the graph's inputs are fed: None for the batch, and where files or parts differ."""
        return {spec.name: self._feed_shape(spec.name) for spec in self.specs}

    def _feed_shape(self, name: str) -> tuple[int | None, ...]:
        found: list[tuple[int, ...]] = []
        for part in PARTS:
            for shard in self._shards[part]:
                with Reader(self.folder / FOLDERS[part] / shard.files[name]) as reader:
                    found.append(reader.take(1).shape[1:])
        same = tuple(
            sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*found, strict=True)
        )
        if name in self.whole:
            return same
        return (None if self.batchable else 1, *same)

    @contextlib.contextmanager
    def record(self, part: Part, names: Sequence[str]) -> Iterator[Recorder]:
        """Keep further arrays of a part, such as the original's outputs, beside it.

        The dataset's description names them once every sample of train and eval part has them.

        Args:
            part: train or eval.
            names: of the arrays.

        Yields:
            What takes the samples in order, batch by batch.
        """
        assert part != "test", "the test part is for nobody to learn from"
        with contextlib.ExitStack() as stack:
            root, shards = self.folder / FOLDERS[part], self._shards[part]
            yield Recorder(root, part, shards, tuple(names), stack)
        self._mean_squares.clear()
        self._recorded += [name for name in names if name not in self._recorded]
        self.describe()

    def offer(self, names: Sequence[str]) -> None:
        """Name only these arrays in the description that a worker reads: those that its graph takes.

        Args:
            names: of the arrays, the inputs among them; what is recorded has been recorded.
        """
        self._offered = tuple(names)
        self.describe()

    def mean_square(self, name: str) -> float:
        """Mean of the squares of an array over the train part, in float64."""
        # Every order asks again, and the train part may be larger than memory.
        if name not in self._mean_squares:
            total = elements = 0.0
            for block in self.column("train", name):
                total += float(np.square(block.astype(np.float64)).sum())
                elements += block.size
            self._mean_squares[name] = total / elements if elements else 0.0
        return self._mean_squares[name]

    def describe(self) -> None:
        """Write dataset.json, last of all files and at once."""
        for folder, parts in (("shared", ("train", "eval")), ("test", ("test",))):
            shards = {part: self._shards[part] for part in PARTS if part in parts}
            every = [shard for part in shards.values() for shard in part]
            names = [
                name
                for name in (*self.arrays, *self._recorded)
                if all(name in shard.files for shard in every)
                and (folder == "test" or self._offered is None or name in self._offered)
            ]
            description: dict[str, Any] = {
                "format": FORMAT,
                "inputs": names,
                "parts": {
                    part: [
                        {
                            "samples": shard.samples,
                            "files": {name: shard.files[name] for name in names},
                        }
                        for shard in held
                    ]
                    for part, held in shards.items()
                },
            }
            root = self.folder / folder
            root.mkdir(parents=True, exist_ok=True)
            partial = root / "dataset.json.partial"
            partial.write_text(json.dumps(description, indent=1) + "\n")
            partial.replace(root / "dataset.json")
