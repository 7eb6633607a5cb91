"""Where bits go, against trying every combination of points."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebook_compressor.calibration.allocation import (
    Curve,
    Point,
    price_for_bits,
    price_for_loss,
    spend,
)

points = st.builds(Point, st.floats(0, 100), st.floats(1e-3, 10))


@given(
    st.lists(st.lists(points, min_size=1, max_size=5), min_size=1, max_size=4), st.floats(1e-4, 1)
)
def test_at_a_price_no_combination_is_better(found: list[list[Point]], price: float) -> None:
    curves = [Curve.of(each) for each in found]
    ours = sum(best.loss + price * best.bits for best in (curve.best(price) for curve in curves))
    least = min(
        sum(point.loss + price * point.bits for point in chosen)
        for chosen in itertools.product(*found)
    )
    assert ours == pytest.approx(least)


@given(st.lists(points, min_size=1, max_size=12))
def test_a_hull_falls_ever_more_slowly(found: list[Point]) -> None:
    hull = Curve.of(found).points
    slopes = [(b.loss - a.loss) / (b.bits - a.bits) for a, b in itertools.pairwise(reversed(hull))]
    assert all(slope < 0 for slope in slopes)
    assert slopes == sorted(slopes)


def gaussian(variance: float, elements: int) -> Curve:
    """An ideal source: variance x 4^-bits an element."""
    steps = [step / 2 for step in range(17)]
    return Curve.of([Point(elements * b, elements * variance * 4.0**-b) for b in steps])


def test_bits_follow_reverse_water_filling() -> None:
    curves = [gaussian(1.0, 100), gaussian(16.0, 100)]
    spent = price_for_bits(curves, 800)
    few, many = (curve.between(spent.price).bits / 100 for curve in curves)
    assert few + many == pytest.approx(8, abs=0.1)
    assert many - few == pytest.approx(2, abs=0.2)  # half of log2 of 16


def test_both_searches_meet_what_was_asked() -> None:
    curves = [gaussian(1.0, 50), gaussian(3.0, 70), gaussian(0.1, 10)]
    by_bits = price_for_bits(curves, 300)
    assert 290 < by_bits.bits <= 300
    by_loss = price_for_loss(curves, by_bits.loss)
    assert by_loss.loss <= by_bits.loss
    assert by_loss.bits == pytest.approx(by_bits.bits, rel=0.02)
    assert spend(curves, by_loss.price) == by_loss


def test_a_weight_that_may_stay_as_it_is_does_so_at_low_prices_alone() -> None:
    """A loss of nothing is on no power of two: the point itself is taken, or the next one."""
    as_it_is, finest = Point(32.0, 0.0), Point(8.0, 1e-6)
    curve = Curve.of([as_it_is, finest, Point(6.0, 1.6e-5), Point(0.0, 1.0)])
    turn = (finest.loss - as_it_is.loss) / (as_it_is.bits - finest.bits)
    assert curve.between(0.99 * turn) == as_it_is == curve.best(0.99 * turn)
    assert curve.between(1.01 * turn) == finest == curve.best(1.01 * turn)
    assert price_for_loss([curve], 1e-7).loss == 0.0
    assert 1e-6 <= price_for_loss([curve], 1e-5).loss <= 1e-5
