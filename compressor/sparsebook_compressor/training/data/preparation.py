"""From data files to the three parts on disk: headers first, all of them; then values, block by block.

Nothing of a file is believed before it is checked, and no array is ever in memory whole.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.errors import BadData
from sparsebook_compressor.feeds import InputSpec, check_fits, converted, held, shown
from sparsebook_compressor.training.data.archive import Archive, Member, shortened
from sparsebook_compressor.training.data.parts import (
    FEWEST_TO_CHOOSE,
    PARTS,
    PREFIXES,
    UNUSED,
    Part,
    PartFacts,
    part_of,
    split,
    split_to_compare,
)
from sparsebook_compressor.training.data.shards import Origin, Shard, Writer

Array = npt.NDArray[Any]

LABELS = "labels"
OWN_NAMES = "sparsebook."
"""How the names of arrays begin that are recorded beside the caller's."""
FOLDERS: dict[Part, str] = {"train": "shared", "eval": "shared", "test": "test"}
"""Where a part lies: the test part where no worker sees it."""
# The dtypes that labels and arrays of own losses are kept in, by the kind that the file has.
_KEPT = {"f": np.float32, "i": np.int64, "u": np.int64, "b": np.int64}
_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was copied.

    Attributes:
        arrays: names of all arrays: inputs, then labels and those of own losses and metrics.
        whole: inputs whose samples are whole feeds: the array has one axis more than the input.
        splits: the three parts.
        files: names of the caller's files, for messages.
        shards: of each part.
    """

    arrays: tuple[str, ...]
    whole: frozenset[str]
    splits: tuple[PartFacts, ...]
    files: str
    shards: dict[Part, list[Shard]]


@dataclass(frozen=True, slots=True)
class _Source:
    """What one file has of one part: array name -> header."""

    archive: Archive
    part: Part
    members: dict[str, Member]

    @property
    def samples(self) -> int:
        return next(iter(self.members.values())).shape[0]


class Preparation:
    """Checks files and copies them; `run` says what became of them."""

    def __init__(
        self,
        files: Sequence[Path],
        specs: tuple[InputSpec, ...],
        folder: Path,
        seed: int,
        extra: tuple[str, ...],
        *,
        trains: bool,
        calibrates: bool,
    ) -> None:
        self.trains = trains
        self.least = FEWEST_TO_CHOOSE if calibrates else 1
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

    def run(self) -> Prepared:
        """Check everything that headers tell, then copy."""
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
        return Prepared(arrays, whole, splits, self.names, shards)

    def _sources(self, archive: Archive) -> list[_Source]:
        wanted = {*self.specs, LABELS, *self.extra}
        found: dict[Part, dict[str, str]] = {}
        for name in archive.names:
            part, base = part_of(name, self.specs)
            if base in wanted:
                found.setdefault(part, {})[base] = name
        if not found:
            has = _listed(archive)
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
        arrays = (*self.specs, *dict.fromkeys((*labels, *self.extra)))
        own = next((name for name in arrays if name.startswith(OWN_NAMES)), None)
        if own is not None:
            what = "the model's input" if own in self.specs else "the array"
            raise BadData(
                f"{self.names}: {what} {own!r} has a name that begins with {OWN_NAMES!r}, as what Sparsebook records beside "
                "the data; rename it"
            )
        return arrays

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
                    f"{name}: array {member.name!r} is {held(member.dtype)}; save it as numbers"
                )
            self._check_agrees(source, base)
        lengths = {prefix + base: member.shape[0] for base, member in source.members.items()}
        if len(set(lengths.values())) != 1:
            found = ", ".join(f"{key!r} has {length}" for key, length in lengths.items())
            raise BadData(
                f"{name}: every array of a part needs the same number of samples: {found}; sample i of all arrays goes "
                "together, so leave out what has no partner"
            )
        self._check_symbols(source)

    def _refuse_missing(self, source: _Source, array: str) -> None:
        key = PREFIXES[source.part] + array
        name = source.archive.name
        found = _listed(source.archive)
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
                f"{source.archive.name}: array {other.name!r} is {other.dtype} {shown(other.shape)}, "
                f"{one.name!r} of {first.archive.name} is {one.dtype} {shown(one.shape)}; save both alike: they must agree "
                "in the number of dimensions, and both be integers or both floats"
            )

    def _check_symbols(self, source: _Source) -> None:
        """Free dimensions of the same name have the same size in all inputs."""
        sizes: dict[str, tuple[str, int]] = {}
        one_by_one = any(
            len(source.members[base].shape) > len(spec.dims) for base, spec in self.specs.items()
        )
        for base, spec in self.specs.items():
            member = source.members[base]
            # The first axis of samples is fed in batches, one entry at a time where any input takes whole feeds.
            inner = len(member.shape) > len(spec.dims)
            shape = member.shape[1:] if inner else (1, *member.shape[1:])
            for symbol, dim, size in zip(spec.symbols, spec.dims, shape, strict=True):
                if dim is None and symbol and (one_by_one or symbol != spec.symbols[0]):
                    other, known = sizes.setdefault(symbol, (member.name, size))
                    if known != size:
                        raise BadData(
                            f"{source.archive.name}: array {member.name!r} has shape {shown(member.shape)}, but {other!r} "
                            f"has {known} where both have the model's dimension {symbol!r}; cut or pad them to one size"
                        )

    def _whole(self) -> frozenset[str]:
        """Inputs whose samples are whole feeds; all files must have them so, or none."""
        found: dict[str, int] = {}
        for source in self.sources:
            for base in self.specs:
                member = source.members[base]
                if found.setdefault(base, len(member.shape)) != len(member.shape):
                    raise BadData(
                        f"{source.archive.name}: array {member.name!r} has shape {shown(member.shape)}, elsewhere it has "
                        f"{found[base]} dimensions; save it with the same number in all files and parts"
                    )
        return frozenset(base for base, rank in found.items() if rank > len(self.specs[base].dims))

    def _assigned(self, given: set[Part]) -> Iterator[tuple[npt.NDArray[np.uint8], _Source]]:
        """Every source with the part of each of its samples."""
        plain = [source for source in self.sources if source.part == "train"]
        assigned = self._split(sum(source.samples for source in plain), given)
        first = 0
        for source in self.sources:
            if source.part == "train":
                yield assigned[first : first + source.samples], source
                first += source.samples
            else:
                unused = not self.trains and source.part == "eval"
                place = UNUSED if unused else PARTS.index(source.part)
                yield np.full(source.samples, place, np.uint8), source

    def _split(self, total: int, given: set[Part]) -> npt.NDArray[np.uint8]:
        """The part of each sample of the plain arrays, of all files as one."""
        if not total:
            return np.zeros(0, np.uint8)
        if self.trains:
            missing = tuple(part for part in PARTS if part not in given)
            return split(total, missing, self.seed, self.names, self.least)
        if "test" in given:
            return np.full(total, UNUSED, np.uint8)
        return split_to_compare(total, self.seed)

    def _copy(
        self,
        source: _Source,
        arrays: tuple[str, ...],
        assigned: npt.NDArray[np.uint8],
        shards: dict[Part, list[Shard]],
    ) -> None:
        counts = np.bincount(assigned, minlength=UNUSED + 1)
        file, prefix = source.archive.name, PREFIXES[source.part]
        made: dict[Part, Shard] = {
            part: Shard(int(counts[place]), Origin(file, prefix, assigned, place))
            for place, part in enumerate(PARTS)
            if counts[place]
        }
        for number, base in enumerate(arrays):
            with contextlib.ExitStack() as stack:
                writers: dict[Part, Writer] = {}
                for part, shard in made.items():
                    root = self.folder / FOLDERS[part]
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


def _listed(archive: Archive) -> str:
    names = [shortened(name) for name in sorted(archive.names)]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return (", ".join(names[:_MOST_NAMED]) or "nothing") + more
