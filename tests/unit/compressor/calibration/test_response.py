"""The outputs' error as a layer's grows, and the layer's price that belongs to one of the outputs'."""

import math

import pytest

from sparsebook_compressor.calibration.response import Response

FLOOR = 1e-9
# A layer that does little until it is lost altogether, one whose slope grows bit by bit, and one that is linear.
LATE = Response.of([(5e-4, 1e-4), (0.25, 1e-4), (1.0, 0.4)], FLOOR)
GROWING = Response.of([(1.0, 0.75), (5e-4, 0.01), (0.03, 0.02), (0.25, 0.06)], FLOOR)
LINEAR = Response.of([(5e-4, 0.3), (0.03, 0.3), (0.25, 0.3), (1.0, 0.3)], FLOOR)
EVERY = (LATE, GROWING, LINEAR)


@pytest.mark.parametrize("response", EVERY)
def test_it_gives_what_was_seen(response: Response) -> None:
    for loss, sensitivity in zip(response.losses, response.sensitivities, strict=True):
        assert response.error(loss) == pytest.approx(loss * sensitivity)


@pytest.mark.parametrize("response", EVERY)
def test_its_slope_is_that_of_its_error(response: Response) -> None:
    for loss in (1e-6, 1e-3, 0.01, 0.1, 0.5):
        step = loss * 1e-5
        rise = (response.error(loss + step) - response.error(loss - step)) / (2 * step)
        assert response.slope(loss) == pytest.approx(rise, rel=1e-3)


def test_a_linear_layer_has_one_price() -> None:
    assert LINEAR.price(1e-8, 1000.0) == pytest.approx(1e-8 / 0.3)


@pytest.mark.parametrize("response", EVERY)
@pytest.mark.parametrize("price", [1e-12, 1e-9, 1e-6, 1e-3])
def test_another_bit_takes_off_what_it_costs(response: Response, price: float) -> None:
    loss_for = 5e4
    own = response.price(price, loss_for)
    loss = min(1.0, own * loss_for)
    # At a knot the slope jumps over what it is to be.
    below, above = response.slope(loss * (1 - 1e-9)), response.slope(loss * (1 + 1e-9))
    assert own * min(below, above) <= price * (1 + 1e-6)
    assert own * max(below, above) >= price * (1 - 1e-6)


def test_what_is_dearer_when_lost_is_not_lost_as_soon() -> None:
    flat = Response.of([(5e-4, 1e-4)], FLOOR)
    price, loss_for = 1e-8, 1e4
    assert flat.price(price, loss_for) * loss_for == pytest.approx(1.0)
    assert LATE.price(price, loss_for) * loss_for < 0.6


def test_outputs_that_saturate_are_not_believed() -> None:
    found = Response.of([(5e-4, 2.0), (0.03, 1.5), (1.0, 0.2)], FLOOR)
    assert found.sensitivities == (2.0, 2.0, 2.0)


def test_nothing_is_less_than_the_floor_or_no_number() -> None:
    found = Response.of([(5e-4, 0.0), (1.0, math.inf)], 1e-3)
    assert found.sensitivities[0] == 1e-3
    assert math.isfinite(found.sensitivities[1])
    assert found.first == 1e-3


def test_losses_that_are_the_same_count_once() -> None:
    found = Response.of([(0.03, 0.1), (0.03, 0.2), (1.0, 0.3)], FLOOR)
    assert found.losses == (0.03, 1.0)
    assert found.sensitivities == (0.2, 0.3)
