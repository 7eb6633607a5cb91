"""Several ways to compute the same, timed in turns, so that what disturbs one disturbs all."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

Run = Callable[[], object]
Clock = Callable[[], float]

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_LEAST_SWEEP, _MOST_SWEEP = 64 << 20, 1 << 30


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: the median, the quartiles, and how many calls they are of."""

    median: float
    low: float
    high: float
    calls: int

    @classmethod
    def of(cls, seconds: list[float]) -> "Timing":
        """Of single calls.

        >>> Timing.of([3.0, 1.0, 2.0])
        Timing(median=2.0, low=1.5, high=2.5, calls=3)
        """
        if len(seconds) == 1:
            return cls(seconds[0], seconds[0], seconds[0], 1)
        low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
        return cls(median, low, high, len(seconds))

    def facts(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Sweep:
    """Reads a buffer larger than the last cache, so that nothing of what was there before is left in it."""

    bytes: int

    @classmethod
    def of_machine(cls, megabytes: int | None = None) -> "Sweep":
        """A tenth more than the machine's last cache, within 64 MiB and 1 GiB; or what is asked for."""
        if megabytes is not None:
            return cls(megabytes << 20)
        return cls(min(max(_LEAST_SWEEP, last_cache() * 11 // 10), _MOST_SWEEP))

    def ready(self) -> Run:
        """The sweep itself, over a buffer of its own."""
        buffer = np.ones(self.bytes // 8, np.int64)
        return buffer.sum


def last_cache() -> int:
    """Bytes of the largest cache that the first core reads through; 0 where the system does not say."""
    sizes = [0]
    for path in _CACHES.glob("index*/size"):
        text = path.read_text().strip()
        sizes.append(int(text.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(text[-1], 0))
    return max(sizes)


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
) -> dict[str, Timing]:
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
    return {name: Timing.of(found) for name, found in taken.items()}
