"""How long an inference takes: of one model, or of several in turns.

What counts is the processor time of the one thread that a session has. On an idle machine the clock says the same; beside other jobs the
clock says how long a thread waited for a processor, which on the machine of a service is several times as much and by chance.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sparsebook_compressor.report import Latency


@dataclass(frozen=True, slots=True)
class Effort:
    """How often a model is called.

    Attributes:
        warming: calls that are not counted: memory is touched, and caches are warm, after a few.
        fewest, most: calls that are.
        seconds: of processor time for each model; after them no more than `fewest` are made.
        longest: seconds by the clock for each model, after which even these are not.
    """

    warming: int
    fewest: int
    most: int
    seconds: float
    longest: float


# For a report: verification has run both by then, and a job should not be a tenth longer for it.
QUICK = Effort(1, 3, 200, 0.02, 5.0)
# For a gate, and for somebody who waits for nothing else.
THOROUGH = Effort(3, 5, 1000, 2.0, 60.0)


def in_turns(runs: Sequence[Callable[[], object]], effort: Effort) -> list[Latency]:
    """Call each in its turn, again and again, and say what each took of this thread's processor time.

    Turns, because the caches and the clock rate that other work leaves change within seconds.
    """
    taken: list[list[float]] = [[] for _ in runs]
    began, worked = time.perf_counter(), time.thread_time()
    for count in range(-effort.warming, effort.most):
        enough = time.perf_counter() - began > effort.longest * len(runs) or (
            count >= effort.fewest and time.thread_time() - worked > effort.seconds * len(runs)
        )
        if enough and taken[0]:
            break
        for run, milliseconds in zip(runs, taken, strict=True):
            started = time.thread_time()
            run()
            if count >= 0 or enough:
                milliseconds.append(1000 * (time.thread_time() - started))
    return [_latency(milliseconds) for milliseconds in taken]


def _latency(milliseconds: list[float]) -> Latency:
    if len(milliseconds) == 1:
        (only,) = milliseconds
        return Latency(only, only, only, 1)
    low, median, high = statistics.quantiles(milliseconds, n=4, method="inclusive")
    return Latency(median, low, high, len(milliseconds))
