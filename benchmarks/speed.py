"""How fast one core prunes, shares and encodes: millions of weights a second, by processor time.

    .venv/bin/python -m benchmarks.speed [--weights N]

One Student-t(4) weight from seed 0 goes through the stages as a compression takes it, at settings of the presets. Processor time, so that other
work on the machine does not count; what NumPy computes on one thread. The best of three.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from benchmarks.results import show, write
from sparsebook_compressor.payload import CodedWeight, encode
from sparsebook_compressor.stages.prune import cut_by_density
from sparsebook_compressor.stages.share import assign, cluster, distribution_of

SEED, TIMES, WEIGHTS = 0, 3, 1 << 24
MUST, AIM = 5.0, 20.0
# Name, density, centroids, Lloyd steps: `safe` takes one step from its own placement, here from the linear one.
SETTINGS: tuple[tuple[str, float, int, int | None], ...] = (
    ("paper, fully connected", 0.09, 31, None),
    ("paper, convolution or table", 0.35, 255, None),
    ("like safe, one Lloyd step", 0.95, 63, 1),
)
F32 = npt.NDArray[np.float32]
T = TypeVar("T")


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--weights", type=int, default=WEIGHTS)
    count = parser.parse_args().weights
    rows = [measured(count, *setting) for setting in SETTINGS]
    show(
        f"M weights a second on one core, by processor time, {count / 1e6:.1f} M Student-t(4) weights, the best of {TIMES}; asked for {MUST:g}, aim {AIM:g}",
        ("setting", "prune", "distribution", "k-means", "codes", "encode", "together"),
        [_cells(row, count) for row in rows],
    )
    whole = count >= WEIGHTS
    print("written:", write("speed", rows, whole=whole, seed=SEED, weights=count))


def measured(
    count: int, name: str, density: float, centroids: int, steps: int | None
) -> dict[str, Any]:
    """Seconds of every stage."""
    weight = np.random.default_rng(SEED).standard_t(4, count).astype(np.float32)
    runs = [_run(weight, density, centroids, steps) for _ in range(TIMES)]
    best = {stage: min(run[0][stage] for run in runs) for stage in runs[0][0]}
    return {
        "setting": name,
        "density": density,
        "centroids": centroids,
        "bytes": runs[0][1],
        "seconds": best,
        "weights_per_second": count / sum(best.values()),
    }


def _run(
    weight: F32, density: float, centroids: int, steps: int | None
) -> tuple[dict[str, float], int]:
    """Seconds of every stage, once, and the payload's bytes."""
    spent: dict[str, float] = {}
    cut = _timed(spent, "prune", lambda: cut_by_density(weight, density))
    values = _timed(spent, "distribution", lambda: distribution_of(weight, cut))
    book, taken = _timed(
        spent, "k-means", lambda: cluster(values, centroids, "linear", steps, SEED)
    )
    shared = _timed(spent, "codes", lambda: assign(weight, cut, book, taken))
    bits = max(1, len(book).bit_length())
    coded = CodedWeight((len(weight),), TensorProto.FLOAT, bits, book, shared.codes)
    payload, _ = _timed(spent, "encode", lambda: encode(coded))
    return spent, len(payload)


def _timed(spent: dict[str, float], stage: str, work: Callable[[], T]) -> T:
    began = time.process_time()
    result = work()
    spent[stage] = time.process_time() - began
    return result


def _cells(row: dict[str, Any], count: int) -> tuple[str, ...]:
    speed = row["weights_per_second"] / 1e6
    verdict = "aim" if speed >= AIM else "met" if speed >= MUST else "MISSED"
    stages = (f"{count / seconds / 1e6:.0f}" for seconds in row["seconds"].values())
    name = f"{row['setting']}: {row['density']:.0%}, {row['centroids']} centroids"
    return (name, *stages, f"{speed:.1f}, {verdict}")


if __name__ == "__main__":
    main()
