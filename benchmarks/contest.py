"""Several ways to compute the same, timed in turns, so that what disturbs one disturbs all.

It imports no other part of Sparsebook: the environments of peers run it as well.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Run = Callable[[], object]
Clock = Callable[[], float]


def sweeping(size: int) -> Run:
    """Reads a buffer of so many bytes: larger than the last cache, it leaves there nothing of what was there before."""
    return np.ones(size // 8, np.int64).sum


@dataclass(frozen=True)
class Entry:
    """A way to compute: the call that is timed, and what is called just before it, so that code and inputs are warm."""

    run: Run
    before: Run | None = None


def contest(
    entries: Mapping[str, Entry],
    seconds: float,
    *,
    clock: Clock = time.thread_time,
    sweep: Run | None = None,
    least: int = 9,
    most: int = 400,
) -> dict[str, list[float]]:
    """Time all entries in turns.

    Args:
        entries: by name.
        seconds: of wall clock for all of them together.
        clock: CPU time of this thread by default, which other work on the machine does not add to.
        sweep: evicts the caches before every call.
        least: rounds, however long they take.
        most: rounds, however little time they take.

    Returns:
        Seconds of every call.
    """
    for entry in entries.values():
        entry.run()
    taken: dict[str, list[float]] = {name: [] for name in entries}
    began, rounds = time.monotonic(), 0
    while rounds < least or (rounds < most and time.monotonic() - began < seconds):
        rounds += 1
        for name, entry in entries.items():
            if sweep is not None:
                sweep()
            if entry.before is not None:
                entry.before()
            at = clock()
            entry.run()
            taken[name].append(clock() - at)
    return taken
