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
from sparsebook_compressor.feeds import InputSpec, check_fits, check_inputs, converted
from sparsebook_compressor.training.archive import Archive, Member
from sparsebook_compressor.training.parts import (
    PARTS,
    PREFIXES,
    Part,
    PartFacts,
    part_of,
    split,
)
from sparsebook_compressor.training.shards import Reader, Shard, Writer, blocks

Array = npt.NDArray[Any]
Feed = dict[str, Array]

LABELS = "labels"
FORMAT = 1
_FOLDERS: dict[Part, str] = {"train": "shared", "eval": "shared", "test": "test"}
# The dtypes that labels and arrays of own losses are kept in, by the kind that the file has.
_KEPT = {"f": np.float32, "i": np.int64, "u": np.int64, "b": np.int64}


@dataclass(slots=True)
class Dataset:
    """Checked data on disk.

    Attributes:
        folder: holds `shared/` (train and eval part: all that a worker gets) and `test/`.
        specs: the graph's inputs.
        arrays: names of all arrays: inputs, then labels and those of own losses and metrics.
        whole: inputs whose samples are whole feeds: the array has one axis more than the input.
        splits: the three parts, for the report.
    """

    folder: Path
    specs: tuple[InputSpec, ...]
    arrays: tuple[str, ...]
    whole: frozenset[str]
    splits: tuple[PartFacts, ...]
    _shards: dict[Part, list[Shard]]
    _recorded: list[str] = field(default_factory=list)

    @classmethod
    def prepare(
        cls,
        files: Sequence[Path],
        specs: tuple[InputSpec, ...],
        folder: Path,
        seed: int,
        extra: Sequence[str] = (),
    ) -> "Dataset":
        """Check data files and copy them into a folder.

        Args:
            files: one .npz, or several that continue each other.
            specs: the graph's inputs, each of which needs an array of its name.
            folder: to write to; it is made where it is missing.
            seed: decides which samples become a part that is not given.
            extra: names of further arrays that a loss or metric of the caller's own reads.

        Raises:
            BadData: a file does not fit; the message says which, where, and what to do.
        """
        if not files:
            raise BadData("no data file was given")
        check_inputs(specs, files[0].name)
        return _Preparation(files, specs, folder, seed, tuple(extra)).run()

    @property
    def shared(self) -> Path:
        """The folder that a worker gets."""
        return self.folder / "shared"

    @property
    def has_labels(self) -> bool:
        """Whether every part has labels."""
        return LABELS in self.arrays and LABELS not in {spec.name for spec in self.specs}

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
        root = self.folder / _FOLDERS[part]
        for shard in self._shards[part]:
            with contextlib.ExitStack() as stack:
                readers = {
                    name: stack.enter_context(Reader(root / shard.files[name])) for name in wanted
                }
                for _ in range(0, shard.samples, size):
                    feed = {name: reader.take(size) for name, reader in readers.items()}
                    yield {
                        name: array[0] if name in self.whole else array
                        for name, array in feed.items()
                    }

    def column(self, part: Part, name: str, size: int = 256) -> Iterator[Array]:
        """One array of a part, in order, in blocks of at most `size` samples on the first axis."""
        for shard in self._shards[part]:
            yield from blocks(self.folder / _FOLDERS[part] / shard.files[name], size)

    def array_facts(self, name: str) -> tuple[np.dtype[np.generic], tuple[int, ...]]:
        """Dtype of an array, and the shape of one sample in the first shard that has samples."""
        part = self.part_with_samples()
        with Reader(self.folder / _FOLDERS[part] / self._shards[part][0].files[name]) as reader:
            array = reader.take(1)
        return array.dtype, array.shape[1:]

    @contextlib.contextmanager
    def record(self, part: Part, names: Sequence[str]) -> Iterator["Recorder"]:
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
            yield Recorder(self, part, tuple(names), stack)
        self._recorded += [name for name in names if name not in self._recorded]
        self.describe()

    def mean_square(self, name: str) -> float:
        """Mean of the squares of an array over the train part, in float64."""
        total = elements = 0.0
        for block in self.column("train", name):
            total += float(np.square(block.astype(np.float64)).sum())
            elements += block.size
        return total / elements if elements else 0.0

    def describe(self) -> None:
        """Write dataset.json, last of all files and at once."""
        for folder, parts in (("shared", ("train", "eval")), ("test", ("test",))):
            shards = {part: self._shards[part] for part in PARTS if part in parts}
            every = [shard for part in shards.values() for shard in part]
            names = [
                name
                for name in (*self.arrays, *self._recorded)
                if all(name in shard.files for shard in every)
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


class Recorder:
    """Takes further arrays of a part and cuts them into its shards."""

    def __init__(
        self, dataset: Dataset, part: Part, names: tuple[str, ...], stack: contextlib.ExitStack
    ) -> None:
        self._root = dataset.folder / _FOLDERS[part]
        self._part = part
        self._names = names
        self._stack = stack
        self._shards = iter(enumerate(dataset._shards[part]))
        self._writers: dict[str, Writer] = {}

    def add(self, arrays: Sequence[Array]) -> None:
        """The next samples of every array; a batch does not cross shards.

        Raises:
            BadData: the shape of a sample is not that of those before it.
        """
        if not self._writers or not next(iter(self._writers.values())).left:
            self._next_shard()
        for (name, writer), array in zip(self._writers.items(), arrays, strict=True):
            if not writer.fits(array):
                raise BadData(
                    f"{name}: its shape, {array.shape[1:]} here, changes from sample to sample, so that the outputs "
                    "cannot be learned from the original; give a loss of your own, or samples of one size"
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


@dataclass(frozen=True, slots=True)
class _Source:
    """What one file has of one part: array name -> header."""

    archive: Archive
    part: Part
    members: dict[str, Member]

    @property
    def samples(self) -> int:
        return next(iter(self.members.values())).shape[0]


class _Preparation:
    def __init__(
        self,
        files: Sequence[Path],
        specs: tuple[InputSpec, ...],
        folder: Path,
        seed: int,
        extra: tuple[str, ...],
    ) -> None:
        self.specs = {spec.name: spec for spec in specs}
        self.folder = folder
        self.seed = seed
        self.names = (
            files[0].name
            if len(files) == 1
            else f"{files[0].name} and {len(files) - 1} more file{'s' * (len(files) > 2)}"
        )
        self.extra = tuple(name for name in extra if name not in self.specs)
        self.sources = [source for path in files for source in self._sources(Archive(path))]

    def run(self) -> Dataset:
        arrays = self._arrays()
        for source in self.sources:
            self._check(source, arrays)
        whole = self._whole()
        given = {source.part for source in self.sources}
        if "train" not in given and "test" not in given:
            raise BadData(
                f"{self.names}: only an eval part; give plain arrays to train with, or test_ arrays to compare on"
            )
        shards: dict[Part, list[Shard]] = {part: [] for part in PARTS}
        for assigned, source in self._assigned(given):
            self._copy(source, arrays, assigned, shards)
        splits = tuple(self._facts(part, given, shards[part]) for part in PARTS)
        specs = tuple(self.specs.values())
        dataset = Dataset(self.folder, specs, arrays, whole, splits, shards)
        dataset.describe()
        return dataset

    def _sources(self, archive: Archive) -> list[_Source]:
        wanted = {*self.specs, LABELS, *self.extra}
        found: dict[Part, dict[str, str]] = {}
        for name in archive.names:
            part, base = part_of(name, self.specs)
            if base in wanted:
                found.setdefault(part, {})[base] = name
        # Labels alone, or an array of an own loss alone, are no part; but they tell that one was meant.
        if not found:
            has = ", ".join(sorted(archive.names)) or "nothing"
            first = next(iter(self.specs))
            raise BadData(
                f"{archive.name}: no array {first!r} for the input {first!r}; found {has}"
            )
        sources = [
            _Source(archive, part, {base: archive.member(name) for base, name in members.items()})
            for part, members in found.items()
        ]
        archive.check_proportion([m for source in sources for m in source.members.values()])
        return sources

    def _arrays(self) -> tuple[str, ...]:
        """Names of all arrays of the dataset; every part and file must have them all."""
        labelled = [source for source in self.sources if LABELS in source.members]
        labels = (LABELS,) if labelled and LABELS not in self.specs else ()
        return (*self.specs, *dict.fromkeys((*labels, *self.extra)))

    def _check(self, source: _Source, arrays: tuple[str, ...]) -> None:
        name, prefix = source.archive.name, PREFIXES[source.part]
        for array in arrays:
            if array not in source.members:
                self._refuse_missing(source, array)
        for base, spec in self.specs.items():
            member = source.members[base]
            check_fits(member.dtype, member.shape, member.name, spec, name)
        for base in arrays[len(self.specs) :]:
            member = source.members[base]
            if member.dtype.kind not in _KEPT:
                raise BadData(
                    f"{name}: array {member.name!r} is {member.dtype}; it must be numbers"
                )
            self._check_agrees(source, base)
        lengths = {prefix + base: member.shape[0] for base, member in source.members.items()}
        if len(set(lengths.values())) != 1:
            raise BadData(
                f"{name}: every array of a part needs the same number of samples; found {lengths}"
            )
        self._check_symbols(source)

    def _refuse_missing(self, source: _Source, array: str) -> None:
        key = PREFIXES[source.part] + array
        name = source.archive.name
        found = ", ".join(sorted(member.name for member in source.members.values()))
        if array in self.specs:
            raise BadData(f"{name}: no array {key!r} for the input {array!r}; found {found}")
        holder = next((other for other in self.sources if array in other.members), None)
        if holder is None:
            raise BadData(
                f"{name}: no array {key!r}, which the loss or metric given reads; found {found}"
            )
        has = holder.members[array].name
        where = "" if holder.archive is source.archive else f" of {holder.archive.name}"
        raise BadData(
            f"{name}: no array {key!r}, while there is {has!r}{where}; "
            f"give {array!r} with every part and in every file, or with none"
        )

    def _check_agrees(self, source: _Source, base: str) -> None:
        """Files and parts must agree in the rank and kind of arrays for which the graph says nothing."""
        first = next(other for other in self.sources if base in other.members)
        one, other = first.members[base], source.members[base]
        same_kind = (one.dtype.kind == "f") == (other.dtype.kind == "f")
        if len(one.shape) != len(other.shape) or not same_kind:
            raise BadData(
                f"{source.archive.name}: array {other.name!r} is {other.dtype} of shape {other.shape}, "
                f"{one.name!r} of {first.archive.name} is {one.dtype} of shape {one.shape}; they must agree"
            )

    def _check_symbols(self, source: _Source) -> None:
        """Free dimensions of the same name have the same size in all inputs."""
        sizes: dict[str, tuple[str, int]] = {}
        for base, spec in self.specs.items():
            member = source.members[base]
            shape = member.shape[len(member.shape) - len(spec.dims) :]
            for symbol, dim, size in zip(spec.symbols, spec.dims, shape, strict=True):
                if dim is None and symbol:
                    other, known = sizes.setdefault(symbol, (member.name, size))
                    if known != size:
                        raise BadData(
                            f"{source.archive.name}: {member.name!r} has shape {member.shape}, but {other!r} has "
                            f"{known} where both have the dimension {symbol!r}"
                        )

    def _whole(self) -> frozenset[str]:
        """Inputs whose samples are whole feeds; all files must have them so, or none."""
        found: dict[str, int] = {}
        for source in self.sources:
            for base in self.specs:
                member = source.members[base]
                if found.setdefault(base, len(member.shape)) != len(member.shape):
                    raise BadData(
                        f"{source.archive.name}: array {member.name!r} has shape {member.shape}, elsewhere it has "
                        f"{found[base]} dimensions; all files and parts must agree"
                    )
        return frozenset(base for base, rank in found.items() if rank > len(self.specs[base].dims))

    def _assigned(self, given: set[Part]) -> Iterator[tuple[npt.NDArray[np.uint8] | None, _Source]]:
        """Every source with the part of each of its samples; None where all stay where they are."""
        plain = [source for source in self.sources if source.part == "train"]
        if not plain:
            yield from ((None, source) for source in self.sources)
            return
        missing = tuple(part for part in PARTS if part not in given)
        total = sum(source.samples for source in plain)
        assigned = split(total, missing, self.seed, self.names)
        first = 0
        for source in self.sources:
            if source.part == "train":
                yield assigned[first : first + source.samples], source
                first += source.samples
            else:
                yield None, source

    def _copy(
        self,
        source: _Source,
        arrays: tuple[str, ...],
        assigned: npt.NDArray[np.uint8] | None,
        shards: dict[Part, list[Shard]],
    ) -> None:
        if assigned is None:
            assigned = np.full(source.samples, PARTS.index(source.part), np.uint8)
        counts = np.bincount(assigned, minlength=len(PARTS))
        made: dict[Part, Shard] = {
            part: Shard(int(count)) for part, count in zip(PARTS, counts, strict=True) if count
        }
        for number, base in enumerate(arrays):
            with contextlib.ExitStack() as stack:
                writers: dict[Part, Writer] = {}
                for part, shard in made.items():
                    root = self.folder / _FOLDERS[part]
                    root.mkdir(parents=True, exist_ok=True)
                    # A number stands for the array: an input's name may hold anything, slashes among it.
                    shard.files[base] = file = f"{part}-{len(shards[part]):05}.{number}.npy"
                    writers[part] = stack.enter_context(Writer(root / file, shard.samples))
                first = 0
                for block in source.archive.blocks(source.members[base], self.folder):
                    values = self._converted(source, base, block, first)
                    places = assigned[first : first + len(block)]
                    for part, writer in writers.items():
                        writer.add(values[places == PARTS.index(part)])
                    first += len(block)
        for part, shard in made.items():
            shards[part].append(shard)

    def _converted(self, source: _Source, base: str, block: Array, first: int) -> Array:
        member = source.members[base]
        spec = self.specs.get(base)
        dtype = np.dtype(_KEPT[member.dtype.kind]) if spec is None else spec.dtype
        assert dtype is not None
        return converted(block, dtype, member.name, source.archive.name, first)

    def _facts(self, part: Part, given: set[Part], shards: list[Shard]) -> PartFacts:
        samples = sum(shard.samples for shard in shards)
        if part in given:
            return PartFacts(part, samples, "given")
        return PartFacts(part, samples, "split off" if samples else "absent")
