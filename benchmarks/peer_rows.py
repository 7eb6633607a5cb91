"""A row of the comparison of peers: one model, compressed in one way, run on the held-out samples."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.contest import Entry, contest
from benchmarks.peer_models import Arrays, feeds
from benchmarks.sessions import session

Outputs = list[npt.NDArray[Any]]

OURS, ORIGINAL, DERIVED, PEER = "ours", "original", "derived", "peer"


@dataclass(frozen=True, slots=True)
class Row:
    """What one way of compressing gave.

    Attributes:
        who: whose way it is.
        setting: of that way.
        kind: ours; the original; derived from ours by somebody's packing; a peer's.
        bytes: of all its files.
        error: relative RMS error of the outputs, as `relative_error`.
        milliseconds: median of one sample on one thread, CPU time.
        times: how many times as fast as the original in ONNX Runtime in the same run.
        seconds: that it took to make.
        failure: why there is nothing else.
    """

    model: str
    family: str
    who: str
    setting: str
    kind: str
    bytes: int | None = None
    error: float | None = None
    milliseconds: float | None = None
    times: float | None = None
    seconds: float | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A file that ONNX Runtime opens, and its row, whose bytes are what it takes packed where that is not the file itself.

    `timed` is off where it is a model of plain floats once unpacked, which takes what the original takes.
    """

    row: Row
    file: Path
    timed: bool = True


def relative_error(expected: Sequence[Outputs], found: Sequence[Outputs]) -> float:
    """The root of the mean over outputs of floats of squared error over squared reference, sums over all samples.

    Args:
        expected: of the original, one list of outputs a sample.
        found: of what became of it.

    Raises:
        ValueError: shapes differ.
    """
    errors, squares = [], []
    for places in zip(*(zip(*each, strict=True) for each in (expected, found)), strict=True):
        if places[0][0].dtype.kind == "f":
            pairs = [
                (a.astype(np.float64), b.astype(np.float64)) for a, b in zip(*places, strict=True)
            ]
            if any(a.shape != b.shape for a, b in pairs):
                raise ValueError("its outputs have other shapes")
            errors.append(sum(float(np.square(a - b).sum()) for a, b in pairs))
            squares.append(sum(float(np.square(a).sum()) for a, _ in pairs))
    ratios = [error / max(square, 1e-300) for error, square in zip(errors, squares, strict=True)]
    return float(np.sqrt(np.mean(ratios)))


def run_all(files: Sequence[Made], held: Arrays, seconds: float) -> tuple[list[Row], list[Outputs]]:
    """Outputs and latency of all files, in turns on one thread; the first is the original.

    Args:
        files: that ONNX Runtime opens.
        held: the samples.
        seconds: of wall clock for the timing.

    Returns:
        The rows, and the original's outputs.
    """
    rows: list[Row] = []
    entries: dict[str, Entry] = {}
    expected: list[Outputs] = []
    for number, made in enumerate(files):
        try:
            running = session(made.file)
            given = feeds(running, held)
            found = [running.run(None, feed) for feed in given]
            expected = expected or found
            rows.append(replace(made.row, error=relative_error(expected, found)))
        except Exception as error:  # whatever a runtime throws at a peer's file is the row's reason
            rows.append(replace(made.row, failure=first_line(error)))
            continue
        if made.timed:
            entries[str(number)] = Entry(partial(running.run, None, given[0]))
    taken = contest(entries, seconds, clock=time.thread_time)
    return [timed(row, taken, str(number)) for number, row in enumerate(rows)], expected


def timed(row: Row, taken: Mapping[str, list[float]], name: str, original: str = "0") -> Row:
    """The row with its latency, where it has one."""
    if name not in taken:
        return row
    took, whole = (statistics.median(taken[each]) for each in (name, original))
    return replace(row, milliseconds=1e3 * took, times=whole / took)


def first_line(error: Exception) -> str:
    """A reason that fits a table."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:160]
