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
