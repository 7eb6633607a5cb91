"""The runs behind the paper's Figures 6, 7 and 8, and their points; paper_plots.py draws them."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.paper_configs import (
    FIGURE_CONFIGS,
    Settings,
    seeded,
    with_bits,
    with_density,
    with_init,
)
from benchmarks.paper_runs import Job, Run
from benchmarks.paper_svd import Factored

FACTORS = (0.25, 0.375, 0.5, 0.75, 1.0, 1.5)
BITS = tuple(range(1, 9))
INIT_BITS = tuple(range(2, 9))
INITS = ("linear", "density", "random")
SVD_SHARES = (0.05, 0.1, 0.2, 0.3)
# Bits of the layers that a panel of Figure 7 does not vary.
AMPLE_BITS = 8
_FLOAT_BITS = 32
# As in the paper's Figure 6: one bit a code loses nearly everything, and would flatten all else.
_LOSSES_SHOWN = (-0.5, 5.0)

Runs = Mapping[str, Run]


@dataclass(frozen=True)
class Point:
    """A point of a curve; `y` is accuracy, or the accuracy lost, in percent."""

    x: float
    y: float


@dataclass(frozen=True)
class Curve:
    """Points that are drawn as one line."""

    name: str
    points: tuple[Point, ...]
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes; points beyond `shown`, a range of y, are left to the JSON."""

    title: str
    x: str
    y: str
    curves: tuple[Curve, ...]
    shown: tuple[float, float] | None = None


def figure_jobs(net: str) -> list[Job]:
    """All runs that the three figures of a net need."""
    jobs = [job for _, job in _both(net)]
    for panel in _panels(net):
        for pruned in (True, False):
            jobs += [_bits_job(net, panel, bits, pruned=pruned) for bits in BITS]
    jobs += [_init_job(net, init, bits) for init in INITS for bits in INIT_BITS]
    return jobs


def figure_6(net: str, runs: Runs, factors: list[Factored], error: float) -> Panel:
    """Accuracy lost against the ratio: pruning and sharing, each alone, and SVD.

    Pruning alone has no file: its size is that of the non-zeros' floats and of the same run's Huffman-coded gaps.
    """
    both, pruned = [], []
    for _, job in _both(net):
        run = runs[job.key]
        both.append(Point(_percent(run, run.bytes), 100 * (run.error - error)))
        lost = 100 * (run.stage_error("retrained") - error)
        pruned.append(Point(_percent(run, _bytes_of_pruning(run)), lost))
    shared = [runs[_bits_job(net, "all", bits, pruned=False).key] for bits in BITS]
    curves = (
        Curve("pruning + sharing", tuple(both)),
        Curve("pruning alone", tuple(pruned)),
        Curve(
            "sharing alone",
            tuple(Point(_percent(run, run.bytes), 100 * (run.error - error)) for run in shared),
        ),
        Curve("SVD", tuple(_svd_point(found, shared[0], error) for found in factors)),
    )
    return Panel(net, "file in % of the original", "accuracy lost, points", curves, _LOSSES_SHOWN)


def figure_7(net: str, runs: Runs) -> list[Panel]:
    """Accuracy against bits, with and without pruning; convolutions and dense layers apart where there are both."""
    found = []
    for panel in _panels(net):
        curves = []
        for pruned in (True, False):
            points = (
                Point(bits, 100 * (1 - runs[_bits_job(net, panel, bits, pruned=pruned).key].error))
                for bits in BITS
            )
            name = "pruned and shared" if pruned else "shared, not pruned"
            curves.append(Curve(name, tuple(points), dashed=not pruned))
        found.append(Panel(f"{net}, {panel} layers", "bits a code", "accuracy, %", tuple(curves)))
    return found


def figure_8(net: str, runs: Runs) -> Panel:
    """Accuracy against bits for the three starts of k-means, after the centroids have been tuned."""
    curves = tuple(
        Curve(
            init,
            tuple(
                Point(bits, 100 * (1 - runs[_init_job(net, init, bits).key].error))
                for bits in INIT_BITS
            ),
        )
        for init in INITS
    )
    return Panel(net, "bits a code", "accuracy, %", curves)


def _both(net: str) -> list[tuple[float, Job]]:
    base = FIGURE_CONFIGS[net]
    return [(factor, _job(net, with_density(base, factor))) for factor in FACTORS]


def _panels(net: str) -> tuple[str, ...]:
    return ("conv", "dense", "all") if net == "lenet-5" else ("all",)


def _bits_job(net: str, panel: str, bits: int, *, pruned: bool) -> Job:
    base = FIGURE_CONFIGS[net]
    settings = with_bits(
        base,
        AMPLE_BITS if panel == "dense" else bits,
        AMPLE_BITS if panel == "conv" else bits,
    )
    return _job(net, settings if pruned else with_density(settings, None))


def _init_job(net: str, init: str, bits: int) -> Job:
    settings = with_bits(FIGURE_CONFIGS[net], bits, bits)
    # Linear is what happens anyway: the same run as in Figure 7.
    return _job(net, settings if init == "linear" else with_init(settings, init))


def _job(net: str, settings: Settings) -> Job:
    return Job(net, seeded(settings, 0))


def _percent(run: Run, size: float) -> float:
    return 100 * size / run.report.input.bytes


def _bytes_of_pruning(run: Run) -> float:
    rows = run.report.weights
    rest = run.bytes - sum(row.bytes_after for row in rows)
    bits = sum(row.density * row.elements * (_FLOAT_BITS + row.gap_bits_huffman) for row in rows)
    return rest + bits / 8


def _svd_point(found: Factored, run: Run, error: float) -> Point:
    return Point(_percent(run, found.bytes), 100 * (found.error - error))
