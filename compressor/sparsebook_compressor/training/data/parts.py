"""The three parts of the data, never mixed: which array belongs to which, and what is split off where one is missing."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.errors import BadData

Part: TypeAlias = Literal["train", "eval", "test"]
PARTS: tuple[Part, ...] = ("train", "eval", "test")
PREFIXES: dict[Part, str] = {"train": "", "eval": "eval_", "test": "test_"}

SHARE = 10
"""A part that is not given is one sample in this many."""
OF_FEW = 4
"""Of few samples one in this many, where that is no more than was asked for."""
FEWEST_TO_TRAIN = 2
FEWEST_TO_CHOOSE = 32
"""Samples of a part by which a calibration is chosen: by nine it is chosen by chance (ADR 33)."""
UNUSED = len(PARTS)
"""Stands for a part, where a sample is checked and then left alone."""


@dataclass(frozen=True, slots=True)
class PartFacts:
    """A part, for the report.

    Attributes:
        part: which.
        samples: how many it has.
        origin: "given", "split off" (from the train part, by the seed) or "absent".
    """

    part: Part
    samples: int
    origin: Literal["given", "split off", "absent"]


def part_of(name: str, inputs: Iterable[str]) -> tuple[Part, str]:
    """The part that an array belongs to, and its name there.

    >>> part_of("eval_x", ["x"]), part_of("test_x", ["x", "test_x"])
    (('eval', 'x'), ('train', 'test_x'))
    """
    if name in inputs:
        return "train", name
    for part in ("eval", "test"):
        prefix = PREFIXES[part]
        if name.startswith(prefix) and len(name) > len(prefix):
            return part, name.removeprefix(prefix)
    return "train", name


def split(
    total: int, missing: tuple[Part, ...], seed: int, names: str, least: int = 1
) -> npt.NDArray[np.uint8]:
    """Split parts off the train part.

    Args:
        total: samples of the plain arrays.
        missing: the parts to split off, a tenth each and at least one sample.
        seed: decides which samples.
        names: of the files, for the message.
        least: samples that a part should have, where they are no more than a quarter.

    Returns:
        For every sample the index of its part in `PARTS`, uint8 [total].

    Raises:
        BadData: too few samples.
    """
    share = max(1, total // SHARE, min(least, total // OF_FEW))
    if total - share * len(missing) < FEWEST_TO_TRAIN:
        parts = "".join(f", none for the {part} part" for part in missing)
        raise BadData(
            f"{names}: {total} sample{'s' * (total != 1)} to train with{parts}; give at least "
            f"{FEWEST_TO_TRAIN + len(missing)}, or eval_ and test_ arrays of their own"
        )
    assigned = np.zeros(total, np.uint8)
    if missing:
        order = np.random.default_rng(seed).permutation(total)
        for place, part in enumerate(missing):
            assigned[order[place * share : (place + 1) * share]] = PARTS.index(part)
    return assigned


def split_to_compare(total: int, seed: int) -> npt.NDArray[np.uint8]:
    """Split a test part off samples of which nothing is trained.

    Args:
        total: samples of the plain arrays, at least one.
        seed: decides which samples.

    Returns:
        As `split`: a tenth, at least one sample, for the test part; the others `UNUSED`; uint8 [total].
    """
    assigned = np.full(total, UNUSED, np.uint8)
    order = np.random.default_rng(seed).permutation(total)
    assigned[order[: max(1, total // SHARE)]] = PARTS.index("test")
    return assigned
