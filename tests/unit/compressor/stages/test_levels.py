"""Starting levels: samples estimate the channels' error, placements follow density and importance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sparsebook_compressor.stages.levels import PLACEMENTS, Sample, place, sample, starting
from sparsebook_compressor.stages.share import Distribution, boundaries, cluster


def channel_error(weight: np.ndarray, other: np.ndarray, axis: int) -> float:
    """Mean over channels of the squared relative error."""
    a, b = (np.moveaxis(array, axis, 0).astype(np.float64) for array in (weight, other))
    errors = [np.square(x - y).sum() / np.square(x).sum() for x, y in zip(a, b, strict=True)]
    return float(np.mean(errors))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_importance_turns_errors_into_those_of_the_channels(axis: int) -> None:
    rng = np.random.default_rng(axis)
    scales = np.exp2(rng.uniform(-4, 4, (5, 6, 7)[axis]))
    shape = [1, 1, 1]
    shape[axis] = -1
    weight = (rng.standard_normal((5, 6, 7)) * scales.reshape(shape)).astype(np.float32)
    found = sample(weight, axis)
    assert found is not None
    assert (np.diff(found.values) >= 0).all()
    assert found.elements == weight.size
    rounded = np.round(found.values, 1)
    estimate = float((np.square(found.values - rounded, dtype=np.float64) * found.importance).sum())
    assert np.isclose(estimate, channel_error(weight, np.round(weight, 1), axis), rtol=1e-4)


def test_a_large_weight_is_sampled_with_its_extremes() -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((1000, 512)).astype(np.float32)
    weight[123, 45], weight[6, 7] = 90.0, -80.0
    found = sample(weight, 1)
    assert found is not None
    assert 1 << 16 <= len(found.values) < 1 << 17
    assert (found.values[0], found.values[-1]) == (-80.0, 90.0)
    everything = float(
        (np.square(found.values[1:-1], dtype=np.float64) * found.importance[1:-1]).sum()
    )
    assert 0.9 < everything < 1.1  # the channels' errors if all of them were lost


def test_dead_channels_count_for_nothing_and_a_dead_weight_has_no_sample() -> None:
    weight = np.random.default_rng(0).standard_normal((4, 50)).astype(np.float32)
    weight[1] *= 1e-6
    weight[2] = 0
    found = sample(weight, 0)
    assert found is not None
    small = np.abs(found.values) < 1e-4
    assert small.sum() == 100
    assert (found.importance[small] == 0).all()
    assert sample(np.zeros((3, 4), np.float32), 0) is None


def test_above_prunes_by_magnitude_and_drops_zeros() -> None:
    whole = Sample(np.array([-3, -1, 0, 0.5, 2], np.float32), np.arange(5.0), 5)
    assert whole.above(1.0).values.tolist() == [-3, 2]
    assert whole.above(1.0).importance.tolist() == [0, 4]
    assert whole.above(-1.0).values.tolist() == [-3, -1, 0.5, 2]
    assert whole.above(9.0).elements == 5


@given(
    arrays(np.float32, array_shapes(min_dims=2, max_dims=3), elements=st.floats(-9, 9, width=32)),
    st.integers(1, 20),
    st.sampled_from([*PLACEMENTS, "linear", "density", "random"]),
)
def test_any_weight_gets_a_start_that_k_means_accepts(
    weight: np.ndarray, k: int, start: str
) -> None:
    whole = sample(weight, 0)
    if whole is None:
        return
    kept = whole.above(0.0)
    found = starting(start, k, lambda: kept)
    if not isinstance(found, str):
        assert len(found) == k
        assert np.isfinite(found).all()
        assert (np.diff(found) >= 0).all()
    else:
        assert found == start or len(kept.values) == 0
    codebook, _ = cluster(Distribution.of_sorted(kept.values), k, found, 3, 0)
    assert len(codebook) <= k
    assert np.isfinite(codebook).all()


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_equal_importance_and_density_give_equal_steps(placement: str) -> None:
    line = Sample(np.linspace(-1, 1, 20_001).astype(np.float32), np.ones(20_001), 20_001)
    found = place(line, 9, placement)
    np.testing.assert_allclose(np.diff(found), 2 / 9, rtol=1e-2)


def test_levels_crowd_where_the_values_or_their_importance_do() -> None:
    rng = np.random.default_rng(0)
    values = np.sort(rng.standard_normal(20_000)).astype(np.float32)
    equal = Sample(values, np.ones(len(values)), len(values))
    steps = np.diff(place(equal, 31, "channel-fixed"))
    assert steps[15] < 0.5 * steps[0]
    np.testing.assert_allclose(
        np.diff(place(equal, 31, "channel-uniform"))[5:25], 2 * 4.0 / 31, rtol=0.2
    )
    importance = np.where(values < 0, 16.0, 1.0)
    uneven = place(Sample(values, importance, len(values)), 50, "channel-uniform")
    # Four times as dense where an error counts sixteen times as much.
    assert 36 <= (uneven < 0).sum() <= 44


def test_placed_levels_keep_small_channels_where_plain_k_means_loses_them() -> None:
    rng = np.random.default_rng(0)
    scales = np.exp2(np.linspace(-9, 0, 32))
    weight = (rng.standard_normal((500, 32)) * scales).astype(np.float32)
    whole = sample(weight, 1)
    assert whole is not None
    kept = whole.above(0.0)

    def error(start: str, iterations: int | None) -> float:
        distribution = Distribution.of_sorted(kept.values)
        codebook, _ = cluster(distribution, 255, starting(start, 255, lambda: kept), iterations, 0)
        coded = codebook[np.searchsorted(boundaries(codebook), weight, side="left")]
        return channel_error(weight, coded, 1) ** 0.5

    placed = min(error(placement, 1) for placement in PLACEMENTS)
    assert placed < 0.03
    assert placed < 0.5 * error("linear", None)
