"""The weights of a model on their way through pruning, retraining, sharing and tuning.

They live in files, one a weight, so that one weight at a time is in memory whatever the model's size.
"""

import itertools
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.counting import histogram
from sparsebook_compressor.graph.tensors import check_finite
from sparsebook_compressor.graph.view import Weight
from sparsebook_compressor.looks import Histogram

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Begun:
    """What a weight was before it was shared: its floats in bins, and the centroids that they were given."""

    histogram: Histogram
    codebook: F32


class Values:
    """What every weight is at the moment: the user's own until something has been written over it."""

    def __init__(self, weights: Iterable[Weight], folder: Path) -> None:
        """Take the weights; `folder` is made and holds what becomes of them."""
        self._weights = {weight.name: weight for weight in weights}
        self._numbers = {name: number for number, name in enumerate(self._weights)}
        self._files: dict[str, Path] = {}
        self._codebooks: dict[str, F32] = {}
        self._begun: dict[str, Begun] = {}
        self._vectors: dict[str, F32] = {}
        self._fresh_numbers = itertools.count()
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # A search leaves many forks behind: their files go with them.
        weakref.finalize(self, _remove, self._files).atexit = False

    def fork(self) -> "Values":
        """The same values, of which either side may change its own from now on; no file is copied."""
        forked = Values(self._weights.values(), self._folder)
        forked._fresh_numbers = self._fresh_numbers
        forked._files |= {name: forked._linked(name, path) for name, path in self._files.items()}
        forked._codebooks = dict(self._codebooks)
        forked._begun = dict(self._begun)
        forked._vectors = dict(self._vectors)
        return forked

    @property
    def vectors(self) -> dict[str, F32]:
        """Biases and gains that training has changed, by their initializer's name in the training graph."""
        return dict(self._vectors)

    @property
    def codebooks(self) -> dict[str, F32]:
        """Codebooks of the weights that are shared, by the weight's name."""
        return dict(self._codebooks)

    def begin_sharing(self, name: str, codebook: F32) -> None:
        """Note what a weight is that is about to be shared, and the centroids that it will be given, for its look."""
        found = histogram(self.original(name), self.read(name))
        self._begun[name] = Begun(found, codebook)

    def begun(self, name: str) -> Begun:
        """What `begin_sharing` has noted last."""
        return self._begun[name]

    def read(self, name: str) -> F32:
        """A weight, float32[elements]; pruned elements are exact zeros.

        Raises:
            NotFinite: the user's own holds NaN or infinity.
        """
        if name in self._codebooks:
            table = np.concatenate([np.zeros(1, np.float32), self._codebooks[name]])
            shared: F32 = table[self.codes(name)]
            return shared
        if name in self._files:
            floats: F32 = self._load(name)
            return floats
        return self.original(name)

    def original(self, name: str) -> F32:
        """The weight as the user's model has it, float32[elements].

        Raises:
            NotFinite: it holds NaN or infinity.
        """
        values = self._weights[name].read()
        check_finite(values, name)
        return values

    def codes(self, name: str) -> U8:
        """The codes of a weight that is shared, uint8[elements]."""
        codes: U8 = self._load(name)
        return codes

    def elements(self, name: str) -> int:
        """Elements of a weight."""
        return self._weights[name].elements

    def nonzeros(self, name: str) -> int:
        """Elements of a weight that are not zero."""
        values = self.codes(name) if name in self._codebooks else self.read(name)
        return int(np.count_nonzero(values))

    def write(self, name: str, values: F32) -> None:
        """Put float32[elements] in the place of what the weight was."""
        self._store(name, values)
        self._codebooks.pop(name, None)

    def share(self, name: str, codes: U8, codebook: F32) -> None:
        """Make a weight of codes, uint8[elements], and the codebook, float32[centroids], that codes from 1 on point into."""
        self._store(name, codes)
        self._codebooks[name] = codebook

    def move_centroids(self, name: str, codebook: F32) -> None:
        """Give a shared weight other centroids under the same codes."""
        self._codebooks[name] = codebook

    def write_vector(self, name: str, values: F32) -> None:
        """Note what training has made of a bias or gain."""
        self._vectors[name] = values

    def _store(self, name: str, array: F32 | U8) -> None:
        # Always another file: the one before may still be mapped.
        path = self._fresh(name)
        with path.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        old = self._files.pop(name, None)
        self._files[name] = path
        if old is not None:
            old.unlink()

    def _linked(self, name: str, path: Path) -> Path:
        link = self._fresh(name)
        link.hardlink_to(path)
        return link

    def _fresh(self, name: str) -> Path:
        """A path in the folder that no fork has used."""
        number = next(self._fresh_numbers)
        return self._folder / f"{self._numbers[name]:05}-{number}.npy"

    def _load(self, name: str) -> Any:
        return np.load(self._files[name], mmap_mode="r", allow_pickle=False)


def _remove(files: dict[str, Path]) -> None:
    # What is still mapped stays readable.
    for path in files.values():
        path.unlink(missing_ok=True)
