"""The search for a price, on models of what a pass comes to."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from sparsebook_compressor.calibration.allocation import Curve, Point, spend
from sparsebook_compressor.calibration.passing import Passed
from sparsebook_compressor.calibration.search import MOST_PASSES, Goal, search

ELEMENTS = 100_000
FIXED = 1_000
ORIGINAL = 4 * ELEMENTS + FIXED
CURVES = [
    Curve.of([Point(ELEMENTS / 2 * b / 2, s * 4.0 ** (-b / 2)) for b in range(20)]) for s in (1, 9)
]


def passes(folder: Path, drop: Callable[[float], float]) -> Callable[[float, int], Passed]:
    """What is predicted comes true, but for a tenth more bytes; the metric falls by a function of the outputs' error."""

    def run(price: float, number: int) -> Passed:
        spent = spend(CURVES, price)
        made = folder / f"pass-{number}"
        made.mkdir()
        size = int(1.1 * spent.bits / 8)
        metric = 1 - drop(math.sqrt(spent.loss))
        return Passed(price, size, 1, metric, metric, made, {})

    return run


def goal(kind: str, limit: float, *, squared: bool = True) -> Goal:
    assert kind in ("drop", "ratio")
    wanted = "ratio" if kind == "ratio" else "drop"
    return Goal(wanted, limit, True, 1.0, squared, ORIGINAL, FIXED)


@pytest.mark.parametrize("limit", [0.01, 0.05, 0.2])
def test_an_error_is_met_with_little_to_spare(limit: float, tmp_path: Path) -> None:
    wanted = goal("drop", limit)
    found = search(wanted, CURVES, passes(tmp_path, lambda error: 1.3 * error))
    assert 0.6 * limit < wanted.drop(found.best) <= limit
    assert len(found.passes) <= 4
    assert [path.name for path in tmp_path.iterdir()] == [found.best.folder.name]


@pytest.mark.parametrize("scale", [0.01, 0.3, 0.8])
def test_a_metric_that_counts_answers_is_met(scale: float, tmp_path: Path) -> None:
    """Answers change in steps of one in 400, and none does at first."""
    wanted = goal("drop", 0.005, squared=False)

    def drop(error: float) -> float:
        return math.floor(400 * max(0.0, scale * error - 0.002)) / 400

    found = search(wanted, CURVES, passes(tmp_path, drop))
    assert wanted.met(found.best)
    assert len(found.passes) <= MOST_PASSES
    assert found.best.bytes == min(each.bytes for each in found.passes if wanted.met(each))


@pytest.mark.parametrize("ratio", [4.5, 8.0, 20.0])
def test_a_ratio_is_met_and_hardly_passed(ratio: float, tmp_path: Path) -> None:
    wanted = goal("ratio", ratio)
    found = search(wanted, CURVES, passes(tmp_path, lambda error: error))
    assert ratio <= wanted.ratio(found.best) < 1.06 * ratio


def test_what_cannot_be_met_gives_what_is_nearest(tmp_path: Path) -> None:
    wanted = goal("drop", 0.001, squared=False)
    found = search(wanted, CURVES, passes(tmp_path, lambda error: 0.5 + error))
    assert not wanted.met(found.best)
    # Where the curves end, a finer pass comes to the same: there is no use in another.
    assert len(found.passes) == MOST_PASSES - 1
    assert wanted.drop(found.best) == min(wanted.drop(each) for each in found.passes)


def test_a_metric_that_is_no_number_meets_nothing(tmp_path: Path) -> None:
    assert not goal("drop", 0.5).met(Passed(1.0, 1, 1, None, None, tmp_path, {}))
