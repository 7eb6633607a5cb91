"""The search for a price, on models of what a pass comes to."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sparsebook_compressor.calibration.allocation import Curve, Point, spend
from sparsebook_compressor.calibration.course import Calibrated
from sparsebook_compressor.calibration.passing import Passed
from sparsebook_compressor.calibration.search import MOST_PASSES, Found, Goal, search

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


def scripted(folder: Path, *made: tuple[int, float]) -> Callable[[float, int], Passed]:
    """Passes of so many bytes and such a metric, one after the other, whatever they cost; the last goes on."""

    def run(price: float, number: int) -> Passed:
        size, metric = made[min(number, len(made) - 1)]
        place = folder / f"pass-{number}"
        place.mkdir()
        return Passed(price, size, 1, metric, metric, place, {})

    return run


def test_a_pass_that_makes_nothing_smaller_is_not_nearest_to_a_drop(tmp_path: Path) -> None:
    """It drops nothing, because all weights stay as they are at a price so low."""
    wanted = goal("drop", 0.001, squared=False)
    made = [(4 * ELEMENTS, 1.0), (9000, 0.7), (8000, 0.8), (7000, 0.6), (6000, 0.75), (5000, 0.65)]
    found = search(wanted, CURVES, scripted(tmp_path, *made))
    assert (wanted.drop(found.passes[0]), wanted.is_empty(found.passes[0])) == (0, True)
    assert found.best.metric == max(each.metric or 0 for each in found.passes[1:])


@pytest.mark.parametrize(
    "made",
    [
        (20_000, 30_000, 90_000, 40_000, 60_000, 35_000),
        (90_000, 80_000, 85_000, 70_000, 75_000, 72_000),
    ],
    ids=["some fit", "none fits"],
)
def test_of_several_passes_the_one_that_fits_a_ratio_best_is_kept(
    made: tuple[int, ...], tmp_path: Path
) -> None:
    """The largest of those that are small enough, which has the least error; else the smallest."""
    wanted = goal("ratio", 8.0)
    found = search(wanted, CURVES, scripted(tmp_path, *((size, 0.9) for size in made)))
    sizes = [each.bytes for each in found.passes]
    fitting = [each.bytes for each in found.passes if wanted.met(each)]
    assert len(set(fitting or sizes)) > 1
    assert found.best.bytes == (max(fitting) if fitting else min(sizes))
    assert [path.name for path in tmp_path.iterdir()] == [found.best.folder.name]


@pytest.mark.parametrize("asked", [True, False])
def test_only_what_was_asked_for_is_said_to_be_missed(asked: bool, tmp_path: Path) -> None:
    wanted = replace(goal("drop", 0.001), asked=asked)
    missed = Passed(1.0, 9000, 1, 0.5, 0.5, tmp_path, {})
    fault = Calibrated(None, [], wanted, Found((missed,), missed), None, None).fault()
    assert (fault is not None) == asked
    if fault is not None:
        assert "budget.max_drop 0.001" in str(fault)
        assert "a drop of 0.5" in str(fault)
