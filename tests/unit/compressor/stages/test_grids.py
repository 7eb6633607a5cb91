"""Levels: even steps where there are enough of them, as dense as the cube root of the values where there are not."""

import numpy as np
import pytest

from sparsebook_compressor.stages.grids import (
    MOST_LEVELS,
    companded_levels,
    even_levels,
    is_short,
    nested_levels,
    step_for,
    steps_for,
)


def heavy_tailed(count: int = 40_000, seed: int = 0) -> np.ndarray:
    """Of Student's t with 3 degrees of freedom: the farthest lies dozens of deviations out."""
    return np.random.default_rng(seed).standard_t(3, count).astype(np.float32)


def error(values: np.ndarray, levels: np.ndarray) -> float:
    middle = (levels[1:] + levels[:-1]) / 2
    return float(np.square(values - levels[np.searchsorted(middle, values)]).mean())


def test_companded_levels_are_better_where_even_ones_do_not_reach() -> None:
    values = heavy_tailed()
    sample = values.astype(np.float64)
    price = 1e-7
    assert is_short(price, 1.0, values)
    even = min(
        error(values, even_levels(values, sample, step).values)
        for step in steps_for(price, [1.0], values)
    )
    companded = companded_levels(values, sample, np.ones(len(sample)))
    assert len(companded.values) <= MOST_LEVELS + 1
    assert 0.0 in companded.values
    assert error(values, companded.values) < even / 2


def test_companded_levels_of_normal_values_have_the_error_that_theory_says() -> None:
    values = np.random.default_rng(1).standard_normal(200_000).astype(np.float32)
    # Panter and Dite: (integral of the density's cube root)^3 / (12 n^2), pi sqrt(3) / 2 / n^2 here.
    least = np.pi * np.sqrt(3) / 2 / MOST_LEVELS**2
    found = error(
        values, companded_levels(values, values.astype(np.float64), np.ones(len(values))).values
    )
    assert 0.9 * least < found < 1.15 * least


def test_where_even_steps_reach_there_is_no_shortage() -> None:
    values = heavy_tailed()
    spread = float(np.ptp(values))
    enough = next(p for p in 4.0 ** np.arange(-20, 5) if step_for(p, 1.0) > spread / 100)
    assert not is_short(enough, 1.0, values)


@pytest.mark.parametrize(
    "values",
    [
        np.array([1.0, 2.0], np.float32),
        np.repeat(np.array([-1.0, 0.0, 3.0], np.float32), 500),
        np.concatenate([np.zeros(5000, np.float32), np.full(1, 7, np.float32)]),
        -np.arange(1, 3000, dtype=np.float32),
    ],
    ids=["two", "three values", "one outlier", "all negative"],
)
def test_companded_levels_of_odd_weights_are_ascending_and_enough(values: np.ndarray) -> None:
    levels = companded_levels(values, values.astype(np.float64), np.ones(len(values)))
    assert 2 <= len(levels.values) <= MOST_LEVELS + 1
    assert np.all(np.diff(levels.values) > 0)
    assert 0.0 in levels.values
    assert np.isfinite(levels.bits).all()
    assert levels.values[0] <= values.min()
    assert levels.values[-1] >= values.max()


def test_companded_levels_lie_where_errors_cost_most() -> None:
    values = np.random.default_rng(2).standard_normal(50_000).astype(np.float32)
    dear = np.abs(values) > 2
    counted = np.where(dear, 1000.0, 1.0)
    alike = companded_levels(values, values.astype(np.float64), np.ones(len(values)))
    weighed = companded_levels(values, values.astype(np.float64), counted)
    assert error(values[dear], weighed.values) < error(values[dear], alike.values) / 4


def test_nested_levels_are_fine_ones_between_those_for_the_many() -> None:
    values = np.random.default_rng(3).standard_normal(50_000).astype(np.float32)
    sample = values.astype(np.float64)
    coarse = even_levels(values, sample, 0.5)
    nested = nested_levels(values, sample, 0.5, 0.06)
    assert nested is not None
    assert len(nested.values) <= MOST_LEVELS + 1
    assert np.all(np.diff(nested.values) > 0)
    assert set(coarse.values) <= set(nested.values)
    # A whole part of the coarse step, no finer than was asked for; what is new is dearer than what is not.
    assert np.diff(nested.values).min() == pytest.approx(0.5 / 8)
    new = ~np.isin(nested.values, coarse.values)
    assert nested.bits[new].min() >= nested.bits[~new].max()


@pytest.mark.parametrize(
    ("coarse", "fine"), [(0.5, 0.3), (0.001, 0.0001)], ids=["near", "none left"]
)
def test_there_are_no_nested_levels_where_none_fit(coarse: float, fine: float) -> None:
    values = np.random.default_rng(4).standard_normal(5000).astype(np.float32)
    assert nested_levels(values, values.astype(np.float64), coarse, fine) is None


@pytest.mark.parametrize("lowest", [-np.finfo(np.float32).max, -3e38])
def test_levels_are_within_float32(lowest: float) -> None:
    """Masks of attention are filled with its lowest value; the margin beyond that overflowed."""
    values = np.linspace(lowest, 0, 64).astype(np.float32)
    sample = values.astype(np.float64)
    for levels in (
        even_levels(values, sample, 1e37).values,
        even_levels(values, sample, 1e34).values,
        companded_levels(values, sample, np.ones(64)).values,
    ):
        assert np.isfinite(levels.astype(np.float32)).all()
        assert 0.0 in levels
        assert np.all(np.diff(levels) > 0)
