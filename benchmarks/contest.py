"""Several ways to compute the same, timed in turns, so that what disturbs one disturbs all."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from sparsebook_service.bench.machine import caches
from sparsebook_service.bench.result import Seconds

Run = Callable[[], object]
Clock = Callable[[], float]

_LEAST_SWEEP, _MOST_SWEEP = 64 << 20, 1 << 30


@dataclass(frozen=True)
class Sweep:
    """Reads a buffer larger than the last cache, so that nothing of what was there before is left in it."""

    bytes: int

    @classmethod
    def of_machine(cls, megabytes: int | None = None) -> "Sweep":
        """A tenth more than the machine's last cache, within 64 MiB and 1 GiB; or what is asked for."""
        if megabytes is not None:
            return cls(megabytes << 20)
        largest = max(caches().values(), default=0)
        return cls(min(max(_LEAST_SWEEP, largest * 11 // 10), _MOST_SWEEP))

    def ready(self) -> Run:
        """The sweep itself, over a buffer of its own."""
        buffer = np.ones(self.bytes // 8, np.int64)
        return buffer.sum


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
) -> dict[str, Seconds]:
    """Time all entries in turns.

    Args:
        entries: by name.
        seconds: of wall clock for all of them together.
        clock: CPU time of this thread by default, which other work on the machine does not add to.
        sweep: evicts the caches before every call.
        least: rounds, however long they take.
        most: rounds, however little time they take.
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
    return {name: Seconds.of(found) for name, found in taken.items()}
