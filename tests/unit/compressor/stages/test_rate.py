"""Sharing for bits: what the codes take, and how far the values are from what they were."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sparsebook_compressor.stages.prune import Cut, cut_by_density, pruned
from sparsebook_compressor.stages.rate import share_for_bits
from sparsebook_compressor.stages.share import share

ALL = Cut(-1.0)
# Rounding to even steps costs so much of a Gaussian's variance at many bits (Gish and Pierce): pi e / 6 x 4^-bits.
GISH_PIERCE = np.pi * np.e / 6


def gaussian(count: int = 40_000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


def entropy(codes: np.ndarray) -> float:
    counts = np.bincount(codes)
    shares = counts[counts > 0] / len(codes)
    return float(-(shares * np.log2(shares)).sum())


@pytest.mark.parametrize("bits", [2, 3, 3.7, 5, 6])
def test_the_bits_are_used_and_not_passed(bits: float) -> None:
    weight = gaussian()
    shared = share_for_bits(weight, ALL, 255, bits)
    assert bits - 0.05 < entropy(shared.codes) <= bits
    table = np.concatenate([np.zeros(1, np.float32), shared.codebook])
    error = np.square(weight - table[shared.codes], dtype=np.float64).sum()
    assert shared.squared_error == pytest.approx(error)
    assert shared.squared_error / shared.squared_norm < 1.1 * GISH_PIERCE * 4**-bits


@pytest.mark.parametrize("width", [3, 4, 5])
def test_no_more_error_than_k_means_in_as_many_huffman_bits(width: int) -> None:
    weight = gaussian()
    means = share(weight, ALL, (1 << width) - 1, "linear", None, 0)
    shared = share_for_bits(weight, ALL, 255, entropy(means.codes))
    assert shared.squared_error < 0.93 * means.squared_error


def test_pruned_elements_stay_zero_and_cost_nothing() -> None:
    weight = gaussian()
    cut = cut_by_density(weight, 0.3)
    shared = share_for_bits(weight, cut, 255, 4.0)
    alive = pruned(weight, cut) != 0
    np.testing.assert_array_equal(shared.codes != 0, alive)
    assert 3.9 < entropy(shared.codes[alive]) <= 4.0


def test_no_more_values_than_there_may_be() -> None:
    shared = share_for_bits(gaussian(), ALL, 15, 8.0)
    assert len(shared.codebook) <= 15
    outlier = gaussian()
    outlier[7] = 1e4
    far = share_for_bits(outlier, ALL, 255, 5.0)
    assert len(far.codebook) <= 255
    assert far.codebook[far.codes[7] - 1] == pytest.approx(1e4)
    assert entropy(far.codes) > 4.5


def test_many_values_are_shared_by_their_histogram(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = gaussian()
    exact = share_for_bits(weight, ALL, 255, 3.7)
    monkeypatch.setattr("sparsebook_compressor.stages.share._MOST_SORTED", 1000)
    coarse = share_for_bits(weight, ALL, 255, 3.7)
    assert coarse.squared_error == pytest.approx(exact.squared_error, rel=0.01)
    assert entropy(coarse.codes) == pytest.approx(3.7, abs=0.05)


def test_equal_values_have_one_centroid_which_is_exact() -> None:
    weight = np.full(50, -0.3, np.float32)
    shared = share_for_bits(weight, ALL, 255, 4.0)
    assert shared.codebook.tolist() == [np.float32(-0.3)]
    assert shared.squared_error == 0
    nothing = share_for_bits(weight, Cut(np.inf), 255, 4.0)
    assert (len(nothing.codebook), nothing.codes.any()) == (0, False)


finite = st.floats(-(2.0**99), 2.0**99, width=32)


@given(
    arrays(np.float32, st.integers(1, 60), elements=finite), st.integers(1, 255), st.floats(0.1, 8)
)
@example(np.array([-3, -1], np.float32), 1, 1.0)
def test_whatever_the_values(weight: np.ndarray, centroids: int, bits: float) -> None:
    shared = share_for_bits(weight, ALL, centroids, bits)
    # Exact zeros never survive.
    alive = weight != 0
    np.testing.assert_array_equal(shared.codes != 0, alive)
    assert alive.any() <= len(shared.codebook) <= centroids
    assert (np.diff(shared.codebook) > 0).all()
    assert shared.codes.max() <= len(shared.codebook)
    assert len(shared.codebook) <= 1 or entropy(shared.codes[alive]) <= bits + 1e-9
