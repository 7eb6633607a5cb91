"""One-dimensional k-means: against a naive Lloyd, and by what every result of it must be."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sparsebook_compressor.stages import share as stage
from sparsebook_compressor.stages.prune import Cut, cut_by_density
from sparsebook_compressor.stages.share import (
    Distribution,
    Init,
    Shared,
    boundaries,
    cluster,
    share,
)

INITS: tuple[Init, ...] = ("linear", "density", "random")
ALL = Cut(-1.0)
values = st.floats(-1e3, 1e3, width=32)
weights = arrays(np.float32, st.integers(1, 80), elements=st.one_of(values, st.integers(-3, 3)))


def nearest(weight: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return np.abs(weight[:, None].astype(np.float64) - centroids).argmin(1)


def naive_lloyd(weight: np.ndarray, centroids: np.ndarray, iterations: int) -> np.ndarray:
    """Lloyd's algorithm with a matrix of distances; ties between centroids go to the lower one."""
    centroids = centroids.astype(np.float64)
    for _ in range(iterations):
        owner = nearest(weight, centroids)
        sizes = np.bincount(owner, minlength=len(centroids))
        sums = np.bincount(owner, weights=weight, minlength=len(centroids))
        centroids = np.where(sizes > 0, sums / np.maximum(sizes, 1), centroids)
    used = np.unique(nearest(weight, centroids))
    return centroids[used]


def naive_start(weight: np.ndarray, k: int, init: Init, seed: int) -> np.ndarray:
    ordered = np.sort(weight)
    if init == "linear":
        return np.linspace(ordered[0], ordered[-1], k, dtype=np.float64)
    if init == "density":
        return ordered[[int((i + 0.5) * len(ordered) / k) for i in range(k)]]
    return ordered[np.sort(np.random.default_rng(seed).choice(len(ordered), k, replace=False))]


def clustered(
    weight: np.ndarray, k: int, init: Init = "linear", iterations: int | None = None, seed: int = 0
) -> Shared:
    return share(weight, ALL, k, init, iterations, seed)


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("k", [1, 2, 3, 7])
@pytest.mark.parametrize("iterations", [0, 1, 2, 5, 50])
def test_centroids_are_those_of_a_naive_lloyd(init: Init, k: int, iterations: int) -> None:
    for seed in range(5):
        weight = np.random.default_rng(seed).standard_t(3, 200).astype(np.float32)
        expected = naive_lloyd(weight, naive_start(weight, k, init, seed), iterations)
        found = clustered(weight, k, init, iterations, seed)
        np.testing.assert_allclose(found.codebook, expected, rtol=1e-6, atol=1e-7)


@given(weights, st.integers(1, 20), st.sampled_from(INITS), st.sampled_from([0, 1, 3, None]))
def test_every_element_has_its_nearest_centroid_and_every_centroid_an_element(
    weight: np.ndarray, k: int, init: Init, iterations: int | None
) -> None:
    found = clustered(weight, k, init, iterations)
    codebook = found.codebook
    kept = weight[weight != 0]
    codes = found.codes[weight != 0]
    assert len(codebook) <= k
    assert (np.diff(codebook) > 0).all()
    assert (found.codes[weight == 0] == 0).all()
    assert set(codes.tolist()) == set(range(1, len(codebook) + 1))
    if len(kept):
        chosen = np.abs(kept.astype(np.float64) - codebook[codes - 1])
        best = np.abs(kept[:, None].astype(np.float64) - codebook).min(1)
        np.testing.assert_allclose(chosen, best, rtol=1e-5, atol=1e-5)
    decoded = np.concatenate([np.zeros(1, np.float32), codebook])[found.codes]
    lost = np.square(weight.astype(np.float64) - decoded).sum()
    np.testing.assert_allclose(found.squared_error, lost, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(found.squared_norm, np.square(weight, dtype=np.float64).sum())


@given(weights, st.integers(1, 12), st.sampled_from(INITS))
def test_convergence_is_a_fixed_point(weight: np.ndarray, k: int, init: Init) -> None:
    found = clustered(weight, k, init)
    kept, codes = weight[weight != 0].astype(np.float64), found.codes[weight != 0]
    for code, centroid in enumerate(found.codebook, 1):
        np.testing.assert_allclose(centroid, kept[codes == code].mean(), rtol=1e-5, atol=1e-4)


@given(weights, st.integers(2, 12), st.sampled_from(INITS))
def test_a_step_never_makes_the_error_larger(weight: np.ndarray, k: int, init: Init) -> None:
    errors = [clustered(weight, k, init, steps).squared_error for steps in (0, 1, 2, 4, None)]
    for before, after in itertools.pairwise(errors):
        assert after <= before * (1 + 1e-6) + 1e-6


@given(weights, st.sampled_from(INITS), st.integers(0, 3))
def test_few_distinct_values_are_kept_exactly(weight: np.ndarray, init: Init, spare: int) -> None:
    distinct = len(np.unique(weight[weight != 0]))
    assume(distinct + spare > 0)
    found = clustered(weight, distinct + spare, init)
    assert found.squared_error == 0
    assert len(found.codebook) == distinct
    decoded = np.concatenate([np.zeros(1, np.float32), found.codebook])[found.codes]
    assert (decoded == weight).all()


@pytest.mark.parametrize("init", INITS)
def test_large_magnitudes_do_not_overflow(init: Init) -> None:
    weight = np.array([3.4e38, -3.4e38, 3.3e38, -3.3e38, 1.0, 2e38], np.float32)
    found = clustered(weight, 3, init)
    assert np.isfinite(found.codebook).all()
    assert np.isfinite(found.squared_error)
    assert clustered(weight, 6, init).squared_error == 0


@pytest.mark.parametrize("start", [1e-45, 1.0, -1.0, 1e30])
def test_neighbouring_floats_are_distinct(start: float) -> None:
    weight = [np.float32(start)]
    for _ in range(5):
        weight.append(np.nextafter(weight[-1], np.float32(np.inf)))
    assert clustered(np.array(weight), 6).squared_error == 0


@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 1.0])
def test_pruned_elements_have_code_0_and_count_as_error(density: float) -> None:
    weight = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    found = share(weight, cut_by_density(weight, density), 31, "linear", None, 0)
    assert np.count_nonzero(found.codes) == round(1000 * density)
    pruned = np.square(weight[found.codes == 0], dtype=np.float64).sum()
    assert found.squared_error >= pruned
    if not density:
        assert len(found.codebook) == 0
        np.testing.assert_allclose(found.squared_error, found.squared_norm)


def test_an_empty_weight() -> None:
    found = clustered(np.zeros(0, np.float32), 4)
    assert (len(found.codebook), len(found.codes), found.squared_error) == (0, 0, 0.0)


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("iterations", [0, 10, None])
def test_a_histogram_of_the_values_gives_nearly_the_same(
    init: Init, iterations: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = np.random.default_rng(0).standard_t(4, 60_000).astype(np.float32)
    exact = clustered(weight, 31, init, iterations)
    monkeypatch.setattr(stage, "_MOST_SORTED", 1000)
    rough = clustered(weight, 31, init, iterations)
    assert rough.squared_error <= exact.squared_error * 1.01
    np.testing.assert_allclose(rough.codebook, exact.codebook, atol=0.05 * np.abs(weight).max())


def test_a_histogram_keeps_few_distinct_values_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_MOST_SORTED", 10)
    weight = np.random.default_rng(0).choice(
        np.array([-1.5, -0.0, 0.25, 1.0, 3.0], np.float32), 5000
    )
    assert clustered(weight, 4).squared_error == 0


def test_a_histogram_counts_and_sums_all_values() -> None:
    weight = np.random.default_rng(1).standard_normal(100_000).astype(np.float32)
    histogram = Distribution.of_histogram(iter(np.split(weight, 10)))
    assert (np.diff(histogram.values) > 0).all()
    assert histogram.counts[-1] == len(weight)
    np.testing.assert_allclose(histogram.sums[-1], weight.sum(dtype=np.float64))
    assert len(histogram.values) < 60_000


def test_the_random_start_follows_the_seed_and_nothing_else() -> None:
    weight = np.random.default_rng(2).standard_normal(5000).astype(np.float32)
    first = clustered(weight, 15, "random", 0, seed=1)
    again = clustered(weight, 15, "random", 0, seed=1)
    other = clustered(weight, 15, "random", 0, seed=2)
    assert first.codebook.tobytes() == again.codebook.tobytes()
    assert first.codes.tobytes() == again.codes.tobytes()
    assert first.codebook.tobytes() != other.codebook.tobytes()
    for init in ("linear", "density"):
        one, two = (clustered(weight, 15, init, None, seed) for seed in (1, 2))
        assert one.codes.tobytes() == two.codes.tobytes()


def test_given_centroids_are_where_lloyd_starts() -> None:
    weight = np.random.default_rng(3).standard_normal(500).astype(np.float32)
    start = np.array([-2.0, -1.0, 0.0, 0.5, 3.0])
    found = share(weight, ALL, 5, start, 7, 0)
    np.testing.assert_allclose(found.codebook, naive_lloyd(weight, start, 7), rtol=1e-6)
    untouched = share(weight, ALL, 5, start, 0, 0)
    np.testing.assert_array_equal(untouched.codebook, start.astype(np.float32))


def test_centroids_without_elements_are_dropped() -> None:
    weight = np.array([-1.0, -0.9, 1.0, 1.1, 1.2], np.float32)
    codebook, steps = cluster(Distribution.of_sorted(weight), 4, "linear", 0, 0)
    assert steps == 0
    assert len(codebook) == 2


def test_a_value_on_a_boundary_belongs_to_the_lower_centroid() -> None:
    assert boundaries(np.array([-1.0, 1.0, 2.0], np.float32)).tolist() == [0.0, 1.5]
    weight = np.array([1.0, 1.5, 2.0, 1.0], np.float32)
    found = share(weight, ALL, 2, np.array([1.0, 2.0]), 0, 0)
    assert found.codes.tolist() == [1, 1, 2, 1]
