"""Error feedback against optimal brain surgeon by brute force: least squares over the columns that are still free."""

import numpy as np
import pytest

from sparsebook_compressor.stages.decisions import intervals
from sparsebook_compressor.stages.feedback import Levels, feed_back
from sparsebook_compressor.stages.moments import DAMPING, Factor, Moments


def moments_of(columns: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((4 * columns, columns)) @ rng.standard_normal((columns, columns))
    return mixed.T @ mixed / len(mixed) / columns


def levels(step: float, bits: float = 0.0) -> Levels:
    at = np.arange(-12, 13) * step
    return Levels(at, 1.0 + bits * np.abs(np.arange(-12, 13)))


def by_brute_force(row: np.ndarray, second: np.ndarray, to: Levels, price: float) -> np.ndarray:
    """Decide one column after another; after each, the free ones take the values that leave the least error."""
    now, n = row.astype(np.float64).copy(), len(row)
    for j in range(n):
        # What is free from here on can make good all but 1 / [H_F^-1]_jj of an error in j.
        scale = np.linalg.inv(second[j:, j:])[0, 0]
        found = np.argmin(np.square(now[j] - to.values) / scale + price * to.bits)
        now[j] = to.values[found]
        if j + 1 < n:
            free = slice(j + 1, n)
            settled = now[: j + 1] - row[: j + 1]
            push = second[free, : j + 1] @ settled
            now[free] = row[free] - np.linalg.solve(second[free, free], push)
    return now


@pytest.mark.parametrize("price", [0.0, 0.05])
@pytest.mark.parametrize(("columns", "rows"), [(1, 3), (2, 1), (5, 4), (9, 2), (70, 3)])
@pytest.mark.parametrize("seed", range(4))
def test_it_is_optimal_brain_surgeon(columns: int, rows: int, price: float, seed: int) -> None:
    weight = np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)
    second = moments_of(columns, seed) + np.eye(columns)
    upper = np.linalg.cholesky(np.linalg.inv(second)).T
    to = levels(0.5, 0.7)
    kept = weight.copy()
    fed = feed_back(weight, upper, to, price)
    np.testing.assert_array_equal(weight, kept)
    shared = to.values[fed.chosen]
    expected = np.array([by_brute_force(row, second, to, price) for row in weight])
    if price == 0.0:
        np.testing.assert_allclose(shared, expected, atol=1e-6)
    else:
        # Prices are taken at eight rungs an octave: what lies near a threshold may go either way, and all that follows it.
        costs = [
            np.einsum("ij,jk,ik->", d, second, d) for d in (shared - weight, expected - weight)
        ]
        bits = [np.interp(each, to.values, to.bits).sum() for each in (shared, expected)]
        ours, theirs = (cost + price * size for cost, size in zip(costs, bits, strict=True))
        assert ours == pytest.approx(theirs, rel=0.05)
    error = shared - weight
    assert fed.cost == pytest.approx(np.einsum("ij,jk,ik->", error, second, error), rel=1e-3)


def test_feedback_saves_most_of_the_error_where_inputs_are_alike() -> None:
    second = moments_of(96, 3)
    weight = np.random.default_rng(0).standard_normal((40, 96)).astype(np.float32)
    factor = Factor.of(second)
    to = levels(0.4)
    fed = feed_back(weight[:, factor.order], factor.upper, to, 0.0)
    shared = to.values[fed.chosen][:, np.argsort(factor.order)]
    thresholds, used = intervals(to.values, np.zeros(len(to.values)))
    nearest = to.values[used[np.searchsorted(thresholds, weight)]]

    def cost(found: np.ndarray) -> float:
        error = found - weight
        return float(np.einsum("ij,jk,ik->", error, second, error))

    assert cost(shared) < 0.5 * cost(nearest)


def test_a_higher_price_prunes_more_and_costs_more() -> None:
    second = moments_of(32, 1)
    weight = np.random.default_rng(1).standard_normal((64, 32)).astype(np.float32)
    factor = Factor.of(second)
    to = levels(0.25, 0.5)
    found = [
        feed_back(weight[:, factor.order], factor.upper, to, price) for price in (0.001, 0.1, 2.0)
    ]
    zeros = [int((to.values[each.chosen] == 0).sum()) for each in found]
    assert zeros == sorted(zeros)
    assert zeros[0] < zeros[-1]
    assert [each.cost for each in found] == sorted(each.cost for each in found)


def test_the_factor_is_of_the_damped_inverse_in_its_order() -> None:
    second = moments_of(7, 2)
    factor = Factor.of(second)
    assert sorted(factor.order) == list(range(7))
    assert (np.diff(np.diag(second)[factor.order]) <= 0).all()
    damped = second + np.eye(7) * DAMPING * np.diag(second).mean()
    expected = np.linalg.inv(damped[np.ix_(factor.order, factor.order)])
    np.testing.assert_allclose(factor.upper.T @ factor.upper, expected, rtol=1e-8)
    assert np.allclose(np.tril(factor.upper, -1), 0)


def test_second_moments_of_nothing_are_the_identity() -> None:
    np.testing.assert_allclose(Factor.of(np.zeros((3, 3))).upper, np.eye(3) / np.sqrt(1 + DAMPING))


def test_a_few_huge_inputs_do_not_decide_alone() -> None:
    rng = np.random.default_rng(0)
    seen = rng.standard_normal((1000, 4)).astype(np.float32)
    seen[:3, 0] = 1000
    found = Moments(4)
    found.add(seen)
    matrix = found.matrix(centred=False)
    plain = seen.T @ seen / len(seen)
    assert matrix[0, 0] / matrix[1, 1] < 0.1 * plain[0, 0] / plain[1, 1]


def test_batches_add_up_and_what_is_not_finite_is_left_out() -> None:
    rng = np.random.default_rng(1)
    seen = rng.standard_normal((64, 5)).astype(np.float32)
    one, more = Moments(5), Moments(5)
    one.add(seen)
    more.scale = one.scale
    for piece in np.split(seen, 4):
        more.add(np.vstack([piece, np.full((1, 5), np.nan, np.float32)]))
    assert more.vectors == 64
    np.testing.assert_allclose(more.matrix(centred=True), one.matrix(centred=True), rtol=1e-4)


@pytest.mark.parametrize("below", [0.005, 0.2, 3.0])
def test_what_rounding_leaves_below_zero_is_damped(below: float) -> None:
    """As of inputs that hardly vary, their mean's part taken away."""
    second = np.ones((4, 4)) - below * np.eye(4)
    np.fill_diagonal(second, 1.0 - below / 4)
    factor = Factor.of(second)
    assert np.isfinite(factor.upper).all()
    assert (np.diag(factor.upper) > 0).all()


def test_moments_that_are_no_numbers_say_nothing() -> None:
    second = np.full((3, 3), np.inf)
    np.testing.assert_allclose(Factor.of(second).upper, Factor.of(np.zeros((3, 3))).upper)
