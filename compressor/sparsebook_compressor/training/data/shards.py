"""Shards on disk: one .npy file an array, written and read in blocks, so that none is ever in memory whole."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.errors import BadData
from sparsebook_compressor.feeds import shown

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where samples that lie together were taken from.

    Attributes:
        file: name of the caller's file.
        prefix: what the names of its arrays begin with there.
        places: for every sample of these arrays the index of the part that it went to, uint8 [samples].
        place: the index of this part.
    """

    file: str
    prefix: str
    places: npt.NDArray[np.uint8]
    place: int

    def name(self, array: str, index: int) -> str:
        """A sample as the caller has it, for messages.

        Args:
            array: name of the array.
            index: of the sample among those that lie together.
        """
        sample = int(np.flatnonzero(self.places == self.place)[index])
        return f"{self.file}: array {self.prefix + array!r}, sample {sample}"


@dataclass(slots=True)
class Shard:
    """Samples that lie together: array name -> file name in the dataset's folder."""

    samples: int
    origin: Origin
    files: dict[str, str] = field(default_factory=dict)


class Writer:
    """Writes an array of a known number of samples, block after block.

    Args:
        path: of the .npy file.
        samples: that will come.
    """

    def __init__(self, path: Path, samples: int) -> None:
        self._file: BinaryIO = path.open("wb")
        self._samples = samples
        self._row: tuple[np.dtype[np.generic], tuple[int, ...]] | None = None
        self.left = samples

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        assert error is not None or self.left == 0, "samples are missing"

    def fits(self, block: Array) -> bool:
        """Whether the block's samples have the shape and dtype of those before."""
        return self._row in (None, (block.dtype, block.shape[1:]))

    def add(self, block: Array) -> None:
        """Append samples; all blocks have the same dtype and the same shape a sample."""
        assert self.fits(block)
        assert len(block) <= self.left
        if self._row is None:
            self._row = (block.dtype, block.shape[1:])
            np.lib.format.write_array_header_1_0(
                self._file,
                {
                    "descr": np.lib.format.dtype_to_descr(block.dtype),
                    "fortran_order": False,
                    "shape": (self._samples, *block.shape[1:]),
                },
            )
        self.left -= len(block)
        self._file.write(block.tobytes())


class Reader:
    """Reads an array that `Writer` wrote from its first sample to its last."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")
        assert np.lib.format.read_magic(self._file) == (1, 0)
        shape, _, self.dtype = np.lib.format.read_array_header_1_0(self._file)
        self.samples, self._row = shape[0], shape[1:]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def take(self, samples: int) -> Array:
        """The next samples; fewer at the end."""
        size = math.prod(self._row)
        values = np.fromfile(self._file, self.dtype, samples * size)
        return values.reshape((-1, *self._row))


def blocks(path: Path, samples: int) -> Iterator[Array]:
    """An array's samples in order."""
    with Reader(path) as reader:
        while len(block := reader.take(samples)):
            yield block


class Recorder:
    """Writes further arrays of a part, batch by batch, into files beside its shards.

    Args:
        root: the folder of the shards.
        part: that they are of.
        shards: which get the new files.
        names: of the arrays; they become part of file names.
        stack: closes the files.
    """

    def __init__(
        self, root: Path, part: str, shards: list[Shard], names: Sequence[str], stack: ExitStack
    ) -> None:
        self._root = root
        self._part = part
        self._names = names
        self._stack = stack
        self._shards = iter(enumerate(shards))
        self._writers: dict[str, Writer] = {}

    def add(self, arrays: Sequence[Array]) -> None:
        """The next samples of every array; a batch does not cross shards.

        Raises:
            BadData: the shape of a sample is not that of those before it.
        """
        if not self._writers or not next(iter(self._writers.values())).left:
            self._next_shard()
        for writer, array in zip(self._writers.values(), arrays, strict=True):
            if not writer.fits(array):
                raise BadData(
                    f"an output of the original, {shown(array.shape[1:])} here, changes its shape from sample to sample, so that "
                    "it cannot be learned from; give samples of one size a file, or a loss of your own (--loss)"
                )
            writer.add(array)

    def _next_shard(self) -> None:
        self._stack.close()
        number, shard = next(self._shards)
        for name in self._names:
            shard.files[name] = file = f"{self._part}-{number:05}.{name}.npy"
            self._writers[name] = self._stack.enter_context(
                Writer(self._root / file, shard.samples)
            )
