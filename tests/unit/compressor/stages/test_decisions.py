"""Thresholds between levels of different prices, against trying every level."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sparsebook_compressor.stages.decisions import intervals


@given(
    st.lists(st.integers(-40, 40), min_size=1, max_size=24, unique=True),
    st.lists(st.floats(0, 30), min_size=24, max_size=24),
    st.integers(0, 2**32 - 1),
)
def test_every_value_takes_the_level_that_costs_least(
    levels: list[int], prices: list[float], seed: int
) -> None:
    at = np.sort(np.array(levels, np.float64))
    price = np.array(prices[: len(at)])
    thresholds, used = intervals(at, price)
    assert (np.diff(thresholds) > 0).all()
    values = np.random.default_rng(seed).uniform(-60, 60, 200)
    costs = np.square(values[:, None] - at) / 2 + price
    chosen = used[np.searchsorted(thresholds, values)]
    np.testing.assert_allclose(costs[np.arange(200), chosen], costs.min(axis=1), atol=1e-9)


def test_without_prices_the_nearest_level_is_taken() -> None:
    thresholds, used = intervals(np.array([-1.0, 0.0, 3.0]), np.zeros(3))
    assert thresholds.tolist() == [-0.5, 1.5]
    assert used.tolist() == [0, 1, 2]


def test_a_level_that_is_too_dear_is_never_taken() -> None:
    thresholds, used = intervals(np.array([-1.0, 0.0, 1.0]), np.array([0.0, 9.0, 0.0]))
    assert used.tolist() == [0, 2]
    assert thresholds.tolist() == [0.0]
