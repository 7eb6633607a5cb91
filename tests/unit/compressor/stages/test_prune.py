"""Magnitude pruning, against sorting."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sparsebook_compressor.stages import prune
from sparsebook_compressor.stages.prune import (
    Cut,
    behind,
    cut_by_density,
    cut_by_rank,
    survivors,
    survivors_of,
)

float32s = st.floats(width=32, allow_nan=False, allow_infinity=False)
# Few distinct magnitudes make ties, of both signs; zeros never survive.
tied = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1e-45, 3e38])
weights = arrays(np.float32, st.integers(0, 60), elements=st.one_of(float32s, tied))
tied_weights = arrays(np.float32, st.integers(0, 40), elements=tied)


def mask_of(weight: np.ndarray, cut: Cut) -> np.ndarray:
    pieces = list(survivors(weight, cut))
    assert [start for start, _ in pieces] == list(range(0, len(weight), prune.CHUNK))
    return np.concatenate([mask for _, mask in pieces]) if pieces else np.zeros(0, bool)


def largest(weight: np.ndarray, keep: int) -> np.ndarray:
    """The mask of the `keep` largest magnitudes, first come first kept, without zeros; by a stable sort."""
    order = np.argsort(-np.abs(weight.astype(np.float64)), kind="stable")
    mask = np.zeros(len(weight), bool)
    mask[order[:keep]] = True
    return mask & (weight != 0)


@given(weights, st.floats(0, 1))
def test_the_survivors_are_the_first_of_the_sorted_magnitudes(
    weight: np.ndarray, density: float
) -> None:
    keep = survivors_of(density, len(weight))
    mask = mask_of(weight, cut_by_density(weight, density))
    assert (mask == largest(weight, keep)).all()
    assert mask.sum() == min(keep, np.count_nonzero(weight))


@given(tied_weights, st.floats(0, 1), st.sampled_from([1, 3, 7]))
def test_chunks_change_nothing(weight: np.ndarray, density: float, chunk: int) -> None:
    cut = cut_by_density(weight, density)
    whole = mask_of(weight, cut)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prune, "CHUNK", chunk)
        assert cut_by_density(weight, density) == cut
        assert (mask_of(weight, cut) == whole).all()


@pytest.mark.parametrize(
    ("density", "elements", "keep"),
    [
        (0.0, 10, 0),
        (1.0, 10, 10),
        (0.09, 100, 9),
        (0.29, 100, 29),  # 0.29 x 100 is a little less than 29
        (0.5, 3, 2),
        (0.5, 1, 1),
        (0.49, 1, 0),
        (1.0, 0, 0),
        (0.35, 1 << 36, round(0.35 * (1 << 36))),
    ],
)
def test_counts_are_rounded_half_up(density: float, elements: int, keep: int) -> None:
    assert survivors_of(density, elements) == keep


def test_density_0_keeps_nothing_and_1_keeps_all_but_zeros() -> None:
    weight = np.array([0.0, 1e-45, -2.0, 3e38, -0.0], np.float32)
    assert not mask_of(weight, cut_by_density(weight, 0.0)).any()
    assert mask_of(weight, cut_by_density(weight, 1.0)).tolist() == [False, True, True, True, False]


def test_neighbouring_floats_are_told_apart() -> None:
    weight = np.float32(1) + np.arange(1000, dtype=np.float32) * np.float32(2**-23)
    mask = mask_of(weight, cut_by_density(weight, 0.1))
    assert mask.tolist() == [False] * 900 + [True] * 100


def test_ties_go_to_the_elements_that_come_first() -> None:
    weight = np.array([1, -1, 2, 1, -1, 0.5], np.float32)
    assert mask_of(weight, cut_by_density(weight, 0.5)).tolist() == [True, True, True] + [False] * 3


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0, 100.0])
def test_a_threshold_prunes_magnitudes_up_to_it(threshold: float) -> None:
    weight = np.array([0.0, 0.5, -0.5, 0.75, -1.0, 1.5, -0.0], np.float32)
    assert (mask_of(weight, Cut(threshold)) == (np.abs(weight) > threshold)).all()


@given(st.lists(tied_weights, min_size=1, max_size=4), st.floats(0, 1))
def test_a_global_rank_is_that_of_the_weights_laid_end_to_end(
    parts: list[np.ndarray], density: float
) -> None:
    whole = np.concatenate(parts)
    keep = survivors_of(density, len(whole))
    cut = cut_by_rank(lambda: iter(parts), keep)
    assert cut == cut_by_density(whole, density)
    masks = []
    for part in parts:
        masks.append(mask_of(part, cut))
        cut = behind(cut, part)
    assert (np.concatenate(masks) == largest(whole, keep)).all()


def test_ranks_of_a_real_size_are_exact() -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_t(4, 5_000_000).astype(np.float32)
    cut = cut_by_density(weight, 0.09)
    mask = mask_of(weight, cut)
    assert mask.sum() == 450_000
    assert np.abs(weight[mask]).min() >= np.abs(weight[~mask]).max()
    assert math.isclose(cut.threshold, np.partition(np.abs(weight), -450_000)[-450_000])


def test_the_weight_is_left_as_it_was() -> None:
    weight = np.array([3.0, -1.0, 2.0], np.float32)
    weight.setflags(write=False)
    list(survivors(weight, cut_by_density(weight, 0.5)))
    assert weight.tolist() == [3.0, -1.0, 2.0]
